//! Decoders: one file for each architecture, and the parts that they share.
//!
//! A new architecture is a file with a struct that implements [`Decoder`] and a line in [`load`].

mod llama;
mod parts;
mod qwen2;
mod weights;

pub(crate) use parts::{Pass, Segment, Workspace};

use crate::EngineError;
use crate::gguf::GgufFile;
use crate::kernels::Needs;
use crate::kv::KvShape;
use crate::pool::Pool;
use crate::quant::Matrix;
use weights::Weights;

/// The sizes of a decoder.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    /// Values of a token between layers.
    pub(crate) width: usize,
    /// Heads of queries, and of keys and values.
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) head_dim: usize,
    /// Values inside the feed-forward part.
    pub(crate) inner: usize,
    pub(crate) vocabulary: usize,
    /// Most tokens the model was made for.
    pub(crate) context: usize,
    pub(crate) epsilon: f32,
}

impl Sizes {
    pub(crate) fn kv_shape(&self) -> KvShape {
        KvShape { layers: self.layers, heads: self.key_heads, dim: self.head_dim }
    }

    /// What matrices read that are no part of the attention's inputs: 8-bit integers, fine ones in narrow models.
    pub(crate) fn needs<'a>(&self, matrices: impl IntoIterator<Item = &'a Matrix>) -> Needs {
        let needs = Needs::of(matrices);
        if self.width <= FINE_WIDTH_MAX { needs.finely() } else { needs }
    }
}

/// Models up to this width are given fine inputs everywhere: over few columns the errors of rounding even out less, and these
/// models are read fast enough. Measured as mean divergence from the float model's next-token distribution: SmolLM2 135M
/// 0.0022 nats with 8 bits (llama.cpp: 0.0035) and 0.000001 with fine inputs; Qwen2.5-Coder 0.5B 0.0004 with 8 bits
/// (llama.cpp: 0.0011).
const FINE_WIDTH_MAX: usize = 640;

/// A decoder with its weights.
pub(crate) trait Decoder: Send + Sync + std::fmt::Debug {
    fn sizes(&self) -> &Sizes;

    /// Computes the tokens of the pass, stores their keys and values, and leaves the normalised states of all rows in it.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] between layers; what was stored then counts for nothing.
    fn forward(&self, pass: &mut Pass<'_>) -> Result<(), EngineError>;

    /// The logits of the rows that `rows` names, into `out`, row after row.
    fn logits(&self, pass: &mut Pass<'_>, rows: &[usize], out: &mut [f32]);
}

/// Loads the decoder in a file.
pub(crate) fn load(file: &GgufFile, pool: &Pool) -> Result<Box<dyn Decoder>, EngineError> {
    let architecture = file.require_text("general.architecture")?;
    let weights = Weights::new(file, architecture, pool);
    match architecture {
        "llama" => Ok(Box::new(llama::Llama::load(&weights)?)),
        "qwen2" => Ok(Box::new(qwen2::Qwen2::load(&weights)?)),
        other => Err(EngineError::unsupported("architecture", format!("{other}; this program runs llama and qwen2"))),
    }
}
