//! Finds the place in a passage that bears a sentence out.

use std::ops::Range;

use super::dates::is_month;
use super::facts::{Fact, Ground, facts};
use super::sentences::units;
use super::words::{is_stop, normal, same, words};

/// A quote is at most so many sentences or clauses in a row.
const UNITS_MAX: usize = 3;

/// A quote of several sentences is at most this long, in characters.
const QUOTE_CHARS_MAX: usize = 900;

/// What one more sentence in the quote must bring in support to be worth it.
const PRICE_PER_UNIT: f64 = 0.08;

/// What it is worth that the model pointed there itself.
const HINT_WORTH: f64 = 0.15;

/// Share of a sentence's content that its quote must hold for the quote to count as support.
///
/// Checked against the development questions: generated sentences restate the question, whose words seldom stand in
/// the clause itself, so that half would refuse true answers; below a third, unrelated clauses begin to pass.
pub(crate) const SUPPORT_MIN: f64 = 0.4;

/// A place in a passage and how well it bears the sentence out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aligned {
    /// Characters of the passage.
    pub(crate) range: Range<usize>,
    /// Share of the sentence's content found there, 0 to 1.
    pub(crate) support: f64,
}

/// A sentence made ready to be looked for.
pub(crate) struct Sought {
    content: Vec<String>,
    facts: Vec<Fact>,
    /// Whether the sentence has no content words of its own.
    bare: bool,
}

impl Sought {
    /// Reads a sentence. Where it has no content words of its own (`Yes.`, `March 2023.`), those of the question stand in, and
    /// a place must have one of them: that a date stands somewhere does not make it the one asked for.
    pub(crate) fn new(sentence: &str, question: &str) -> Self {
        let mut content = content_words(sentence);
        // Months are parts of dates, which are compared as such, in any language.
        content.retain(|word| !words(sentence).iter().any(|said| normal(said.text) == *word && is_month(said.text)));
        let bare = content.is_empty();
        if bare {
            content = content_words(question);
        }
        Self { content, facts: facts(sentence), bare }
    }

    /// The best place in a passage: of the runs of up to [`UNITS_MAX`] sentences the one that holds most. `hint` is where
    /// the model pointed; it decides between places that hold about as much.
    pub(crate) fn find(&self, passage: &str, hint: &Range<usize>) -> Option<Aligned> {
        let chars: Vec<char> = passage.chars().collect();
        let units = units(passage);
        let mut best: Option<(f64, Aligned)> = None;
        for first in 0..units.len() {
            for last in first..units.len().min(first + UNITS_MAX) {
                let range = units[first].start..units[last].end;
                if last > first && range.len() > QUOTE_CHARS_MAX {
                    break;
                }
                let text: String = chars[range.clone()].iter().collect();
                let support = self.support(&text);
                let hinted = if range.start < hint.end && hint.start < range.end { HINT_WORTH } else { 0.0 };
                let worth = support + hinted - PRICE_PER_UNIT * (last - first) as f64;
                if best.as_ref().is_none_or(|(before, _)| worth > *before) {
                    best = Some((worth, Aligned { range, support }));
                }
            }
        }
        best.map(|(_, aligned)| aligned).filter(|aligned| aligned.support > 0.0)
    }

    /// Share of the sentence's content and facts that a text holds; facts count twice.
    pub(crate) fn support(&self, text: &str) -> f64 {
        let here: Vec<String> = words(text).iter().map(|word| normal(word.text)).collect();
        let found = self.content.iter().filter(|word| here.iter().any(|other| same(word, other))).count();
        let ground = Ground::new([text]);
        let held = self.facts.iter().filter(|fact| ground.holds(fact)).count();
        let all = self.content.len() + 2 * self.facts.len();
        if all == 0 || (self.bare && found == 0) { 0.0 } else { (found + 2 * held) as f64 / all as f64 }
    }
}

/// The words of a text that carry content, each once, in normal form. Numbers are facts and left to them.
pub(crate) fn content_words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in words(text) {
        let normal = normal(word.text);
        let counts = normal.chars().any(char::is_alphabetic) && !is_stop(&normal) && normal.chars().count() > 1;
        if counts && !out.contains(&normal) {
            out.push(normal);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSAGE: &str = "7. Term. This Agreement begins on the date above and runs for two (2) years. Either party may \
        terminate it upon thirty (30) days' written notice to the other party. 8. Governing Law. This Agreement shall be \
        governed by the laws of the State of Delaware.";

    fn check(sentence: &str, expected: Option<&str>) {
        let found = Sought::new(sentence, "").find(PASSAGE, &(0..0)).filter(|aligned| aligned.support >= SUPPORT_MIN);
        let chars: Vec<char> = PASSAGE.chars().collect();
        let text = found.map(|aligned| chars[aligned.range].iter().collect::<String>());
        assert_eq!(text.as_deref(), expected, "{sentence}");
    }

    #[test]
    fn the_sentence_that_says_it_is_found() {
        check(
            "A party can terminate by giving 30 days of written notice.",
            Some("Either party may terminate it upon thirty (30) days' written notice to the other party."),
        );
        check(
            "The laws of Delaware govern.",
            Some("This Agreement shall be governed by the laws of the State of Delaware."),
        );
        check("The supplier delivers apples to the warehouse.", None);
    }

    #[test]
    fn a_bare_date_is_no_answer_where_nothing_else_of_the_question_stands() {
        let passage = "The term ends on 31 March 2033. Signed at Port Selby on 3 March 2023.";
        let find =
            |question| Sought::new("March 2023.", question).find(passage, &(0..0)).map(|found| found.range.start);
        assert_eq!(find("Wann endet der Mietvertrag?"), None);
        assert_eq!(find("When was it signed?"), Some(32));
    }

    #[test]
    fn a_bare_yes_is_looked_for_by_the_question() {
        let sought = Sought::new("Yes.", "May a party terminate on notice?");
        let found = sought.find(PASSAGE, &(0..0)).expect("the passage speaks of it");
        assert!(found.support > 0.9, "{found:?}");
    }
}
