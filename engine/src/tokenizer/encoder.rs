//! The tokenizers of encoders: a text's pieces between the tokens that open and close it.

use std::collections::HashMap;
use std::path::Path;

use super::bpe::BytePairs;
use super::json::{Frame, PairTokens, TokenizerJson};
use super::seams::SPACE_MARK;
use super::unigram::{Pieces, UnigramFile};
use super::wordpiece::WordPiece;
use super::{Special, Tokenizer};
use crate::gguf::GgufFile;
use crate::{EngineError, TokenId};

/// The tokenizer of an encoder.
///
/// Control tokens never come out of text: `[SEP]` in a document is text like any other.
#[derive(Debug)]
pub struct EncoderTokenizer {
    cutter: Cutter,
    frame: Frame,
    largest_id: TokenId,
}

#[derive(Debug)]
enum Cutter {
    WordPiece(WordPiece),
    Unigram(Pieces),
    BytePairs(Box<BytePairs>),
    /// Any other that a GGUF file can hold.
    Gguf(Box<Tokenizer>),
}

impl EncoderTokenizer {
    /// Reads the tokenizer of a Hugging Face folder: `tokenizer.json` with a WordPiece, a Unigram or byte-level byte pairs, or
    /// `vocab.txt` of BERT where there is none.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a model, a step or an added token that is not known, by name;
    /// [`EngineError::Damaged`] or [`EngineError::Io`] for a file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Ok(Self::of_pieces(WordPiece::from_list(folder)?));
        }
        let json = TokenizerJson::read(&path)?;
        match json.kind()?.as_str() {
            "WordPiece" => {
                let (pieces, processor) = WordPiece::from_json(&json)?;
                match processor.filter(|processor| !processor.is_null()) {
                    Some(processor) => {
                        let largest_id = pieces.largest_id();
                        Ok(Self::new(Cutter::WordPiece(pieces), Frame::read(Some(&processor))?, largest_id))
                    }
                    None => Ok(Self::of_pieces(pieces)),
                }
            }
            "Unigram" => {
                let UnigramFile { pieces, largest_id, post_processor } = UnigramFile::read(&json)?;
                Ok(Self::new(Cutter::Unigram(pieces), Frame::read(post_processor.as_ref())?, largest_id))
            }
            "BPE" => {
                let (pairs, processor) = BytePairs::from_json(&json)?;
                let largest_id = pairs.largest_id();
                Ok(Self::new(Cutter::BytePairs(Box::new(pairs)), Frame::read(processor.as_ref())?, largest_id))
            }
            other => {
                let known = "WordPiece, Unigram and BPE can be read";
                Err(EngineError::unsupported("tokenizer", format!("{other:?}; for encoders {known}")))
            }
        }
    }

    /// The tokenizer of a GGUF file. It does not say how two texts are put together: with one closing token between them in
    /// models of BERT's line, with two in those of RoBERTa's, which bring Unigrams or, unless they are ModernBERT, byte pairs.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, EngineError> {
        if file.require_text("tokenizer.ggml.model")? == "bert" {
            return word_pieces(file).map(Self::of_pieces);
        }
        let tokenizer = Box::new(Tokenizer::from_gguf(file)?);
        let ends = tokenizer.bos().zip(tokenizer.eos());
        let (opening, closing) =
            ends.ok_or_else(|| file.damaged("an encoder's tokenizer needs tokens that open and close a text"))?;
        let separators = if file.require_text("general.architecture")? == "modern-bert" { 1 } else { 2 };
        let between = vec![closing; separators];
        let frame = Frame { opening: vec![opening], between, closing: vec![closing], second_type: false };
        let largest_id = tokenizer.vocabulary().saturating_sub(1) as TokenId;
        Ok(Self::new(Cutter::Gguf(tokenizer), frame, largest_id))
    }

    fn new(cutter: Cutter, frame: Frame, largest_id: TokenId) -> Self {
        let largest_id = frame.tokens().fold(largest_id, TokenId::max);
        Self { cutter, frame, largest_id }
    }

    /// Pieces in the frame of BERT.
    fn of_pieces(pieces: WordPiece) -> Self {
        let (opening, closing) = pieces.ends();
        let largest_id = pieces.largest_id();
        Self::new(Cutter::WordPiece(pieces), Frame::of_bert(opening, closing), largest_id)
    }

    /// The largest token that can come out.
    pub fn largest_id(&self) -> TokenId {
        self.largest_id
    }

    /// Tokens that stand around and between two texts given together.
    pub fn pair_frame_tokens(&self) -> usize {
        self.frame.pair_tokens()
    }

    /// The tokens of a text without those that open and close it.
    pub fn pieces(&self, text: &str) -> Vec<TokenId> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.append(text, usize::MAX, &mut ids);
        ids
    }

    /// Appends the tokens of a text; what lies beyond the first `most` may be left out.
    fn append(&self, text: &str, most: usize, out: &mut Vec<TokenId>) {
        match &self.cutter {
            Cutter::WordPiece(pieces) => pieces.append_most(text, most, out),
            Cutter::Unigram(pieces) => pieces.encode(text, out),
            Cutter::BytePairs(pairs) => pairs.append(text, out),
            Cutter::Gguf(tokenizer) => out.extend(tokenizer.encode(text, Special::AsText)),
        }
    }

    /// The number of tokens of a whole text, without those that open and close it.
    pub fn count(&self, text: &str) -> usize {
        self.pieces(text).len()
    }

    /// The tokens of a text between those that open and close it, at most `max` in all.
    pub fn encode(&self, text: &str, max: usize) -> Vec<TokenId> {
        let room = max.saturating_sub(self.frame.single_tokens());
        let mut ids = self.frame.opening.clone();
        self.append(text, room, &mut ids);
        ids.truncate(self.frame.opening.len() + room);
        ids.extend_from_slice(&self.frame.closing);
        ids
    }

    /// The tokens of two texts given together, as to a reranker, from their [`EncoderTokenizer::pieces`]; at most `max` in
    /// all. The longer text is cut first, both to half the room where the shorter one takes more than that.
    pub fn pair(&self, first: &[TokenId], second: &[TokenId], max: usize) -> PairTokens {
        self.frame.pair(first, second, max)
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
        let piece = match token.strip_prefix(SPACE_MARK) {
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
