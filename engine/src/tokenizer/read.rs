//! Reading the tokenizer of a GGUF file: its family, and what each family takes for granted.

use super::bpe::{self, Bpe, Symbols};
use super::charsmap::CharsMap;
use super::seams::SPACE_MARK;
use super::special::{SpecialTokens, Strip};
use super::split::Pretokenizer;
use super::spm::Spm;
use super::unigram::{Piece, Pieces, Spaces};
use super::vocabulary::{Kind, Vocabulary};
use super::wordpiece::WordPiece;
use super::{Model, Tokenizer};
use crate::gguf::GgufFile;
use crate::{EngineError, TokenId};

/// What differs between the families before the file's own settings are read.
#[derive(Default)]
struct Defaults {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
}

impl Tokenizer {
    /// Reads the tokenizer of a GGUF file.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for another tokenizer family or split than those of this module.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, EngineError> {
        match file.require_text("tokenizer.ggml.model")? {
            "gpt2" => read_bpe(file, file.text("tokenizer.ggml.pre")?.unwrap_or("default")),
            "gemma4" => read_bpe(file, "gemma4"),
            "llama" => read_spm(file),
            "t5" => read_unigram(file),
            "bert" => read_wordpiece(file),
            other => {
                let known = "gpt2, gemma4, llama, t5 and bert can be read";
                Err(EngineError::unsupported("tokenizer", format!("{other:?}; {known}")))
            }
        }
    }

    fn finish(file: &GgufFile, vocabulary: Vocabulary, model: Model, defaults: &Defaults) -> Result<Self, EngineError> {
        let flag = |name: &str| file.flag(&format!("tokenizer.ggml.{name}"));
        let inside = |id: &TokenId| (*id as usize) < vocabulary.len();
        let bos = special_id(file, "bos_token_id", &vocabulary)?.or(defaults.bos).filter(inside);
        let eos = special_id(file, "eos_token_id", &vocabulary)?.or(defaults.eos).filter(inside);
        let mut end: Vec<TokenId> = Vec::new();
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            end.extend(special_id(file, key, &vocabulary)?);
        }
        end.extend((0..vocabulary.len() as TokenId).filter(|&id| vocabulary.ends_generation(id)));
        end.sort_unstable();
        end.dedup();
        let strips = Strips::of(file)?;
        Ok(Self {
            special: SpecialTokens::new(&vocabulary, |id| strips.of_token(vocabulary.text(id))),
            bos,
            eos,
            add_bos: flag("add_bos_token")?.unwrap_or(defaults.add_bos),
            add_eos: flag("add_eos_token")?.unwrap_or(defaults.add_eos),
            add_space_prefix: flag("add_space_prefix")?.unwrap_or(defaults.add_space_prefix),
            end,
            vocabulary,
            model,
        })
    }
}

fn read_bpe(file: &GgufFile, name: &str) -> Result<Tokenizer, EngineError> {
    let pretokenizer = Pretokenizer::by_name(name).ok_or_else(|| {
        EngineError::unsupported("tokenizer.ggml.pre", format!("{name:?} is no split of text that is known"))
    })?;
    let symbols = pretokenizer.symbols();
    let vocabulary = Vocabulary::read(file, |text| match symbols {
        Symbols::Bytes => std::str::from_utf8(text).ok().and_then(bpe::alphabet_bytes).unwrap_or_else(|| text.to_vec()),
        Symbols::Characters => unmarked(text),
    })?;
    let key = "tokenizer.ggml.merges";
    let merges = file.strings(key)?.ok_or_else(|| file.damaged(format!("{key} is missing")))?;
    let model = Model::Bpe(Bpe::new(&vocabulary, merges.iter(), pretokenizer, symbols));
    let defaults = Defaults { add_bos: pretokenizer.adds_bos, ..Defaults::default() };
    let mut tokenizer = Tokenizer::finish(file, vocabulary, model, &defaults)?;
    // Files of Gemma 4 are known that say otherwise by mistake.
    tokenizer.add_bos |= symbols == Symbols::Characters && pretokenizer.adds_bos;
    Ok(tokenizer)
}

fn read_spm(file: &GgufFile) -> Result<Tokenizer, EngineError> {
    let vocabulary = Vocabulary::read(file, unmarked)?;
    let scores = read_scores(file, &vocabulary)?;
    let unknown = special_id(file, "unknown_token_id", &vocabulary)?.or(Some(0));
    let model = Model::Spm(Spm::new(&vocabulary, &scores, unknown));
    let defaults =
        Defaults { bos: Some(1), eos: Some(2), add_bos: true, add_space_prefix: true, ..Defaults::default() };
    Tokenizer::finish(file, vocabulary, model, &defaults)
}

