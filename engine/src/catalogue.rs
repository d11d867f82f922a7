//! What a model file is, and what it needs: read from headers alone, never from weights.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorInfo;

use crate::EngineError;
use crate::encoders::{EncoderConfig, read_bounded};
use crate::gguf::{GgufFile, TensorView};
use crate::kv::head_bytes;
use crate::mmap::FileBytes;
use crate::quant::{WeightType, packed_bytes};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// A decoder that writes text.
    Generate,
    /// An encoder that turns text into a vector.
    Embed,
    /// An encoder that gives a question and a passage a score.
    Rerank,
}

/// What a model file is.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// What it is for.
    pub role: ModelRole,
    /// Family, as the file names it: `llama`, `qwen2`, `bert`.
    pub architecture: String,
    /// How the weights are stored, for example `Q4_K_M`.
    pub quantisation: String,
    /// The name the file gives itself, or the file's own.
    pub name: String,
    /// Licence as the file states it.
    pub licence: Option<String>,
    /// Number of weights.
    pub parameters: u64,
    /// Most tokens the model was made for.
    pub context_length: u32,
    /// Width of the model, and of a vector it embeds to.
    pub embedding_length: u32,
    /// Number of layers.
    pub layers: u32,
    /// Number of tokens it knows.
    pub vocabulary: u32,
    /// Bytes on disk.
    pub file_bytes: u64,
    /// Bytes of keys and values for one token of context, at 16 bits; 0 for encoders.
    pub kv_bytes_per_token: u64,
    /// Width of the inner layer of a feed-forward block.
    pub feed_forward_length: u32,
    /// Attention heads.
    pub heads: u32,
    /// Bytes of the weights as stored.
    pub weights_bytes: u64,
    /// Bytes of the weights as they are held in memory while the model runs.
    pub packed_bytes: u64,
}

/// Memory that a model takes while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The weights, with what is packed anew at load.
    pub weights_bytes: u64,
    /// Keys and values at the context length asked for.
    pub kv_bytes: u64,
    /// Activations, logits and the vocabulary.
    pub work_bytes: u64,
}

impl MemoryNeed {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights_bytes.saturating_add(self.mapped_total())
    }

    /// What a decoder cannot do without when its weights are mapped from a file and the system drops them as it needs memory.
    /// It runs at the disk's speed then.
    pub fn mapped_total(&self) -> u64 {
        self.kv_bytes.saturating_add(self.work_bytes)
    }
}

/// Whether a model fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Whether the need is at most what is there.
    pub fits: bool,
    /// What it needs.
    pub need: MemoryNeed,
    /// What is there.
    pub available_bytes: u64,
}

/// Tokens that one forward pass computes at most; the activations of that many are held at once.
const PASS_TOKENS: u64 = 512;
/// Bytes of tokenizer tables for one token of the vocabulary, measured.
const TOKENIZER_BYTES_PER_TOKEN: u64 = 220;
/// The `pooling_type` of rerankers.
const RANK: u32 = 4;
/// Bounds beyond which a size in a file is taken for damage.
const LAYERS_MAX: u32 = 4096;
const WIDTH_MAX: u32 = 1 << 20;

impl ModelInfo {
    /// Reads what a GGUF file or a Hugging Face encoder folder says of itself.
    ///
    /// # Errors
    /// The file or folder cannot be read, is damaged, or is neither of the two.
    pub fn inspect(path: &Path) -> Result<Self, EngineError> {
        if path.is_dir() { inspect_folder(path) } else { Self::from_gguf(&GgufFile::open(path)?) }
    }

    /// What a GGUF file says of itself.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, EngineError> {
        let architecture = file.require_text("general.architecture")?.to_owned();
        let number = |name: &str| file.u32(&format!("{architecture}.{name}"));
        let require = |name: &str, max: u32| match number(name)? {
            Some(value) if (1..=max).contains(&value) => Ok(value),
            found => Err(file.damaged(format!("{architecture}.{name} is {found:?}, and 1 to {max} make sense"))),
        };
        let layers = require("block_count", LAYERS_MAX)?;
        let embedding_length = require("embedding_length", WIDTH_MAX)?;
        let heads = require("attention.head_count", WIDTH_MAX)?;
        let key_heads = file.unsigned_list(&format!("{architecture}.attention.head_count_kv"))?;
        let key_heads = key_heads.and_then(|list| list.into_iter().max()).unwrap_or(u64::from(heads));
        let head_dim = u64::from(number("attention.key_length")?.unwrap_or(embedding_length / heads));
        let value_dim = u64::from(number("attention.value_length")?.unwrap_or(embedding_length / heads));
        let stored = head_bytes(head_dim.max(value_dim).min(u64::from(WIDTH_MAX)));
        let role = match number("pooling_type")? {
            Some(RANK) if architecture.contains("bert") => ModelRole::Rerank,
            _ if architecture.contains("bert") => ModelRole::Embed,
            _ => ModelRole::Generate,
        };
        let parameters = file.tensors().map(|tensor| tensor.elements()).fold(0, u64::saturating_add);
        Ok(Self {
            packed_bytes: match role {
                ModelRole::Generate => file.tensors().map(|tensor| held_bytes(&tensor)).fold(0, u64::saturating_add),
                ModelRole::Embed | ModelRole::Rerank => parameters.saturating_mul(4),
            },
            role,
            quantisation: quantisation(file)?,
            name: file.text("general.name")?.unwrap_or(file.label()).to_owned(),
            licence: file.text("general.license")?.map(str::to_owned),
            parameters,
            context_length: require("context_length", u32::MAX)?,
            embedding_length,
            layers,
            vocabulary: file.strings("tokenizer.ggml.tokens")?.map_or(0, |tokens| tokens.len() as u32),
            file_bytes: file.file_bytes(),
            kv_bytes_per_token: u64::from(layers).saturating_mul(key_heads).saturating_mul(stored),
            feed_forward_length: number("feed_forward_length")?.unwrap_or(embedding_length.saturating_mul(4)),
            heads,
            weights_bytes: file.tensors().map(|tensor| tensor.bytes.len() as u64).sum(),
            architecture,
        })
    }

    /// Bits that a weight takes on disk, on average.
    pub fn bits_per_weight(&self) -> f64 {
        self.weights_bytes as f64 * 8.0 / self.parameters.max(1) as f64
    }

    /// Memory with a context of that many tokens: weights as packed at load (an encoder's as 32-bit floats), keys and values as 16-bit integers in pages of 64 tokens, and the activations of one pass, logits and tokenizer tables.
    pub fn memory(&self, context_tokens: u32) -> MemoryNeed {
        let inner = 8 * u64::from(self.embedding_length) + 4 * u64::from(self.feed_forward_length);
        let activations = PASS_TOKENS.saturating_mul(inner).saturating_mul(4);
        let vocabulary = u64::from(self.vocabulary).saturating_mul(TOKENIZER_BYTES_PER_TOKEN + 16);
        let work_bytes = match self.role {
            ModelRole::Generate => activations + vocabulary,
            // An encoder computes batches on each thread.
            ModelRole::Embed | ModelRole::Rerank => activations.saturating_mul(4) + vocabulary,
        };
        let tokens = u64::from(context_tokens).next_multiple_of(64);
        let kv_bytes = self.kv_bytes_per_token.saturating_mul(tokens);
        MemoryNeed { weights_bytes: self.packed_bytes, kv_bytes, work_bytes }
    }
}

