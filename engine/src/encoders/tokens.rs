//! Text to the tokens of an encoder: between an opening and a closing token, cut to what the model reads.

use std::collections::HashMap;
use std::path::Path;

use crate::gguf::GgufFile;
use crate::tokenizer::wordpiece::WordPiece;
use crate::tokenizer::{Special, Tokenizer};
use crate::{EngineError, TokenId};

/// The tokenizer of an encoder.
#[derive(Debug)]
pub(super) enum TextTokens {
    /// Of BERT and its kin.
    WordPiece(WordPiece),
    /// Any other that a GGUF file can hold, with the opening and the closing token.
    Other { tokenizer: Box<Tokenizer>, opening: TokenId, closing: TokenId },
}

/// What a GGUF file puts before pieces that begin a word.
const WORD_MARK: &str = "\u{2581}";

impl TextTokens {
    /// The tokenizer of a Hugging Face folder.
    pub(super) fn folder(folder: &Path) -> Result<Self, EngineError> {
        WordPiece::read(folder).map(Self::WordPiece)
    }

    /// The tokenizer of a GGUF file.
    pub(super) fn gguf(file: &GgufFile) -> Result<Self, EngineError> {
        if file.require_text("tokenizer.ggml.model")? == "bert" {
            return word_pieces(file).map(Self::WordPiece);
        }
        let tokenizer = Box::new(Tokenizer::from_gguf(file)?);
        let ends = tokenizer.bos().zip(tokenizer.eos());
        let (opening, closing) =
            ends.ok_or_else(|| file.damaged("an encoder's tokenizer needs tokens that open and close a text"))?;
        Ok(Self::Other { tokenizer, opening, closing })
    }

    /// The largest token that can come out.
    pub(super) fn largest_id(&self) -> TokenId {
        match self {
            Self::WordPiece(pieces) => pieces.largest_id(),
            Self::Other { tokenizer, .. } => tokenizer.vocabulary().saturating_sub(1) as TokenId,
        }
    }

    /// Tokens of a text, without the opening and the closing one.
    pub(super) fn count(&self, text: &str) -> usize {
        match self {
            Self::WordPiece(pieces) => pieces.count(text),
            Self::Other { tokenizer, .. } => tokenizer.encode(text, Special::AsText).len(),
        }
    }

    /// The tokens of a text between the opening and the closing one, at most `max` in all.
    pub(super) fn encode(&self, text: &str, max: usize) -> Vec<TokenId> {
        match self {
            Self::WordPiece(pieces) => pieces.encode(text, max),
            Self::Other { tokenizer, opening, closing } => {
                let mut ids = vec![*opening];
                ids.extend(tokenizer.encode(text, Special::AsText));
                ids.truncate(max.saturating_sub(1));
                ids.push(*closing);
                ids
            }
        }
    }
}

/// The vocabulary of a GGUF file, spelt as BERT's own files spell it: pieces that go on begin with `##`.
fn word_pieces(file: &GgufFile) -> Result<WordPiece, EngineError> {
    let key = "tokenizer.ggml.tokens";
    let tokens = file.strings(key)?.ok_or_else(|| file.damaged(format!("{key} is missing")))?;
    let mut vocabulary = HashMap::with_capacity(tokens.len());
    let mut lowercase = true;
    for (token, id) in tokens.iter().zip(0..) {
        let token = String::from_utf8_lossy(token);
        let piece = match token.strip_prefix(WORD_MARK) {
            Some(word) => word.to_owned(),
            None if token.starts_with('[') && token.ends_with(']') => token.into_owned(),
            None => format!("##{token}"),
        };
        lowercase &= piece.starts_with('[') || !piece.contains(|c: char| c.is_ascii_uppercase());
        vocabulary.insert(piece, id);
    }
    // The file does not say whether text is to be lowered: it is where no piece has a capital letter.
    WordPiece::from_vocabulary(vocabulary, lowercase)
}
