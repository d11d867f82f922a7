//! Unigram models of SentencePiece (Kudo 2018): of all ways to cut a text into pieces of the vocabulary, the one with
//! the greatest sum of log-probabilities.
//!
//! Text is normalised as SentencePiece does (the longest sequence with a replacement is replaced, see [`charsmap`]),
//! spaces become a mark before each word, and each word is cut by Viterbi's algorithm. Control tokens are no pieces:
//! `</s>` in a document is text.
//!
//! [`charsmap`]: super::charsmap

mod json;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::bpe::PairHasher;
use super::charsmap::CharsMap;
use super::lookup::Remembered;
use super::seams::{SPACE_MARK, Seams};
use crate::TokenId;
pub(super) use json::UnigramFile;

/// How much less likely than the least likely piece a character is that no piece holds.
const UNKNOWN_PENALTY: f64 = 10.0;
/// Longest piece, in bytes; longer ones are never found.
const PIECE_BYTES_MAX: usize = 512;

/// What is done with white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spaces {
    /// A mark before the text.
    pub(super) prefix: bool,
    /// One mark before each word in place of all white space; none at the end.
    pub(super) merged: bool,
    /// All white space parts words, or else the space alone.
    pub(super) of_every_kind: bool,
}

/// A piece of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a [u8],
    pub(super) id: TokenId,
    /// Natural logarithm of the probability.
    pub(super) score: f64,
}

/// A trie over bytes whose edges lie in one table.
#[derive(Debug, Default)]
struct Trie {
    edges: HashMap<u64, u32, BuildHasherDefault<PairHasher>>,
    /// By node: piece that ends there.
    pieces: Vec<Option<(TokenId, f64)>>,
}

impl Trie {
    fn insert(&mut self, piece: &Piece<'_>) {
        let mut node = 0;
        for &byte in piece.text {
            let next = self.pieces.len() as u32;
            node = *self.edges.entry(u64::from(node) << 8 | u64::from(byte)).or_insert(next);
            if node == next {
                self.pieces.push(None);
            }
        }
        self.pieces[node as usize].get_or_insert((piece.id, piece.score));
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        self.edges.get(&(u64::from(node) << 8 | u64::from(byte))).copied()
    }
}

/// The best way to reach a place of a word.
#[derive(Debug, Clone, Copy)]
struct Reached {
    score: f64,
    start: u32,
    id: TokenId,
}

/// The pieces and the normalisation of one model.
#[derive(Debug)]
pub(super) struct Pieces {
    trie: Trie,
    seams: Seams,
    charsmap: CharsMap,
    spaces: Spaces,
    unknown: TokenId,
    unknown_score: f64,
}

impl Pieces {
    /// A model of those pieces; `score_min` is the least score of the vocabulary.
    pub(super) fn new<'a>(
        pieces: impl Iterator<Item = Piece<'a>> + Clone,
        score_min: f64,
        unknown: TokenId,
        charsmap: CharsMap,
        spaces: Spaces,
    ) -> Self {
        let mut trie = Trie { pieces: vec![None], ..Trie::default() };
        let pieces = pieces.filter(|piece| (1..=PIECE_BYTES_MAX).contains(&piece.text.len()));
        pieces.clone().for_each(|piece| trie.insert(&piece));
        let seams = Seams::of(pieces.map(|piece| piece.text));
        Self { trie, seams, charsmap, spaces, unknown, unknown_score: score_min - UNKNOWN_PENALTY }
    }

    /// Appends the pieces of a text. Characters side by side that no piece holds are one unknown token.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        let normal = self.normalise(text);
        let mut reached = Vec::new();
        let mut remembered = Remembered::new(normal.len());
        let start = out.len();
        self.seams.pieces(&normal, &mut |word| {
            remembered.repeat_or(word, out, |word, out| self.word(word, &mut reached, out));
        });
        let mut last = None;
        let mut kept = start;
        for at in start..out.len() {
            let id = out[at];
            if id != self.unknown || last != Some(id) {
                out[kept] = id;
                kept += 1;
            }
            last = Some(id);
        }
        out.truncate(kept);
    }

    /// The text with its replacements made and its white space marked.
    fn normalise(&self, text: &str) -> String {
        let mut marking = Marking { out: String::with_capacity(text.len() * 9 / 8 + 8), within: false, begun: false };
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let (length, part) = match self.charsmap.longest(rest.as_bytes()) {
                Some((length, part)) if rest.is_char_boundary(length) => (length, part),
                _ => {
                    let length = rest.chars().next().map_or(1, char::len_utf8);
                    (length, &rest[..length])
                }
            };
            part.chars().for_each(|c| marking.push(c, self.spaces));
            at += length;
        }
        marking.out
    }

    /// Cuts one word.
    fn word(&self, word: &str, reached: &mut Vec<Reached>, out: &mut Vec<TokenId>) {
        let nowhere = Reached { score: f64::NEG_INFINITY, start: 0, id: self.unknown };
        reached.clear();
        reached.resize(word.len() + 1, nowhere);
        reached[0].score = 0.0;
        for (start, c) in word.char_indices() {
            let single = start + c.len_utf8();
            let mut single_is_piece = false;
            let score = reached[start].score;
            let mut node = 0;
            for (end, &byte) in (start + 1..).zip(&word.as_bytes()[start..]) {
                let Some(child) = self.trie.child(node, byte) else { break };
                node = child;
                let Some((id, piece_score)) = self.trie.pieces[node as usize] else { continue };
                single_is_piece |= end == single;
                reach(&mut reached[end], Reached { score: score + piece_score, start: start as u32, id });
            }
            if !single_is_piece {
                let unknown = Reached { score: score + self.unknown_score, start: start as u32, id: self.unknown };
                reach(&mut reached[single], unknown);
            }
        }
        let first = out.len();
        let mut end = word.len();
        while end > 0 {
            out.push(reached[end].id);
            end = reached[end].start as usize;
        }
        out[first..].reverse();
    }
}

/// Keeps the better of two ways to one place, the one found first if they are equal.
fn reach(best: &mut Reached, other: Reached) {
    if other.score > best.score {
        *best = other;
    }
}

/// Writes normalised text, with marks for the spaces.
struct Marking {
    out: String,
    within: bool,
    begun: bool,
}

impl Marking {
    fn push(&mut self, c: char, spaces: Spaces) {
        let is_space = c == ' ' || spaces.of_every_kind && c.is_whitespace();
        if is_space {
            self.within = false;
            if !spaces.merged {
                self.out.push_str(SPACE_MARK);
            }
            return;
        }
        if !self.within {
            self.within = true;
            if spaces.merged || spaces.prefix && !self.begun {
                self.out.push_str(SPACE_MARK);
            }
            self.begun = true;
        }
        self.out.push(c);
    }
}
