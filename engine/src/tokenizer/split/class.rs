//! The classes of characters that the expressions of the splits speak of.

use std::sync::OnceLock;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A set of classes; each character is in at most one of them.
pub(super) type Classes = u8;

/// `\p{Lu}\p{Lt}`
pub(super) const UPPER: Classes = 1;
/// `\p{Ll}`
pub(super) const LOWER: Classes = 1 << 1;
/// `\p{Lm}\p{Lo}`: letters without case.
pub(super) const UNCASED: Classes = 1 << 2;
/// `\p{M}`
pub(super) const MARK: Classes = 1 << 3;
/// `\p{N}`
pub(super) const NUMBER: Classes = 1 << 4;
/// `\s`
pub(super) const SPACE: Classes = 1 << 5;
/// `\p{P}`
pub(super) const PUNCTUATION: Classes = 1 << 6;
/// `\p{S}`
pub(super) const SYMBOL: Classes = 1 << 7;
/// `\p{L}`
pub(super) const LETTER: Classes = UPPER | LOWER | UNCASED;

const PAGE: usize = 256;
const PAGES: usize = (char::MAX as usize + 1) / PAGE;

static ASCII: [Classes; 128] = ascii();
/// Classes of 256 characters each, filled when the first of them is met.
static REST: [OnceLock<Box<[Classes; PAGE]>>; PAGES] = [const { OnceLock::new() }; PAGES];

const fn ascii() -> [Classes; 128] {
    let mut table = [0; 128];
    let mut code = 0u8;
    while code < 128 {
        table[code as usize] = match code {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b' ' | b'\t'..=b'\r' => SPACE,
            b'$' | b'+' | b'<'..=b'>' | b'^' | b'`' | b'|' | b'~' => SYMBOL,
            b'!'..=b'~' => PUNCTUATION,
            _ => 0,
        };
        code += 1;
    }
    table
}

fn look_up(c: char) -> Classes {
    use GeneralCategory as Category;
    match c.general_category() {
        Category::UppercaseLetter | Category::TitlecaseLetter => UPPER,
        Category::LowercaseLetter => LOWER,
        Category::ModifierLetter | Category::OtherLetter => UNCASED,
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => MARK,
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => NUMBER,
        Category::ConnectorPunctuation
        | Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation => PUNCTUATION,
        Category::MathSymbol | Category::CurrencySymbol | Category::ModifierSymbol | Category::OtherSymbol => SYMBOL,
        _ if c.is_whitespace() => SPACE,
        _ => 0,
    }
}

/// The class of a character, or 0 for one that is in none.
pub(super) fn class(c: char) -> Classes {
    let code = c as usize;
    if let Some(&class) = ASCII.get(code) {
        return class;
    }
    let page = REST[code / PAGE].get_or_init(|| {
        let first = (code - code % PAGE) as u32;
        let classes = (first..).map(|code| char::from_u32(code).map_or(0, look_up));
        let mut page = Box::new([0; PAGE]);
        page.iter_mut().zip(classes).for_each(|(slot, class)| *slot = class);
        page
    });
    page[code % PAGE]
}

/// The character at byte `at` of a text and the byte after it; `None` at the end.
pub(super) fn char_at(text: &str, at: usize) -> Option<(char, usize)> {
    match text.as_bytes().get(at) {
        Some(&byte) if byte < 128 => Some((char::from(byte), at + 1)),
        Some(_) => text[at..].chars().next().map(|c| (c, at + c.len_utf8())),
        None => None,
    }
}

/// The class of the character at byte `at`; 0 at the end.
pub(super) fn class_at(text: &str, at: usize) -> Classes {
    char_at(text, at).map_or(0, |(c, _)| class(c))
}

/// The byte after the characters from `at` on for which `holds`.
pub(super) fn skip(text: &str, mut at: usize, holds: impl Fn(char) -> bool) -> usize {
    while let Some((c, next)) = char_at(text, at) {
        if !holds(c) {
            break;
        }
        at = next;
    }
    at
}

/// The byte after the characters of `classes` from `at` on.
pub(super) fn skip_classes(text: &str, at: usize, classes: Classes) -> usize {
    skip(text, at, |c| class(c) & classes != 0)
}

/// The byte after the characters from `at` on that are in none of `classes`.
pub(super) fn skip_others(text: &str, at: usize, classes: Classes) -> usize {
    skip(text, at, |c| class(c) & classes == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_properties_say() {
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let wanted = if c.is_ascii() && c.is_whitespace() { SPACE } else { look_up(c) };
            // Vertical tab is white space, and U+0085 is the one control character beyond ASCII that is.
            assert_eq!(class(c), if c == '\u{b}' { SPACE } else { wanted }, "{c:?}");
        }
    }
}
