//! Names of documents: relative paths with `/`, without surprises.

use unicode_normalization::UnicodeNormalization;

use crate::{Error, Result};

/// Longest name of a document, in characters.
const NAME_CHARS_MAX: usize = 1_000;

/// The name under which an upload is kept: composed Unicode, `/` between folders, no empty, `.` or `..` parts.
pub(crate) fn tidy(name: &str) -> Result<String> {
    let composed: String = name.nfc().map(|c| if c == '\\' { '/' } else { c }).collect();
    let parts: Vec<&str> = composed.split('/').map(str::trim).filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return Err(Error::invalid("name", "is empty"));
    }
    if parts.contains(&"..") || composed.chars().any(char::is_control) {
        return Err(Error::invalid("name", "may not hold .. or control characters"));
    }
    let tidy = parts.join("/");
    if tidy.chars().count() > NAME_CHARS_MAX {
        return Err(Error::invalid("name", format!("is longer than {NAME_CHARS_MAX} characters")));
    }
    Ok(tidy)
}

/// A name that is not taken: the name itself, or with a number before its extension.
pub(crate) fn unused_name(name: &str, taken: &dyn Fn(&str) -> bool) -> String {
    let base = tidy(name).unwrap_or_else(|_| "attachment".to_owned());
    let (stem, extension) = match base.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem.to_owned(), format!(".{extension}")),
        _ => (base.clone(), String::new()),
    };
    let numbered = (2..).map(|number: u32| format!("{stem} ({number}){extension}"));
    std::iter::once(base).chain(numbered).find(|name| !taken(name)).expect("numbers do not run out before names do")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_tidy_or_refused() {
        let rows = [
            ("a.pdf", Some("a.pdf")),
            ("/x//y/./a.pdf", Some("x/y/a.pdf")),
            ("x\\y\\a.pdf", Some("x/y/a.pdf")),
            ("u\u{308}ber.txt", Some("über.txt")),
            ("../a.pdf", None),
            ("a\u{0}b", None),
            ("  ", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(tidy(name).ok().as_deref(), expected, "{name:?}");
        }
        assert!(tidy(&"x".repeat(NAME_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn taken_names_get_a_number() {
        let taken = |name: &str| ["a.pdf", "a (2).pdf", "b"].contains(&name);
        assert_eq!(unused_name("a.pdf", &taken), "a (3).pdf");
        assert_eq!(unused_name("b", &taken), "b (2)");
        assert_eq!(unused_name("c.tar.gz", &taken), "c.tar.gz");
        assert_eq!(unused_name("..", &taken), "attachment");
    }
}
