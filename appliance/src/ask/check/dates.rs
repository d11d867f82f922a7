//! Dates as people write them.

use super::numbers::{Quantity, equal};
use super::words::{Word, normal};

/// A date or the part of it that is said. Where day and month could be swapped, both readings are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Date {
    year: Option<u32>,
    /// Readings as (month, day).
    readings: Vec<(Option<u32>, Option<u32>)>,
}

impl Date {
    /// Whether a sentence that says `wanted` is borne out by this date of a quote: what it says is said here.
    pub(crate) fn supports(&self, wanted: &Self) -> bool {
        let within = |wanted: Option<u32>, found: Option<u32>| wanted.is_none() || wanted == found;
        within(wanted.year, self.year)
            && wanted.readings.iter().any(|w| self.readings.iter().any(|f| within(w.0, f.0) && within(w.1, f.1)))
    }

    /// Whether a bare number is the year of this date, or an ordinal its day.
    pub(crate) fn has_number(&self, number: &Quantity) -> bool {
        let plain = number.currency.is_none() && !number.percent && number.unit.is_none();
        let days = self.readings.iter().filter_map(|(_, day)| day.filter(|_| number.ordinal));
        let mut mine = days.chain(self.year);
        plain && mine.any(|part| number.values.iter().any(|value| equal(*value, f64::from(part))))
    }

    /// Whether this is a year alone and `number` is that year.
    pub(crate) fn is_year(&self, number: &Quantity) -> bool {
        let alone = self.readings.iter().all(|reading| *reading == (None, None));
        alone && self.year.is_some_and(|year| number.values.iter().any(|value| equal(*value, f64::from(year))))
    }
}

