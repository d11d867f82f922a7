//! The expressions whose matches become words of their own, with what lies between them as further words.
//!
//! Each function takes a text and the byte from which on a match is looked for, and gives the next match.

use std::ops::Range;

use super::class::{LETTER, NUMBER, PUNCTUATION, SPACE, char_at, class, skip};

/// The next run of up to `max` characters for which `holds`.
fn run(text: &str, from: usize, max: usize, holds: impl Fn(char) -> bool) -> Option<Range<usize>> {
    let start = skip(text, from, |c| !holds(c));
    let mut end = start;
    for _ in 0..max {
        match char_at(text, end) {
            Some((c, next)) if holds(c) => end = next,
            _ => break,
        }
    }
    (end > start).then_some(start..end)
}

/// The next run, with the white space character before it: `\s?[…]+`.
fn run_after_space(text: &str, from: usize, holds: impl Fn(char) -> bool) -> Option<Range<usize>> {
    let Range { start, end } = run(text, from, usize::MAX, holds)?;
    let space = text[from..start].chars().next_back().filter(|&c| class(c) == SPACE).map_or(0, char::len_utf8);
    Some(start - space..end)
}

/// `\p{N}{1,max}`
pub(super) fn numbers(text: &str, from: usize, max: usize) -> Option<Range<usize>> {
    run(text, from, max, |c| class(c) == NUMBER)
}

/// `[\p{P}\$\+<=>\^~\|]+`, and the back-tick where `with_back_tick`.
pub(super) fn marks(text: &str, from: usize, with_back_tick: bool) -> Option<Range<usize>> {
    run(text, from, usize::MAX, |c| match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|' => true,
        '`' => with_back_tick,
        _ => class(c) == PUNCTUATION,
    })
}

/// `[0-9][0-9][0-9]`
pub(super) fn triples(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    (from..bytes.len().saturating_sub(2))
        .find(|&at| bytes[at..at + 3].iter().all(u8::is_ascii_digit))
        .map(|at| at..at + 3)
}

/// `[\r\n]`
pub(super) fn line_end(text: &str, from: usize) -> Option<Range<usize>> {
    text[from..].find(['\r', '\n']).map(|at| from + at..from + at + 1)
}

/// `[\n]+`
pub(super) fn line_feeds(text: &str, from: usize) -> Option<Range<usize>> {
    run(text, from, usize::MAX, |c| c == '\n')
}

/// `\s+$`
pub(super) fn space_at_end(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].trim_end_matches(|c| class(c) == SPACE).len();
    (start < text.len()).then_some(start..text.len())
}

/// `\s?\p{L}+`
pub(super) fn letters(text: &str, from: usize) -> Option<Range<usize>> {
    run_after_space(text, from, |c| class(c) & LETTER != 0)
}

/// `\s?\p{P}+`
pub(super) fn punctuation(text: &str, from: usize) -> Option<Range<usize>> {
    run_after_space(text, from, |c| class(c) == PUNCTUATION)
}

/// `\s?` and a run of the letters with case that DeepSeek LLM lists.
pub(super) fn listed_letters(text: &str, from: usize) -> Option<Range<usize>> {
    run_after_space(text, from, |c| {
        let code = u32::from(c);
        let place = LISTED_LETTERS.partition_point(|&(_, last)| last < code);
        LISTED_LETTERS.get(place).is_some_and(|&(first, _)| first <= code)
    })
}

/// `\s?[!-/:-~！-／：-～‘-‟　-。]+`
pub(super) fn listed_marks(text: &str, from: usize) -> Option<Range<usize>> {
    run_after_space(
        text,
        from,
        |c| matches!(c, '!'..='/' | ':'..='~' | '！'..='／' | '：'..='～' | '‘'..='‟' | '\u{3000}'..='。'),
    )
}

/// `[一-龥ࠀ-一가-퟿]+`
pub(super) fn eastern(text: &str, from: usize) -> Option<Range<usize>> {
    run(text, from, usize::MAX, |c| matches!(c, '\u{800}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7ff}'))
}

