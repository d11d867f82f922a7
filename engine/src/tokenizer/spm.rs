//! SentencePiece models with scores: the pair whose union is the best-scored token is merged first, leftmost on a tie.
//! Characters that end up in no token are given byte by byte.

use super::lookup::{Remembered, TokenTable, Wholeness};
use super::merging::{Merge, Merging, NONE, Symbol};
use super::seams::Seams;
use super::vocabulary::Vocabulary;
use crate::TokenId;

/// The tokens of one model by their text, with the ranks of their scores.
#[derive(Debug)]
pub(super) struct Spm {
    words: TokenTable,
    wholeness: Wholeness,
    /// By token: lower for a better score.
    ranks: Vec<u32>,
    /// Token of each byte, or `NONE`.
    bytes: Vec<u32>,
    token_bytes_max: u32,
    seams: Seams,
}

/// A number that is lower for a better score, and the same for equal ones.
fn rank(score: f32) -> u32 {
    // Adding 0 makes one zero of the two.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { bits } else { !bits & 0x7fff_ffff }
}

impl Spm {
    /// The rules of a vocabulary with a score, not NaN, for each token.
    pub(super) fn new(vocabulary: &Vocabulary, scores: &[f32], unknown: Option<TokenId>) -> Self {
        let ids: Vec<TokenId> = (0..vocabulary.len() as TokenId)
            .filter(|&id| vocabulary.byte_token(id).is_none())
            .filter(|&id| vocabulary.is_mergeable(id) && !vocabulary.text(id).is_empty())
            .collect();
        let words = TokenTable::new(&ids, |id| vocabulary.text(id));
        let mut bytes = vocabulary.byte_tokens();
        for (byte, slot) in (0..=u8::MAX).zip(&mut bytes) {
            if *slot == NONE {
                // A model without byte tokens may still hold the plain characters.
                let plain = words.get(&[byte], |id| vocabulary.text(id));
                *slot = plain.or(unknown).unwrap_or(NONE);
            }
        }
        Self {
            words,
            wholeness: Wholeness::new(vocabulary.len()),
            ranks: scores.iter().map(|&score| rank(score)).collect(),
            bytes,
            token_bytes_max: ids.iter().map(|&id| vocabulary.text(id).len() as u32).max().unwrap_or(0),
            seams: Seams::of(ids.iter().map(|&id| vocabulary.text(id))),
        }
    }

    /// Appends the tokens of a text in which spaces are already written as the space mark.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<TokenId>) {
        let mut merging = Merging::default();
        let mut remembered = Remembered::new(text.len());
        self.seams.pieces(text, &mut |piece| {
            remembered.repeat_or(piece, out, |piece, out| self.piece(vocabulary, piece, &mut merging, out));
        });
    }

    fn piece(&self, vocabulary: &Vocabulary, piece: &str, merging: &mut Merging, out: &mut Vec<TokenId>) {
        let Some(id) = self.find(vocabulary, piece.as_bytes()) else {
            return self.merge_piece(vocabulary, piece, merging, out);
        };
        match self.wholeness.of(id) {
            Some(true) => out.push(id),
            Some(false) => self.merge_piece(vocabulary, piece, merging, out),
            None => {
                let start = out.len();
                self.merge_piece(vocabulary, piece, merging, out);
                self.wholeness.set(id, out[start..] == [id]);
            }
        }
    }

    fn merge_piece(&self, vocabulary: &Vocabulary, piece: &str, merging: &mut Merging, out: &mut Vec<TokenId>) {
        let symbols = piece.char_indices().map(|(start, c)| {
            let symbol = Symbol { start: start as u32, bytes: c.len_utf8() as u32, id: NONE };
            Symbol { id: self.find(vocabulary, symbol.of(piece)).unwrap_or(NONE), ..symbol }
        });
        let merged = merging.run(symbols, |left, right| {
            let union = Symbol { bytes: left.bytes + right.bytes, ..left };
            if union.bytes > self.token_bytes_max {
                return Merge::NEVER;
            }
            let token = self.find(vocabulary, union.of(piece));
            token.map_or(Merge::NEVER, |symbol| Merge { rank: self.ranks[symbol as usize], symbol })
        });
        for symbol in merged {
            if symbol.id == NONE {
                let tokens = symbol.of(piece).iter().map(|&byte| self.bytes[usize::from(byte)]);
                out.extend(tokens.filter(|&id| id != NONE));
            } else {
                out.push(symbol.id);
            }
        }
    }

    fn find(&self, vocabulary: &Vocabulary, text: &[u8]) -> Option<TokenId> {
        self.words.get(text, |id| vocabulary.text(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_scores_have_lower_ranks() {
        let scores = [f32::INFINITY, 3.5, 0.25, 0.0, -0.0, -1e-30, -7.0, -1e30, f32::NEG_INFINITY];
        let ranks = scores.map(rank);
        assert!(ranks.is_sorted() && ranks[8] < NONE, "{ranks:?}");
        assert_eq!(ranks[3], ranks[4]);
        assert!(ranks.windows(2).filter(|two| two[0] == two[1]).count() == 1);
    }
}
