//! The merge list: which pairs of symbols become which symbol, and in what order.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Symbols;
use crate::TokenId;
use crate::tokenizer::lookup::TokenTable;
use crate::tokenizer::merging::{Merge, NONE};
use crate::tokenizer::vocabulary::Vocabulary;

/// The rules by pair.
pub(super) type Merges = HashMap<u64, Merge, BuildHasherDefault<PairHasher>>;

/// Mixes the two numbers of a pair; the keys come from the model's own merge list.
#[derive(Debug, Default)]
pub(in crate::tokenizer) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        let product = u128::from(self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

pub(super) fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The byte that a character of the GPT-2 alphabet stands for.
fn alphabet_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        // The bytes without a visible character of their own follow from 256 on, in order.
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Whether a text is written in the alphabet of GPT-2.
pub(super) fn is_alphabet(text: &str) -> bool {
    text.chars().all(|c| alphabet_byte(c).is_some())
}

/// The bytes that a token's text stands for; `None` when a character is outside the alphabet.
pub(in crate::tokenizer) fn alphabet_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(alphabet_byte).collect()
}

/// The text by which merging knows a token.
pub(super) fn key_of(vocabulary: &Vocabulary, symbols: Symbols, id: TokenId) -> &[u8] {
    match symbols {
        Symbols::Bytes => vocabulary.bytes(id),
        Symbols::Characters => vocabulary.text(id),
    }
}

/// Collects the rules. A symbol that is a token has the token's id, others follow after the vocabulary.
pub(super) struct Builder<'v> {
    vocabulary: &'v Vocabulary,
    symbols: Symbols,
    words: &'v TokenTable,
    pub(super) steps: HashMap<Box<[u8]>, u32>,
    pub(super) merges: Merges,
}

impl<'v> Builder<'v> {
    pub(super) fn new(vocabulary: &'v Vocabulary, symbols: Symbols, words: &'v TokenTable, rules: usize) -> Self {
        let merges = HashMap::with_capacity_and_hasher(rules, BuildHasherDefault::default());
        Self { vocabulary, symbols, words, steps: HashMap::new(), merges }
    }

    /// The symbol of a text, made when it is new.
    pub(super) fn symbol(&mut self, text: &[u8]) -> u32 {
        let key = |id| key_of(self.vocabulary, self.symbols, id);
        if let Some(id) = self.words.get(text, key) {
            return id;
        }
        let next = (self.vocabulary.len() + self.steps.len()) as u32;
        debug_assert_ne!(next, NONE);
        *self.steps.entry(text.into()).or_insert(next)
    }

    /// Adds the rule of one line; a line with characters outside the alphabet can never apply and is passed over.
    pub(super) fn add(&mut self, rank: u32, line: &[u8]) {
        // The first text may itself begin with a space, never with more than that.
        let first = 1 + usize::from(line.first().is_some_and(|&byte| byte >= 0xc0));
        let Some(space) = line.iter().skip(first).position(|&byte| byte == b' ') else { return };
        let (left, right) = (&line[..first + space], &line[first + space + 1..]);
        let (left, right) = match self.symbols {
            Symbols::Characters => (left.to_vec(), right.to_vec()),
            Symbols::Bytes => {
                let bytes = |text| std::str::from_utf8(text).ok().and_then(alphabet_bytes);
                let (Some(left), Some(right)) = (bytes(left), bytes(right)) else { return };
                (left, right)
            }
        };
        if left.is_empty() || right.is_empty() {
            return;
        }
        let key = pair(self.symbol(&left), self.symbol(&right));
        let symbol = self.symbol(&[left, right].concat());
        self.merges.entry(key).or_insert(Merge { rank, symbol });
    }
}
