//! Text to tokens and back.
//!
//! The tokenizers of GGUF files (byte-level BPE and SentencePiece with scores) give the same tokens as llama.cpp.
//! Control tokens come only out of text that the caller vouches for ([`Special::Parse`]); text of people and documents
//! cannot produce them, whatever it spells.

mod bpe;
mod special;
mod split;
mod spm;
mod stream;
mod vocabulary;
pub(crate) mod wordpiece;

use crate::gguf::GgufFile;
use crate::{EngineError, TokenId};
use bpe::Bpe;
use special::{Fragment, SpecialTokens};
use split::Split;
use spm::Spm;
pub use stream::TextStream;
use vocabulary::{Kind, Vocabulary};

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

/// What differs between the two families before the file's own settings are read.
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_space_prefix: bool,
}

impl Tokenizer {
    /// Reads the tokenizer of a GGUF file.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for another tokenizer family or split than those of this module.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, EngineError> {
        match file.require_text("tokenizer.ggml.model")? {
            "gpt2" => Self::read_bpe(file),
            "llama" => Self::read_spm(file),
            other => Err(EngineError::unsupported("tokenizer", format!("{other:?}; gpt2 and llama can be read"))),
        }
    }

    fn read_bpe(file: &GgufFile) -> Result<Self, EngineError> {
        let name = file.text("tokenizer.ggml.pre")?.unwrap_or("default");
        let (split, whole_words) = Split::by_name(name).ok_or_else(|| {
            let known = "smollm, qwen2, llama-bpe, gpt-2, default and their kin can be read";
            EngineError::unsupported("tokenizer split", format!("{name:?}; {known}"))
        })?;
        let vocabulary = Vocabulary::read(file, |text| {
            std::str::from_utf8(text).ok().and_then(bpe::alphabet_bytes).unwrap_or_else(|| text.to_vec())
        })?;
        let key = "tokenizer.ggml.merges";
        let merges = file.strings(key)?.ok_or_else(|| file.damaged(format!("{key} is missing")))?;
        let model = Model::Bpe(Bpe::new(&vocabulary, merges.iter(), split, whole_words));
        let add_bos = split == Split::Llama3 && whole_words;
        let defaults = Defaults { bos: None, eos: None, add_bos, add_space_prefix: false };
        Self::finish(file, vocabulary, model, &defaults)
    }

    fn read_spm(file: &GgufFile) -> Result<Self, EngineError> {
        let vocabulary =
            Vocabulary::read(file, |text| String::from_utf8_lossy(text).replace(spm::SPACE_MARK, " ").into_bytes())?;
        let scores = file.f32_list("tokenizer.ggml.scores")?.unwrap_or_else(|| vec![0.0; vocabulary.len()]);
        if scores.len() != vocabulary.len() || scores.iter().any(|score| score.is_nan()) {
            return Err(file.damaged(format!("{} tokens but {} usable scores", vocabulary.len(), scores.len())));
        }
        let unknown = special_id(file, "unknown_token_id", &vocabulary)?.or(Some(0));
        let model = Model::Spm(Spm::new(&vocabulary, scores, unknown));
        let defaults = Defaults { bos: Some(1), eos: Some(2), add_bos: true, add_space_prefix: true };
        Self::finish(file, vocabulary, model, &defaults)
    }

    fn finish(file: &GgufFile, vocabulary: Vocabulary, model: Model, defaults: &Defaults) -> Result<Self, EngineError> {
        let flag = |name: &str| file.flag(&format!("tokenizer.ggml.{name}"));
        let bos = special_id(file, "bos_token_id", &vocabulary)?.or(defaults.bos);
        let eos = special_id(file, "eos_token_id", &vocabulary)?.or(defaults.eos);
        let mut end: Vec<TokenId> = Vec::new();
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            end.extend(special_id(file, key, &vocabulary)?);
        }
        end.extend((0..vocabulary.len() as TokenId).filter(|&id| vocabulary::ends_generation(vocabulary.text(id))));
        end.sort_unstable();
        end.dedup();
        Ok(Self {
            special: SpecialTokens::new(&vocabulary),
            bos: bos.filter(|&id| (id as usize) < vocabulary.len()),
            eos: eos.filter(|&id| (id as usize) < vocabulary.len()),
            add_bos: flag("add_bos_token")?.unwrap_or(defaults.add_bos),
            add_eos: flag("add_eos_token")?.unwrap_or(false),
            add_space_prefix: flag("add_space_prefix")?.unwrap_or(defaults.add_space_prefix),
            end,
            vocabulary,
            model,
        })
    }

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
            Model::Bpe(bpe) => bpe.encode(text, out),
            Model::Spm(spm) => {
                let prefix = if self.add_space_prefix && after_special { spm::SPACE_MARK } else { "" };
                spm.encode(&[prefix, &text.replace(' ', spm::SPACE_MARK)].concat(), out);
            }
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
        let prefixed = self.add_space_prefix && matches!(self.model, Model::Spm(_));
        text.strip_prefix(' ').filter(|_| prefixed).unwrap_or(&text).to_owned()
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

/// A token named by the file; an id outside the vocabulary counts as not given.
fn special_id(file: &GgufFile, name: &str, vocabulary: &Vocabulary) -> Result<Option<TokenId>, EngineError> {
    Ok(file.u32(&format!("tokenizer.ggml.{name}"))?.filter(|&id| (id as usize) < vocabulary.len()))
}
