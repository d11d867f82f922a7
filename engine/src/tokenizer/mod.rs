//! Text to tokens and back.
//!
//! The tokenizers of GGUF files (byte-pair encoding, SentencePiece with scores, Unigram, WordPiece) and of encoders in
//! the Hugging Face layout. Tokens are those of the model's own tokenizer; where ggml's differs from it, the module
//! concerned says so. Control tokens come only out of text that the caller vouches for ([`Special::Parse`]); text of
//! people and documents cannot produce them, whatever it spells.

mod added;
mod bpe;
mod charsmap;
mod encoder;
mod json;
mod lookup;
mod merging;
mod read;
mod seams;
mod special;
mod split;
mod spm;
mod stream;
mod unigram;
mod vocabulary;
mod wordpiece;

use crate::TokenId;
use bpe::Bpe;
pub use encoder::EncoderTokenizer;
pub use json::PairTokens;
use seams::SPACE_MARK;
use special::{Fragment, SpecialTokens};
use spm::Spm;
pub use stream::TextStream;
use unigram::Pieces;
use vocabulary::{Kind, Vocabulary};
use wordpiece::WordPiece;

/// What to do with text that looks like a control token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is text like any other: no control token can come out. For everything that people or documents wrote.
    AsText,
    /// It is read as the control token. For text of the program's own, such as a chat template's.
    Parse,
}

#[derive(Debug)]
enum Model {
    Bpe(Bpe),
    Spm(Spm),
    Unigram(Pieces),
    WordPiece(WordPiece),
}

/// The tokenizer of one model.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    special: SpecialTokens,
    model: Model,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
    end: Vec<TokenId>,
}

impl Tokenizer {
    /// The tokens of a text, without those that open or close a prompt.
    pub fn encode(&self, text: &str, special: Special) -> Vec<TokenId> {
        let whole = std::slice::from_ref(&(0..text.len())).to_vec();
        self.encode_text(text, if special == Special::Parse { &whole } else { &[] })
    }

    /// The tokens of several texts read as one. A control token is found only where it lies wholly within one text
    /// given with [`Special::Parse`]; words may reach across the seams, as they would in the joined text.
    pub fn encode_segments(&self, segments: &[(&str, Special)]) -> Vec<TokenId> {
        let mut text = String::with_capacity(segments.iter().map(|(part, _)| part.len()).sum());
        let mut trusted = Vec::new();
        for (part, special) in segments {
            let start = text.len();
            text.push_str(part);
            if *special == Special::Parse && !part.is_empty() {
                trusted.push(start..text.len());
            }
        }
        self.encode_text(&text, &trusted)
    }

    fn encode_text(&self, text: &str, trusted: &[std::ops::Range<usize>]) -> Vec<TokenId> {
        let mut out = Vec::with_capacity(text.len() / 3);
        let mut after_special = true;
        for fragment in self.special.cut(text, trusted) {
            match fragment {
                Fragment::Token(id) => {
                    out.push(id);
                    after_special = true;
                }
                Fragment::Text(range) => {
                    self.encode_plain(&text[range], after_special, &mut out);
                    after_special = false;
                }
            }
        }
        out
    }

    fn encode_plain(&self, text: &str, after_special: bool, out: &mut Vec<TokenId>) {
        match &self.model {
            Model::Bpe(bpe) if bpe.marks_spaces() => bpe.encode(&self.vocabulary, &text.replace(' ', SPACE_MARK), out),
            Model::Bpe(bpe) => bpe.encode(&self.vocabulary, text, out),
            Model::Spm(spm) => {
                let prefix = if self.add_space_prefix && after_special { SPACE_MARK } else { "" };
                spm.encode(&self.vocabulary, &[prefix, &text.replace(' ', SPACE_MARK)].concat(), out);
            }
            Model::Unigram(pieces) => pieces.encode(text, out),
            Model::WordPiece(pieces) => pieces.append(text, out),
        }
    }

    /// The tokens of a text with those that open and close a prompt as the model's file says.
    pub fn encode_prompt(&self, text: &str, special: Special) -> Vec<TokenId> {
        let mut ids: Vec<TokenId> = self.bos.filter(|_| self.add_bos).into_iter().collect();
        ids.extend(self.encode(text, special));
        ids.extend(self.eos.filter(|_| self.add_eos));
        ids
    }

    /// The text of tokens; control tokens are left out, bytes that are no UTF-8 become U+FFFD. The space that the
    /// model's file asks to be put before a text is taken off again.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let prefixed = self.add_space_prefix && self.marks_spaces();
        text.strip_prefix(' ').filter(|_| prefixed).unwrap_or(&text).to_owned()
    }

    fn marks_spaces(&self) -> bool {
        !matches!(&self.model, Model::Bpe(bpe) if !bpe.marks_spaces())
    }

    /// The bytes a token stands for; empty for control tokens and ids outside the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// The token's name in the file, for showing it; also for control tokens.
    pub fn token_name(&self, id: TokenId) -> String {
        String::from_utf8_lossy(self.vocabulary.text(id)).into_owned()
    }

    /// Whether the token steers the model instead of standing for text.
    pub fn is_control(&self, id: TokenId) -> bool {
        matches!(self.vocabulary.kind(id), Some(Kind::Control | Kind::Unknown))
    }

    /// The tokens that end a generation, in ascending order.
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.end
    }

    /// The token that opens a text.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    /// The token that closes a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// Whether the model's file asks for [`Tokenizer::bos`] before a prompt.
    pub fn adds_bos(&self) -> bool {
        self.add_bos && self.bos.is_some()
    }

    /// Number of tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    /// A decoder that hands out whole characters as tokens arrive.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }
}
