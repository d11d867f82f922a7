//! Puts a generated answer to the test and keeps what holds.

use std::ops::Range;

use super::align::{Aligned, SUPPORT_MIN, Sought};
use super::facts::{Ground, missing};
use super::marks::{Marked, take_apart};
use super::subject::claim;

/// A text sentences may rest on: all or part of a stored passage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source<'a> {
    /// The text.
    pub(crate) text: &'a str,
    /// Name of its document and the headings above it.
    pub(crate) about: &'a str,
    /// Which passage of the evidence it is from.
    pub(crate) passage: usize,
    /// Offset of its first character in that passage.
    pub(crate) offset: usize,
    /// Characters of the text the model pointed at.
    pub(crate) hint: Range<usize>,
}

/// A quote: characters of a passage of the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// Which passage.
    pub(crate) passage: usize,
    /// Characters of it.
    pub(crate) range: Range<usize>,
}

/// What is left of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sifted {
    /// Sentences that hold, with new marks.
    pub(crate) text: String,
    /// The quote of mark `n` at index `n - 1`.
    pub(crate) quotes: Vec<Quoted>,
    /// Sentences that did not hold.
    pub(crate) withheld: u32,
}

impl Sifted {
    /// Adds a sentence that rests on `quotes`, giving each quote a mark or the mark that it has.
    pub(crate) fn push(&mut self, sentence: &str, quotes: &[Quoted]) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let (body, stop) = split_stop(sentence);
        self.text.push_str(body);
        for (index, quote) in quotes.iter().enumerate() {
            let mark = self.quotes.iter().position(|known| known == quote).unwrap_or_else(|| {
                self.quotes.push(quote.clone());
                self.quotes.len() - 1
            });
            let lead = if index == 0 { " [" } else { "[" };
            self.text.extend([lead, &(mark + 1).to_string(), "]"]);
        }
        self.text.push_str(stop);
    }
}

/// A mark goes before the full stop.
fn split_stop(sentence: &str) -> (&str, &str) {
    let sentence = sentence.trim();
    match sentence.strip_suffix(['.', '!', '?']) {
        Some(body) => (body, &sentence[body.len()..]),
        None => (sentence, "."),
    }
}

