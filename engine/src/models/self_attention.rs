//! Norm, grouped-head causal attention, and the way back to the width of the model.

use std::sync::Arc;

use super::adapter::Part;
use super::linear::{Linear, Norm};
use super::pass::Join;
use super::weights::LayerWeights;
use super::{Pass, Sizes, Workspace};
use crate::attention::{Attention, Scoring, Span};
use crate::kernels::{Kernels, multiply};
use crate::kv::NewRows;
use crate::quant::Matrix;
use crate::rope::Rope;
use crate::{EngineError, Operation};

/// `states += output(attention(rotate(query(x)), rotate(key(x)), value(x)))` with `x = norm(states)`.
#[derive(Debug)]
pub(super) struct SelfAttention {
    layer: usize,
    norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// Norms of each head of queries and of keys, before they are rotated.
    pub(super) head_norms: Option<HeadNorms>,
    /// None in layers whose queries and keys carry no positions.
    pub(super) rope: Option<Arc<Rope>>,
    pub(super) scoring: Scoring,
    pub(super) join: Join,
    /// For each head of keys the pairs of dimensions that its bias makes large; none without a bias.
    pub(super) wide: Vec<Vec<u16>>,
}

/// Pairs of dimensions of a head of keys that are kept in 16 bits where the others have 8.
const WIDE_PAIRS: usize = 8;

/// Norms over the values of one head.
#[derive(Debug)]
pub(super) struct HeadNorms {
    query: Norm,
    key: Norm,
}

impl HeadNorms {
    pub(super) fn load(layer: &LayerWeights<'_>) -> Result<Self, EngineError> {
        let dim = layer.sizes.head_dim;
        Ok(Self { query: layer.norm_of("attn_q_norm", dim)?, key: layer.norm_of("attn_k_norm", dim)? })
    }
}

impl SelfAttention {
    /// The plain form: scores divided by the root of the head's size, all earlier tokens seen, the result added.
    pub(super) fn load(layer: &LayerWeights<'_>, rope: &Arc<Rope>) -> Result<Self, EngineError> {
        let sizes = layer.sizes;
        let (width, key_width) = (sizes.heads * sizes.head_dim, sizes.key_heads * sizes.head_dim);
        let [query, key, value] =
            layer.fused("attn_qkv", [("attn_q", width), ("attn_k", key_width), ("attn_v", key_width)], sizes.width)?;
        let wide = key.bias.iter().flat_map(|bias| bias.chunks_exact(sizes.head_dim)).map(largest_pairs).collect();
        Ok(Self {
            wide,
            layer: layer.index,
            norm: layer.norm("attn_norm")?,
            query,
            key,
            value,
            output: layer.linear("attn_output", sizes.width, width)?,
            head_norms: None,
            rope: Some(Arc::clone(rope)),
            scoring: Scoring::plain(sizes.head_dim),
            join: Join::Added,
        })
    }

    /// Fails unless queries, keys and values have biases.
    pub(super) fn require_biases(&self, layer: &LayerWeights<'_>) -> Result<(), EngineError> {
        for (linear, part) in [(&self.query, "q"), (&self.key, "k"), (&self.value, "v")] {
            if linear.bias.is_none() {
                return Err(layer.missing(&format!("attn_{part}.bias")));
            }
        }
        Ok(())
    }

    /// Fails unless the matrix of the results has a bias.
    pub(super) fn require_output_bias(&self, layer: &LayerWeights<'_>) -> Result<(), EngineError> {
        self.output.bias.as_ref().map(|_| ()).ok_or_else(|| layer.missing("attn_output.bias"))
    }

    /// Makes queries, keys and values of the states of the pass; keys and values go to the caches.
    pub(super) fn read(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let rows = pass.rows();
        let needs = sizes.needs([&self.query.weights, &self.key.weights, &self.value.weights]);
        pass.normalise(&self.norm, needs);
        pass.lap(Operation::Inputs);
        let work = &mut *pass.work;
        let mut products = [
            self.query.product(&mut work.queries, rows),
            self.key.product(&mut work.keys, rows),
            self.value.product(&mut work.values, rows),
        ];
        multiply(pass.pool, pass.kernels, &work.input, &mut products);
        self.adapt_inputs(pass, sizes.width);
        pass.lap(Operation::QueriesKeysValues);
        self.store_keys_and_values(pass, sizes);
        pass.lap(Operation::Cache);
    }

