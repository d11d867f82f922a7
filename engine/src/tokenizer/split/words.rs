//! The expressions by which one word after the other is taken from the beginning of a text.
//!
//! Each function takes the text and the byte where the word begins, and gives the byte after the word. They are the
//! backtracking reading of the expressions, without going back over a text more than a fixed number of times.

use super::class::{
    LETTER, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, UNCASED, UPPER, char_at, class, class_at, skip,
    skip_classes, skip_others,
};

/// What differs among the expressions that are made like that of Llama 3:
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tokenizer) struct Plain {
    /// Whether the first alternative is there.
    pub(super) contractions: bool,
    /// `[\p{L}\p{M}]` in place of `\p{L}` where letters make a word and where they end one of other characters.
    pub(super) marks: bool,
    /// Most numbers of a word.
    pub(super) digits: usize,
    /// Whether `[\r\n]*` follows other characters.
    pub(super) line_ends_follow: bool,
}

/// What differs among the expressions that cut words at the change of case, made like that of GPT-4o:
/// `[^\r\n\p{L}\p{N}]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?U+L*(?i:'s|…)?|\p{N}{1,digits}|
/// ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+` with U = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and
/// L = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tokenizer) struct Cased {
    /// Whether a contraction belongs to the word before it.
    pub(super) contractions: bool,
    /// Most numbers of a word.
    pub(super) digits: usize,
    /// Whether `[\r\n/]*` follows other characters, or else `[\r\n]*`.
    pub(super) slashes_follow: bool,
    /// Whether runs of `\p{Han}` are words of their own.
    pub(super) han_apart: bool,
}

/// Bytes of `'s 't 'm 'd 're 've 'll` at `at`, as written or in any case.
fn contraction(text: &str, at: usize, any_case: bool) -> usize {
    let bytes = &text.as_bytes()[at..];
    if bytes.first() != Some(&b'\'') {
        return 0;
    }
    let letter = |place: usize| bytes.get(place).map(|&b| if any_case { b.to_ascii_lowercase() } else { b });
    match (letter(1), letter(2)) {
        (Some(b's' | b't' | b'm' | b'd'), _) => 2,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => 3,
        _ => 0,
    }
}

fn is_line_end(c: char) -> bool {
    c == '\r' || c == '\n'
}

/// The byte after at most `max` numbers from `at` on.
fn numbers(text: &str, mut at: usize, max: usize) -> usize {
    for _ in 0..max {
        match char_at(text, at) {
            Some((c, next)) if class(c) == NUMBER => at = next,
            _ => break,
        }
    }
    at
}

