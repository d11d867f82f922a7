//! Marks at the beginnings and ends of lines: bullets, clause numbers, ends of sentences.

/// Longest clause number, in characters.
const NUMBER_CHARS_MAX: usize = 24;

/// A clause number at the beginning of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// Depth: `Article 1` and `1.` are 1, `1.1` and `(a)` are 2, `(i)` is 3.
    pub(crate) level: u8,
    /// Its length in bytes, without the blank after it.
    pub(crate) bytes: usize,
    /// Its kind.
    pub(crate) style: NumberStyle,
}

/// Kind of a clause number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberStyle {
    /// A word and a number: `Article 5`, `Section 2.1`, `Schedule A`, `Annex II`, `§ 7`.
    Named,
    /// Digits with dots: `1.`, `1.1`, `2.3.4`.
    Decimal,
    /// A letter or Roman numeral: `(a)`, `b)`, `(iv)`, `A.`.
    Lettered,
}

/// The bullet or list number at the beginning of a text: its length in bytes, the mark itself included.
pub(crate) fn list_mark(text: &str) -> Option<usize> {
    let trimmed = text.trim_start();
    let skipped = text.len() - trimmed.len();
    let first = trimmed.chars().next()?;
    let rest = &trimmed[first.len_utf8()..];
    let bullet = matches!(
        first,
        '\u{2022}'
            | '\u{2023}'
            | '\u{25aa}'
            | '\u{25ab}'
            | '\u{25cf}'
            | '\u{25cb}'
            | '\u{25e6}'
            | '\u{25a0}'
            | '\u{25a1}'
            | '\u{2043}'
            | '\u{2219}'
            | '\u{27a2}'
            | '\u{2713}'
            | '\u{2714}'
            | '\u{b7}'
    );
    let dash = matches!(first, '-' | '\u{2013}' | '\u{2014}' | '*' | '+' | 'o') && rest.starts_with([' ', '\t']);
    if bullet || (dash && rest.trim_start().chars().next().is_some_and(|c| !c.is_numeric() || first != '-')) {
        return Some(skipped + first.len_utf8());
    }
    match numbering(trimmed)? {
        number if number.style == NumberStyle::Lettered => Some(skipped + number.bytes),
        _ => None,
    }
}

/// The clause number at the beginning of a text, if one is there and something follows it.
pub(crate) fn numbering(text: &str) -> Option<Numbering> {
    let trimmed = text.trim_start();
    let skipped = text.len() - trimmed.len();
    let found = named(trimmed).or_else(|| decimal(trimmed)).or_else(|| lettered(trimmed))?;
    Some(Numbering { bytes: found.bytes + skipped, ..found })
}

/// Words that begin a numbered division, in the languages met most.
const DIVISIONS: [(&str, u8); 26] = [
    ("article", 1),
    ("section", 1),
    ("clause", 1),
    ("chapter", 1),
    ("part", 1),
    ("schedule", 1),
    ("annex", 1),
    ("appendix", 1),
    ("exhibit", 1),
    ("attachment", 1),
    ("addendum", 1),
    ("artikel", 1),
    ("abschnitt", 1),
    ("anlage", 1),
    ("anhang", 1),
    ("kapitel", 1),
    ("teil", 1),
    ("titre", 1),
    ("chapitre", 1),
    ("annexe", 1),
    ("artículo", 1),
    ("anexo", 1),
    ("articolo", 1),
    ("allegato", 1),
    ("item", 1),
    ("§", 1),
];

fn named(text: &str) -> Option<Numbering> {
    let head: String = text.chars().take(NUMBER_CHARS_MAX).collect();
    let lower = head.to_lowercase();
    let (word, level) = DIVISIONS.iter().find(|(word, _)| lower.starts_with(word))?;
    if lower.len() != head.len() {
        return None;
    }
    let after = text.get(word.len()..)?;
    let number = after.trim_start_matches([' ', '\u{a0}', '\t']);
    let blank = after.len() - number.len();
    if blank == 0 && *word != "§" {
        return None;
    }
    // The word is followed by a number, a Roman numeral or a single letter; written small it must begin the line as a title.
    let token: &str = number.split([' ', '\n', '\t', ':', ',', ';', '\u{2013}', '\u{2014}', ')']).next()?;
    let core = token.trim_end_matches(['.', '-']);
    let numeric = core.chars().next().is_some_and(|c| c.is_ascii_digit())
        && core.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let letter = core.len() == 1 && core.chars().all(|c| c.is_ascii_uppercase());
    let capital = head.chars().next().is_some_and(|c| c.is_uppercase() || c == '§');
    if core.is_empty() || !(numeric || letter || is_roman(core)) || !capital {
        return None;
    }
    let depth = core.matches('.').count() as u8;
    Some(Numbering {
        level: level.saturating_add(depth),
        bytes: word.len() + blank + token.len(),
        style: NumberStyle::Named,
    })
}

fn decimal(text: &str) -> Option<Numbering> {
    let token = text.split([' ', '\t', '\n', '\u{a0}']).next()?;
    let core = token.trim_end_matches(['.', ')', ':']);
    let parts: Vec<&str> = core.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let marked = token.len() > core.len();
    if token.len() > NUMBER_CHARS_MAX || parts.len() > 6 || !parts.iter().all(digits) || text.len() == token.len() {
        return None;
    }
    // A bare number is a clause number only with a dot or a bracket, or in several parts: "3 apples" is not.
    if parts.len() == 1 && !marked {
        return None;
    }
    let next = text[token.len()..].trim_start().chars().next()?;
    if parts.len() == 2 && !marked && !next.is_uppercase() && next != '"' && next != '\u{201c}' {
        return None;
    }
    Some(Numbering { level: parts.len() as u8, bytes: token.len(), style: NumberStyle::Decimal })
}

fn lettered(text: &str) -> Option<Numbering> {
    let token = text.split([' ', '\t', '\n', '\u{a0}']).next()?;
    if token.len() > 8 || text.len() == token.len() {
        return None;
    }
    let bracketed = token.starts_with('(') && token.ends_with(')');
    let closed = token.ends_with(')') && !token.starts_with('(');
    let core = token.trim_start_matches('(').trim_end_matches([')', '.']);
    let single = core.len() == 1 && core.bytes().all(|b| b.is_ascii_alphabetic());
    let double = core.len() == 2 && core.bytes().all(|b| b == core.as_bytes()[0] && b.is_ascii_lowercase());
    let number = core.len() <= 2 && !core.is_empty() && core.bytes().all(|b| b.is_ascii_digit());
    let roman = is_roman(core) && !single;
    let level = if roman || core == "i" { 3 } else { 2 };
    let dotted = token.ends_with('.') && single && core.bytes().all(|b| b.is_ascii_uppercase()) && {
        // "A. Smith" is a name more often than a clause; a clause letter is followed by a longer text.
        text.len() > 40 && !text[token.len()..].trim_start().starts_with(|c: char| c.is_lowercase())
    };
    if ((bracketed || closed) && (single || double || number || roman)) || dotted {
        return Some(Numbering { level, bytes: token.len(), style: NumberStyle::Lettered });
    }
    None
}

fn is_roman(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 6
        && (text.chars().all(|c| "ivxlc".contains(c)) || text.chars().all(|c| "IVXLC".contains(c)))
}

/// Whether a text ends as sentences do.
pub(crate) fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end().trim_end_matches(['"', '\'', '\u{201d}', '\u{2019}', ')', ']', '\u{bb}']);
    end.ends_with(['.', '!', '?', ':', ';', '\u{3002}', '\u{ff01}', '\u{ff1f}', '\u{2026}'])
}
