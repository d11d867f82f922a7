//! From passages that answer to a checked answer.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use cloister_engine::GenerateOptions;

use super::check::{Quoted, Sifted, Source, content_words, same_word, sift, slice, units};
use super::prompt::{self, Quote};
use super::reading::{Read, Reader};
use crate::Result;
use crate::search::Passage;

/// Passages an answer is written from at most.
const SOURCES_MAX: usize = 3;

/// Longest excerpt the writer is shown, in characters.
const EXCERPT_CHARS: usize = 700;

/// Longest quote that stands in for an answer, in characters.
const VERBATIM_CHARS: usize = 600;

/// Tokens of an answer at most.
const ANSWER_TOKENS: usize = 160;

/// Texts at which an answer ends.
const STOPS: &[&str] = &["\n\n", "\nQuestion:", "<quote", "</quote", "<text"];

/// A place in a passage the model pointed at, in characters of the passage's text.
pub(crate) struct Pointed {
    passage: usize,
    /// What the writer sees.
    excerpt: Range<usize>,
    /// The sentences pointed at.
    sentence: Range<usize>,
}

/// What the writer made, and when its first word came.
pub(crate) struct Written {
    pub(crate) sifted: Sifted,
    pub(crate) first_token: Option<Instant>,
    /// As generated, for the receipt.
    pub(crate) raw: String,
    /// Whether a quote stands in for the answer.
    pub(crate) verbatim: bool,
}

