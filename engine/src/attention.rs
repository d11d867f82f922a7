//! Causal attention with grouped heads over the thread pool.
#![expect(unsafe_code, reason = "threads write the heads of one output")]

use crate::kernels::rows::RmsNorm;
use crate::kernels::{AttendScratch, AttendTask, Kernels};
use crate::kv::{KvCache, PAGE_TOKENS};
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

/// How products of queries and keys become weights.
#[derive(Debug, Clone)]
pub(crate) struct Scoring {
    /// Factor of the products.
    pub(crate) scale: f32,
    /// How many keys a token sees at most, its own included.
    pub(crate) window: Option<usize>,
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    /// For each head of queries a score that takes its share of the weights and has no value.
    pub(crate) sinks: Option<Vec<f32>>,
    /// Makes scores of late tokens larger.
    pub(crate) temperature: Option<Temperature>,
}

/// Scores of the token at `position` are multiplied by `1 + scale * ln(1 + floor(position / length))`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Temperature {
    pub(crate) scale: f32,
    pub(crate) length: usize,
}

impl Scoring {
    /// All earlier keys are seen, and scores are divided by the root of the head's size.
    pub(crate) fn plain(head_dim: usize) -> Self {
        Self { scale: 1.0 / (head_dim as f32).sqrt(), window: None, cap: None, sinks: None, temperature: None }
    }

    /// Factor of the scores of the token at `position`.
    fn scale_at(&self, position: usize) -> f32 {
        let Some(Temperature { scale, length }) = self.temperature else { return self.scale };
        let steps = (position / length) as f32;
        self.scale * (1.0 + scale * steps.ln_1p())
    }

    /// The first key that the token at `position` sees.
    fn first_key(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// One layer's attention.
pub(crate) struct Attention<'a> {
    pub(crate) layer: usize,
    /// Heads of queries.
    pub(crate) heads: usize,
    /// Weight and epsilon of the norm of each head of the queries.
    pub(crate) query_norm: Option<(&'a [f32], f32)>,
    /// The rotation, and its angles for each row of the pass.
    pub(crate) rotation: Option<(&'a Rope, &'a [[f32; 2]])>,
    pub(crate) scoring: &'a Scoring,
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
    /// Normalises and rotates the queries (rows of `heads * dim` values) and writes for each row and head the weighted values
    /// to `out`.
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
        // Pages before the first key that the first row sees are left out; keys count from the page that is left.
        let first_page = self.scoring.first_key(span.start + strip.first / group) / PAGE_TOKENS;
        let (mut seen, mut sinks) = ([[0, 1]; 8], [0.0; 8]);
        scratch.queries.clear();
        for (lane, row) in rows.clone().enumerate() {
            let (token, at) = place(row);
            let position = span.start + row / group;
            seen[lane] = [self.scoring.first_key(position), position + 1].map(|key| key - first_page * PAGE_TOKENS);
            if let Some(all) = &self.scoring.sinks {
                sinks[lane] = all[strip.key_head * group + row % group];
            }
            self.prepare(kernels, &queries[at..at + shape.dim], token, position, &mut scratch.queries);
            scratch.queries.resize((lane + 1) * shape.stored_dim(), 0.0);
        }
        scratch.queries.resize(lanes * shape.stored_dim(), 0.0);
        kernels.run(AttendTask {
            dim: shape.stored_dim(),
            seen: &seen[..lanes],
            cap: self.scoring.cap,
            sinks: self.scoring.sinks.as_ref().map(|_| &sinks[..lanes]),
            pages: span.cache.head(self.layer, strip.key_head, first_page),
            scratch,
        });
        for (row, result) in rows.zip(scratch.out.chunks_exact(shape.stored_dim())) {
            let at = place(row).1;
            // SAFETY: each row and head belongs to one strip, and `run` gives each strip to one call.
            unsafe { out.part(at..at + shape.dim) }.copy_from_slice(&result[..shape.dim]);
        }
    }

    /// Appends one head of a query to `out`: normalised, rotated to its position and scaled.
    fn prepare(&self, kernels: Kernels, head: &[f32], token: usize, position: usize, out: &mut Vec<f32>) {
        let first = out.len();
        out.extend_from_slice(head);
        let query = &mut out[first..];
        if let Some((weight, epsilon)) = self.query_norm {
            kernels.run(RmsNorm { row: head, weight, epsilon, out: query });
        }
        if let Some((rope, angles)) = self.rotation {
            rope.rotate(query, head.len(), &angles[token * rope.pairs()..][..rope.pairs()]);
        }
        let scale = self.scoring.scale_at(position);
        query.iter_mut().for_each(|value| *value *= scale);
    }
}
