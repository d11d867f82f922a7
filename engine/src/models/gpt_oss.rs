//! gpt-oss (OpenAI 2025): biases on every matrix, a sink for each head of queries, a sliding window on every other layer,
//! positions on halves stretched by YaRN, and experts with a clamped gate, weighed by a softmax over the chosen ones.
//!
//! - `x += output(attention(rotate(query(norm(x))), rotate(key(norm(x))), value(norm(x)), sinks))`
//! - `x += sum of softmax(router(norm(x))) * down(gate * sigmoid(1.702 gate) * (up + 1))` over the chosen experts, with
//!   `gate` at most 7 and `up` between -7 and 7

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::experts::Experts;
use super::feed_forward::FeedForward;
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

/// Each second layer sees everything.
const PERIOD: usize = 2;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Halves, &sizes)?);
    let window = weights.window()?.ok_or_else(|| weights.missing_key("attention.sliding_window"))?;
    let windowed = weights.windowed_layers(sizes.layers, PERIOD)?;
    Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.require_biases(layer)?;
        attention.require_output_bias(layer)?;
        attention.scoring.window = windowed[layer.index].then_some(window);
        attention.scoring.sinks = Some(layer.vector("attn_sinks.weight", layer.sizes.heads)?);
        let norm = "post_attention_norm";
        let experts = Experts::load(layer, norm, "expert_feed_forward_length", Gate::ClampedSwiglu)?;
        experts.require_biases(layer)?;
        Ok(Layer { attention, feed_forward: FeedForward::Experts(experts) })
    })
}
