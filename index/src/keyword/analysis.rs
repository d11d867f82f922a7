//! Words of a text, the same way for what is indexed and for what is asked.
//!
//! Letters are compared without case and accents. A run of numbers and letters joined by points, commas, hyphens, slashes or
//! colons ("4.2", "2024-01-15", "EX-10.24", "1,000,000") is found as a whole and by its parts. The section sign reads
//! "section". Scripts written without spaces give single characters and pairs.

use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;

/// Characters of a word; what is longer is cut, on both sides alike.
const WORD_MAX: usize = 64;
/// Joined parts of one whole, for instance of a date.
const PARTS_MAX: usize = 12;

/// Name of the analyser that keeps words as they are.
pub(super) const EXACT: &str = "exact";
/// Name of the analyser for English; other languages get analysers of their own beside it.
pub(super) const ENGLISH: &str = "english";

/// Words that carry no meaning by themselves; left out of questions, never out of the index.
const STOP_WORDS: [&str; 63] = [
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no",
    "not", "of", "on", "or", "our", "shall", "should", "so", "such", "that", "the", "their", "there", "these", "they",
    "this", "those", "to", "was", "we", "were", "what", "when", "where", "which", "who", "will", "with", "would",
    "you",
];

/// Whether a word of a question carries no meaning by itself.
pub(super) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// The analyser that stems English.
pub(super) fn english() -> TextAnalyzer {
    TextAnalyzer::builder(Words).filter(Stemmer::new(Language::English)).build()
}

/// The analyser that keeps words as they are.
pub(super) fn exact() -> TextAnalyzer {
    TextAnalyzer::from(Words)
}

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Folded text.
    pub(super) text: String,
    /// Place in the sequence; a whole stands at the place of its first part.
    pub(super) position: usize,
    /// True for a whole made of parts that follow as words of their own.
    pub(super) whole: bool,
}

/// The words of `text`.
pub(super) fn words(text: &str) -> Vec<Word> {
    let folded: String =
        text.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).flat_map(char::to_lowercase).nfc().collect();
    let mut splitter = Splitter { out: Vec::new(), position: 0 };
    let mut rest = folded.as_str();
    while let Some(first) = rest.chars().next() {
        rest = if first == '§' {
            splitter.section(rest)
        } else if is_unspaced(first) {
            splitter.unspaced(rest)
        } else if first.is_alphanumeric() {
            splitter.joined(rest)
        } else {
            &rest[first.len_utf8()..]
        };
    }
    splitter.out
}

struct Splitter {
    out: Vec<Word>,
    position: usize,
}

impl Splitter {
    fn push(&mut self, text: String) {
        self.out.push(Word { text, position: self.position, whole: false });
        self.position += 1;
    }

    fn section<'a>(&mut self, rest: &'a str) -> &'a str {
        self.push("section".to_owned());
        rest.trim_start_matches('§')
    }

    /// A run of a script without spaces.
    fn unspaced<'a>(&mut self, rest: &'a str) -> &'a str {
        let end = rest.find(|c| !is_unspaced(c)).unwrap_or(rest.len());
        let chars: Vec<char> = rest[..end].chars().collect();
        for (at, one) in chars.iter().enumerate() {
            if let Some(next) = chars.get(at + 1) {
                let pair = [*one, *next].iter().collect();
                self.out.push(Word { text: pair, position: self.position, whole: true });
            }
            self.push(one.to_string());
        }
        &rest[end..]
    }

    /// A word, or several joined to a whole.
    fn joined<'a>(&mut self, rest: &'a str) -> &'a str {
        let mut at = word_end(rest);
        let mut spans = Vec::from([(0, at)]);
        while spans.len() < PARTS_MAX {
            let Some(joint) = rest[at..].chars().next().filter(|c| matches!(c, '.' | ',' | '-' | '/' | ':')) else {
                break;
            };
            let from = at + joint.len_utf8();
            let Some(next) = rest[from..].chars().next().filter(|c| c.is_alphanumeric() && !is_unspaced(*c)) else {
                break;
            };
            let (last, last_end) = spans[spans.len() - 1];
            let numeric = next.is_ascii_digit() || rest[last..last_end].bytes().any(|b| b.is_ascii_digit());
            if !numeric {
                break;
            }
            let end = from + word_end(&rest[from..]);
            spans.push((from, end));
            at = end;
        }
        if spans.len() > 1 {
            let text = cut(&whole(&rest[..at]));
            self.out.push(Word { text, position: self.position, whole: true });
        }
        for (from, end) in spans {
            let part = &rest[from..end];
            self.push(cut(part.strip_suffix("'s").unwrap_or(part)));
        }
        &rest[at..]
    }
}

