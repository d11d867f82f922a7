//! Words of a text with their places, and when two words count as the same.

use unicode_normalization::UnicodeNormalization;

/// A word, number, currency sign or percent sign and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// As written.
    pub(crate) text: &'a str,
    /// Index of the first character.
    pub(crate) start: usize,
    /// Index after the last character.
    pub(crate) end: usize,
}

/// Cuts a text into words. Letters and digits hold together; `. , : / -` belong to a word only between digits,
/// apostrophes and `&` only between letters; `% $ € £ ¥` stand alone.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let byte_at = |index: usize| chars.get(index).map_or(text.len(), |(byte, _)| *byte);
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at].1;
        let start = at;
        if is_sign(c) {
            at += 1;
        } else if c.is_alphanumeric() {
            at += 1;
            while at < chars.len() && continues(&chars, at) {
                at += 1;
            }
        } else {
            at += 1;
            continue;
        }
        out.push(Word { text: &text[byte_at(start)..byte_at(at)], start, end: at });
    }
    out
}

fn is_sign(c: char) -> bool {
    matches!(c, '%' | '$' | '€' | '£' | '¥')
}

fn continues(chars: &[(usize, char)], at: usize) -> bool {
    let c = chars[at].1;
    if c.is_alphanumeric() || is_combining(c) {
        return true;
    }
    let before = chars[at - 1].1;
    let Some(&(_, after)) = chars.get(at + 1) else { return false };
    match c {
        '.' | ',' | ':' | '/' | '-' => before.is_ascii_digit() && after.is_ascii_digit(),
        '\'' | '\u{2019}' | '&' => before.is_alphabetic() && after.is_alphabetic(),
        _ => false,
    }
}

fn is_combining(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// The form in which words are compared: compatibility forms folded, lower case, without a possessive ending.
pub(crate) fn normal(word: &str) -> String {
    let mut out: String =
        word.nfkc().flat_map(char::to_lowercase).map(|c| if c == '\u{2019}' { '\'' } else { c }).collect();
    if out.ends_with("'s") {
        out.truncate(out.len() - 2);
    }
    out
}

/// Whether two words in normal form speak of the same thing: equal, equal but for an ending, or sharing a long
/// beginning (`terminate`, `termination`). Words with digits must be equal.
pub(crate) fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if a.chars().chain(b.chars()).any(|c| c.is_ascii_digit()) {
        return false;
    }
    let (x, y) = (stem(a), stem(b));
    if x == y {
        return true;
    }
    let common = x.chars().zip(y.chars()).take_while(|(p, q)| p == q).count();
    let longest = x.chars().count().max(y.chars().count());
    common >= 5 && common * 5 >= longest * 3
}

const ENDINGS: &[(&str, &str)] =
    &[("ies", "y"), ("sses", "ss"), ("ing", ""), ("ied", "y"), ("ed", ""), ("es", ""), ("ly", ""), ("s", "")];

fn stem(word: &str) -> String {
    for (ending, instead) in ENDINGS {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.chars().count() >= 3
            && !(*ending == "s" && rest.ends_with('s'))
        {
            return format!("{rest}{instead}");
        }
    }
    word.to_owned()
}

/// Words that carry no content of their own.
const STOP: &[&str] = &[
    "a",
    "about",
    "above",
    "according",
    "after",
    "all",
    "also",
    "although",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "auf",
    "based",
    "be",
    "because",
    "been",
    "before",
    "being",
    "below",
    "between",
    "both",
    "but",
    "by",
    "can",
    "cannot",
    "could",
    "das",
    "dem",
    "den",
    "der",
    "des",
    "did",
    "die",
    "do",
    "does",
    "during",
    "each",
    "ein",
    "eine",
    "einer",
    "eines",
    "either",
    "es",
    "every",
    "first",
    "following",
    "for",
    "from",
    "further",
    "für",
    "had",
    "has",
    "have",
    "he",
    "her",
    "here",
    "his",
    "how",
    "however",
    "i",
    "if",
    "im",
    "in",
    "into",
    "is",
    "ist",
    "it",
    "its",
    "ja",
    "may",
    "me",
    "mentioned",
    "might",
    "mit",
    "more",
    "most",
    "must",
    "my",
    "nein",
    "neither",
    "nicht",
    "no",
    "none",
    "nor",
    "not",
    "oder",
    "of",
    "on",
    "one",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "own",
    "passage",
    "passages",
    "per",
    "quote",
    "quotes",
    "same",
    "second",
    "shall",
    "she",
    "should",
    "since",
    "sind",
    "so",
    "some",
    "stated",
    "states",
    "such",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "therefore",
    "these",
    "they",
    "this",
    "those",
    "through",
    "to",
    "und",
    "under",
    "until",
    "up",
    "upon",
    "us",
    "von",
    "was",
    "we",
    "werden",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "whom",
    "why",
    "will",
    "wird",
    "with",
    "would",
    "yes",
    "yet",
    "you",
    "your",
    "zu",
];

/// Whether a word in normal form carries no content of its own.
pub(crate) fn is_stop(word: &str) -> bool {
    STOP.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_list_can_be_searched() {
        let mut sorted = STOP.to_vec();
        sorted.sort_unstable();
        assert!(sorted.binary_search(&"stated").is_ok());
        for word in STOP {
            assert!(is_stop(word), "{word} is not found: the list is out of order");
        }
    }

    #[test]
    fn words_keep_numbers_whole_and_know_their_places() {
        let rows: &[(&str, &[&str])] = &[
            ("It's $1,234.56 (5%).", &["It's", "$", "1,234.56", "5", "%"]),
            ("twenty-five AT&T 3/4/2020", &["twenty", "five", "AT&T", "3/4/2020"]),
            ("Zürich, 10 Uhr; end.", &["Zürich", "10", "Uhr", "end"]),
            ("", &[]),
        ];
        for (text, expected) in rows {
            let found = words(text);
            assert_eq!(found.iter().map(|word| word.text).collect::<Vec<_>>(), *expected, "{text}");
            let chars: Vec<char> = text.chars().collect();
            for word in found {
                assert_eq!(chars[word.start..word.end].iter().collect::<String>(), word.text);
            }
        }
    }

    #[test]
    fn same_words() {
        let rows = [
            ("governed", "governing", true),
            ("terminate", "termination", true),
            ("parties", "party", true),
            ("assign", "assignment", true),
            ("delaware", "nevada", false),
            ("2019", "2018", false),
            ("class", "clas", false),
        ];
        for (a, b, expected) in rows {
            assert_eq!(same(a, b), expected, "{a} {b}");
        }
    }
}
