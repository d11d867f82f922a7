//! Ends of sentences, told without a model: punctuation, what follows it, and abbreviations that mislead.

use super::COUNTED_BYTES_MAX;

/// Words whose full stop does not end a sentence, in lower case without the stop.
const ABBREVIATIONS: [&str; 74] = [
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "no", "nos", "inc", "ltd", "co", "corp", "llc", "plc", "bros",
    "e.g", "i.e", "etc", "vs", "v", "cf", "al", "art", "arts", "sec", "secs", "sect", "para", "paras", "cl", "fig",
    "figs", "eq", "vol", "pp", "p", "ed", "eds", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct",
    "nov", "dec", "approx", "dept", "est", "ext", "tel", "u.s", "u.k", "u.s.c", "a.m", "p.m", "ca", "bzw", "z.b",
    "d.h", "nr", "abs", "str", "hon", "gen", "col", "rev", "messrs",
];

/// Characters before a stop that tell whether it ends a sentence: a division's name and its number, an abbreviation.
const LOOK_BACK_CHARS: usize = 24;

/// Cuts a text into sentences: byte ranges without surrounding white space, in order, covering all that is not blank.
pub(super) fn sentences(text: &str) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut opening = text.len() - text.trim_start().len();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = at + c.len_utf8();
        let ends = match c {
            '\u{3002}' | '\u{ff01}' | '\u{ff1f}' => Some(after),
            '.' | '!' | '?' => sentence_end(text, opening, at, after),
            _ => None,
        };
        if let Some(end) = ends {
            push(text, start, end, &mut out);
            start = end;
            opening = text.len() - text[end..].trim_start().len();
            while chars.peek().is_some_and(|(next, _)| *next < end) {
                chars.next();
            }
        }
    }
    push(text, start, text.len(), &mut out);
    out
}

/// The end of the sentence that begins at `opening`, closing quotes and brackets included, if the mark at `at` ends one.
fn sentence_end(text: &str, opening: usize, at: usize, after: usize) -> Option<usize> {
    let rest = &text[after..];
    let closers = rest.chars().take_while(|c| matches!(c, '"' | '\'' | '\u{201d}' | '\u{2019}' | ')' | ']' | '\u{bb}'));
    let end = after + closers.map(char::len_utf8).sum::<usize>();
    let follow = &text[end..];
    let next = follow.trim_start();
    if next.is_empty() || next.len() == follow.len() {
        return None;
    }
    let first = next.chars().next()?;
    if first.is_lowercase() || matches!(first, ',' | ';' | ')') {
        return None;
    }
    if text.as_bytes()[at] == b'.' && is_abbreviation(text, opening, at) {
        return None;
    }
    Some(end)
}

/// Whether the stop at `at` belongs to the word before it. Only the last characters are looked at: a sentence may be as long
/// as the file.
fn is_abbreviation(text: &str, opening: usize, at: usize) -> bool {
    let sentence = text.get(opening..at).unwrap_or("");
    let window = sentence.char_indices().rev().take(LOOK_BACK_CHARS).last().map_or(0, |(byte, _)| byte);
    let before = &sentence[window..];
    let parts = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '\u{201c}');
    let token = before.rsplit(parts).next().unwrap_or("");
    let lower = token.to_lowercase();
    let initial = token.chars().count() == 1 && token.chars().all(char::is_uppercase);
    // A clause number ("1.", "2.3.") at the beginning of its sentence is not a sentence.
    let number = token.len() <= 9 && !token.is_empty() && token.chars().all(|c| c.is_ascii_digit() || c == '.');
    let opens = sentence.len() == token.len();
    // "Section 2. Payment" is one heading, also where words of another stand before it.
    let word_before = before[..before.len() - token.len()].trim_end().rsplit(parts).next().unwrap_or("").to_lowercase();
    let named =
        matches!(word_before.as_str(), "section" | "article" | "clause" | "chapter" | "schedule" | "annex" | "part");
    (number && (opens || named)) || initial || ABBREVIATIONS.contains(&lower.as_str())
}

