//! Vectors of passages, in small batches that give way to questions.

use std::sync::TryLockError;

use cloister_index::{Job, NewPassage, Stage};

use crate::CancelFlag;
use crate::jobs::JobState;
use crate::models::LoadedEncoder;
use crate::{Appliance, Error, Result};

/// Passages embedded at a time.
const BATCH: usize = 16;

/// Passages of one round of filling in missing vectors.
const FILL_BATCH: usize = 64;

/// Special tokens the encoder adds to a text.
const SPECIAL_TOKENS: usize = 2;

impl Appliance {
    pub(super) fn embed_passages(
        &self,
        job: &Job,
        encoder: &LoadedEncoder,
        passages: &[NewPassage],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        self.store.set_stage(&job.id, Stage::Embedding)?;
        let mut vectors = Vec::with_capacity(passages.len());
        for batch in passages.chunks(BATCH) {
            self.turns.give_way();
            if stopped() {
                return Err(Error::Cancelled);
            }
            let (done, total) = (vectors.len() as u32, passages.len() as u32);
            if self.hub.progress(&job.id, JobState::Embedding, done, Some(total)) {
                self.tell(&job.id);
            }
            let texts: Vec<(String, &str)> =
                batch.iter().map(|passage| (heading_line(&passage.heading_path), passage.text.as_str())).collect();
            vectors.extend(embed(encoder, &texts)?);
        }
        Ok(vectors)
    }

    /// Gives vectors to passages that were stored while there was no embedder. True when there was something to do.
    pub(super) fn fill_vectors(&self, stop: &CancelFlag) -> bool {
        if stop.is_cancelled() || !self.shelf.encoder_is_present() {
            return false;
        }
        let _one = match self.filling.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            // Another worker is at it and would make the same ones.
            Err(TryLockError::WouldBlock) => return false,
        };
        // It may have come while the program ran: the store must know whose vectors are missing.
        if let Some(id) = self.shelf.embedder_id()
            && self.store.set_embedder(&id).is_err()
        {
            return false;
        }
        let Ok(missing) = self.store.passages_without_vector(FILL_BATCH) else { return false };
        if missing.is_empty() {
            return false;
        }
        let Ok(encoder) = self.encoder() else { return false };
        let mut made = Vec::with_capacity(missing.len());
        for batch in missing.chunks(BATCH) {
            self.turns.give_way();
            let texts: Vec<(String, &str)> =
                batch.iter().map(|row| (heading_line(&row.heading_path), row.text.as_str())).collect();
            let Ok(vectors) = embed(&encoder, &texts) else { return false };
            made.extend(batch.iter().map(|row| row.passage).zip(vectors));
        }
        self.store.save_vectors(&made).is_ok()
    }
}

/// The headings above a passage as one line, which goes before its text.
pub(crate) fn heading_line(path: &[String]) -> String {
    path.iter().map(|heading| heading.trim()).filter(|heading| !heading.is_empty()).collect::<Vec<_>>().join(" > ")
}

/// One vector a text. A text longer than the encoder reads is embedded in parts and the parts' mean taken, so that
/// its end counts as well.
fn embed(encoder: &LoadedEncoder, texts: &[(String, &str)]) -> Result<Vec<Vec<f32>>> {
    let mut parts: Vec<String> = Vec::new();
    let mut owners: Vec<usize> = Vec::new();
    for (owner, (heading, text)) in texts.iter().enumerate() {
        for part in parts_of(encoder, heading, text) {
            parts.push(part);
            owners.push(owner);
        }
    }
    let views: Vec<&str> = parts.iter().map(String::as_str).collect();
    let made = encoder.encoder.embed(&views).map_err(|error| Error::model(&encoder.id, error))?;
    let mut sums: Vec<Vec<f32>> = vec![vec![0.0; encoder.encoder.dimension()]; texts.len()];
    for (owner, vector) in owners.into_iter().zip(made) {
        sums[owner].iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    for vector in &mut sums {
        normalise(vector);
    }
    Ok(sums)
}

fn parts_of(encoder: &LoadedEncoder, heading: &str, text: &str) -> Vec<String> {
    let room = encoder.encoder.tokens_max().saturating_sub(SPECIAL_TOKENS);
    let whole = if heading.is_empty() { text.to_owned() } else { format!("{heading}\n{text}") };
    let length = encoder.encoder.count_tokens(&whole);
    if length <= room || room == 0 {
        return vec![whole];
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let pieces = length.div_ceil(room).clamp(2, 8);
    let per_piece = words.len().div_ceil(pieces).max(1);
    words
        .chunks(per_piece)
        .map(|piece| if heading.is_empty() { piece.join(" ") } else { format!("{heading}\n{}", piece.join(" ")) })
        .collect()
}

fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

/// Tokens of a text when no tokenizer is at hand: four characters each, and never fewer than words.
pub(super) fn rough_count(text: &str) -> usize {
    text.chars().count().div_ceil(4).max(text.split_whitespace().count())
}

/// Letters of a word above which it is no word of a language but a number, an address or a key.
const WORD_CHARS_MAX: usize = 40;

/// Tokens that a text has at least for the model that will answer from it.
///
/// The encoder's tokenizer takes any word it does not know, or that is very long, for a single token; the generator takes
/// such a word apart. Counted are six characters of a usual word to a token, and two of those on which tokenizers have few
/// merges: scripts beyond Greek and Cyrillic, and words longer than [`WORD_CHARS_MAX`]. For prose in Latin letters this is
/// less than any tokenizer counts, so it changes nothing there.
pub(super) fn least_count(text: &str) -> usize {
    let word = |word: &str| -> usize {
        let (mut chars, mut sixths) = (0, 0);
        for c in word.chars() {
            chars += 1;
            sixths += if c >= '\u{590}' && !is_latin_beyond(c) { 3 } else { 1 };
        }
        if chars > WORD_CHARS_MAX { sixths.max(3 * chars) } else { sixths }
    };
    text.split_whitespace().map(word).sum::<usize>().div_ceil(6)
}

/// Latin and Greek letters with marks, punctuation and signs that stand in texts of any language.
fn is_latin_beyond(c: char) -> bool {
    matches!(c, '\u{1e00}'..='\u{2bff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_counts_less_than_its_letters_ask_for() {
        let prose =
            "Either party may terminate this Agreement upon thirty (30) days' written notice to the other party.";
        let rows = [
            ("", 0, 0),
            (prose, 10, prose.split_whitespace().count()),
            ("\u{e20}\u{e32}\u{e29}\u{e32}\u{e44}\u{e17}\u{e22}", 4, 4),
            ("\u{2026}\u{2014}\u{201c}quoted\u{201d}", 2, 2),
        ];
        for (text, least, most) in rows {
            let found = least_count(text);
            assert!((least..=most).contains(&found), "{text}: {found}");
        }
        assert_eq!(least_count(&"0f".repeat(1 << 16)), 1 << 16);
        assert_eq!(least_count(&"\u{e01}".repeat(3_000)), 1_500);
    }
}
