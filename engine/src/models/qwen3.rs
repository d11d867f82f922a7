//! Qwen3 (Yang et al. 2025): as llama, but rotary positions on halves, and each head of queries and keys is normalised
//! before it is rotated.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::self_attention::{HeadNorms, SelfAttention};
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Halves, &sizes)?);
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.head_norms = Some(HeadNorms::load(layer)?);
        Ok(Layer { attention, feed_forward: FeedForward::Dense(Dense::load(layer, Gate::Silu)?) })
    })
}
