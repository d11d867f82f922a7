//! Qwen3 with a mixture of experts (Yang et al. 2025): as qwen3, but a router chooses a few of many feed-forward units for
//! each token and weighs them by the softmax of its logits, brought back to a sum of one.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::experts::Experts;
use super::feed_forward::FeedForward;
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
        let experts = Experts::load(layer, "ffn_norm", "expert_feed_forward_length", Gate::Silu)?;
        Ok(Layer { attention, feed_forward: FeedForward::Experts(experts) })
    })
}
