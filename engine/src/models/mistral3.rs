//! Ministral 3 (Mistral AI 2025): as llama, with positions stretched by YaRN, and scores that grow with the logarithm of
//! the position beyond the original context.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::attention::Temperature;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Adjacent, &sizes)?);
    let scale = weights.float("attention.temperature_scale")?.filter(|&scale| scale != 0.0);
    let length = weights.original_context()?;
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.scoring.temperature = scale.map(|scale| Temperature { scale, length });
        Ok(Layer { attention, feed_forward: FeedForward::Dense(Dense::load(layer, Gate::Silu)?) })
    })
}
