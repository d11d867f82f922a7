//! Gemma 3 (Gemma Team 2025): norms before and after each part, a gate of GELU, heads of queries and keys normalised, and
//! five layers with a sliding window and a rotation of their own to one that sees everything.
//!
//! - `x = embedding(token) * sqrt(width)`
//! - `x += norm(output(attention(rotate(norm(query(norm(x)))), rotate(norm(key(norm(x)))), value(norm(x)))))`
//! - `x += norm(down(gelu(gate(norm(x))) * up(norm(x))))`

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::gemma2;
use super::pass::Join;
use super::self_attention::{HeadNorms, SelfAttention};
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

/// Of the 27B, which divides its scores by the root of `width / heads` as Gemma 2 27B does.
const LAYERS_OF_27B: usize = 62;
/// Each sixth layer sees everything.
const PERIOD: usize = 6;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let window = weights.window()?;
    let windowed = weights.windowed_layers(sizes.layers, PERIOD)?;
    let global = Arc::new(weights.rope(RopePairs::Halves, &sizes)?);
    let local = Arc::new(weights.local_rope(RopePairs::Halves, &sizes, 10_000.0)?);
    weights.require_neutral("attn_logit_softcapping", 0.0)?;
    let scale = gemma2::score_scale(&sizes, LAYERS_OF_27B);
    let mut decoder = Decoder::load(weights, sizes, |layer| {
        let is_local = window.is_some() && windowed[layer.index];
        let mut attention = SelfAttention::load(layer, if is_local { &local } else { &global })?;
        attention.head_norms = Some(HeadNorms::load(layer)?);
        attention.scoring.scale = scale;
        attention.scoring.window = window.filter(|_| is_local);
        attention.join = Join::Normalised(layer.norm("post_attention_norm")?);
        let mut feed_forward = Dense::load(layer, Gate::GeluTanh)?;
        feed_forward.join = Join::Normalised(layer.norm("post_ffw_norm")?);
        Ok(Layer { attention, feed_forward: FeedForward::Dense(feed_forward) })
    })?;
    decoder.embedding_scale = (decoder.sizes().width as f32).sqrt();
    decoder.head.cap = weights.float("final_logit_softcapping")?.filter(|&cap| cap != 0.0);
    Ok(decoder)
}
