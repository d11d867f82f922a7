//! The parts of a decoder and the state of a forward pass.

use super::Sizes;
use super::weights::Weights;
use crate::attention::{Attention, Span};
use crate::kernels::rows::{RmsNorm, SiluGate};
use crate::kernels::{Activations, GatedMatrix, Kernels, Needs, Product, can_gate, multiply, multiply_gated};
use crate::kv::KvCache;
use crate::pool::Pool;
use crate::quant::Matrix;
use crate::rope::Rope;
use crate::{CancelFlag, EngineError, TokenId};

/// The new tokens of one sequence.
pub(crate) struct Segment<'a> {
    pub(crate) cache: &'a mut KvCache,
    /// Position of the first token.
    pub(crate) start: usize,
    pub(crate) tokens: &'a [TokenId],
}

/// Buffers of a forward pass, kept from one pass to the next.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Rows by width: the stream that each part adds to.
    states: Vec<f32>,
    input: Activations,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What the gated part hands to its last matrix.
    gated: Activations,
    angles: Vec<[f32; 2]>,
}

/// One forward pass: new tokens of one or more sequences, row after row.
pub(crate) struct Pass<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) kernels: Kernels,
    pub(crate) cancel: &'a CancelFlag,
    pub(crate) segments: &'a mut [Segment<'a>],
    pub(crate) work: &'a mut Workspace,
}

impl Pass<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.tokens.len()).sum()
    }

    /// Looks up the tokens and makes room for their keys and values.
    pub(super) fn embed(&mut self, embedding: &Matrix) {
        let width = embedding.cols();
        self.work.states.resize(self.rows() * width, 0.0);
        let tokens = self.segments.iter().flat_map(|segment| segment.tokens);
        for (&token, state) in tokens.zip(self.work.states.chunks_exact_mut(width)) {
            embedding.row_into(token as usize, state);
        }
        for segment in &mut *self.segments {
            segment.cache.reserve(segment.start, segment.start + segment.tokens.len());
        }
    }

    /// Computes the angles of all rows' positions.
    pub(super) fn turn_to(&mut self, rope: &Rope) {
        self.work.angles.clear();
        for segment in &*self.segments {
            for position in segment.start..segment.start + segment.tokens.len() {
                rope.angles(position, &mut self.work.angles);
            }
        }
    }

    pub(super) fn check_cancelled(&self) -> Result<(), EngineError> {
        self.cancel.check()
    }

    /// Normalises the states into the input of the next products.
    fn normalise(&mut self, weight: &[f32], epsilon: f32, needs: Needs) {
        let rows = self.rows();
        let (states, width, kernels) = (&self.work.states, weight.len(), self.kernels);
        self.work.input.fill(self.pool, kernels, (rows, width), needs, |row, out| {
            kernels.run(RmsNorm { row: &states[row * width..][..width], weight, epsilon, out });
        });
    }
}

/// A matrix, and a bias where the model has one.
#[derive(Debug)]
struct Linear {
    weights: Matrix,
    bias: Option<Vec<f32>>,
}

impl Linear {
    fn load(weights: &Weights<'_>, name: &str, rows: usize, cols: usize) -> Result<Self, EngineError> {
        Ok(Self {
            weights: weights.matrix(&format!("{name}.weight"), rows, cols)?,
            bias: weights.optional_vector(&format!("{name}.bias"), rows)?,
        })
    }

    fn product<'a>(&'a self, out: &'a mut Vec<f32>, rows: usize) -> Product<'a> {
        out.resize(rows * self.weights.rows(), 0.0);
        Product { weights: &self.weights, bias: self.bias.as_deref(), out, accumulate: false }
    }

    fn gated(&self) -> GatedMatrix<'_> {
        GatedMatrix { weights: &self.weights, bias: self.bias.as_deref() }
    }

    fn addition<'a>(&'a self, out: &'a mut [f32]) -> Product<'a> {
        Product { weights: &self.weights, bias: self.bias.as_deref(), out, accumulate: true }
    }
}

/// Norm, grouped-head attention, and the way back to the width of the model.
#[derive(Debug)]
pub(super) struct AttentionPart {
    norm: Vec<f32>,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

impl AttentionPart {
    pub(super) fn load(weights: &Weights<'_>, sizes: &Sizes, layer: usize) -> Result<Self, EngineError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (query_width, key_width) = (sizes.heads * sizes.head_dim, sizes.key_heads * sizes.head_dim);
        Ok(Self {
            norm: weights.vector(&name("attn_norm.weight"), sizes.width)?,
            query: Linear::load(weights, &name("attn_q"), query_width, sizes.width)?,
            key: Linear::load(weights, &name("attn_k"), key_width, sizes.width)?,
            value: Linear::load(weights, &name("attn_v"), key_width, sizes.width)?,
            output: Linear::load(weights, &name("attn_output"), sizes.width, query_width)?,
        })
    }

    /// Fails unless queries, keys and values have biases.
    pub(super) fn require_biases(&self, weights: &Weights<'_>, layer: usize) -> Result<(), EngineError> {
        for (linear, part) in [(&self.query, "q"), (&self.key, "k"), (&self.value, "v")] {
            if linear.bias.is_none() {
                return Err(weights.missing(&format!("blk.{layer}.attn_{part}.bias")));
            }
        }
        Ok(())
    }

