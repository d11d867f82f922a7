//! SmolLM3 (Bakouch et al. 2025): as llama, but each fourth layer's queries and keys carry no positions (Yang et al. 2025,
//! "RoPE to NoPE and back again").

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

/// The last of so many layers carries no positions.
const PERIOD: usize = 4;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Adjacent, &sizes)?);
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.rope = ((layer.index + 1) % PERIOD != 0).then(|| Arc::clone(&rope));
        Ok(Layer { attention, feed_forward: FeedForward::Dense(Dense::load(layer, Gate::Silu)?) })
    })
}
