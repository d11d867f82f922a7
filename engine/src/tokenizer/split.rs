//! Cutting text into words before byte-pair merging.
//!
//! Each split is the hand-written form of the regular expression that its models were trained with; the expressions are
//! given beside each function. A word never spans two calls, so no merge crosses the cuts made here.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// How a byte-level BPE model cuts its text, by the name in `tokenizer.ggml.pre`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// The expression of GPT-2.
    Gpt2,
    /// Each digit on its own, then as GPT-2.
    DigitsThenGpt2,
    /// The expression of Llama 3: digits in groups of up to three.
    Llama3,
    /// The expression of Qwen 2: as Llama 3, each digit on its own.
    Qwen2,
    /// Punctuation apart, as GPT-2, digits in groups of three.
    Default,
}

impl Split {
    /// The split of that name, and whether a whole word that is a token is taken without merging.
    pub(super) fn by_name(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "default" | "" => (Split::Default, false),
            "gpt-2" | "gpt2" | "phi-2" | "modern-bert" | "mellum" | "olmo" | "mpt" | "dbrx-gpt2" => {
                (Split::Gpt2, false)
            }
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => (Split::DigitsThenGpt2, false),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral" | "lfm2" => (Split::Llama3, true),
            "smaug-bpe" | "dbrx" | "chatglm-bpe" | "glm4" => (Split::Llama3, false),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" => (Split::Qwen2, false),
            _ => return None,
        })
    }

    /// Calls `emit` with the words of a text, in order; together they are the text.
    pub(super) fn words<'a>(self, text: &'a str, emit: &mut dyn FnMut(&'a str)) {
        match self {
            Split::Gpt2 => each(text, gpt2, emit),
            Split::Llama3 => each(text, |rest| llama3(rest, 3), emit),
            Split::Qwen2 => each(text, |rest| llama3(rest, 1), emit),
            Split::DigitsThenGpt2 => each(text, |rest| apart(rest, is_number, 1), &mut |part| each(part, gpt2, emit)),
            Split::Default => each(text, |rest| apart(rest, is_mark, usize::MAX), &mut |part| {
                each(part, gpt2, &mut |word| {
                    each(word, |rest| apart(rest, is_number, usize::MAX), &mut |digits| each(digits, triples, emit));
                });
            }),
        }
    }
}

/// Cuts `text` by asking `next` for the length in bytes of the piece that the rest begins with.
fn each<'a>(text: &'a str, next: impl Fn(&str) -> usize, emit: &mut dyn FnMut(&'a str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next(rest));
        emit(piece);
        rest = after;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            ' ' | '\t'..='\r' => Class::Space,
            _ => Class::Other,
        };
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Class::Letter,
        GeneralCategoryGroup::Number => Class::Number,
        _ if c.is_whitespace() => Class::Space,
        _ => Class::Other,
    }
}

fn is_number(c: char) -> bool {
    class(c) == Class::Number
}