/// Checks each sentence of a generated answer against the sources its marks name (`[1]` is `sources[0]`).
///
/// A mark whose source does not bear the sentence out is dropped; a sentence left without marks is looked for in the
/// other sources; a sentence that rests on nothing, or says a number, date, amount or name that its quotes do not, is
/// withheld.
pub(crate) fn sift(answer: &str, question: &str, sources: &[Source<'_>]) -> Sifted {
    let mut out = Sifted::default();
    let mut said: Vec<String> = Vec::new();
    for sentence in take_apart(answer) {
        // Small models say a thing twice.
        if said.contains(&sentence.text) {
            continue;
        }
        said.push(sentence.text.clone());
        match rest_on(&sentence, question, sources) {
            Some(quotes) => out.push(&sentence.text, &quotes),
            None => out.withheld += 1,
        }
    }
    out
}

fn rest_on(sentence: &Marked, question: &str, sources: &[Source<'_>]) -> Option<Vec<Quoted>> {
    let (text, named) = (&sentence.text, sentence.marks.iter());
    let named = named.filter_map(|mark| mark.checked_sub(1).and_then(|index| sources.get(index)));
    let mut found: Vec<(&Source<'_>, Aligned)> =
        named.filter_map(|source| supported(text, question, source).map(|aligned| (source, aligned))).collect();
    if !holds(text, question, &found) {
        found = best_of(text, question, sources).into_iter().collect();
    }
    holds(text, question, &found).then(|| found.iter().map(|(source, aligned)| quoted(source, aligned)).collect())
}

/// The place in a source that bears a sentence out. Only the source's own name and headings excuse a name: those of another
/// document would let what one says be told of the other.
fn supported(sentence: &str, question: &str, source: &Source<'_>) -> Option<Aligned> {
    let sought = Sought::new(&claim(sentence, question, source.about), question);
    sought.find(source.text, &source.hint).filter(|aligned| aligned.support >= SUPPORT_MIN)
}

fn best_of<'a, 'b>(sentence: &str, question: &str, sources: &'a [Source<'b>]) -> Option<(&'a Source<'b>, Aligned)> {
    let mut best: Option<(&Source<'_>, Aligned)> = None;
    for source in sources {
        if let Some(aligned) = supported(sentence, question, source)
            && best.as_ref().is_none_or(|(_, before)| aligned.support > before.support)
        {
            best = Some((source, aligned));
        }
    }
    best
}

fn holds(sentence: &str, question: &str, found: &[(&Source<'_>, Aligned)]) -> bool {
    let texts: Vec<String> = found.iter().map(|(source, aligned)| slice(source.text, &aligned.range)).collect();
    let about = found.iter().map(|(source, _)| source.about).collect::<Vec<_>>().join("\n");
    let claim = claim(sentence, question, &about);
    !found.is_empty() && missing(&claim, &Ground::new(texts.iter().map(String::as_str))).is_empty()
}

fn quoted(source: &Source<'_>, aligned: &Aligned) -> Quoted {
    let range = source.offset + aligned.range.start..source.offset + aligned.range.end;
    Quoted { passage: source.passage, range }
}

/// The characters of a text in a range.
pub(crate) fn slice(text: &str, range: &Range<usize>) -> String {
    text.chars().skip(range.start).take(range.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: &str = "The term is two (2) years from January 5, 2020. Acme Corp. may renew it.";
    const ABOUT: &str = "acme-services.pdf";
    const LAW: &str = "Heading. This contract is governed by the laws of Delaware.";

    fn check(answer: &str, text: &str, quotes: &[&str], withheld: u32) {
        let texts = [TERM, LAW];
        let sources: Vec<Source<'_>> = texts
            .iter()
            .enumerate()
            .map(|(passage, text)| Source { text, about: ABOUT, passage, offset: 0, hint: 0..0 })
            .collect();
        let found = sift(answer, "What does the contract say?", &sources);
        let taken: Vec<String> = found.quotes.iter().map(|quote| slice(texts[quote.passage], &quote.range)).collect();
        assert_eq!((found.text.as_str(), found.withheld), (text, withheld), "{answer}");
        assert_eq!(taken, quotes, "{answer}");
    }

    const TERM_1: &str = "The term is two (2) years from January 5, 2020.";
    const LAW_1: &str = "This contract is governed by the laws of Delaware.";

    #[test]
    fn what_holds_is_kept_with_its_quote() {
        check("The term is 2 years [1].", "The term is 2 years [1].", &[TERM_1], 0);
        check(
            "The term is 2 years [1]. It is governed by the laws of Delaware [2].",
            "The term is 2 years [1]. It is governed by the laws of Delaware [2].",
            &[TERM_1, LAW_1],
            0,
        );
        check(
            "The contract is governed by Delaware laws. [2]",
            "The contract is governed by Delaware laws [1].",
            &[LAW_1],
            0,
        );
    }

    #[test]
    fn a_wrong_or_missing_mark_is_mended_by_the_text() {
        check("The term is two years [2].", "The term is two years [1].", &[TERM_1], 0);
        check("The term is two years [7].", "The term is two years [1].", &[TERM_1], 0);
        check("The term is two years.", "The term is two years [1].", &[TERM_1], 0);
    }

    #[test]
    fn what_does_not_hold_is_withheld_and_counted() {
        check("The term is 3 years [1].", "", &[], 1);
        check("The term is 2 years from January 6, 2020 [1].", "", &[], 1);
        check("The laws of Nevada govern the contract [2].", "", &[], 1);
        check("Bananas are sold by weight [1]. The term is 2 years [1].", "The term is 2 years [1].", &[TERM_1], 1);
        check("", "", &[], 0);
    }

    #[test]
    fn what_is_said_twice_is_kept_once() {
        check("The term is 2 years [1]. The term is 2 years [1].", "The term is 2 years [1].", &[TERM_1], 0);
        check("The term is 3 years [1]. The term is 3 years [1].", "", &[], 1);
    }

    #[test]
    fn a_name_is_excused_by_the_own_document_alone() {
        let (question, sentence) =
            ("What is the rent of the lease of Quayside Row?", "The rent of Quayside Row is 700 a month [1].");
        let source =
            |text: &'static str, about: &'static str, passage| Source { text, about, passage, offset: 0, hint: 0..0 };
        let harbour = source("The rent is 700 a month.", "lease-harbour.pdf", 0);
        let quayside = source("The lift is kept in repair.", "lease-quayside-row.pdf", 1);
        assert_eq!(sift(sentence, question, &[harbour, quayside]).withheld, 1);
        let own = source("The rent is 700 a month.", "lease-quayside-row.pdf", 0);
        assert_eq!(sift(sentence, question, &[own]).quotes.len(), 1);
    }

    #[test]
    fn a_source_may_be_part_of_a_passage() {
        let text = &LAW[9..];
        let found = sift(
            "The laws of Delaware govern it [1].",
            "",
            &[Source { text, about: "", passage: 3, offset: 9, hint: 0..0 }],
        );
        assert_eq!(found.quotes, [Quoted { passage: 3, range: 9..9 + text.chars().count() }]);
    }
}