/// `[一-龥぀-ゟ゠-ヿ]+`
pub(super) fn ideographs_and_kana(text: &str, from: usize) -> Option<Range<usize>> {
    run(text, from, usize::MAX, |c| matches!(c, '\u{4e00}'..='\u{9fa5}' | '\u{3040}'..='\u{30ff}'))
}

/// ` ?[^(\s|.,!?…。，、।۔،)]+` (BLOOM)
pub(super) fn between_stops(text: &str, from: usize) -> Option<Range<usize>> {
    let holds = |c: char| {
        let stop = matches!(
            c,
            '(' | '|' | '.' | ',' | '!' | '?' | '…' | '。' | '，' | '、' | '\u{964}' | '\u{6d4}' | '\u{60c}' | ')'
        );
        !stop && class(c) != SPACE
    };
    let Range { start, end } = run(text, from, usize::MAX, holds)?;
    let space = usize::from(start > from && text.as_bytes()[start - 1] == b' ');
    Some(start - space..end)
}

/// First and last character of each range of [`listed_letters`].
#[rustfmt::skip]
const LISTED_LETTERS: &[(u32, u32)] = &[
    (0x0041, 0x005a), (0x0061, 0x007a), (0x00b5, 0x00b5), (0x00c0, 0x00d6), (0x00d8, 0x00f6), (0x00f8, 0x01ba),
    (0x01bc, 0x01bf), (0x01c4, 0x0293), (0x0295, 0x02af), (0x0370, 0x0373), (0x0376, 0x0376), (0x0377, 0x0377),
    (0x037b, 0x037d), (0x037f, 0x037f), (0x0386, 0x0386), (0x0388, 0x038a), (0x038c, 0x038c), (0x038e, 0x03a1),
    (0x03a3, 0x03f5), (0x03f7, 0x0481), (0x048a, 0x052f), (0x0531, 0x0556), (0x10a0, 0x10c5), (0x13a0, 0x13f5),
    (0x13f8, 0x13fd), (0x1c90, 0x1cba), (0x1cbd, 0x1cbf), (0x1d00, 0x1d2b), (0x1d6b, 0x1d77), (0x1d79, 0x1d9a),
    (0x1e00, 0x1f15), (0x1f18, 0x1f1d), (0x1f20, 0x1f45), (0x1f48, 0x1f4d), (0x1f50, 0x1f57), (0x1f59, 0x1f59),
    (0x1f5b, 0x1f5b), (0x1f5d, 0x1f5d), (0x1f5f, 0x1f7d), (0x1f80, 0x1fb4), (0x1fb6, 0x1fbc), (0x1fbe, 0x1fbe),
    (0x1fc2, 0x1fc4), (0x1fc6, 0x1fcc), (0x1fd0, 0x1fd3), (0x1fd6, 0x1fdb), (0x1fe0, 0x1fec), (0x1ff2, 0x1ff4),
    (0x1ff6, 0x1ffc), (0x2102, 0x2102), (0x2107, 0x2107), (0x210a, 0x2113), (0x2115, 0x2115), (0x2119, 0x211d),
    (0x2124, 0x2124), (0x2126, 0x2126), (0x2128, 0x2128), (0x212a, 0x212d), (0x212f, 0x2134), (0x2139, 0x2139),
    (0x213c, 0x213f), (0x2145, 0x2149), (0x214e, 0x214e), (0x2183, 0x2183), (0x2184, 0x2184), (0x2c00, 0x2c7b),
    (0x2c7e, 0x2ce4), (0x2ceb, 0x2cee), (0x2cf2, 0x2cf2), (0x2cf3, 0x2cf3), (0xa640, 0xa66d), (0xa680, 0xa69b),
    (0xa722, 0xa76f), (0xa771, 0xa787), (0xa78b, 0xa78e), (0xab70, 0xabbf), (0xfb00, 0xfb06), (0xfb13, 0xfb17),
    (0xff21, 0xff3a), (0xff41, 0xff5a), (0x10400, 0x1044f), (0x104b0, 0x104d3), (0x104d8, 0x104fb), (0x10c80, 0x10cb2),
    (0x10cc0, 0x10cf2), (0x118a0, 0x118df), (0x1e900, 0x1e943),
];