/// `\s+(?!\S)|\s+`: the run of white space, less its last character where text follows.
fn white_space(text: &str, at: usize) -> usize {
    let end = skip_classes(text, at, SPACE);
    let last = text[at..end].chars().next_back().map_or(0, char::len_utf8);
    if end < text.len() && end - at > last { end - last } else { end }
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`; `\s*[\r\n]` in the first place comes to the same, as `\s*` is greedy.
fn lines_or_white_space(text: &str, at: usize) -> usize {
    let end = skip_classes(text, at, SPACE);
    match text[at..end].rfind(is_line_end) {
        Some(last) => at + last + 1,
        None => white_space(text, at),
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub(super) fn gpt2(text: &str, at: usize) -> usize {
    let contracted = contraction(text, at, false);
    if contracted > 0 {
        return at + contracted;
    }
    let body = at + usize::from(text.as_bytes()[at] == b' ');
    if body == text.len() {
        return body;
    }
    match class_at(text, body) {
        SPACE => white_space(text, at),
        NUMBER => skip_classes(text, body, NUMBER),
        first if first & LETTER != 0 => skip_classes(text, body, LETTER),
        _ => skip_others(text, body, SPACE | LETTER | NUMBER),
    }
}

/// See [`Plain`].
pub(super) fn plain(text: &str, at: usize, rule: Plain) -> usize {
    if rule.contractions {
        let contracted = contraction(text, at, true);
        if contracted > 0 {
            return at + contracted;
        }
    }
    let Some((first, after)) = char_at(text, at) else { return at };
    let letters = if rule.marks { LETTER | MARK } else { LETTER };
    let kind = class(first);
    if kind == NUMBER {
        return numbers(text, at, rule.digits);
    }
    if kind & LETTER != 0 || !is_line_end(first) && class_at(text, after) & letters != 0 {
        return skip_classes(text, after, letters);
    }
    if kind & letters != 0 {
        return after;
    }
    let body = if first == ' ' { after } else { at };
    let marks = skip_others(text, body, SPACE | NUMBER | letters);
    if marks > body {
        return if rule.line_ends_follow { skip(text, marks, is_line_end) } else { marks };
    }
    lines_or_white_space(text, at)
}

/// See [`Cased`].
pub(super) fn cased(text: &str, at: usize, rule: Cased) -> usize {
    let Some((first, after)) = char_at(text, at) else { return at };
    let kind = class(first);
    if rule.han_apart && is_han(first) {
        return skip(text, at, is_han);
    }
    if kind == NUMBER {
        return numbers(text, at, rule.digits);
    }
    let prefixed = kind & LETTER == 0 && !is_line_end(first);
    let starts = [prefixed.then_some(after), Some(at)];
    let word = starts
        .into_iter()
        .flatten()
        .find_map(|start| ends_lower(text, start, rule))
        .or_else(|| starts.into_iter().flatten().find_map(|start| begins_upper(text, start, rule)));
    if let Some(end) = word {
        return if rule.contractions { end + contraction(text, end, true) } else { end };
    }
    let body = if first == ' ' { after } else { at };
    let marks = skip_others(text, body, SPACE | LETTER | NUMBER);
    if marks > body {
        return skip(text, marks, |c| is_line_end(c) || c == '/' && rule.slashes_follow);
    }
    lines_or_white_space(text, at)
}

/// The classes of U and L in [`Cased`], and those that are in both.
const U: u8 = UPPER | UNCASED | MARK;
const L: u8 = LOWER | UNCASED | MARK;
const BOTH: u8 = UNCASED | MARK;

/// `U*L+` at `at`: where no character of L follows the run of U, its last one that is also of L ends the word.
fn ends_lower(text: &str, at: usize, rule: Cased) -> Option<usize> {
    let of = |c: char, classes: u8| class(c) & classes != 0 && !(rule.han_apart && is_han(c));
    let upper = skip(text, at, |c| of(c, U));
    let lower = skip(text, upper, |c| of(c, L));
    if lower > upper {
        return Some(lower);
    }
    text[at..upper].char_indices().rev().find(|&(_, c)| of(c, BOTH)).map(|(place, c)| at + place + c.len_utf8())
}

/// `U+L*` at `at`.
fn begins_upper(text: &str, at: usize, rule: Cased) -> Option<usize> {
    let of = |c: char, classes: u8| class(c) & classes != 0 && !(rule.han_apart && is_han(c));
    let upper = skip(text, at, |c| of(c, U));
    (upper > at).then(|| skip(text, upper, |c| of(c, L)))
}

/// `[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|`
/// `\s*[\r\n]+|\s+(?!\S)|\s+` (DeepSeek V3). What no alternative takes, such as a control character, is cut off
/// together with all that follows up to the next match; `at` never stands there, see [`unmatched`].
pub(super) fn deepseek3(text: &str, at: usize) -> usize {
    let Some((first, after)) = char_at(text, at) else { return at };
    let is_letter = |c: char| c.is_ascii_alphabetic();
    if first.is_ascii_punctuation() && char_at(text, after).is_some_and(|(c, _)| is_letter(c)) {
        return skip(text, after, is_letter);
    }
    let kind = class(first);
    let letters = LETTER | MARK;
    let prefix = kind & (LETTER | PUNCTUATION | SYMBOL) == 0 && !is_line_end(first);
    if kind & LETTER != 0 || prefix && class_at(text, after) & letters != 0 {
        return skip_classes(text, after, letters);
    }
    if kind & MARK != 0 {
        return after;
    }
    let body = if first == ' ' { after } else { at };
    let marks = skip_classes(text, body, PUNCTUATION | SYMBOL);
    if marks > body {
        return skip(text, marks, is_line_end);
    }
    if kind == SPACE { lines_or_white_space(text, at) } else { unmatched(text, after) }
}

/// The byte before which the next match of [`deepseek3`] begins: characters of no class and numbers are in no
/// alternative but as the one before letters.
fn unmatched(text: &str, mut at: usize) -> usize {
    let letters = LETTER | MARK;
    while let Some((c, next)) = char_at(text, at) {
        let kind = class(c);
        if kind & !NUMBER != 0 || class_at(text, next) & letters != 0 {
            break;
        }
        at = next;
    }
    at
}

/// The blocks of `\p{Han}` that hold ideographs, with the marks and numerals of that script.
pub(super) fn is_han(c: char) -> bool {
    matches!(
        u32::from(c),
        0x2e80..=0x2e99
            | 0x2e9b..=0x2ef3
            | 0x2f00..=0x2fd5
            | 0x3005
            | 0x3007
            | 0x3021..=0x3029
            | 0x3038..=0x303b
            | 0x3400..=0x4dbf
            | 0x4e00..=0x9fff
            | 0xf900..=0xfa6d
            | 0xfa70..=0xfad9
            | 0x16fe2..=0x16fe3
            | 0x16ff0..=0x16ff1
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2ebe0
            | 0x2ebf0..=0x2ee5d
            | 0x2f800..=0x2fa1d
            | 0x30000..=0x323af
    )
}
