//! The facts of a sentence that must stand in its quotes: numbers, amounts, dates, codes and proper names.

use super::dates::{Date, date_at};
use super::numbers::{Quantity, quantity_at};
use super::words::{Word, is_stop, normal, same, words};

/// Something in a sentence that is either in the text or made up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    /// A number with what it counts.
    Quantity(Quantity),
    /// A date, or part of one.
    Date(Date),
    /// A token of letters and digits, such as `A4` or `3.1.2`, in normal form.
    Code(String),
    /// A word of a proper name in normal form.
    Name(String),
    /// The capitalised first word of a sentence, which may be a name; any form of it in the text will do.
    First(String),
}

/// The facts of a sentence.
pub(crate) fn facts(sentence: &str) -> Vec<Fact> {
    let words = words(sentence);
    let mut out = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (fact, length) = fact_at(sentence, &words, at);
        out.extend(fact);
        at += length;
    }
    out
}

fn fact_at(sentence: &str, words: &[Word<'_>], at: usize) -> (Option<Fact>, usize) {
    if let Some((date, length)) = date_at(words, at) {
        return (Some(Fact::Date(date)), length);
    }
    if let Some((quantity, length)) = quantity_at(words, at) {
        return (Some(Fact::Quantity(quantity)), length);
    }
    let text = words[at].text;
    if text.chars().any(|c| c.is_ascii_digit()) {
        return (Some(Fact::Code(normal(text))), 1);
    }
    (name_at(sentence, words, at), 1)
}

/// Capitalised words that name kinds of things or roles, not one thing: contracts write them with capitals.
const GENERIC: &[&str] = &[
    "affiliate",
    "affiliates",
    "agreement",
    "annex",
    "appendix",
    "article",
    "attachment",
    "board",
    "board",
    "clause",
    "client",
    "co",
    "company",
    "consultant",
    "contract",
    "corp",
    "corporation",
    "customer",
    "date",
    "document",
    "effective",
    "employee",
    "employer",
    "exhibit",
    "gmbh",
    "inc",
    "incorporated",
    "limited",
    "llc",
    "lp",
    "ltd",
    "paragraph",
    "part",
    "parties",
    "party",
    "plc",
    "product",
    "products",
    "schedule",
    "section",
    "service",
    "services",
    "state",
    "term",
    "the",
];

/// Whether a word in normal form names a kind of thing or a role.
pub(crate) fn is_generic(word: &str) -> bool {
    GENERIC.contains(&word)
}

fn name_at(sentence: &str, words: &[Word<'_>], at: usize) -> Option<Fact> {
    let word = &words[at];
    if !word.text.chars().next().is_some_and(char::is_uppercase) {
        return None;
    }
    let normal = normal(word.text);
    if is_stop(&normal) || is_generic(&normal) || (normal.chars().count() < 2) {
        return None;
    }
    Some(if begins_sentence(sentence, words, at) { Fact::First(normal) } else { Fact::Name(normal) })
}

/// A capital says nothing at the beginning and behind a colon or an opening quotation mark.
fn begins_sentence(sentence: &str, words: &[Word<'_>], at: usize) -> bool {
    if at == 0 {
        return true;
    }
    let between: String = sentence.chars().skip(words[at - 1].end).take(words[at].start - words[at - 1].end).collect();
    between.contains([':', '"', '\u{201c}', '(', '\n', '.', '?', '!'])
}

/// What a set of quotes holds, ready to be asked for facts.
pub(crate) struct Ground {
    words: Vec<String>,
    facts: Vec<Fact>,
}

impl Ground {
    /// Reads the quotes.
    pub(crate) fn new<'a>(quotes: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut all, mut found) = (Vec::new(), Vec::new());
        for quote in quotes {
            all.extend(words(quote).iter().map(|word| normal(word.text)));
            found.extend(facts(behind_label(quote)));
        }
        Self { words: all, facts: found }
    }

    /// Whether a fact stands in the quotes.
    pub(crate) fn holds(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Quantity(wanted) => self.facts.iter().any(|fact| match fact {
                Fact::Quantity(found) => found.supports(wanted),
                Fact::Date(date) => date.has_number(wanted),
                _ => false,
            }),
            Fact::Date(wanted) => self.facts.iter().any(|fact| match fact {
                Fact::Date(found) => found.supports(wanted),
                Fact::Quantity(found) => wanted.is_year(found),
                _ => false,
            }),
            Fact::Code(code) => self.words.contains(code),
            Fact::Name(name) => self.words.iter().any(|word| word == name || plural_of(word, name)),
            Fact::First(name) => self.words.iter().any(|word| same(word, name)),
        }
    }
}

/// A quote without the number of the clause or list item that it begins with: `7.`, `(2)`, `3)` count nothing.
fn behind_label(quote: &str) -> &str {
    let inner = quote.trim_start().trim_start_matches('(');
    let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
    let label = (1..=3).contains(&(inner.len() - rest.len()));
    match rest.strip_prefix(['.', ')']) {
        Some(behind) if label && behind.starts_with(char::is_whitespace) => behind,
        _ => quote,
    }
}

fn plural_of(a: &str, b: &str) -> bool {
    a.strip_suffix('s') == Some(b) || b.strip_suffix('s') == Some(a)
}

/// The facts of a sentence that stand in none of the quotes.
pub(crate) fn missing(sentence: &str, ground: &Ground) -> Vec<Fact> {
    facts(sentence).into_iter().filter(|fact| !ground.holds(fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row: a sentence, a quote, and whether all facts of the sentence stand in the quote.
    fn check(sentence: &str, quote: &str, expected: bool) {
        let lacking = missing(sentence, &Ground::new([quote]));
        assert_eq!(lacking.is_empty(), expected, "{sentence:?} against {quote:?}: lacking {lacking:?}");
    }

    #[test]
    fn numbers() {
        check("Notice is 30 days.", "upon thirty (30) days' prior notice", true);
        check("Notice is thirty (30) days.", "upon 30 days notice", true);
        check("Notice is thirty days.", "upon 30 days notice", true);
        check("Notice is 60 days.", "upon thirty (30) days' prior notice", false);
        check("Notice is 30 months.", "upon thirty (30) days' prior notice", false);
        check("Notice is 30 days.", "upon thirty (30) business days' prior notice", true);
        check("It is 1,000,000 units.", "one million units", true);
        check("It is 1.5 million units.", "1,500,000 units", true);
        check("It is twenty-five people.", "25 people", true);
        check("It is 25 people.", "twenty-six people", false);
        check("One of the parties pays.", "the parties pay", true);
        check("The section is 3.1.2.", "as in Section 3.1.2 hereof", true);
        check("The section is 3.1.3.", "as in Section 3.1.2 hereof", false);
        check("The 5th anniversary.", "the fifth anniversary", true);
        check("A third party may not see it.", "no other person may see it", true);
        check("The rent is 1.", "begins on 1 April 2024", false);
        check("The rent is 1.", "1. The rent is due on the 1st of each month.", false);
        check("It is due on the 1st.", "due on the 1st day of each month", true);
        check("It was signed in 2024.", "begins on 1 April 2024", true);
        check("There are 7 units.", "(7) Units may be sold.", false);
        check("There are 7 units.", "7 units may be sold", true);
    }

    #[test]
    fn amounts() {
        check("The fee is $5,000.", "a fee of US$ 5,000.00", true);
        check("The fee is 5,000 dollars.", "a fee of $5,000", true);
        check("The fee is $5,000.", "a fee of €5,000", false);
        check("The fee is $5 million.", "a fee of $5,000,000", true);
        check("The fee is $5 million.", "a fee of $5,000", false);
        check("The rate is 5%.", "five percent (5%) per annum", true);
        check("The rate is 5 percent.", "5 % per annum", true);
        check("The rate is 5%.", "within 5 days", false);
        check("The fee is $30.", "a fee of $50 within 30 days", false);
        check("It takes 30 days.", "a fee of $30", false);
        check("It takes 30 days.", "a table: days 30", true);
        check("The fee is 1.234,56 EUR.", "a fee of €1,234.56", true);
    }

    #[test]
    fn dates() {
        check("It ends on January 5, 2020.", "expires the 5th day of January, 2020", true);
        check("It ends on 5 January 2020.", "expires January 5, 2020", true);
        check("It ends on 2020-01-05.", "expires Jan. 5, 2020", true);
        check("It ends on 01/05/2020.", "expires January 5, 2020", true);
        check("It ends on January 6, 2020.", "expires January 5, 2020", false);
        check("It ends in January 2020.", "expires January 5, 2020", true);
        check("It ends in 2020.", "expires January 5, 2020", true);
        check("It ends in 2021.", "expires January 5, 2020", false);
        check("It ends on January 5, 2020.", "expires in January", false);
        check("It may 5 times.", "may 5 times", true);
        check("Es endet am 5. März 2020.", "endet am 05.03.2020", true);
        for same in [
            "31. März 2033",
            "31 mars 2033",
            "31 de marzo de 2033",
            "31 marzo 2033",
            "31 maart 2033",
            "31 marca 2033",
            "31 mrt. 2033",
            "March 31, 2033",
        ] {
            check(&format!("It ends on {same}."), "ends on 31 March 2033", true);
            check(&format!("It ends on {same}."), "ends on 31 March 2023", false);
            check(&format!("It ends on {same}."), "ends on 3 March 2033", false);
            check(&format!("It ends on {same}."), "ends on 31 May 2033", false);
        }
        check("It ends on le 1er août 2033.", "ends on 1 August 2033", true);
        check("Im März 2023.", "on 3 March 2023", true);
        check("Im März 2023.", "on 3 March 2033", false);
        check("Im März 2023.", "in 2023", false);
        check("A set of 2 set in 2020.", "2 sets in 2020", true);
    }

    #[test]
    fn names() {
        check("The law of Delaware governs.", "the laws of the State of Delaware", true);
        check("The law of Nevada governs.", "the laws of the State of Delaware", false);
        check("Delaware law governs.", "the laws of the State of New York", false);
        check("Consent is required.", "shall not assign without the consent of", true);
        check("The Agreement binds Acme Corp.", "this agreement binds ACME", true);
        check("It binds John Smith.", "signed by Jane Smith", false);
        check("The answer is: Yes.", "anything", true);
        check("Termination needs notice.", "may terminate by notice", true);
        check("Model A4 is sold.", "the A4 model", true);
        check("Model A5 is sold.", "the A4 model", false);
    }
}