/// `[\p{P}$+<=>^~|]`
fn is_mark(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
        || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// Bytes of the longest run of characters for which `holds`, at most `max` characters.
fn run(text: &str, max: usize, holds: impl Fn(char) -> bool) -> usize {
    text.char_indices()
        .take(max)
        .find(|&(_, c)| !holds(c))
        .map_or_else(|| text.chars().take(max).map(char::len_utf8).sum(), |(at, _)| at)
}

fn class_run(text: &str, wanted: Class) -> usize {
    run(text, usize::MAX, |c| class(c) == wanted)
}

/// A run of up to `max` characters for which `holds`, or else all up to the next such character.
fn apart(text: &str, holds: fn(char) -> bool, max: usize) -> usize {
    match run(text, max, holds) {
        0 => run(text, usize::MAX, |c| !holds(c)),
        length => length,
    }
}

/// `[0-9][0-9][0-9]` apart from what is between.
fn triples(text: &str) -> usize {
    let bytes = text.as_bytes();
    let triple = |at: usize| bytes.len() >= at + 3 && bytes[at..at + 3].iter().all(u8::is_ascii_digit);
    if triple(0) {
        return 3;
    }
    (1..bytes.len()).find(|&at| triple(at)).unwrap_or(bytes.len())
}

/// Bytes of `'s 't 'm 'd 're 've 'll` at the start, as written or in any case.
fn contraction(text: &str, any_case: bool) -> usize {
    let fold = |byte: u8| if any_case { byte.to_ascii_lowercase() } else { byte };
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'\'') {
        return 0;
    }
    match (bytes.get(1).map(|&b| fold(b)), bytes.get(2).map(|&b| fold(b))) {
        (Some(b's' | b't' | b'm' | b'd'), _) => 2,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => 3,
        _ => 0,
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2(text: &str) -> usize {
    let contracted = contraction(text, false);
    if contracted > 0 {
        return contracted;
    }
    let body = text.strip_prefix(' ').unwrap_or(text);
    match body.chars().next().map(class) {
        None | Some(Class::Space) => white_space(text),
        Some(wanted) => text.len() - body.len() + class_run(body, wanted),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
fn llama3(text: &str, digits: usize) -> usize {
    let contracted = contraction(text, true);
    if contracted > 0 {
        return contracted;
    }
    let mut chars = text.chars();
    let first = chars.next().expect("words are asked for only where text is left");
    let after = chars.as_str();
    match class(first) {
        Class::Number => return run(text, digits, is_number),
        Class::Letter => return class_run(text, Class::Letter),
        _ if first == '\r' || first == '\n' => {}
        _ => {
            let letters = class_run(after, Class::Letter);
            if letters > 0 {
                return first.len_utf8() + letters;
            }
        }
    }
    let body = text.strip_prefix(' ').unwrap_or(text);
    let marks = class_run(body, Class::Other);
    if marks > 0 {
        return text.len() - body.len() + marks + line_ends(&body[marks..]);
    }
    let spaces = class_run(text, Class::Space);
    match text[..spaces].rfind(['\r', '\n']) {
        Some(last) => last + 1,
        None => white_space(text),
    }
}

fn line_ends(text: &str) -> usize {
    run(text, usize::MAX, |c| c == '\r' || c == '\n')
}

/// `\s+(?!\S)|\s+`: the run of white space, less its last character where text follows.
fn white_space(text: &str) -> usize {
    let spaces = class_run(text, Class::Space);
    let last = text[..spaces].chars().next_back().map_or(0, char::len_utf8);
    if spaces < text.len() && spaces > last { spaces - last } else { spaces }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(split: Split, text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        split.words(text, &mut |word| words.push(word));
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn rows() {
        let rows: &[(Split, &str, &[&str])] = &[
            (
                Split::Gpt2,
                "I'll go  home\n\n now 1234!?",
                &["I", "'ll", " go", " ", " home", "\n\n", " now", " 1234", "!?"],
            ),
            (Split::Gpt2, "it'S 'tis \t x  ", &["it", "'", "S", " '", "tis", " \t", " x", "  "]),
            (Split::DigitsThenGpt2, "a 12½x", &["a", " ", "1", "2", "½", "x"]),
            (Split::DigitsThenGpt2, "x  5", &["x", "  ", "5"]),
            (
                Split::Llama3,
                "IT'S $foo 12345\r\n\r\n x",
                &["IT", "'S", " $", "foo", " ", "123", "45", "\r\n\r\n", " x"],
            ),
            (Split::Qwen2, "a  \n  b.\n\nc 99", &["a", "  \n", " ", " b", ".\n\n", "c", " ", "9", "9"]),
            (Split::Qwen2, "été\u{301} 文字\u{a0}ok ", &["été", "\u{301}", " 文字", "\u{a0}ok", " "]),
            (Split::Default, "a=b, 12345 x", &["a", "=", "b", ",", " ", "123", "45", " x"]),
            (Split::Gpt2, "", &[]),
        ];
        for (split, text, wanted) in rows {
            assert_eq!(&words(*split, text), wanted, "{split:?} {text:?}");
        }
    }

    #[test]
    fn every_split_of_a_long_line_is_linear() {
        for split in [Split::Gpt2, Split::DigitsThenGpt2, Split::Llama3, Split::Qwen2, Split::Default] {
            for pattern in ["a", " ", "\n ", "1", "!", "'", "é", "\u{2003}", " a", "<1"] {
                let text = pattern.repeat((1 << 20) / pattern.len());
                let mut bytes = 0;
                split.words(&text, &mut |word| bytes += word.len());
                assert_eq!(bytes, text.len());
            }
        }
    }
}
