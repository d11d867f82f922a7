//! Gemma 2 (Gemma Team 2024): norms before and after each part, a gate of GELU, soft caps on scores and logits, and a
//! sliding window on every other layer.
//!
//! - `x = embedding(token) * sqrt(width)`
//! - `x += norm(output(attention(rotate(query(norm(x))), rotate(key(norm(x))), value(norm(x)))))`
//! - `x += norm(down(gelu(gate(norm(x))) * up(norm(x))))`

use std::sync::Arc;

use super::Sizes;
use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::pass::Join;
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

/// Of the 27B, which divides its scores by the root of `width / heads` instead of that of the head's size.
const LAYERS_OF_27B: usize = 46;
/// Each second layer sees everything.
const PERIOD: usize = 2;
/// What the paper gives for windows and caps, for files that leave them out.
const WINDOW: usize = 4096;
const SCORE_CAP: f32 = 50.0;
const LOGIT_CAP: f32 = 30.0;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let window = weights.window()?.unwrap_or(WINDOW);
    let windowed = weights.windowed_layers(sizes.layers, PERIOD)?;
    let rope = Arc::new(weights.rope(RopePairs::Halves, &sizes)?);
    let score_cap = weights.positive("attn_logit_softcapping")?.unwrap_or(SCORE_CAP);
    let scale = score_scale(&sizes, LAYERS_OF_27B);
    let mut decoder = Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.scoring.scale = scale;
        attention.scoring.cap = Some(score_cap);
        attention.scoring.window = windowed[layer.index].then_some(window);
        attention.join = Join::Normalised(layer.norm("post_attention_norm")?);
        let mut feed_forward = Dense::load(layer, Gate::GeluTanh)?;
        feed_forward.join = Join::Normalised(layer.norm("post_ffw_norm")?);
        Ok(Layer { attention, feed_forward: FeedForward::Dense(feed_forward) })
    })?;
    decoder.embedding_scale = (decoder.sizes().width as f32).sqrt();
    decoder.head.cap = Some(weights.positive("final_logit_softcapping")?.unwrap_or(LOGIT_CAP));
    Ok(decoder)
}

/// Factor of the scores. Files do not say it: the largest model of each generation, known by its number of layers, differs.
pub(super) fn score_scale(sizes: &Sizes, layers_of_27b: usize) -> f32 {
    let divisor = if sizes.layers == layers_of_27b { sizes.width / sizes.heads } else { sizes.head_dim };
    1.0 / (divisor as f32).sqrt()
}