fn read_unigram(file: &GgufFile) -> Result<Tokenizer, EngineError> {
    let vocabulary = Vocabulary::read(file, unmarked)?;
    let scores = read_scores(file, &vocabulary)?;
    let unknown = special_id(file, "unknown_token_id", &vocabulary)?.unwrap_or(2);
    if unknown as usize >= vocabulary.len() {
        return Err(file.damaged("tokenizer.ggml.unknown_token_id is missing"));
    }
    let flag = |name: &str| Ok::<_, EngineError>(file.flag(&format!("tokenizer.ggml.{name}"))?.unwrap_or(false));
    let spaces =
        Spaces { prefix: flag("add_space_prefix")?, merged: flag("remove_extra_whitespaces")?, of_every_kind: false };
    let map = file.unsigned_list("tokenizer.ggml.precompiled_charsmap")?.unwrap_or_default();
    let map: Vec<u8> = map.into_iter().map(|byte| byte as u8).collect();
    let ids = 0..vocabulary.len() as TokenId;
    let normal = ids.clone().filter(|&id| vocabulary.kind(id) == Some(Kind::Normal));
    let score_min = normal.map(|id| scores[id as usize]).fold(f32::MAX, f32::min);
    let pieces = ids.filter(|&id| vocabulary.is_mergeable(id)).map(|id| {
        let user_defined = vocabulary.kind(id) == Some(Kind::UserDefined);
        let score = if user_defined { 0.0 } else { f64::from(scores[id as usize]) };
        Piece { text: vocabulary.text(id), id, score }
    });
    let pieces = Pieces::new(pieces, f64::from(score_min), unknown, CharsMap::read(&map)?, spaces);
    let defaults = Defaults { eos: Some(1), add_eos: true, ..Defaults::default() };
    Tokenizer::finish(file, vocabulary, Model::Unigram(pieces), &defaults)
}

fn read_wordpiece(file: &GgufFile) -> Result<Tokenizer, EngineError> {
    let vocabulary = Vocabulary::read(file, unmarked)?;
    let model = Model::WordPiece(WordPiece::from_gguf(file, &vocabulary)?);
    let named =
        |name: &str, other: TokenId| Ok::<_, EngineError>(special_id(file, name, &vocabulary)?.unwrap_or(other));
    let (opening, closing) = (named("cls_token_id", 101)?, named("seperator_token_id", 102)?);
    let defaults = Defaults { bos: Some(opening), eos: Some(closing), add_space_prefix: true, ..Defaults::default() };
    let mut tokenizer = Tokenizer::finish(file, vocabulary, model, &defaults)?;
    (tokenizer.add_bos, tokenizer.add_eos) = (true, true);
    Ok(tokenizer)
}

/// The bytes of a token that writes spaces as marks.
fn unmarked(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).replace(SPACE_MARK, " ").into_bytes()
}

fn read_scores(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Vec<f32>, EngineError> {
    let key = "tokenizer.ggml.scores";
    let scores = file.f32_list(key)?.unwrap_or_else(|| vec![0.0; vocabulary.len()]);
    if scores.len() != vocabulary.len() || scores.iter().any(|score| score.is_nan()) {
        let what = format!("{key} holds {} usable values for {} tokens", scores.len(), vocabulary.len());
        return Err(file.damaged(what));
    }
    Ok(scores)
}

/// A token named by the file; an id outside the vocabulary counts as not given.
pub(super) fn special_id(file: &GgufFile, name: &str, vocabulary: &Vocabulary) -> Result<Option<TokenId>, EngineError> {
    Ok(file.u32(&format!("tokenizer.ggml.{name}"))?.filter(|&id| (id as usize) < vocabulary.len()))
}

/// Which control tokens take white space beside them along. GGUF files do not say, so it goes by the model's name, as
/// in ggml's tokenizer.
enum Strips {
    None,
    /// The mask takes what is before it.
    Mask,
    /// Phi-3: all but a few take what is after them.
    Phi3,
}

impl Strips {
    fn of(file: &GgufFile) -> Result<Self, EngineError> {
        let name = file.text("general.name")?.unwrap_or_default().to_lowercase();
        let pre = file.text("tokenizer.ggml.pre")?.unwrap_or_default();
        let architecture = file.text("general.architecture")?.unwrap_or_default();
        let mask = ["jina-v2-de", "jina-v2-es", "jina-v2-code"].iter().any(|part| pre.contains(part))
            || ["nomic-bert-moe", "jina-bert-v3"].iter().any(|part| architecture.contains(part));
        Ok(if mask {
            Self::Mask
        } else if name.contains("phi-3") || name.contains("phi3") {
            Self::Phi3
        } else if name.contains("modern-bert") {
            Self::Mask
        } else {
            Self::None
        })
    }

    fn of_token(&self, text: &[u8]) -> Strip {
        match self {
            Self::Mask if text == b"<mask>" || text == b"[MASK]" => Strip::Before,
            Self::Phi3 if !matches!(text, b"<unk>" | b"<s>" | b"<|endoftext|>") => Strip::After,
            _ => Strip::Nothing,
        }
    }
}
