//! Qwen2 and Qwen2.5 (Yang et al. 2024): as llama, but with biases on queries, keys and values, and rotary positions on
//! halves.

use super::parts::{AttentionPart, FeedForward, Head, Pass};
use super::weights::Weights;
use super::{Decoder, Sizes};
use crate::EngineError;
use crate::rope::{Rope, RopePairs};

#[derive(Debug)]
pub(super) struct Qwen2 {
    sizes: Sizes,
    rope: Rope,
    layers: Vec<Layer>,
    head: Head,
}

#[derive(Debug)]
struct Layer {
    attention: AttentionPart,
    feed_forward: FeedForward,
}

impl Qwen2 {
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self, EngineError> {
        let sizes = weights.sizes()?;
        let rope = weights.rope(RopePairs::Halves, &sizes)?;
        let layer = |index: usize| -> Result<Layer, EngineError> {
            let attention = AttentionPart::load(weights, &sizes, index)?;
            attention.require_biases(weights, index)?;
            Ok(Layer { attention, feed_forward: FeedForward::load(weights, &sizes, index)? })
        };
        let layers = (0..sizes.layers).map(layer).collect::<Result<_, _>>()?;
        let head = Head::load(weights, &sizes)?;
        Ok(Self { sizes, rope, layers, head })
    }
}

impl Decoder for Qwen2 {
    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<(), EngineError> {
        pass.embed(&self.head.embedding);
        pass.turn_to(&self.rope);
        for (index, layer) in self.layers.iter().enumerate() {
            pass.check_cancelled()?;
            layer.attention.add_to(pass, &self.sizes, &self.rope, index);
            layer.feed_forward.add_to(pass, &self.sizes);
        }
        Ok(())
    }

    fn logits(&self, pass: &mut Pass<'_>, rows: &[usize], out: &mut [f32]) {
        self.head.logits(pass, &self.sizes, rows, out);
    }
}