    /// Adds this part's result to the states of the pass.
    pub(super) fn add_to(&self, pass: &mut Pass<'_>, sizes: &Sizes, rope: &Rope, layer: usize) {
        let rows = pass.rows();
        // Errors in what attention looks for cost the most and these matrices are small, so they are given more bits.
        let needs = Needs::of([&self.query.weights, &self.key.weights, &self.value.weights]).finely();
        pass.normalise(&self.norm, sizes.epsilon, needs);
        let work = &mut *pass.work;
        let mut products = [
            self.query.product(&mut work.queries, rows),
            self.key.product(&mut work.keys, rows),
            self.value.product(&mut work.values, rows),
        ];
        multiply(pass.pool, pass.kernels, &work.input, &mut products);
        store_keys_and_values(pass, sizes, rope, layer);
        attend(pass, sizes, rope, layer);
        let work = &mut *pass.work;
        let (attended, width) = (&work.attended, sizes.heads * sizes.head_dim);
        let needs = sizes.needs([&self.output.weights]);
        work.input.fill(pass.pool, pass.kernels, (rows, width), needs, |row, out| {
            out.copy_from_slice(&attended[row * width..][..width]);
        });
        multiply(pass.pool, pass.kernels, &work.input, &mut [self.output.addition(&mut work.states)]);
    }
}

/// Rotates the keys and puts them with the values into the caches.
fn store_keys_and_values(pass: &mut Pass<'_>, sizes: &Sizes, rope: &Rope, layer: usize) {
    let width = sizes.key_heads * sizes.head_dim;
    let work = &*pass.work;
    let mut first_row = 0;
    for segment in &mut *pass.segments {
        let count = segment.tokens.len();
        let range = first_row * width..(first_row + count) * width;
        let new = (&work.keys[range.clone()], &work.values[range]);
        segment.cache.store(pass.pool, layer, segment.start, new, |row, key| {
            let angles = &work.angles[(first_row + row) * rope.pairs()..][..rope.pairs()];
            rope.rotate(key, sizes.head_dim, angles);
        });
        first_row += count;
    }
}

fn attend(pass: &mut Pass<'_>, sizes: &Sizes, rope: &Rope, layer: usize) {
    let mut first_row = 0;
    let mut spans = Vec::with_capacity(pass.segments.len());
    for segment in &*pass.segments {
        let tokens = segment.tokens.len();
        spans.push(Span { cache: &*segment.cache, start: segment.start, first_row, tokens });
        first_row += tokens;
    }
    let work = &mut *pass.work;
    work.attended.resize(first_row * sizes.heads * sizes.head_dim, 0.0);
    let scale = 1.0 / (sizes.head_dim as f32).sqrt();
    let attention = Attention { layer, heads: sizes.heads, scale, rope, angles: &work.angles };
    attention.run(pass.pool, pass.kernels, &spans, &work.queries, &mut work.attended);
}

/// Norm and the gated feed-forward part.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: Vec<f32>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    pub(super) fn load(weights: &Weights<'_>, sizes: &Sizes, layer: usize) -> Result<Self, EngineError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        Ok(Self {
            norm: weights.vector(&name("ffn_norm.weight"), sizes.width)?,
            gate: Linear::load(weights, &name("ffn_gate"), sizes.inner, sizes.width)?,
            up: Linear::load(weights, &name("ffn_up"), sizes.inner, sizes.width)?,
            down: Linear::load(weights, &name("ffn_down"), sizes.width, sizes.inner)?,
        })
    }

    /// Adds this part's result to the states of the pass.
    pub(super) fn add_to(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let rows = pass.rows();
        pass.normalise(&self.norm, sizes.epsilon, sizes.needs([&self.gate.weights, &self.up.weights]));
        let (work, kernels, inner) = (&mut *pass.work, pass.kernels, sizes.inner);
        let needs = sizes.needs([&self.down.weights]);
        if can_gate(&self.gate.weights, &self.up.weights, &self.down.weights) {
            let matrices = [self.gate.gated(), self.up.gated()];
            multiply_gated(pass.pool, kernels, &work.input, matrices, &mut work.gated, needs.fine);
        } else {
            let mut products = [self.gate.product(&mut work.gate, rows), self.up.product(&mut work.up, rows)];
            multiply(pass.pool, kernels, &work.input, &mut products);
            let (gate, up) = (&work.gate, &work.up);
            work.gated.fill(pass.pool, kernels, (rows, inner), needs, |row, out| {
                let range = row * inner..(row + 1) * inner;
                kernels.run(SiluGate { gate: &gate[range.clone()], up: &up[range], out });
            });
        }
        multiply(pass.pool, kernels, &work.gated, &mut [self.down.addition(&mut work.states)]);
    }
}

/// The two ends of a decoder: the token embedding, and the last norm with the output matrix.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) embedding: Matrix,
    norm: Vec<f32>,
    /// Missing where the embedding serves for the output too.
    output: Option<Matrix>,
}

impl Head {
    pub(super) fn load(weights: &Weights<'_>, sizes: &Sizes) -> Result<Self, EngineError> {
        Ok(Self {
            embedding: weights.matrix("token_embd.weight", sizes.vocabulary, sizes.width)?,
            norm: weights.vector("output_norm.weight", sizes.width)?,
            output: weights.optional_matrix("output.weight", sizes.vocabulary, sizes.width)?,
        })
    }

    /// The logits of some rows of the pass.
    pub(super) fn logits(&self, pass: &mut Pass<'_>, sizes: &Sizes, rows: &[usize], out: &mut [f32]) {
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        let (kernels, width, weight) = (pass.kernels, sizes.width, self.norm.as_slice());
        let work = &mut *pass.work;
        let states = &work.states;
        // Few rows come here, and the time goes into reading the matrix: more bits cost nothing.
        let needs = Needs::of([output]).finely();
        work.input.fill(pass.pool, kernels, (rows.len(), width), needs, |row, out| {
            let row = &states[rows[row] * width..][..width];
            kernels.run(RmsNorm { row, weight, epsilon: sizes.epsilon, out });
        });
        let mut product = [Product { weights: output, bias: None, out, accumulate: false }];
        multiply(pass.pool, kernels, &work.input, &mut product);
    }
}
