//! Numbers as people write them: digits with separators, words, scales, percent, currencies and units.

use super::words::{Word, normal};

/// A number and what it counts, as far as the words around it say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    /// The value; two readings where the separators leave both open (`1.234`).
    pub(crate) values: Vec<f64>,
    /// ISO code of the currency.
    pub(crate) currency: Option<&'static str>,
    /// Whether it is a share of a hundred.
    pub(crate) percent: bool,
    /// Unit of time that follows.
    pub(crate) unit: Option<&'static str>,
    /// Whether it numbers one of a row (`5th`, `fifth`) and counts nothing.
    pub(crate) ordinal: bool,
}

/// What a quantity measures, where the words around it say.
#[derive(PartialEq)]
enum Kind {
    Money,
    Share,
    Time,
}

impl Quantity {
    fn kind(&self) -> Option<Kind> {
        match self {
            Self { currency: Some(_), .. } => Some(Kind::Money),
            Self { percent: true, .. } => Some(Kind::Share),
            Self { unit: Some(_), .. } => Some(Kind::Time),
            _ => None,
        }
    }

    /// Whether a sentence that says `wanted` is borne out by this quantity of a quote.
    pub(crate) fn supports(&self, wanted: &Self) -> bool {
        let value = self.values.iter().any(|a| wanted.values.iter().any(|b| equal(*a, *b)));
        let currency = wanted.currency.is_none() || self.currency.is_none() || self.currency == wanted.currency;
        let unit = wanted.unit.is_none() || self.unit.is_none() || self.unit == wanted.unit;
        let kinds = [wanted.kind(), self.kind()];
        let kind = kinds[0].is_none() || kinds[1].is_none() || kinds[0] == kinds[1];
        value && currency && unit && kind && (!wanted.percent || self.percent) && (!self.ordinal || wanted.ordinal)
    }
}

