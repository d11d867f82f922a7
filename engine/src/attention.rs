//! Causal attention with grouped heads over the thread pool.
#![expect(unsafe_code, reason = "threads write the heads of one output")]

use crate::kernels::{AttendScratch, AttendTask, Kernels};
use crate::kv::KvCache;
use crate::pool::{Disjoint, Pool};
use crate::rope::Rope;
use std::cell::Cell;

/// Pieces of work for each thread that are wanted when there are few rows.
const PIECES_PER_THREAD: usize = 2;

/// The new tokens of one sequence within a forward pass.
pub(crate) struct Span<'a> {
    /// Keys and values, those of the new tokens included.
    pub(crate) cache: &'a KvCache,
    /// Position of the first new token.
    pub(crate) start: usize,
    /// Row of the first new token among the rows of the pass.
    pub(crate) first_row: usize,
    /// Number of new tokens.
    pub(crate) tokens: usize,
}

/// One layer's attention.
pub(crate) struct Attention<'a> {
    pub(crate) layer: usize,
    /// Heads of queries.
    pub(crate) heads: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    pub(crate) rope: &'a Rope,
    /// The angles of each row of the pass.
    pub(crate) angles: &'a [[f32; 2]],
}

thread_local! {
    static SCRATCH: Cell<AttendScratch> = Cell::new(AttendScratch::default());
}

/// A few query rows of one key head: row `r` is token `r / group` and query head `r % group` of the group.
#[derive(Clone, Copy)]
struct Strip {
    span: usize,
    key_head: usize,
    first: usize,
    count: usize,
}

impl Attention<'_> {
    /// Rotates the queries (rows of `heads * dim` values) and writes for each row and head the weighted values to `out`.
    pub(crate) fn run(&self, pool: &Pool, kernels: Kernels, spans: &[Span<'_>], queries: &[f32], out: &mut [f32]) {
        let strips = self.strips(pool.threads(), kernels.queries(), spans);
        let out = Disjoint::new(out);
        pool.run(strips.len(), &|index| {
            // The last strips see the most keys; they go first.
            let strip = strips[strips.len() - 1 - index];
            let mut scratch = SCRATCH.take();
            self.run_strip(kernels, &spans[strip.span], strip, queries, &out, &mut scratch);
            SCRATCH.set(scratch);
        });
    }

    fn strips(&self, threads: usize, rows_max: usize, spans: &[Span<'_>]) -> Vec<Strip> {
        let rows_total: usize = spans.iter().map(|span| span.tokens * self.heads).sum();
        let width = (rows_total / (threads * PIECES_PER_THREAD)).max(1).next_power_of_two().min(rows_max);
        let mut strips = Vec::new();
        for (span_index, span) in spans.iter().enumerate() {
            let key_heads = span.cache.shape().heads;
            let rows = span.tokens * (self.heads / key_heads);
            for key_head in 0..key_heads {
                strips.extend((0..rows).step_by(width).map(|first| Strip {
                    span: span_index,
                    key_head,
                    first,
                    count: width.min(rows - first),
                }));
            }
        }
        strips
    }

    fn run_strip(
        &self,
        kernels: Kernels,
        span: &Span<'_>,
        strip: Strip,
        queries: &[f32],
        out: &Disjoint<'_, f32>,
        scratch: &mut AttendScratch,
    ) {
        let shape = span.cache.shape();
        let group = self.heads / shape.heads;
        let place = |row: usize| {
            let token = span.first_row + row / group;
            (token, (token * self.heads + strip.key_head * group + row % group) * shape.dim)
        };
        let rows = strip.first..strip.first + strip.count;
        // Lanes that are filled up to a power of two see one key, and nobody reads what they get.
        let lanes = strip.count.next_power_of_two();
        let mut lengths = [1; 8];
        scratch.queries.clear();
        for (row, length) in rows.clone().zip(&mut lengths) {
            let (token, at) = place(row);
            *length = span.start + row / group + 1;
            let first = scratch.queries.len();
            scratch.queries.extend_from_slice(&queries[at..at + shape.dim]);
            let angles = &self.angles[token * self.rope.pairs()..][..self.rope.pairs()];
            self.rope.rotate(&mut scratch.queries[first..], shape.dim, angles);
            scratch.queries[first..].iter_mut().for_each(|value| *value *= self.scale);
            scratch.queries.resize(first + shape.stored_dim(), 0.0);
        }
        scratch.queries.resize(lanes * shape.stored_dim(), 0.0);
        kernels.run(AttendTask {
            dim: shape.stored_dim(),
            lengths: &lengths[..lanes],
            pages: span.cache.head(self.layer, strip.key_head),
            scratch,
        });
        for (row, result) in rows.zip(scratch.out.chunks_exact(shape.stored_dim())) {
            let at = place(row).1;
            // SAFETY: each row and head belongs to one strip, and `run` gives each strip to one call.
            unsafe { out.part(at..at + shape.dim) }.copy_from_slice(&result[..shape.dim]);
        }
    }
}