/// Length of the word at the start: letters and digits, with apostrophes inside.
fn word_end(rest: &str) -> usize {
    let mut end = 0;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let inside = matches!(c, '\'' | '’') && at > 0 && chars.peek().is_some_and(|(_, next)| next.is_alphabetic());
        if (!c.is_alphanumeric() && !inside) || is_unspaced(c) {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

/// The text of a whole: thousands separators are left out, everything else stays.
fn whole(text: &str) -> String {
    let mut groups = text.split(',');
    let first = groups.next().unwrap_or_default();
    let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
    // A group of three digits; behind the last one decimals may follow.
    let group = |g: &str| match g.as_bytes().split_at_checked(3) {
        Some((three, rest)) => digits(three) && (rest.is_empty() || rest[0] == b'.'),
        None => false,
    };
    let thousands = digits(first.as_bytes()) && first.len() <= 3 && text.contains(',');
    if thousands && groups.all(group) {
        return text.replace(',', "");
    }
    text.to_owned()
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\'' | '’')).take(WORD_MAX).collect()
}

fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e01..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// The splitter as tantivy wants it.
#[derive(Clone, Debug)]
struct Words;

/// The words of one text as tantivy wants them.
struct WordStream {
    words: std::vec::IntoIter<Word>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        WordStream { words: words(text).into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.position = word.position;
        self.token.position_length = 1;
        self.token.text = word.text;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(text).into_iter().map(|w| w.text).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers_sections_and_dates_stay_findable() {
        check("Section 4.2(b)", &["section", "4.2", "4", "2", "b"]);
        check("§ 12 and §§ 3, 4", &["section", "12", "and", "section", "3", "4"]);
        check("on 2024-01-15.", &["on", "2024-01-15", "2024", "01", "15"]);
        check("$1,000,000.50", &["1000000.50", "1", "000", "000", "50"]);
        check("EX-10.24", &["ex-10.24", "ex", "10", "24"]);
        check("12/31/2019 at 10:30", &["12/31/2019", "12", "31", "2019", "at", "10:30", "10", "30"]);
    }

    #[test]
    fn words_are_folded() {
        check("Müller's RÉSUMÉ", &["muller", "resume"]);
        check("don’t", &["dont"]);
        check("state-of-the-art", &["state", "of", "the", "art"]);
        check("0,𐌀", &["0,𐌀", "0", "𐌀"]);
        check("ﬁnal Straße", &["final", "straße"]);
    }

    #[test]
    fn scripts_without_spaces_give_pairs() {
        check("契約書 x", &["契約", "契", "約書", "約", "書", "x"]);
        check("договор", &["договор"]);
    }

    #[test]
    fn a_long_word_is_cut() {
        let found = words(&"x".repeat(10_000));
        assert_eq!((found.len(), found[0].text.len()), (1, WORD_MAX));
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("the") && !is_stop_word("notice"));
    }

    proptest! {
        #[test]
        fn any_text_gives_words_in_order(text in "\\PC{0,200}") {
            let found = words(&text);
            prop_assert!(found.is_sorted_by_key(|w| w.position));
            prop_assert!(found.iter().all(|w| !w.text.is_empty() && w.text.chars().count() <= WORD_MAX));
        }
    }
}
