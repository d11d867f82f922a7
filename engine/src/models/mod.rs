//! Decoders: one file for each architecture, and the parts that they are made of.
//!
//! Every architecture is a [`Decoder`]: an embedding, layers of attention and feed-forward part, and a head. The forward
//! pass runs through `decoder.rs` (the layers), `self_attention.rs`, `feed_forward.rs` or `experts.rs`, and `head.rs`. An
//! architecture's own file takes the parts out of the model file and says where they differ from the plain ones; whatever a
//! model file holds that its architecture's file did not ask for is refused.
//!
//! A new architecture is a file with a `load` function and a line in [`load`].

mod adapter;
mod decoder;
mod experts;
mod feed_forward;
mod gemma2;
mod gemma3;
mod gpt_oss;
mod granite;
mod head;
mod linear;
mod llama;
mod mistral3;
mod pass;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3moe;
mod rotation;
mod self_attention;
mod smollm3;
mod weights;

pub use adapter::Adapter;
pub(crate) use decoder::Decoder;
pub(crate) use pass::{Pass, Segment, Workspace};

use crate::EngineError;
use crate::gguf::GgufFile;
use crate::kernels::Needs;
use crate::packed::Store;
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
    pub(crate) vocabulary: usize,
    /// Most tokens the model was made for.
    pub(crate) context: usize,
    /// Of the root mean square norms.
    pub(crate) epsilon: f32,
}

impl Sizes {
    /// What matrices of the layers read: 8-bit integers, fine ones in narrow models.
    pub(crate) fn needs<'a>(&self, matrices: impl IntoIterator<Item = &'a Matrix>) -> Needs {
        let needs = Needs::of(matrices);
        if self.width <= FINE_WIDTH_MAX { needs.finely() } else { needs }
    }
}

/// Models up to this width are given fine inputs everywhere: over few columns the errors of rounding even out less. Measured as
/// mean divergence from the float model's next-token distribution, in nats, with 8 bits and with fine inputs: SmolLM2 135M
/// 0.0034 and 0.000001 (llama.cpp: 0.0035), and with fine queries, keys and values alone, 0.0022, one of 1,167 clear choices is
/// another. Wider models with 8 bits: Qwen2.5-Coder 0.5B 0.00057 (llama.cpp: 0.0011), 1.5B 0.00087 (0.014).
const FINE_WIDTH_MAX: usize = 640;

type Loader = fn(&Weights<'_>) -> Result<Decoder, EngineError>;

/// The architectures that [`load`] knows, by their names in GGUF files.
const ARCHITECTURES: [(&str, Loader); 11] = [
    ("llama", llama::load),
    ("qwen2", qwen2::load),
    ("qwen3", qwen3::load),
    ("mistral3", mistral3::load),
    ("gemma2", gemma2::load),
    ("gemma3", gemma3::load),
    ("phi3", phi3::load),
    ("granite", granite::load),
    ("smollm3", smollm3::load),
    ("qwen3moe", qwen3moe::load),
    ("gpt-oss", gpt_oss::load),
];

/// Loads the decoder in a file, for sequences of up to `context_tokens`.
///
/// # Errors
/// [`EngineError::Unsupported`] for an architecture that is not known, and for every setting and tensor of a known one that
/// its loader did not ask for; [`EngineError::Damaged`] for what is missing or has the wrong shape.
pub(crate) fn load(
    file: &GgufFile,
    pool: &Pool,
    context_tokens: usize,
    store: &Store<'_>,
) -> Result<Decoder, EngineError> {
    let architecture = file.require_text("general.architecture")?;
    let Some((_, load)) = ARCHITECTURES.iter().find(|(name, _)| *name == architecture) else {
        let known = ARCHITECTURES.map(|(name, _)| name).join(", ");
        return Err(EngineError::unsupported("architecture", format!("{architecture}; this program runs {known}")));
    };
    let weights = Weights::new(file, architecture, (pool, store), context_tokens);
    let decoder = load(&weights)?;
    weights.refuse_the_rest()?;
    Ok(decoder)
}
