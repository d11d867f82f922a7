//! What an encoder says of itself: `config.json` of a Hugging Face folder, or the keys of a GGUF file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::families::{Family, RawConfig};
use crate::EngineError;
use crate::gguf::GgufFile;
use crate::kernels::gemm_i8::DEPTH_MAX;

/// Largest settings file that is read.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Bounds beyond which a size is taken for damage.
const LAYERS_MAX: usize = 256;
const WIDTH_MAX: usize = DEPTH_MAX;
const POSITIONS_MAX: usize = 1 << 16;
const VOCABULARY_MAX: usize = 1 << 22;

/// How token vectors become one text vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    First,
    /// The last one.
    Last,
}

/// What becomes of the inner values of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// The Gaussian error linear unit.
    Gelu,
    /// `x / (1 + exp(-x))`.
    Silu,
}

/// Layers that see only tokens near by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Local {
    /// How far they see on each side.
    pub(crate) reach: usize,
    /// Each layer whose number is a multiple of this sees all tokens nevertheless.
    pub(crate) every: usize,
}

/// The settings of an encoder.
#[derive(Debug, Clone)]
pub(crate) struct EncoderConfig {
    pub(crate) family: Family,
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) vocabulary: usize,
    /// Rows of the table of positions; with rotation the most tokens the model was made for.
    pub(crate) positions: usize,
    /// The row of the table that the first token takes.
    pub(crate) first_position: usize,
    /// Rows of the table of token types; none where there is no table.
    pub(crate) types: usize,
    pub(crate) epsilon: f32,
    pub(crate) tokens_max: usize,
    pub(crate) pooling: Pooling,
    pub(crate) activation: Activation,
    /// Bases of the rotation in layers that see everything and in local ones.
    pub(crate) rotary: Option<[f64; 2]>,
    pub(crate) local: Option<Local>,
    /// What the head of a reranker reads; none where the model is no reranker.
    pub(crate) head_pooling: Option<Pooling>,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct RawSentence {
    max_seq_length: usize,
}

#[derive(Deserialize)]
struct RawTokenizer {
    /// Some files write a number beyond all integers.
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct RawPooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

impl EncoderConfig {
    /// Reads `config.json`, and if they are there `sentence_bert_config.json` or else `tokenizer_config.json` (most tokens of a
    /// text) and `1_Pooling/config.json`. What `tokenizer.json` says of truncation is not looked at: it is a leftover of training.
    pub(crate) fn read(folder: &Path) -> Result<Self, EngineError> {
        let raw: RawConfig = require(&folder.join("config.json"))?;
        let mut config = raw.settings()?;
        let sentence: Option<RawSentence> = optional(&folder.join("sentence_bert_config.json"))?;
        if let Some(sentence) = sentence {
            config.tokens_max = config.tokens_max.min(sentence.max_seq_length);
        } else if let Some(tokenizer) = optional::<RawTokenizer>(&folder.join("tokenizer_config.json"))? {
            // The conversion cuts off at both ends of the integers.
            let most = tokenizer.model_max_length.filter(|most| *most >= 1.0).map(|most| most as usize);
            config.tokens_max = config.tokens_max.min(most.unwrap_or(usize::MAX));
        }
        config.pooling = match config.head_pooling {
            Some(pooling) => pooling,
            None => pooling(folder)?,
        };
        config.checked("config.json")
    }

    /// Reads the keys of a GGUF file whose architecture is an encoder's.
    pub(crate) fn from_gguf(file: &GgufFile) -> Result<Self, EngineError> {
        super::families::gguf_settings(file)?.checked(file.label())
    }

    fn checked(self, file: &str) -> Result<Self, EngineError> {
        let sizes = [
            ("the width", self.width, WIDTH_MAX),
            ("the number of layers", self.layers, LAYERS_MAX),
            ("the number of heads", self.heads, WIDTH_MAX),
            ("the inner width", self.inner, WIDTH_MAX),
            ("the vocabulary", self.vocabulary, VOCABULARY_MAX),
            ("the number of positions", self.positions, POSITIONS_MAX),
            ("the number of token types", self.types.max(1), WIDTH_MAX),
        ];
        for (name, value, max) in sizes {
            if !(1..=max).contains(&value) {
                let what = format!("{name} is {value}, and 1 to {max} make sense");
                return Err(EngineError::damaged(file, 0, what));
            }
        }
        if !self.width.is_multiple_of(self.heads) || self.tokens_max < 3 {
            return Err(EngineError::damaged(file, 0, "heads do not divide the width, or texts of no token"));
        }
        if self.rotary.is_some() && !self.head_dim().is_multiple_of(2) {
            return Err(EngineError::damaged(file, 0, "heads of an odd size cannot be rotated"));
        }
        if !self.epsilon.is_finite() || self.epsilon < 0.0 {
            return Err(EngineError::damaged(file, 0, format!("the norms' epsilon is {}", self.epsilon)));
        }
        Ok(self)
    }

    pub(crate) fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    /// How far a layer sees, where it does not see everything.
    pub(crate) fn window(&self, layer: usize) -> Option<usize> {
        self.local.filter(|local| !layer.is_multiple_of(local.every)).map(|local| local.reach)
    }
}

fn pooling(folder: &Path) -> Result<Pooling, EngineError> {
    let Some(raw) = optional::<RawPooling>(&folder.join("1_Pooling").join("config.json"))? else {
        return Ok(Pooling::Mean);
    };
    match (raw.pooling_mode_mean_tokens, raw.pooling_mode_cls_token, raw.pooling_mode_lasttoken) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::First),
        (false, false, true) => Ok(Pooling::Last),
        _ => Err(EngineError::unsupported("pooling", "mean, first or last token can be run, one of them")),
    }
}

fn require<T: DeserializeOwned>(path: &Path) -> Result<T, EngineError> {
    let bytes = read_bounded(path, SETTINGS_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|error| damaged_json(path, &error))
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    if path.is_file() { require(path).map(Some) } else { Ok(None) }
}

pub(crate) fn damaged_json(path: &Path, error: &serde_json::Error) -> EngineError {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    EngineError::damaged(&name, 0, error.to_string())
}

/// The bytes of a file that must not be longer than `max`.
pub(crate) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, EngineError> {
    let file = File::open(path).map_err(|cause| EngineError::io("open", path, cause))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|cause| EngineError::io("read", path, cause))?;
    if bytes.len() as u64 > max {
        return Err(EngineError::damaged(&path.display().to_string(), max, format!("longer than {max} bytes")));
    }
    Ok(bytes)
}
