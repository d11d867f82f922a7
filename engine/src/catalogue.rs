//! What a model file is, and what it needs: read from headers alone, never from weights.

use std::path::Path;

use crate::EngineError;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// A decoder that writes text.
    Generate,
    /// An encoder that turns text into a vector.
    Embed,
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
        self.weights_bytes.saturating_add(self.kv_bytes).saturating_add(self.work_bytes)
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

impl ModelInfo {
    /// Reads what a GGUF file or a Hugging Face encoder folder says of itself.
    pub fn inspect(_path: &Path) -> Result<Self, EngineError> {
        Err(EngineError::unsupported("operation", "inspection is not part of this build"))
    }

    /// Memory with a context of that many tokens.
    pub fn memory(&self, context_tokens: u32) -> MemoryNeed {
        MemoryNeed {
            weights_bytes: self.weights_bytes,
            kv_bytes: self.kv_bytes_per_token.saturating_mul(u64::from(context_tokens)),
            work_bytes: 0,
        }
    }
}

/// Whether a model fits into the memory available with a context of that many tokens.
pub fn fit(info: &ModelInfo, context_tokens: u32, available_bytes: u64) -> Fit {
    let need = info.memory(context_tokens);
    Fit { fits: need.total() <= available_bytes, need, available_bytes }
}
