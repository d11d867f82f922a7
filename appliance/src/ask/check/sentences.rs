//! Cuts a text into sentences, and long sentences into clauses, keeping places.

use std::ops::Range;

use super::dates::is_month;

/// Sentences longer than this many characters are also cut at semicolons.
const CLAUSE_CHARS: usize = 240;

/// Ends of abbreviations after which a full stop ends no sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "art", "bros", "cf", "co", "corp", "dr", "e.g", "eg", "etc", "ex", "exh", "fig", "i.e", "ie",
    "inc", "jr", "llc", "ltd", "messrs", "mr", "mrs", "ms", "no", "nos", "p", "para", "paras", "pp", "prof", "sec",
    "sect", "sr", "st", "u.k", "u.s", "u.s.a", "viz", "vol", "vs",
];

/// Character ranges of the sentences and clauses of a text, without the white space around them, in order.
pub(crate) fn units(text: &str) -> Vec<Range<usize>> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    for sentence in sentences(&chars) {
        if sentence.len() > CLAUSE_CHARS {
            cut_at(&chars, &sentence, |chars, at| chars[at] == ';', &mut out);
        } else {
            out.push(sentence);
        }
    }
    out
}

/// Character ranges of the sentences of a text.
pub(crate) fn sentences(chars: &[char]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    cut_at(chars, &(0..chars.len()), ends_sentence, &mut out);
    merge_labels(chars, out)
}

fn cut_at(chars: &[char], whole: &Range<usize>, ends: impl Fn(&[char], usize) -> bool, out: &mut Vec<Range<usize>>) {
    let mut start = whole.start;
    for at in whole.clone() {
        if ends(chars, at) {
            push_trimmed(chars, start..after_closers(chars, at + 1, whole.end), out);
            start = after_closers(chars, at + 1, whole.end);
        }
    }
    push_trimmed(chars, start..whole.end, out);
}

/// Quotation marks and brackets right behind a stop belong to the sentence that it ends.
fn after_closers(chars: &[char], mut at: usize, end: usize) -> usize {
    while at < end && matches!(chars[at], '"' | '\u{201d}' | '\u{2019}' | ')' | ']' | '\'') {
        at += 1;
    }
    at
}

fn push_trimmed(chars: &[char], range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let (mut start, mut end) = (range.start, range.end);
    while start < end && chars[start].is_whitespace() {
        start += 1;
    }
    while end > start && chars[end - 1].is_whitespace() {
        end -= 1;
    }
    if start < end {
        out.push(start..end);
    }
}

fn ends_sentence(chars: &[char], at: usize) -> bool {
    match chars[at] {
        '\n' => line_ends(chars, at),
        '!' | '?' => followed_by_space(chars, at),
        '.' => {
            followed_by_space(chars, at)
                && !is_abbreviation(chars, at)
                && !is_day_of_month(chars, at)
                && next_starts_sentence(chars, at)
        }
        _ => false,
    }
}

fn followed_by_space(chars: &[char], at: usize) -> bool {
    let next = after_closers(chars, at + 1, chars.len());
    chars.get(next).is_none_or(|c| c.is_whitespace() || *c == '[')
}

fn next_starts_sentence(chars: &[char], at: usize) -> bool {
    let rest = chars[at + 1..].iter().find(|c| !c.is_whitespace());
    rest.is_none_or(|c| !c.is_lowercase())
}

/// A blank line ends a sentence; so does a line end before a list mark.
fn line_ends(chars: &[char], at: usize) -> bool {
    let mut next = at + 1;
    while next < chars.len() && chars[next] != '\n' && chars[next].is_whitespace() {
        next += 1;
    }
    match chars.get(next) {
        None | Some('\n' | '\u{c}' | '•' | '-' | '*' | '|') => true,
        Some('(') => chars[next..].iter().take(6).any(|c| *c == ')'),
        Some(c) if c.is_ascii_digit() => {
            let digits = chars[next..].iter().take_while(|c| c.is_ascii_digit()).count();
            matches!(chars.get(next + digits), Some('.' | ')'))
        }
        _ => false,
    }
}

fn is_abbreviation(chars: &[char], at: usize) -> bool {
    let start = (0..at).rev().find(|&i| !(chars[i].is_alphanumeric() || chars[i] == '.')).map_or(0, |i| i + 1);
    let word: String = chars[start..at].iter().flat_map(|c| c.to_lowercase()).collect();
    let single_capital = at - start == 1 && chars[start].is_uppercase();
    single_capital || ABBREVIATIONS.binary_search(&word.as_str()).is_ok()
}

/// `31. März 2033`: the stop behind a day that a month follows ends no sentence.
fn is_day_of_month(chars: &[char], at: usize) -> bool {
    let digits = chars[..at].iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let before = at.checked_sub(digits + 1).map(|index| chars[index]);
    let apart = before.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '"' | '\u{201e}'));
    if !(1..=2).contains(&digits) || !apart || chars.get(at + 1) != Some(&' ') {
        return false;
    }
    let next: String = chars[at + 2..].iter().take_while(|c| c.is_alphabetic()).collect();
    is_month(&next)
}

/// A unit that is only a label (`3.`, `3.1.`, `(a)`, `A.`) belongs to the unit after it.
fn merge_labels(chars: &[char], units: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::with_capacity(units.len());
    let mut label_start = None;
    let last = units.len().saturating_sub(1);
    for (index, unit) in units.into_iter().enumerate() {
        let letters = chars[unit.clone()].iter().filter(|c| c.is_alphabetic()).count();
        if letters <= 1 && unit.len() <= 8 && index != last {
            label_start.get_or_insert(unit.start);
        } else {
            out.push(label_start.take().unwrap_or(unit.start)..unit.end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let chars: Vec<char> = text.chars().collect();
        let found: Vec<String> = units(text).into_iter().map(|range| chars[range].iter().collect()).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn sentences_are_found() {
        check("One. Two! Three?", &["One.", "Two!", "Three?"]);
        check("Acme Inc. sells to J. Smith. It ends.", &["Acme Inc. sells to J. Smith.", "It ends."]);
        check("It is 3.5 m long. Yes.", &["It is 3.5 m long.", "Yes."]);
        check("He said \"stop.\" Then left.", &["He said \"stop.\"", "Then left."]);
        check("A heading\n\nA text over\ntwo lines.", &["A heading", "A text over\ntwo lines."]);
        check("List:\n(a) first;\n(b) second.", &["List:", "(a) first;", "(b) second."]);
        check("3. Term. Two years.", &["3. Term.", "Two years."]);
        check("No. 5 is on p. 7 of it.", &["No. 5 is on p. 7 of it."]);
        check("It says so. [1] Then more [2].", &["It says so.", "[1] Then more [2]."]);
        check("Er endet am 31. März 2033. Dann nicht mehr.", &["Er endet am 31. März 2033.", "Dann nicht mehr."]);
        check("Es sind 31. Mehr nicht.", &["Es sind 31.", "Mehr nicht."]);
        check("", &[]);
    }

    #[test]
    fn long_sentences_are_cut_at_semicolons() {
        let part =
            "the supplier shall deliver the goods in the agreed number and quality to the place named in the order "
                .repeat(2);
        let text = format!("First {part}; second {part}.");
        assert_eq!(units(&text).len(), 2);
        check("One; two.", &["One; two."]);
    }

    #[test]
    fn the_abbreviations_can_be_searched() {
        assert!(ABBREVIATIONS.is_sorted());
    }
}