    /// Joins what the queries find in the caches to the states of the pass.
    pub(super) fn join(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let rows = pass.rows();
        self.attend(pass, sizes);
        pass.lap(Operation::Attention);
        let work = &mut *pass.work;
        let (attended, width) = (&work.attended, sizes.heads * sizes.head_dim);
        let needs = sizes.needs([&self.output.weights]);
        work.input.fill(pass.pool, pass.kernels, (rows, width), needs, |row, out| {
            out.copy_from_slice(&attended[row * width..][..width]);
        });
        pass.lap(Operation::Inputs);
        pass.finish(&self.output, &self.join, (self.layer, Part::Output), |work, row, out| {
            out.copy_from_slice(&work.attended[row * width..][..width]);
        });
        pass.lap(Operation::AttentionOutput);
    }

    /// The matrix that an adapter may change.
    pub(super) fn matrix(&self, part: Part) -> Option<&Matrix> {
        let linear = match part {
            Part::Query => &self.query,
            Part::Key => &self.key,
            Part::Value => &self.value,
            Part::Output => &self.output,
            Part::Gate | Part::Up | Part::Down | Part::Head => return None,
        };
        Some(&linear.weights)
    }

    /// Adds what adapters give to queries, keys and values.
    fn adapt_inputs(&self, pass: &mut Pass<'_>, width: usize) {
        let kernels = pass.kernels;
        let source = |work: &Workspace, row: usize, out: &mut [f32]| {
            kernels.run(self.norm.of(&work.states[row * width..][..width], out));
        };
        pass.adapt((self.layer, Part::Query), |work| &mut work.queries, source);
        pass.adapt((self.layer, Part::Key), |work| &mut work.keys, source);
        pass.adapt((self.layer, Part::Value), |work| &mut work.values, source);
    }

    /// Normalises and rotates the keys and puts them with the values into the caches.
    fn store_keys_and_values(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let angles = self.rope.as_ref().map(|rope| pass.turn(rope));
        let (width, kernels) = (sizes.key_heads * sizes.head_dim, pass.kernels);
        let work = &*pass.work;
        let angles = angles.map(|place| &work.angles[place]);
        let mut first_row = 0;
        for segment in &mut *pass.segments {
            let count = segment.tokens.len();
            let range = first_row * width..(first_row + count) * width;
            let new = NewRows { keys: &work.keys[range.clone()], values: &work.values[range], wide: &self.wide };
            segment.cache.store((pass.pool, kernels), self.layer, segment.start, new, |row, keys| {
                if let Some(norms) = &self.head_norms {
                    normalise_heads(kernels, &norms.key, keys);
                }
                if let Some((rope, angles)) = angles {
                    let angles = &angles[(first_row + row) * rope.pairs()..][..rope.pairs()];
                    rope.rotate(keys, sizes.head_dim, angles);
                }
            });
            first_row += count;
        }
    }

    fn attend(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let angles = self.rope.as_ref().map(|rope| pass.turn(rope));
        let mut first_row = 0;
        let mut spans = Vec::with_capacity(pass.segments.len());
        for segment in &*pass.segments {
            let tokens = segment.tokens.len();
            spans.push(Span { cache: &*segment.cache, start: segment.start, first_row, tokens });
            first_row += tokens;
        }
        let work = &mut *pass.work;
        work.attended.resize(first_row * sizes.heads * sizes.head_dim, 0.0);
        let attention = Attention {
            layer: self.layer,
            heads: sizes.heads,
            query_norm: self.head_norms.as_ref().map(|norms| (norms.query.weight.as_slice(), norms.query.epsilon)),
            rotation: angles.map(|place| (&*work.angles[place].0, work.angles[place].1.as_slice())),
            scoring: &self.scoring,
            wide: &self.wide,
        };
        attention.run(pass.pool, pass.kernels, &spans, &work.queries, &mut work.attended);
    }
}

/// The pairs of dimensions (`i` and `i` plus half of the stored length) with the largest biases: they stay together when a head is
/// rotated.
fn largest_pairs(bias: &[f32]) -> Vec<u16> {
    let half = bias.len().next_multiple_of(32) / 2;
    let at = |index: usize| bias.get(index).copied().unwrap_or(0.0);
    let mut pairs: Vec<(f32, u16)> = (0..half).map(|pair| (at(pair).hypot(at(pair + half)), pair as u16)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    pairs.into_iter().take(WIDE_PAIRS).map(|(_, pair)| pair).collect()
}

/// Normalises each head of a row by itself.
fn normalise_heads(kernels: Kernels, norm: &Norm, row: &mut [f32]) {
    let source = row.to_vec();
    let dim = norm.weight.len();
    for (head, out) in source.chunks_exact(dim).zip(row.chunks_exact_mut(dim)) {
        kernels.run(norm.of(head, out));
    }
}
