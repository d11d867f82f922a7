//! Text to tokens and back.

use crate::gguf::GgufFile;
use crate::{EngineError, TokenId};

/// What to do with text that looks like a control token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is text like any other: no control token can come out. For everything that people or documents wrote.
    AsText,
    /// It is read as the control token. For text of the program's own, such as a chat template's.
    Parse,
}

/// The tokenizer of one model.
#[derive(Debug)]
pub struct Tokenizer {
    end: Vec<TokenId>,
}

impl Tokenizer {
    /// Reads the tokenizer of a GGUF file.
    pub fn from_gguf(_file: &GgufFile) -> Result<Self, EngineError> {
        Ok(Self { end: Vec::new() })
    }

    /// The tokens of a text, without those that open or close a prompt.
    pub fn encode(&self, _text: &str, _special: Special) -> Vec<TokenId> {
        Vec::new()
    }

    /// The tokens of a text with those that open and close a prompt as the model's file says.
    pub fn encode_prompt(&self, text: &str, special: Special) -> Vec<TokenId> {
        self.encode(text, special)
    }

    /// The text of tokens; control tokens are left out, bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, _ids: &[TokenId]) -> String {
        String::new()
    }

    /// The bytes a token stands for; empty for control tokens and ids outside the vocabulary.
    pub fn token_bytes(&self, _id: TokenId) -> &[u8] {
        &[]
    }

    /// Whether the token steers the model instead of standing for text.
    pub fn is_control(&self, _id: TokenId) -> bool {
        false
    }

    /// The tokens that end a generation.
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.end
    }

    /// Number of tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        0
    }

    /// A decoder that hands out whole characters as tokens arrive.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, pending: Vec::new() }
    }
}

/// Turns tokens into text one by one, holding back bytes until they make a whole character.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
}

impl TextStream<'_> {
    /// The text that became whole with this token; it may be empty.
    pub fn push(&mut self, id: TokenId) -> String {
        self.pending.extend_from_slice(self.tokenizer.token_bytes(id));
        String::new()
    }

    /// What is left at the end; an unfinished character becomes U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
