//! Phi-3 and Phi-4-mini (Abdin et al. 2024): as llama, but rotary positions on halves of a part of each head, with factors
//! for long contexts (LongRoPE), and matrices that read the same input kept in one tensor.

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
    let window = weights.window()?;
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.scoring.window = window;
        Ok(Layer { attention, feed_forward: FeedForward::Dense(Dense::load_fused(layer, Gate::Silu)?) })
    })
}
