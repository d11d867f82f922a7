//! Encoders: text to vectors.

mod config;

pub(crate) use config::{BertConfig, read_bounded};

use std::path::Path;

use crate::catalogue::ModelInfo;
use crate::{EngineError, TokenId};

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    info: ModelInfo,
}

impl Encoder {
    /// Loads a Hugging Face encoder folder.
    pub fn load(_path: &Path, _threads: usize) -> Result<Self, EngineError> {
        Err(EngineError::unsupported("operation", "the encoder is not part of this build"))
    }

    /// What the folder is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Length of a vector.
    pub fn dimension(&self) -> usize {
        self.info.embedding_length as usize
    }

    /// Most tokens of a text that are read, with the two special ones.
    pub fn tokens_max(&self) -> usize {
        self.info.context_length as usize
    }

    /// Tokens of a text, without special tokens and not cut.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.tokenize(text).len()
    }

    /// The tokens of a text as the model reads them: with special tokens, cut to `tokens_max`.
    pub fn tokenize(&self, _text: &str) -> Vec<TokenId> {
        Vec::new()
    }

    /// One vector of length 1 for each text, in the order of the texts.
    pub fn embed(&self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        Err(EngineError::unsupported("operation", "the encoder is not part of this build"))
    }
}
