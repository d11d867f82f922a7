//! The forward pass of a decoder, from tokens to logits.

use std::ops::Range;

use super::adapter::{Part, Place};
use super::feed_forward::FeedForward;
use super::head::Head;
use super::self_attention::SelfAttention;
use super::weights::{LayerWeights, Weights};
use super::{Pass, Sizes};
use crate::kv::{KvForm, KvShape};
use crate::quant::Matrix;
use crate::{EngineError, Operation};

/// A decoder with its weights.
#[derive(Debug)]
pub(crate) struct Decoder {
    architecture: String,
    sizes: Sizes,
    embedding: Matrix,
    /// Factor of the embeddings.
    pub(super) embedding_scale: f32,
    layers: Vec<Layer>,
    pub(super) head: Head,
}

/// One layer; each of its parts takes the states, and joins its result to them.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention: SelfAttention,
    pub(super) feed_forward: FeedForward,
}

/// Architectures whose loss of accuracy with keys and values in 8 bits was measured (`docs/benchmarks/`).
const NARROW_MEASURED: [&str; 3] = ["llama", "qwen2", "gemma3"];

impl Decoder {
    /// A decoder whose layers `layer` makes one by one.
    pub(super) fn load(
        weights: &Weights<'_>,
        sizes: Sizes,
        layer: impl Fn(&LayerWeights<'_>) -> Result<Layer, EngineError>,
    ) -> Result<Self, EngineError> {
        let layers = (0..sizes.layers).map(|index| layer(&weights.layer(index, &sizes))).collect::<Result<_, _>>()?;
        let embedding = weights.matrix("token_embd.weight", sizes.vocabulary, sizes.width)?;
        let head = Head::load(weights, &sizes)?;
        let architecture = weights.architecture.to_owned();
        Ok(Self { architecture, sizes, embedding, embedding_scale: 1.0, layers, head })
    }

    /// What a sequence stores for each token.
    pub(crate) fn kv_shape(&self, form: KvForm) -> KvShape {
        let Sizes { layers, key_heads, head_dim, .. } = self.sizes;
        let wide_pairs = self.layers.iter().flat_map(|layer| &layer.attention.wide).map(Vec::len).max().unwrap_or(0);
        KvShape { layers, heads: key_heads, dim: head_dim, form, wide_pairs }
    }

    /// Whether keys and values may be kept in 8 bits.
    pub(crate) fn may_narrow(&self) -> bool {
        NARROW_MEASURED.contains(&self.architecture.as_str())
    }

    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(super) fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Outputs and inputs of a matrix, if the model has it as one that an adapter can change.
    pub(super) fn shape(&self, (layer, part): Place) -> Option<(usize, usize)> {
        let matrix = match part {
            Part::Head => self.head.output(),
            part => self.layers.get(layer).and_then(|layer| layer.matrix(part)),
        };
        matrix.map(|matrix| (matrix.rows(), matrix.cols()))
    }

    /// Computes the tokens of the pass, stores their keys and values, and leaves those rows in it whose logits are wanted.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] between layers; what was stored then counts for nothing.
    pub(crate) fn forward(&self, pass: &mut Pass<'_>) -> Result<(), EngineError> {
        pass.work.clock.skip();
        pass.embed(&self.embedding, self.embedding_scale);
        pass.lap(Operation::Embedding);
        for (index, layer) in self.layers.iter().enumerate() {
            pass.check_cancelled()?;
            layer.attention.read(pass, &self.sizes);
            if index + 1 == self.layers.len() {
                // No later token reads more of the others than the keys and values that are stored by now.
                pass.keep_wanted(self.sizes.width);
                if pass.rows() == 0 {
                    break;
                }
            }
            layer.attention.join(pass, &self.sizes);
            layer.feed_forward.forward(pass, &self.sizes);
        }
        Ok(())
    }

    /// The logits of some of the rows left in the pass, into `out`, row after row.
    pub(crate) fn logits(&self, pass: &mut Pass<'_>, rows: Range<usize>, out: &mut [f32]) {
        self.head.logits(pass, &self.embedding, rows, out);
        pass.lap(Operation::Head);
    }
}

impl Layer {
    fn matrix(&self, part: Part) -> Option<&Matrix> {
        self.attention.matrix(part).or_else(|| self.feed_forward.matrix(part))
    }
}