pub(crate) fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// The quantity that begins at a word, and how many words it takes.
pub(crate) fn quantity_at(words: &[Word<'_>], at: usize) -> Option<(Quantity, usize)> {
    let mut next = at;
    let mut currency = currency_of(words[next].text);
    if currency.is_some() {
        next += 1;
        if let Some(second) = words.get(next).and_then(|word| currency_of(word.text)) {
            currency = Some(second);
            next += 1;
        }
    }
    let (mut values, mut length) = number_at(words, next)?;
    next += length;
    let ordinal = is_ordinal(words[next - 1].text);
    if let Some((again, more)) = words.get(next).and_then(|_| number_at(words, next))
        && again.iter().any(|a| values.iter().any(|b| equal(*a, *b)))
    {
        (values, length) = (again, more);
        next += length;
    }
    if let Some(scale) = words.get(next).and_then(|word| scale_of(&normal(word.text))) {
        for value in &mut values {
            *value *= scale;
        }
        next += 1;
    }
    let percent = take_percent(words, &mut next);
    if let Some(code) = words.get(next).and_then(|word| currency_of(word.text)).filter(|_| currency.is_none()) {
        currency = Some(code);
        next += 1;
    }
    Some((Quantity { values, currency, percent, unit: unit_after(words, next), ordinal }, next - at))
}

fn is_ordinal(word: &str) -> bool {
    let name = normal(word);
    let digits = name.trim_start_matches(|c: char| c.is_ascii_digit());
    let ending = digits.len() < name.len() && matches!(digits, "st" | "nd" | "rd" | "th");
    ending || (name.ends_with("th") || name == "third") && small(&name).is_some()
}

fn number_at(words: &[Word<'_>], at: usize) -> Option<(Vec<f64>, usize)> {
    let word = words.get(at)?;
    if let Some(values) = digits(word.text) {
        return Some((values, 1));
    }
    word_number(words, at).map(|(value, length)| (vec![value], length))
}

/// The readings of a token of digits and separators; ordinal endings are taken off.
fn digits(token: &str) -> Option<Vec<f64>> {
    let lower = token.to_lowercase();
    let number = ["st", "nd", "rd", "th"].iter().find_map(|ending| lower.strip_suffix(ending)).unwrap_or(&lower);
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',') {
        return None;
    }
    let mut values = Vec::new();
    for (group, point) in [(',', '.'), ('.', ',')] {
        if let Some(value) = with_separators(number, group, point).filter(|value| !values.contains(value)) {
            values.push(value);
        }
    }
    (!values.is_empty()).then_some(values)
}

fn with_separators(number: &str, group: char, point: char) -> Option<f64> {
    let (whole, fraction) = match number.split_once(point) {
        Some((_, fraction)) if fraction.contains([group, point]) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    let mut groups = whole.split(group);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    if !rest.is_empty() && (first.len() > 3 || rest.iter().any(|part| part.len() != 3)) {
        return None;
    }
    format!("{first}{}.{fraction}0", rest.concat()).parse().ok()
}

const SMALL: &[(&str, f64)] = &[
    ("zero", 0.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("thirteen", 13.0),
    ("fourteen", 14.0),
    ("fifteen", 15.0),
    ("sixteen", 16.0),
    ("seventeen", 17.0),
    ("eighteen", 18.0),
    ("nineteen", 19.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty", 40.0),
    ("fifty", 50.0),
    ("sixty", 60.0),
    ("seventy", 70.0),
    ("eighty", 80.0),
    ("ninety", 90.0),
    ("third", 3.0),
    ("fourth", 4.0),
    ("fifth", 5.0),
    ("sixth", 6.0),
    ("seventh", 7.0),
    ("eighth", 8.0),
    ("ninth", 9.0),
    ("tenth", 10.0),
];

fn small(word: &str) -> Option<f64> {
    if word == "one" {
        return Some(1.0);
    }
    SMALL.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn scale_of(word: &str) -> Option<f64> {
    match word {
        "thousand" | "thousands" => Some(1e3),
        "million" | "millions" | "mm" | "mio" => Some(1e6),
        "billion" | "billions" | "bn" => Some(1e9),
        _ => None,
    }
}

/// A number in words. A lone `one` is a pronoun as often as a number and is none here; nor is a third party the third.
fn word_number(words: &[Word<'_>], at: usize) -> Option<(f64, usize)> {
    let (mut total, mut current) = (0.0, None::<f64>);
    let mut length = 0;
    while let Some(word) = words.get(at + length) {
        let name = normal(word.text);
        if let Some(value) = small(&name) {
            match current {
                Some(before) if before % 10.0 != 0.0 || value >= 10.0 && before % 100.0 != 0.0 => break,
                before => current = Some(before.unwrap_or(0.0) + value),
            }
        } else if name == "hundred" {
            current = Some(current.unwrap_or(1.0) * 100.0);
        } else if let Some(scale) = scale_of(&name).filter(|_| current.is_some()) {
            total += current.take().unwrap_or(1.0) * scale;
        } else if name == "and"
            && length > 0
            && words.get(at + length + 1).is_some_and(|w| small(&normal(w.text)).is_some())
        {
            if current.is_none_or(|value| value % 100.0 != 0.0) && total == 0.0 {
                break;
            }
        } else {
            break;
        }
        length += 1;
    }
    let lone_one = length == 1 && current == Some(1.0);
    let third_party = normal(words[at].text) == "third"
        && words.get(at + 1).is_some_and(|word| normal(word.text).starts_with("part"));
    (length > 0 && !lone_one && !third_party).then(|| (total + current.unwrap_or(0.0), length))
}

fn take_percent(words: &[Word<'_>], next: &mut usize) -> bool {
    let Some(word) = words.get(*next).map(|word| normal(word.text)) else { return false };
    if word == "%" || word == "percent" || word == "prozent" {
        *next += 1;
        // "five percent (5%)" says the same twice
        if words.get(*next).is_some_and(|word| digits(word.text).is_some())
            && words.get(*next + 1).is_some_and(|word| word.text == "%")
        {
            *next += 2;
        }
        return true;
    }
    if word == "per" && words.get(*next + 1).is_some_and(|word| normal(word.text) == "cent") {
        *next += 2;
        return true;
    }
    false
}

fn currency_of(word: &str) -> Option<&'static str> {
    match word {
        "$" | "US" | "USD" | "U.S" => Some("USD"),
        "€" | "EUR" => Some("EUR"),
        "£" | "GBP" => Some("GBP"),
        "¥" | "JPY" | "yen" => Some("JPY"),
        "CHF" => Some("CHF"),
        _ => match word.to_lowercase().as_str() {
            "dollar" | "dollars" => Some("USD"),
            "euro" | "euros" => Some("EUR"),
            "pounds" => Some("GBP"),
            "francs" => Some("CHF"),
            _ => None,
        },
    }
}

const UNITS: &[(&str, &str)] = &[
    ("second", "second"),
    ("minute", "minute"),
    ("hour", "hour"),
    ("day", "day"),
    ("week", "week"),
    ("month", "month"),
    ("quarter", "quarter"),
    ("year", "year"),
    ("tag", "day"),
    ("tage", "day"),
    ("tagen", "day"),
    ("monat", "month"),
    ("monate", "month"),
    ("monaten", "month"),
    ("jahr", "year"),
    ("jahre", "year"),
    ("jahren", "year"),
];

/// The unit of time behind a number; one adjective may stand between.
fn unit_after(words: &[Word<'_>], next: usize) -> Option<&'static str> {
    const BETWEEN: &[&str] =
        &["business", "calendar", "consecutive", "working", "full", "additional", "more", "successive"];
    let mut word = normal(words.get(next)?.text);
    if BETWEEN.contains(&word.as_str()) {
        word = normal(words.get(next + 1)?.text);
    }
    let word = word.trim_end_matches(['\'', '\u{2019}']);
    let single = word.strip_suffix('s').unwrap_or(word);
    UNITS.iter().find(|(name, _)| *name == word || *name == single).map(|(_, unit)| *unit)
}
