//! What a Hugging Face encoder folder says of itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::EngineError;
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
}

/// The settings of a BERT encoder.
#[derive(Debug, Clone)]
pub(crate) struct BertConfig {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) types: usize,
    pub(crate) epsilon: f32,
    pub(crate) tokens_max: usize,
    pub(crate) pooling: Pooling,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "small")]
    layer_norm_eps: f32,
    position_embedding_type: Option<String>,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn small() -> f32 {
    1e-12
}

#[derive(Deserialize)]
struct RawSentence {
    max_seq_length: usize,
}

#[derive(Deserialize)]
struct RawPooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

impl BertConfig {
    /// Reads `config.json`, and if they are there `sentence_bert_config.json` (most tokens of a text) and
    /// `1_Pooling/config.json`. What `tokenizer.json` says of truncation is not looked at: it is a leftover of training.
    pub(crate) fn read(folder: &Path) -> Result<Self, EngineError> {
        let raw: RawConfig = require(&folder.join("config.json"))?;
        if raw.model_type != "bert" {
            return Err(EngineError::unsupported(
                "architecture",
                format!("{}; of encoders bert can be run", raw.model_type),
            ));
        }
        if raw.hidden_act != "gelu" {
            return Err(EngineError::unsupported(
                "activation",
                format!("{}; bert with gelu can be run", raw.hidden_act),
            ));
        }
        if raw.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return Err(EngineError::unsupported("position embedding", "only absolute positions can be run"));
        }
        let sentence: Option<RawSentence> = optional(&folder.join("sentence_bert_config.json"))?;
        let config = Self {
            width: within("hidden_size", raw.hidden_size, WIDTH_MAX)?,
            layers: within("num_hidden_layers", raw.num_hidden_layers, LAYERS_MAX)?,
            heads: within("num_attention_heads", raw.num_attention_heads, WIDTH_MAX)?,
            inner: within("intermediate_size", raw.intermediate_size, WIDTH_MAX)?,
            vocabulary: within("vocab_size", raw.vocab_size, VOCABULARY_MAX)?,
            positions: within("max_position_embeddings", raw.max_position_embeddings, POSITIONS_MAX)?,
            types: within("type_vocab_size", raw.type_vocab_size, WIDTH_MAX)?,
            epsilon: raw.layer_norm_eps,
            tokens_max: sentence
                .map_or(raw.max_position_embeddings, |s| s.max_seq_length.min(raw.max_position_embeddings)),
            pooling: pooling(folder)?,
            name: raw.name,
        };
        if !config.width.is_multiple_of(config.heads) || config.tokens_max < 3 {
            return Err(EngineError::damaged("config.json", 0, "heads do not divide the width, or texts of no token"));
        }
        Ok(config)
    }

    pub(crate) fn head_dim(&self) -> usize {
        self.width / self.heads
    }
}

fn pooling(folder: &Path) -> Result<Pooling, EngineError> {
    match optional::<RawPooling>(&folder.join("1_Pooling").join("config.json"))? {
        None | Some(RawPooling { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false }) => Ok(Pooling::Mean),
        Some(RawPooling { pooling_mode_mean_tokens: false, pooling_mode_cls_token: true }) => Ok(Pooling::First),
        Some(_) => Err(EngineError::unsupported("pooling", "mean or first token can be run, one of them")),
    }
}

fn within(name: &str, value: usize, max: usize) -> Result<usize, EngineError> {
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(EngineError::damaged("config.json", 0, format!("{name} is {value}, and 1 to {max} make sense")))
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