fn push(text: &str, start: usize, end: usize, out: &mut Vec<(usize, usize)>) {
    let piece = &text[start..end];
    let body = piece.trim();
    if !body.is_empty() {
        let lead = piece.len() - piece.trim_start().len();
        out.push((start + lead, start + lead + body.len()));
    }
}

/// Cuts a piece that is too long at ever weaker places: line ends, semicolons, commas, blanks, characters.
///
/// Returns byte ranges in order; none counts more than `tokens_max` unless it is a single character.
pub(super) fn halve(text: &str, tokens_max: usize, count: &dyn Fn(&str) -> usize) -> Vec<(usize, usize)> {
    let mut done = Vec::new();
    let mut open = vec![(0, text.len())];
    while let Some((start, end)) = open.pop() {
        let piece = &text[start..end];
        if piece.trim().is_empty() {
            continue;
        }
        match (piece.len() > COUNTED_BYTES_MAX || count(piece) > tokens_max).then(|| middle_cut(piece)).flatten() {
            Some(cut) => {
                open.push((start + cut, end));
                open.push((start, start + cut));
            }
            None => push(text, start, end, &mut done),
        }
    }
    done
}

/// The place nearest the middle of the strongest kind that is there.
fn middle_cut(text: &str) -> Option<usize> {
    let middle = text.len() / 2;
    let kinds: [fn(char) -> bool; 4] = [
        |c| c == '\n',
        |c| matches!(c, ';' | '\u{ff1b}'),
        |c| matches!(c, ',' | ':' | '\u{3001}' | '\u{ff0c}'),
        char::is_whitespace,
    ];
    for kind in kinds {
        let cuts = text.char_indices().filter(|(_, c)| kind(*c)).map(|(at, c)| at + c.len_utf8());
        let best =
            cuts.filter(|cut| cut * 5 > text.len() && cut * 5 < text.len() * 4).min_by_key(|cut| cut.abs_diff(middle));
        // A separator within a number or word ("1,000") is no place to cut.
        if let Some(cut) = best
            && (kind('\n')
                || text[..cut].ends_with(char::is_whitespace)
                || text[cut..].starts_with(char::is_whitespace)
                || text[..cut].chars().next_back().is_some_and(|c| !c.is_ascii()))
        {
            return Some(cut);
        }
    }
    let any = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8());
    if let Some(cut) = any.filter(|cut| *cut > 0 && *cut < text.len()).min_by_key(|cut| cut.abs_diff(middle)) {
        return Some(cut);
    }
    text.char_indices().map(|(at, _)| at).filter(|at| *at > 0).min_by_key(|at| at.abs_diff(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|(a, b)| &text[a..b]).collect()
    }

    #[test]
    fn sentences_end_where_readers_end_them() {
        let rows: [(&str, &[&str]); 8] = [
            ("One thing. Another thing.", &["One thing.", "Another thing."]),
            ("Acme Inc. shall pay Mr. Smith. He agrees.", &["Acme Inc. shall pay Mr. Smith.", "He agrees."]),
            ("1. Term. The term is 3.5 years.", &["1. Term.", "The term is 3.5 years."]),
            (
                "Article I Section 2. Payment is due (\"now.\") Then more.",
                &["Article I Section 2. Payment is due (\"now.\")", "Then more."],
            ),
            ("  12. Fees.  They are due. ", &["12. Fees.", "They are due."]),
            ("At 5 p.m. the office closes.", &["At 5 p.m. the office closes."]),
            ("期間は一年。更新しない。", &["期間は一年。", "更新しない。"]),
            ("  \n ", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    #[test]
    fn halving_keeps_every_character_and_the_limit() {
        let text = "alpha beta, gamma delta; epsilon zeta eta theta iota kappa";
        let count = |t: &str| t.split_whitespace().count();
        let pieces = halve(text, 3, &count);
        let joined: String = pieces.iter().map(|(a, b)| &text[*a..*b]).collect();
        assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
        assert!(pieces.iter().all(|(a, b)| count(&text[*a..*b]) <= 3));
    }
}
