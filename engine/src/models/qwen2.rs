//! Qwen2 and Qwen2.5 (Yang et al. 2024): as llama, but with biases on queries, keys and values, and rotary positions on
//! halves.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Halves, &sizes)?);
    Decoder::load(weights, sizes, |layer| {
        let attention = SelfAttention::load(layer, &rope)?;
        attention.require_biases(layer)?;
        Ok(Layer { attention, feed_forward: FeedForward::Dense(Dense::load(layer, Gate::Silu)?) })
    })
}
