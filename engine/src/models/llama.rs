//! Llama and its kin (Touvron et al. 2023): pre-norm, rotary positions on adjacent pairs, grouped heads, gated SiLU.

use super::parts::{AttentionPart, FeedForward, Head, Pass};
use super::weights::Weights;
use super::{Decoder, Sizes};
use crate::EngineError;
use crate::rope::{Rope, RopePairs};

#[derive(Debug)]
pub(super) struct Llama {
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

impl Llama {
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self, EngineError> {
        let sizes = weights.sizes()?;
        weights.refuse_tensor("blk.0.ffn_gate_inp.weight", "a mixture of experts")?;
        let rope = weights.rope(RopePairs::Adjacent, &sizes)?;
        let layer = |index: usize| -> Result<Layer, EngineError> {
            Ok(Layer {
                attention: AttentionPart::load(weights, &sizes, index)?,
                feed_forward: FeedForward::load(weights, &sizes, index)?,
            })
        };
        let layers = (0..sizes.layers).map(layer).collect::<Result<_, _>>()?;
        let head = Head::load(weights, &sizes)?;
        Ok(Self { sizes, rope, layers, head })
    }
}

impl Decoder for Llama {
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