/// What a decoder's tensor takes in memory: a vector is held as 32-bit floats, a matrix packed.
fn held_bytes(tensor: &TensorView<'_>) -> u64 {
    let rows = tensor.rows() as u64;
    if rows == 1 {
        return tensor.elements().saturating_mul(4);
    }
    // A type that cannot be run is counted as it is stored.
    WeightType::from_ggml(tensor.kind.id())
        .map_or(tensor.bytes.len() as u64, |kind| packed_bytes(kind, rows, tensor.dims[0]).unwrap_or(u64::MAX))
}

/// The name of the file's mixture of types, or the type that most of its bytes have.
fn quantisation(file: &GgufFile) -> Result<String, EngineError> {
    const NAMES: [(u32, &str); 36] = [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
        (36, "TQ1_0"),
        (37, "TQ2_0"),
        (38, "MXFP4"),
        (39, "NVFP4"),
        (40, "Q1_0"),
        (41, "Q2_0"),
    ];
    let file_type = file.u32("general.file_type")?;
    if let Some((_, name)) = NAMES.iter().find(|(id, _)| Some(*id) == file_type) {
        return Ok((*name).to_owned());
    }
    let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in file.tensors() {
        *bytes.entry(tensor.kind.name()).or_default() += tensor.bytes.len();
    }
    Ok(bytes.into_iter().max_by_key(|&(_, size)| size).map_or("none", |(name, _)| name).to_owned())
}

fn inspect_folder(folder: &Path) -> Result<ModelInfo, EngineError> {
    let config = EncoderConfig::read(folder)?;
    let weights = folder.join("model.safetensors");
    let bytes = FileBytes::map(&weights)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| EngineError::damaged("model.safetensors", 0, error.to_string()))?;
    let tensors = header.tensors();
    let elements = |info: &&TensorInfo| info.shape.iter().map(|&dim| dim as u64).product::<u64>();
    let largest = tensors.values().max_by_key(|info| elements(info));
    Ok(ModelInfo {
        role: if config.head_pooling.is_some() { ModelRole::Rerank } else { ModelRole::Embed },
        architecture: config.family.name().to_owned(),
        quantisation: largest.map_or_else(|| "none".to_owned(), |info| format!("{:?}", info.dtype)),
        name: config.name.clone().unwrap_or_else(|| folder.display().to_string()),
        licence: licence_of_readme(folder),
        parameters: tensors.values().map(elements).sum(),
        context_length: config.tokens_max as u32,
        embedding_length: config.width as u32,
        layers: config.layers as u32,
        vocabulary: config.vocabulary as u32,
        file_bytes: bytes.len() as u64,
        kv_bytes_per_token: 0,
        feed_forward_length: config.inner as u32,
        heads: config.heads as u32,
        weights_bytes: tensors.values().map(|info| (info.data_offsets.1 - info.data_offsets.0) as u64).sum(),
        packed_bytes: tensors.values().map(elements).fold(0, u64::saturating_add).saturating_mul(4),
    })
}

/// The licence in the head of a model card, if there is one.
fn licence_of_readme(folder: &Path) -> Option<String> {
    let bytes = read_bounded(&folder.join("README.md"), 1 << 20).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let head = text.strip_prefix("---")?.split("\n---").next()?;
    let line = head.lines().find_map(|line| line.strip_prefix("license:"))?;
    Some(line.trim().to_owned()).filter(|licence| !licence.is_empty())
}

/// Whether a model fits into the memory available with a context of that many tokens.
pub fn fit(info: &ModelInfo, context_tokens: u32, available_bytes: u64) -> Fit {
    let need = info.memory(context_tokens);
    Fit { fits: need.total() <= available_bytes, need, available_bytes }
}
