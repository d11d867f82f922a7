//! Byte-pair encoding.
//!
//! Each byte of a word (or each character, see [`Symbols`]) is a symbol; of all neighbouring pairs with a merge rule,
//! the one with the lowest rank, leftmost first, becomes one symbol, until no rule applies. (Sennrich et al. 2016; the
//! byte alphabet is that of GPT-2.)

mod json;
mod merges;

use std::collections::HashMap;

use super::lookup::{Remembered, TokenTable, Wholeness};
use super::merging::{Merge, Merging, NONE, Symbol};
use super::seams::Seams;
use super::split::Pretokenizer;
use super::vocabulary::{Kind, Vocabulary};
use crate::TokenId;
pub(super) use json::BytePairs;
use merges::{Builder, Merges, is_alphabet, key_of, pair};
pub(super) use merges::{PairHasher, alphabet_bytes};

/// What a word is made of before merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbols {
    /// Bytes; tokens and merges are written in the alphabet of GPT-2.
    Bytes,
    /// Characters, with the space written as U+2581. What becomes no token is given byte by byte.
    Characters,
}

/// The merge rules of one model.
#[derive(Debug)]
pub(super) struct Bpe {
    pretokenizer: Pretokenizer,
    symbols: Symbols,
    merges: Merges,
    /// Symbols that are no tokens but steps on the way, numbered from the vocabulary's size on.
    steps: HashMap<Box<[u8]>, u32>,
    /// Tokens by the text that merging knows them by.
    words: TokenTable,
    wholeness: Wholeness,
    /// Symbol of each byte.
    byte_symbols: Vec<u32>,
    /// Token of each byte, or `NONE`.
    byte_tokens: Vec<u32>,
    seams: Seams,
}

impl Bpe {
    /// Builds the rules from the merge list, whose lines are two token texts with a space between.
    ///
    /// Lines that name characters outside the alphabet can never apply and are passed over.
    pub(super) fn new<'a>(
        vocabulary: &Vocabulary,
        lines: impl ExactSizeIterator<Item = &'a [u8]>,
        pretokenizer: Pretokenizer,
        symbols: Symbols,
    ) -> Self {
        let key = |id: TokenId| key_of(vocabulary, symbols, id);
        let ids: Vec<TokenId> = (0..vocabulary.len() as TokenId)
            .filter(|&id| vocabulary.is_mergeable(id) && !key(id).is_empty())
            .filter(|&id| symbols == Symbols::Characters || is_written_in_alphabet(vocabulary, id))
            .collect();
        let words = TokenTable::new(&ids, key);
        let mut builder = Builder::new(vocabulary, symbols, &words, lines.len());
        for (rank, line) in lines.enumerate() {
            builder.add(rank as u32, line);
        }
        let byte_symbols: Vec<u32> = (0..=255).map(|byte| builder.symbol(&[byte])).collect();
        let Builder { steps, merges, .. } = builder;
        let (byte_tokens, seams) = match symbols {
            Symbols::Bytes => {
                let tokens =
                    byte_symbols.iter().map(|&symbol| if is_token(vocabulary, symbol) { symbol } else { NONE });
                (tokens.collect(), Seams::default())
            }
            Symbols::Characters => {
                let texts = ids.iter().map(|&id| key(id)).chain(steps.keys().map(AsRef::as_ref));
                (vocabulary.byte_tokens(), Seams::of(texts))
            }
        };
        let wholeness = Wholeness::new(vocabulary.len());
        Self { pretokenizer, symbols, merges, steps, words, wholeness, byte_symbols, byte_tokens, seams }
    }

    /// Whether each byte by itself is a token.
    fn knows_all_bytes(&self) -> bool {
        self.byte_tokens.iter().all(|&id| id != NONE)
    }

    /// Whether tokens write a space as U+2581.
    pub(super) fn marks_spaces(&self) -> bool {
        self.symbols == Symbols::Characters
    }

    /// Appends the tokens of a text without control tokens.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<TokenId>) {
        let mut merging = Merging::default();
        let mut remembered = Remembered::new(text.len());
        let mut take = |word| {
            remembered.repeat_or(word, out, |word, out| self.word(vocabulary, word, &mut merging, out));
        };
        self.pretokenizer.split.words(text, &mut |word| match self.symbols {
            Symbols::Bytes => take(word),
            Symbols::Characters => self.seams.pieces(word, &mut take),
        });
    }

    fn word(&self, vocabulary: &Vocabulary, word: &str, merging: &mut Merging, out: &mut Vec<TokenId>) {
        let found = self.words.get(word.as_bytes(), |id| key_of(vocabulary, self.symbols, id));
        let Some(id) = found else { return self.merge_word(vocabulary, word, merging, out) };
        // Runs of line feeds are taken whole where words are whole lines.
        let always = self.pretokenizer.whole_words || self.symbols == Symbols::Characters && word.starts_with('\n');
        if always || self.wholeness.of(id) == Some(true) {
            return out.push(id);
        }
        let start = out.len();
        self.merge_word(vocabulary, word, merging, out);
        if self.wholeness.of(id).is_none() {
            self.wholeness.set(id, out[start..] == [id]);
        }
    }

    fn merge_word(&self, vocabulary: &Vocabulary, word: &str, merging: &mut Merging, out: &mut Vec<TokenId>) {
        let merge =
            |left: Symbol, right: Symbol| self.merges.get(&pair(left.id, right.id)).copied().unwrap_or(Merge::NEVER);
        let merged = match self.symbols {
            Symbols::Bytes => {
                let bytes = word.bytes().zip(0..);
                let symbols = bytes.map(|(byte, start)| (start, self.byte_symbols[usize::from(byte)]));
                merging.run(symbols.map(|(start, symbol)| Symbol { start, bytes: 1, id: symbol }), merge)
            }
            Symbols::Characters => {
                merging.run(word.char_indices().map(|(start, c)| self.character(vocabulary, start as u32, c)), merge)
            }
        };
        for symbol in merged {
            if is_token(vocabulary, symbol.id) {
                out.push(symbol.id);
            } else {
                // A byte that the vocabulary does not know gives no token.
                let tokens = symbol.of(word).iter().map(|&byte| self.byte_tokens[usize::from(byte)]);
                out.extend(tokens.filter(|&id| id != NONE));
            }
        }
    }

    /// The symbol of a character; one that is in no token and no rule has none, and merges with nothing.
    fn character(&self, vocabulary: &Vocabulary, start: u32, c: char) -> Symbol {
        let mut buffer = [0; 4];
        let text = c.encode_utf8(&mut buffer).as_bytes();
        let token = self.words.get(text, |id| key_of(vocabulary, self.symbols, id));
        let symbol = token.or_else(|| self.steps.get(text).copied()).unwrap_or(NONE);
        Symbol { start, bytes: text.len() as u32, id: symbol }
    }
}

/// Whether merging can make the token: one whose text is no bytes of the alphabet stands for itself, and may name the
/// same bytes as another.
fn is_written_in_alphabet(vocabulary: &Vocabulary, id: TokenId) -> bool {
    let text = vocabulary.text(id);
    if vocabulary.kind(id) == Some(Kind::UserDefined) {
        return text.iter().all(u8::is_ascii_graphic);
    }
    std::str::from_utf8(text).is_ok_and(is_alphabet)
}

/// Whether a symbol is a token; those from the vocabulary's size on are steps.
fn is_token(vocabulary: &Vocabulary, symbol: u32) -> bool {
    (symbol as usize) < vocabulary.len()
}
