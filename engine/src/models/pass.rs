//! The state of a forward pass.

use std::ops::Range;
use std::sync::Arc;

use super::adapter::{Adapter, Place, Scratch};
use super::linear::{Linear, Norm};
use crate::clock::{Clock, Operation};
use crate::kernels::rows::AddNormalised;
use crate::kernels::{Activations, Kernels, Needs, multiply};
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
    /// How many of the last tokens get logits.
    pub(crate) wanted: usize,
    /// What changes the model for this sequence.
    pub(crate) adapter: Option<&'a Adapter>,
}

/// Buffers of a forward pass, kept from one pass to the next.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Rows by width: the stream that each part adds to.
    pub(super) states: Vec<f32>,
    /// The result of a part that does not go to the states as it is.
    pub(super) branch: Vec<f32>,
    /// What the next products read.
    pub(super) input: Activations,
    /// What a gated unit makes of the input; it becomes the input.
    pub(super) gated: Activations,
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) attended: Vec<f32>,
    pub(super) gate: Vec<f32>,
    pub(super) up: Vec<f32>,
    /// The router's logits, and the results of one expert.
    pub(super) routing: Vec<f32>,
    pub(super) expert: Vec<f32>,
    pub(super) low_rank: Scratch,
    pub(crate) clock: Clock,
    /// For each rotation the cosines and sines of all rows' positions.
    pub(super) angles: Vec<(Arc<Rope>, Vec<[f32; 2]>)>,
}

/// One forward pass: new tokens of one or more sequences, row after row.
pub(crate) struct Pass<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) kernels: Kernels,
    pub(crate) cancel: &'a CancelFlag,
    pub(crate) segments: &'a mut [Segment<'a>],
    pub(crate) work: &'a mut Workspace,
}

/// How the result of a part joins the states.
#[derive(Debug)]
pub(super) enum Join {
    /// It is added.
    Added,
    /// It is added after multiplication by a factor.
    Scaled(f32),
    /// It is normalised and added.
    Normalised(Norm),
}