/// The date that begins at a word, and how many words it takes.
pub(crate) fn date_at(words: &[Word<'_>], at: usize) -> Option<(Date, usize)> {
    numeric(words[at].text)
        .map(|date| (date, 1))
        .or_else(|| dotted_german(words, at))
        .or_else(|| day_first(words, at))
        .or_else(|| month_first(words, at))
}

/// `2020-01-05`, `1/5/2020`, `05.01.2020`, `1/5/20`.
fn numeric(token: &str) -> Option<Date> {
    let separator = token.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
    let parts: Vec<&str> = token.split(separator).collect();
    let [a, b, c] = parts[..] else { return None };
    let numbers: Option<Vec<u32>> = [a, b, c].iter().map(|part| part.parse().ok()).collect();
    let [x, y, z] = numbers?[..] else { return None };
    if a.len() == 4 {
        return date(Some(x), &[(y, z)]);
    }
    let year = match c.len() {
        4 => z,
        2 if separator != '.' => 2000 + z,
        _ => return None,
    };
    let readings: &[(u32, u32)] = if separator == '.' { &[(y, x)] } else { &[(x, y), (y, x)] };
    date(Some(year), readings)
}

/// `5. März 2020`: the stop behind the day is no part of the word, so this is `day_first`; kept for `5.3.` forms.
fn dotted_german(words: &[Word<'_>], at: usize) -> Option<(Date, usize)> {
    let (day, month) = words[at].text.split_once('.')?;
    let year = words.get(at + 1).and_then(|word| year(word.text));
    let made = date(Some(year?), &[(month.parse().ok()?, day.parse().ok()?)])?;
    Some((made, 2))
}

/// `5 January 2020`, `5th day of January, 2020`.
fn day_first(words: &[Word<'_>], at: usize) -> Option<(Date, usize)> {
    let day = day(words[at].text)?;
    let mut next = at + 1;
    for filler in ["day", "of", "de"] {
        if words.get(next).is_some_and(|word| normal(word.text) == filler) {
            next += 1;
        }
    }
    let name = words.get(next)?.text;
    let (year, length) = year_behind(words, next);
    let month = month(name).or_else(|| small_month(name, year.is_some()))?;
    date(year, &[(month, day)]).map(|date| (date, next - at + length))
}

/// The year that follows a month's name, and how many words the two take (`marzo de 2020` has three).
fn year_behind(words: &[Word<'_>], at: usize) -> (Option<u32>, usize) {
    let filler = usize::from(words.get(at + 1).is_some_and(|word| matches!(word.text, "de" | "del")));
    match words.get(at + 1 + filler).and_then(|word| year(word.text)) {
        Some(year) => (Some(year), 2 + filler),
        None => (None, 1),
    }
}

/// `January 5, 2020`, `January 5`, `January 2020`.
fn month_first(words: &[Word<'_>], at: usize) -> Option<(Date, usize)> {
    let (behind, length) = year_behind(words, at);
    let name = words[at].text;
    let month = month(name).or_else(|| small_month(name, true).filter(|_| behind.is_some()))?;
    if behind.is_some() {
        return Some((Date { year: behind, readings: vec![(Some(month), None)] }, length));
    }
    let after = words.get(at + 1);
    let Some(day) = after.and_then(|word| day(word.text)) else {
        let known = MONTHS.iter().any(|names| names.contains(&normal(name).as_str()));
        let alone = known && name.chars().count() > 3 && normal(name) != "march";
        return alone.then(|| (Date { year: None, readings: vec![(Some(month), None)] }, 1));
    };
    let year = words.get(at + 2).and_then(|word| year(word.text));
    date(year, &[(month, day)]).map(|date| (date, 2 + usize::from(year.is_some())))
}

fn date(year: Option<u32>, readings: &[(u32, u32)]) -> Option<Date> {
    let readings: Vec<_> = readings
        .iter()
        .filter(|(month, day)| (1..=12).contains(month) && (1..=31).contains(day))
        .map(|(month, day)| (Some(*month), Some(*day)))
        .collect();
    (!readings.is_empty()).then_some(Date { year, readings })
}

fn year(token: &str) -> Option<u32> {
    token.parse().ok().filter(|year| token.len() == 4 && (1000..=2999).contains(year))
}

fn day(token: &str) -> Option<u32> {
    let lower = token.to_lowercase();
    let number =
        ["st", "nd", "rd", "th", "er", "º", "°"].iter().find_map(|ending| lower.strip_suffix(ending)).unwrap_or(&lower);
    number.parse().ok().filter(|day| number.len() <= 2 && (1..=31).contains(day))
}

const MONTHS: &[&[&str]] = &[
    &["january", "jan", "januar"],
    &["february", "feb", "februar"],
    &["march", "mar", "märz"],
    &["april", "apr"],
    &["may", "mai"],
    &["june", "jun", "juni"],
    &["july", "jul", "juli"],
    &["august", "aug"],
    &["september", "sep", "sept"],
    &["october", "oct", "oktober"],
    &["november", "nov"],
    &["december", "dec", "dezember"],
];

/// The names in French, Spanish, Italian, Dutch and Polish, and their usual abbreviations.
const FURTHER: &[&[&str]] = &[
    &["janvier", "janv", "enero", "ene", "gennaio", "gen", "januari", "styczeń", "stycznia", "sty", "jänner"],
    &["février", "févr", "fév", "febrero", "febbraio", "februari", "luty", "lutego", "lut"],
    &["mars", "marzo", "maart", "mrt", "marzec", "marca", "mär", "mrz"],
    &["avril", "avr", "abril", "abr", "aprile", "kwiecień", "kwietnia", "kwi"],
    &["mayo", "maggio", "mag", "mei", "maj", "maja"],
    &["juin", "junio", "giugno", "giu", "czerwiec", "czerwca", "cze"],
    &["juillet", "juil", "julio", "luglio", "lug", "lipiec", "lipca", "lip"],
    &["août", "aoû", "agosto", "ago", "augustus", "sierpień", "sierpnia", "sie"],
    &["septembre", "septiembre", "settembre", "set", "wrzesień", "września", "wrz"],
    &["octobre", "octubre", "ottobre", "ott", "okt", "październik", "października", "paź"],
    &["novembre", "noviembre", "listopad", "listopada", "lis"],
    &["décembre", "déc", "diciembre", "dic", "dicembre", "dez", "dec", "grudzień", "grudnia", "gru"],
];

/// The month a capitalised word names.
fn month(word: &str) -> Option<u32> {
    if !word.chars().next()?.is_uppercase() {
        return None;
    }
    named(word)
}

fn named(word: &str) -> Option<u32> {
    let name = normal(word);
    let of = |months: &[&[&str]]| months.iter().position(|names| names.contains(&name.as_str()));
    of(MONTHS).or_else(|| of(FURTHER)).map(|index| index as u32 + 1)
}

/// The month that a word without a capital names, as most languages write it. Short ones need a year beside them, and words
/// that are also something else in English (`may`, `march`) are none.
fn small_month(word: &str, with_year: bool) -> Option<u32> {
    let clear = !matches!(word, "may" | "march" | "set" | "mar" | "jun" | "gen" | "cze" | "lip");
    named(word).filter(|_| (clear && word.chars().count() > 3) || (with_year && !matches!(word, "may" | "march")))
}

/// Whether a word names a month, whatever stands beside it.
pub(crate) fn is_month(word: &str) -> bool {
    month(word).or_else(|| small_month(word, true)).is_some()
}