impl Reader<'_> {
    /// Lets the model point into the best passages.
    pub(crate) fn point_all(
        &mut self,
        reads: &mut [Read],
        passages: &[Passage],
        spread_max: f32,
    ) -> Result<Vec<Pointed>> {
        let best = reads.first().map_or(0.0, |read| read.score);
        let mut out = Vec::new();
        for read in reads.iter_mut().filter(|read| best - read.score <= spread_max).take(SOURCES_MAX) {
            let passage = &passages[read.passage];
            let place = self.point(read, passage)?.unwrap_or(0..1);
            out.push(pointed(read.passage, &passage.text, &place));
        }
        Ok(out)
    }

    /// Writes an answer from the places pointed at and checks it. What fails the check gives way to the quote itself.
    pub(crate) fn write(
        &mut self,
        places: &[Pointed],
        passages: &[Passage],
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Written> {
        let excerpts: Vec<String> =
            places.iter().map(|place| slice(&passages[place.passage].text, &place.excerpt)).collect();
        let quotes: Vec<Quote<'_>> = places
            .iter()
            .zip(&excerpts)
            .map(|(place, text)| Quote { passage: &passages[place.passage], text })
            .collect();
        let (raw, first_token) = self.generate(&quotes, on_text)?;
        let abouts: Vec<String> = quotes.iter().map(|quote| about(quote.passage)).collect();
        let sources: Vec<Source<'_>> = places
            .iter()
            .zip(excerpts.iter().zip(&abouts))
            .map(|(place, (text, about))| {
                let offset = place.excerpt.start;
                let hint = place.sentence.start.saturating_sub(offset)..place.sentence.end.saturating_sub(offset);
                Source { text, about, passage: place.passage, offset, hint }
            })
            .collect();
        let mut written = Written { sifted: Sifted::default(), first_token, verbatim: false, raw };
        if refuses(&written.raw) {
            return Ok(written);
        }
        written.sifted = sift(&written.raw, self.question, &sources);
        if written.sifted.text.is_empty()
            && let Some(place) = places.first()
            && speaks_of(self.question, &slice(&passages[place.passage].text, &place.excerpt), &abouts[0])
        {
            written.verbatim = true;
            let quote = slice(&passages[place.passage].text, &place.sentence);
            let shown = quote.split_whitespace().collect::<Vec<_>>().join(" ");
            let quoted = Quoted { passage: place.passage, range: place.sentence.clone() };
            written.sifted.push(&format!("“{shown}”"), &[quoted]);
        }
        Ok(written)
    }

    fn generate(&mut self, quotes: &[Quote<'_>], on_text: &mut dyn FnMut(&str)) -> Result<(String, Option<Instant>)> {
        let tokens = self.encode(&prompt::writer(quotes, self.question))?;
        self.counts.prompt += tokens.len();
        let mut sequence = self.loaded.generator.sequence();
        self.prefill(&mut sequence, &tokens)?;
        let stop = STOPS.iter().map(|stop| (*stop).to_owned()).collect();
        let options = GenerateOptions { max_tokens: ANSWER_TOKENS, stop, ..GenerateOptions::default() };
        let mut first = None;
        let generation = self.loaded.generator.generate(&mut sequence, &options, None, self.cancel, &mut |token| {
            first.get_or_insert_with(Instant::now);
            if !token.text.is_empty() {
                on_text(token.text);
            }
            ControlFlow::Continue(())
        });
        let generation = generation.map_err(|error| self.error(error))?;
        if self.cancel.is_cancelled() {
            return Err(crate::Error::Cancelled);
        }
        self.counts.new += generation.tokens.len();
        Ok((whole_sentences(&generation), first))
    }
}

/// Whether a text or what it is about has any content word of the question: a quote that has none answers nothing that
/// anybody could see.
fn speaks_of(question: &str, text: &str, about: &str) -> bool {
    let asked = content_words(question);
    let said = content_words(&format!("{text}\n{about}"));
    asked.is_empty() || asked.iter().any(|word| said.iter().any(|other| same_word(word, other)))
}

/// What says of which thing a passage speaks: its document's name and the headings above it.
fn about(passage: &Passage) -> String {
    format!("{}\n{}", passage.name, super::heading_line(&passage.heading_path))
}

/// The text without a last sentence that was cut off by the limit.
fn whole_sentences(generation: &cloister_engine::Generation) -> String {
    let text = generation.text.trim();
    if generation.finish != cloister_engine::Finish::Length {
        return text.to_owned();
    }
    let end = text.rfind(['.', '!', '?', ']']).map_or(0, |at| at + 1);
    if end == 0 { text.to_owned() } else { text[..end].to_owned() }
}

/// The sentences around a place in bytes, and the excerpt around these.
fn pointed(passage: usize, text: &str, place: &Range<usize>) -> Pointed {
    let at = |byte: usize| text.char_indices().take_while(|(index, _)| *index < byte).count();
    let (start, end) = (at(place.start), at(place.end).max(at(place.start) + 1));
    let units = units(text);
    let first = units.iter().position(|unit| unit.end > start).unwrap_or(0);
    let last = units.iter().rposition(|unit| unit.start < end).unwrap_or(first).max(first);
    let whole =
        |from: usize, to: usize| units.get(from).map_or(0, |unit| unit.start)..units.get(to).map_or(0, |unit| unit.end);
    let (mut from, mut to) = (first, last);
    loop {
        let before = (from, to);
        if to + 1 < units.len() && whole(from, to + 1).len() <= EXCERPT_CHARS {
            to += 1;
        }
        if from > 0 && whole(from - 1, to).len() <= EXCERPT_CHARS {
            from -= 1;
        }
        if (from, to) == before {
            break;
        }
    }
    let mut sentence = whole(first, last);
    let chars: Vec<char> = text.chars().collect();
    if sentence.len() > VERBATIM_CHARS {
        let cut = sentence.start + VERBATIM_CHARS;
        sentence.end = (sentence.start + 1..cut).rev().find(|at| chars[*at].is_whitespace()).unwrap_or(cut);
    }
    Pointed { passage, excerpt: whole(from, to), sentence }
}

/// Words by which models say that they found nothing, in lower case.
const REFUSALS: &[&str] = &[
    "not state",
    "not stated",
    "not specif",
    "not mention",
    "not contain",
    "not provide",
    "not say",
    "not include any",
    "not answer",
    "no information",
    "cannot be determined",
    "not possible to determine",
    "not explicitly",
    "not address",
    "not clear from",
    "not enough information",
    "cannot answer",
    "unable to",
];

/// Whether an answer begins by saying that the quotes do not answer.
fn refuses(answer: &str) -> bool {
    let first: String = answer.chars().take(200).flat_map(char::to_lowercase).collect();
    let first = first.split(". ").next().unwrap_or("");
    REFUSALS.iter().any(|words| first.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_grows_to_its_sentence_and_an_excerpt() {
        let text = "One is here. Two, é, is there. Three ends.";
        let start = text.find('é').expect("it is in the text");
        let found = pointed(4, text, &(start..start + 3));
        assert_eq!(slice(text, &found.sentence), "Two, é, is there.");
        assert_eq!(slice(text, &found.excerpt), text);
        assert_eq!(found.passage, 4);
        let long = format!("{} end.", "word ".repeat(1000));
        let found = pointed(0, &long, &(2500..2510));
        assert!(found.sentence.len() <= VERBATIM_CHARS);
        assert_eq!(pointed(0, "", &(0..1)).sentence, 0..0);
    }

    #[test]
    fn refusals_are_known() {
        for (answer, expected) in [
            ("The quotes do not mention a fee.", true),
            ("The agreement does not specify the term [1].", true),
            ("Consent is needed [1]. The quotes do not say more.", false),
            ("The tenant shall not assign the lease [1].", false),
        ] {
            assert_eq!(refuses(answer), expected, "{answer}");
        }
    }
}