impl Pass<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.tokens.len()).sum()
    }

    /// Counts the time since the last lap for `operation`.
    pub(super) fn lap(&mut self, operation: Operation) {
        self.work.clock.lap(operation);
    }

    /// Looks up the tokens and makes room for their keys and values.
    pub(super) fn embed(&mut self, embedding: &Matrix, scale: f32) {
        let width = embedding.cols();
        self.work.states.resize(self.rows() * width, 0.0);
        self.work.angles.clear();
        let tokens: Vec<TokenId> = self.segments.iter().flat_map(|segment| segment.tokens).copied().collect();
        self.pool.chunks(&mut self.work.states, width, |row, state| {
            embedding.row_into(tokens[row] as usize, state);
            if scale != 1.0 {
                state.iter_mut().for_each(|value| *value *= scale);
            }
        });
        for segment in &mut *self.segments {
            segment.cache.reserve(segment.start, segment.start + segment.tokens.len());
        }
    }

    /// The place in the workspace of the angles of all rows' positions, which the first to ask for them computes.
    pub(super) fn turn(&mut self, rope: &Arc<Rope>) -> usize {
        let known = self.work.angles.iter().position(|(other, _)| Arc::ptr_eq(other, rope));
        known.unwrap_or_else(|| {
            let mut angles = Vec::with_capacity(self.rows() * rope.pairs());
            for segment in &*self.segments {
                for position in segment.start..segment.start + segment.tokens.len() {
                    rope.angles(position, &mut angles);
                }
            }
            self.work.angles.push((Arc::clone(rope), angles));
            self.work.angles.len() - 1
        })
    }

    /// Leaves the rows whose logits are wanted, with their states and queries, and forgets the others.
    pub(super) fn keep_wanted(&mut self, width: usize) {
        let total = self.rows();
        let (mut kept, mut end) = (Vec::new(), 0);
        for segment in &mut *self.segments {
            end += segment.tokens.len();
            kept.extend(end - segment.wanted..end);
            let passed = segment.tokens.len() - segment.wanted;
            segment.start += passed;
            segment.tokens = &segment.tokens[passed..];
        }
        if kept.len() == total {
            return;
        }
        let keep = |values: &mut Vec<f32>, width: usize| {
            for (row, &from) in kept.iter().enumerate() {
                values.copy_within(from * width..(from + 1) * width, row * width);
            }
            values.truncate(kept.len() * width);
        };
        keep(&mut self.work.states, width);
        let query_width = self.work.queries.len() / total;
        keep(&mut self.work.queries, query_width);
        // They are found by row, and computed anew by whoever asks.
        self.work.angles.clear();
    }

    pub(super) fn check_cancelled(&self) -> Result<(), EngineError> {
        self.cancel.check()
    }

    /// Normalises the states into the input of the next products.
    pub(super) fn normalise(&mut self, norm: &Norm, needs: Needs) {
        let (rows, width, kernels) = (self.rows(), norm.weight.len(), self.kernels);
        let states = &self.work.states;
        self.work.input.fill(self.pool, kernels, (rows, width), needs, |row, out| {
            kernels.run(norm.of(&states[row * width..][..width], out));
        });
    }

    /// Multiplies the input with the last matrix of a part and joins the result to the states. `source` writes an input row
    /// for the adapters.
    pub(super) fn finish(
        &mut self,
        last: &Linear,
        join: &Join,
        place: Place,
        source: impl Fn(&Workspace, usize, &mut [f32]) + Sync,
    ) {
        let work = &mut *self.work;
        if matches!(join, Join::Added) {
            multiply(self.pool, self.kernels, &work.input, &mut [last.addition(&mut work.states)]);
            return self.adapt(place, |work| &mut work.states, source);
        }
        let rows = work.input.rows();
        multiply(self.pool, self.kernels, &work.input, &mut [last.product(&mut work.branch, rows)]);
        self.adapt(place, |work| &mut work.branch, source);
        self.join_branch(last.outputs(), join);
    }

    /// Adds what the adapters of the sequences give for a matrix to its results in `buffer`, a row of results for each row of
    /// the pass; `source` writes the matrix's input of a row.
    pub(super) fn adapt(
        &mut self,
        place: Place,
        buffer: impl Fn(&mut Workspace) -> &mut Vec<f32>,
        source: impl Fn(&Workspace, usize, &mut [f32]) + Sync,
    ) {
        if !self.has_adapters() {
            return;
        }
        let mut results = std::mem::take(buffer(self.work));
        let mut scratch = std::mem::take(&mut self.work.low_rank);
        let width = results.len() / self.rows().max(1);
        let mut first = 0;
        for segment in &*self.segments {
            let count = segment.tokens.len();
            if let Some(adapter) = segment.adapter {
                let out = &mut results[first * width..(first + count) * width];
                adapter.add_to(place, (self.pool, self.kernels), &mut scratch, count, out, |row, out| {
                    source(self.work, first + row, out);
                });
            }
            first += count;
        }
        self.work.low_rank = scratch;
        *buffer(self.work) = results;
    }

    /// As [`Pass::adapt`] for results of some rows of the pass only.
    pub(super) fn adapt_rows(
        &mut self,
        place: Place,
        rows: Range<usize>,
        results: &mut [f32],
        source: impl Fn(&Workspace, usize, &mut [f32]) + Sync,
    ) {
        if !self.has_adapters() {
            return;
        }
        let mut scratch = std::mem::take(&mut self.work.low_rank);
        let width = results.len() / rows.len().max(1);
        for (row, out) in rows.zip(results.chunks_exact_mut(width.max(1))) {
            if let Some(adapter) = self.adapter_of(row) {
                adapter.add_to(place, (self.pool, self.kernels), &mut scratch, 1, out, |_, out| {
                    source(self.work, row, out);
                });
            }
        }
        self.work.low_rank = scratch;
    }

    /// Whether an adapter changes the model for any of the sequences.
    pub(super) fn has_adapters(&self) -> bool {
        self.segments.iter().any(|segment| segment.adapter.is_some())
    }

    /// The adapter of the sequence that a row belongs to.
    fn adapter_of(&self, row: usize) -> Option<&Adapter> {
        let mut end = 0;
        let segment = self.segments.iter().find(|segment| {
            end += segment.tokens.len();
            row < end
        });
        segment.and_then(|segment| segment.adapter)
    }

    /// Joins what a part left in the branch to the states.
    pub(super) fn join_branch(&mut self, width: usize, join: &Join) {
        let (branch, kernels) = (&self.work.branch, self.kernels);
        self.pool.chunks(&mut self.work.states, width, |row, state| {
            let branch = &branch[row * width..][..width];
            let sums = state.iter_mut().zip(branch);
            match join {
                Join::Added => sums.for_each(|(state, &value)| *state += value),
                Join::Scaled(factor) => sums.for_each(|(state, &value)| *state += value * factor),
                Join::Normalised(norm) => {
                    kernels.run(AddNormalised { row: branch, weight: &norm.weight, epsilon: norm.epsilon, out: state });
                }
            }
        });
    }
}
