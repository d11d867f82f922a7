//! Finding tokens by their bytes, and remembering what became of a word.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::TokenId;

const NONE: u32 = u32::MAX;
/// Words of a text that are remembered at most.
const REMEMBERED_MAX: usize = 8192;
/// Texts of fewer bytes are done before remembering pays.
const REMEMBERING_BYTES_MIN: usize = 512;

/// Mixes a word's bytes, eight at a time.
fn hash(word: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ word.len() as u64;
    let mut chunks = word.chunks_exact(8);
    for chunk in &mut chunks {
        state = mix(state ^ u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes")));
    }
    let rest = chunks.remainder().iter().fold(0, |rest, &byte| rest << 8 | u64::from(byte));
    mix(state ^ rest)
}

fn mix(value: u64) -> u64 {
    let product = u128::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (product >> 64) as u64 ^ product as u64
}

/// Token ids by the bytes of the tokens, which are kept elsewhere. The seed differs from table to table, so that no
/// model file can be made to fill one badly.
#[derive(Debug)]
pub(super) struct TokenTable {
    /// Part of the hash, and the id or `NONE`. Their number is a power of two, at most half of them are taken.
    slots: Vec<(u32, u32)>,
    seed: u64,
}

impl TokenTable {
    /// The table of those ids; of two with the same bytes the first is kept.
    pub(super) fn new<'v>(ids: &[TokenId], bytes_of: impl Fn(TokenId) -> &'v [u8]) -> Self {
        let slots = vec![(0, NONE); (ids.len() * 2).next_power_of_two().max(16)];
        let mut table = Self { slots, seed: RandomState::new().hash_one(0) };
        for &id in ids {
            let word = bytes_of(id);
            let (tag, place) = table.place(word, &bytes_of);
            if table.slots[place].1 == NONE {
                table.slots[place] = (tag, id);
            }
        }
        table
    }

    /// The slot where a word is or would be.
    fn place<'v>(&self, word: &[u8], bytes_of: &impl Fn(TokenId) -> &'v [u8]) -> (u32, usize) {
        let hash = hash(word, self.seed);
        let (tag, mut place) = ((hash >> 32) as u32, hash as usize & (self.slots.len() - 1));
        loop {
            let (other, id) = self.slots[place];
            if id == NONE || other == tag && bytes_of(id) == word {
                return (tag, place);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// The token with those bytes.
    pub(super) fn get<'v>(&self, word: &[u8], bytes_of: impl Fn(TokenId) -> &'v [u8]) -> Option<TokenId> {
        let (_, place) = self.place(word, &bytes_of);
        Some(self.slots[place].1).filter(|&id| id != NONE)
    }
}

/// For each token, whether the word that its bytes spell becomes this one token. It is found out when the word is
/// first met; every thread finds the same.
#[derive(Debug)]
pub(super) struct Wholeness(Vec<AtomicU8>);

const WHOLE: u8 = 1;
const CUT: u8 = 2;

impl Wholeness {
    pub(super) fn new(tokens: usize) -> Self {
        Self((0..tokens).map(|_| AtomicU8::new(0)).collect())
    }

    /// Whether the word is the token, if that is known.
    pub(super) fn of(&self, id: TokenId) -> Option<bool> {
        match self.0[id as usize].load(Ordering::Relaxed) {
            WHOLE => Some(true),
            CUT => Some(false),
            _ => None,
        }
    }

    pub(super) fn set(&self, id: TokenId, whole: bool) {
        self.0[id as usize].store(if whole { WHOLE } else { CUT }, Ordering::Relaxed);
    }
}

/// The words of one text that were met already, with the place of their tokens among those given out.
#[derive(Debug, Default)]
pub(super) struct Remembered<'t> {
    slots: Vec<(&'t str, Range<u32>)>,
}

impl<'t> Remembered<'t> {
    /// Room for the words of a text of that many bytes.
    pub(super) fn new(text_bytes: usize) -> Self {
        if text_bytes < REMEMBERING_BYTES_MIN {
            return Self::default();
        }
        let slots = (text_bytes / 8).next_power_of_two().min(REMEMBERED_MAX);
        Self { slots: vec![("", 0..0); slots] }
    }

    /// Repeats the tokens of a word met before, or lets `make` append them and remembers where they are.
    pub(super) fn repeat_or(
        &mut self,
        word: &'t str,
        out: &mut Vec<TokenId>,
        make: impl FnOnce(&'t str, &mut Vec<TokenId>),
    ) {
        let Some(last) = self.slots.len().checked_sub(1) else { return make(word, out) };
        let slot = &mut self.slots[hash(word.as_bytes(), 0) as usize & last];
        if slot.0 == word {
            let Range { start, end } = slot.1;
            return out.extend_from_within(start as usize..end as usize);
        }
        let start = out.len() as u32;
        make(word, out);
        *slot = (word, start..out.len() as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_bytes() {
        let words: Vec<Vec<u8>> = (0..5000u32).map(|at| format!("{:x}", at * at).into_bytes()).collect();
        let ids: Vec<TokenId> = (0..words.len() as TokenId).collect();
        let bytes_of = |id: TokenId| words[id as usize].as_slice();
        let table = TokenTable::new(&ids, bytes_of);
        for &id in &ids {
            assert_eq!(table.get(bytes_of(id), bytes_of), Some(id));
        }
        for word in ["", "z", "zz", "-1", "123456789012345678901234567890"] {
            assert_eq!(table.get(word.as_bytes(), bytes_of), None);
        }
        let twice = TokenTable::new(&[3, 3, 4], bytes_of);
        assert_eq!(twice.get(bytes_of(3), bytes_of), Some(3));
    }

    #[test]
    fn words_are_repeated_as_they_were_made() {
        let words: Vec<String> = (0..60_000).map(|at| format!("{}{}", at % 7, at % 3)).collect();
        let mut remembered = Remembered::new(words.len() * 2);
        let (mut out, mut made) = (Vec::new(), 0);
        for word in &words {
            remembered.repeat_or(word, &mut out, |word, out| {
                made += 1;
                out.extend(word.bytes().map(TokenId::from));
            });
        }
        assert_eq!(out, words.iter().flat_map(|word| word.bytes()).map(TokenId::from).collect::<Vec<_>>());
        assert!((21..1000).contains(&made), "{made}");
    }
}
