//! Llama and its kin (Touvron et al. 2023): pre-norm, rotary positions on adjacent pairs, grouped heads, gated SiLU.
//!
//! - `x += output(attention(rotate(query(norm(x))), rotate(key(norm(x))), value(norm(x))))`
//! - `x += down(silu(gate(norm(x))) * up(norm(x)))`
//!
//! Mistral 7B (Jiang et al. 2023, with a sliding window in its first version), Mixtral (with experts), TinyLlama and SmolLM2
//! come under the same name.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::experts::Experts;
use super::feed_forward::{Dense, FeedForward};
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Adjacent, &sizes)?);
    let (window, has_experts) = (weights.window()?, weights.has_experts()?);
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.scoring.window = window;
        let feed_forward = if has_experts {
            FeedForward::Experts(Experts::load(layer, "ffn_norm", "feed_forward_length", Gate::Silu)?)
        } else {
            FeedForward::Dense(Dense::load(layer, Gate::Silu)?)
        };
        Ok(Layer { attention, feed_forward })
    })
}
