//! Granite 3 and 4 without experts (IBM 2024): as llama, with factors on the embeddings, on what each part adds, on the
//! scores, and on the logits.

use std::sync::Arc;

use super::decoder::{Decoder, Layer};
use super::feed_forward::{Dense, FeedForward};
use super::pass::Join;
use super::self_attention::SelfAttention;
use super::weights::Weights;
use crate::EngineError;
use crate::kernels::rows::Gate;
use crate::rope::RopePairs;

pub(super) fn load(weights: &Weights<'_>) -> Result<Decoder, EngineError> {
    let sizes = weights.sizes()?;
    let rope = Arc::new(weights.rope(RopePairs::Adjacent, &sizes)?);
    // Where the file says that positions were never trained, queries and keys carry none.
    let has_positions = weights.file.flag(&weights.key("rope.scaling.finetuned"))?.unwrap_or(true);
    // Zero stands for a factor that the model does not have.
    let factor =
        |name: &str| -> Result<Option<f32>, EngineError> { Ok(weights.float(name)?.filter(|&factor| factor != 0.0)) };
    let (residual, score) = (factor("residual_scale")?.unwrap_or(1.0), factor("attention.scale")?);
    let mut decoder = Decoder::load(weights, sizes, |layer| {
        let mut attention = SelfAttention::load(layer, &rope)?;
        attention.rope = has_positions.then(|| Arc::clone(&rope));
        attention.scoring.scale = score.unwrap_or(attention.scoring.scale);
        attention.join = Join::Scaled(residual);
        let mut feed_forward = Dense::load(layer, Gate::Silu)?;
        feed_forward.join = Join::Scaled(residual);
        Ok(Layer { attention, feed_forward: FeedForward::Dense(feed_forward) })
    })?;
    decoder.embedding_scale = factor("embedding_scale")?.unwrap_or(1.0);
    decoder.head.scale = 1.0 / weights.positive("logit_scale")?.ok_or_else(|| weights.missing_key("logit_scale"))?;
    Ok(decoder)
}
