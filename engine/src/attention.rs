//! Causal attention with grouped heads over the thread pool.
#![expect(unsafe_code, reason = "threads write the heads of one output")]

use crate::kernels::rows::RmsNorm;
use crate::kernels::{AnyPage, AttendScratch, AttendTask, FEW_ROWS, Goal, JoinPages, Kernels, TILE_ROWS, gain_length};
use crate::kv::{KvCache, PAGE_TOKENS};
use crate::pool::{Disjoint, Pool};
use crate::rope::Rope;
use std::cell::Cell;
use std::ops::Range;

/// Strips for each thread that are wanted of many rows.
const STRIPS_PER_THREAD: usize = 4;
/// Pieces for each thread that are wanted of few rows.
const PIECES_PER_THREAD: usize = 4;
/// Fewer pages are not worth a piece of their own.
const PIECE_PAGES: usize = 2;

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
    /// As in [`crate::kv::NewRows`].
    pub(crate) wide: &'a [Vec<u16>],
}

thread_local! {
    static SCRATCH: Cell<AttendScratch> = Cell::new(AttendScratch::default());
    static GAINS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A few query rows of one key head: row `r` is token `r / group` and query head `r % group` of the group.
#[derive(Clone, Copy)]
struct Strip {
    span: usize,
    key_head: usize,
    first: usize,
    count: usize,
}

/// A strip, or some of its pages.
struct Piece {
    strip: Strip,
    /// Pages, counted from the first that the strip sees, and where what the rows get from them goes; without them the whole
    /// strip is done at once.
    part: Option<(Range<usize>, usize)>,
}

/// A strip whose pages were given to several pieces.
struct Divided {
    strip: Strip,
    pages: usize,
    /// Where what the rows get from the pages begins.
    gains: usize,
}

/// Numbers that the rows of a strip get from one page.
fn gains_of(spans: &[Span<'_>], strip: Strip) -> usize {
    strip.count * gain_length(spans[strip.span].cache.shape().stored_dim())
}

impl Attention<'_> {
    /// Normalises and rotates the queries (rows of `heads * dim` values) and writes for each row and head the weighted values
    /// to `out`.
    pub(crate) fn run(&self, pool: &Pool, kernels: Kernels, spans: &[Span<'_>], queries: &[f32], out: &mut [f32]) {
        let (pieces, divided) = self.pieces(pool.threads(), spans);
        let out = Disjoint::new(out);
        let mut gains = GAINS.take();
        let length = divided.last().map_or(0, |last| last.gains + last.pages * gains_of(spans, last.strip));
        gains.resize(length.max(gains.len()), 0.0);
        let parts = Disjoint::new(&mut gains);
        pool.run(pieces.len(), &|index| {
            // The last strips see the most keys; they go first.
            let mut order = pieces[..pieces.len() - index].iter().rev();
            let (piece, after) = (order.next().expect("there is one for each index"), order.next());
            let mut scratch = SCRATCH.take();
            self.run_piece(kernels, spans, (piece, after), queries, (&out, &parts), &mut scratch);
            SCRATCH.set(scratch);
        });
        let rows: Vec<(&Divided, usize)> =
            divided.iter().flat_map(|divided| (0..divided.strip.count).map(move |row| (divided, row))).collect();
        pool.run(rows.len(), &|index| {
            let (divided, row) = rows[index];
            let mut scratch = SCRATCH.take();
            self.join_row(kernels, &spans[divided.strip.span], divided, row, (&gains, &out), &mut scratch);
            SCRATCH.set(scratch);
        });
        GAINS.set(gains);
    }

    /// Divides the work, so that there is enough for each thread.
    fn pieces(&self, threads: usize, spans: &[Span<'_>]) -> (Vec<Piece>, Vec<Divided>) {
        let strips_of = |width: usize| {
            let rows = |span: &Span<'_>| span.tokens * (self.heads / span.cache.shape().heads);
            spans.iter().map(|span| span.cache.shape().heads * rows(span).div_ceil(width)).sum::<usize>()
        };
        let width =
            [TILE_ROWS, TILE_ROWS / 2].into_iter().find(|&width| strips_of(width) >= threads * STRIPS_PER_THREAD);
        let few = strips_of(TILE_ROWS / 2) < threads;
        let mut plan = (Vec::new(), Vec::new());
        let mut gains = 0;
        for (index, span) in spans.iter().enumerate() {
            let key_heads = span.cache.shape().heads;
            let rows = span.tokens * (self.heads / key_heads);
            let width = if few || rows <= FEW_ROWS { FEW_ROWS } else { width.unwrap_or(TILE_ROWS / 2) };
            for key_head in 0..key_heads {
                for first in (0..rows).step_by(width) {
                    let strip = Strip { span: index, key_head, first, count: width.min(rows - first) };
                    let pages = self.pages(span, strip);
                    let pieces =
                        if strip.count <= FEW_ROWS { threads * PIECES_PER_THREAD / strips_of(FEW_ROWS) } else { 1 };
                    let share = pages.len().div_ceil(pieces.max(1)).max(PIECE_PAGES);
                    if pages.len() <= share {
                        plan.0.push(Piece { strip, part: None });
                        continue;
                    }
                    let length = gains_of(spans, strip);
                    for start in (0..pages.len()).step_by(share) {
                        let part = start..pages.len().min(start + share);
                        plan.0.push(Piece { strip, part: Some((part, gains + start * length)) });
                    }
                    plan.1.push(Divided { strip, pages: pages.len(), gains });
                    gains += pages.len() * length;
                }
            }
        }
        plan
    }

    /// The pages that a strip's rows see.
    fn pages(&self, span: &Span<'_>, strip: Strip) -> Range<usize> {
        let group = self.heads / span.cache.shape().heads;
        let first = self.scoring.first_key(span.start + strip.first / group) / PAGE_TOKENS;
        let last = span.start + (strip.first + strip.count - 1) / group;
        first..last / PAGE_TOKENS + 1
    }

    /// Some of the pages that a strip's rows see, counted from the first that they see.
    fn views<'a>(&'a self, span: &Span<'a>, strip: Strip, range: Range<usize>) -> Vec<AnyPage<'a>> {
        let wide = self.wide.get(strip.key_head).map_or(&[][..], Vec::as_slice);
        let first = self.pages(span, strip).start;
        span.cache.pages((self.layer, strip.key_head), first + range.start..first + range.end, wide)
    }

    /// Where the query and the result of a row stand: the token, and the place of its first value.
    fn place(&self, span: &Span<'_>, strip: Strip, row: usize) -> (usize, usize) {
        let shape = span.cache.shape();
        let group = self.heads / shape.heads;
        let token = span.first_row + row / group;
        (token, (token * self.heads + strip.key_head * group + row % group) * shape.dim)
    }

    /// The score without a value of a row of the strip.
    fn sink(&self, span: &Span<'_>, strip: Strip, row: usize) -> Option<f32> {
        let group = self.heads / span.cache.shape().heads;
        self.scoring.sinks.as_ref().map(|sinks| sinks[strip.key_head * group + row % group])
    }

    fn run_piece(
        &self,
        kernels: Kernels,
        spans: &[Span<'_>],
        (piece, after): (&Piece, Option<&Piece>),
        queries: &[f32],
        (out, gains): (&Disjoint<'_, f32>, &Disjoint<'_, f32>),
        scratch: &mut AttendScratch,
    ) {
        let (strip, span) = (piece.strip, &spans[piece.strip.span]);
        let shape = span.cache.shape();
        let (group, dim) = (self.heads / shape.heads, shape.stored_dim());
        let rows = strip.first..strip.first + strip.count;
        // Pages before the first key that the first row sees are left out; keys count from the page that is left.
        let pages = self.pages(span, strip);
        let (mut seen, mut sinks) = ([[0, 1]; TILE_ROWS], [0.0; TILE_ROWS]);
        scratch.queries.clear();
        for (lane, row) in rows.clone().enumerate() {
            let (token, at) = self.place(span, strip, row);
            let position = span.start + row / group;
            seen[lane] = [self.scoring.first_key(position), position + 1].map(|key| key - pages.start * PAGE_TOKENS);
            sinks[lane] = self.sink(span, strip, row).unwrap_or(0.0);
            self.prepare(kernels, &queries[at..at + shape.dim], token, position, &mut scratch.queries);
            scratch.queries.resize((lane + 1) * dim, 0.0);
        }
        let (range, goal) = match &piece.part {
            None => {
                let sinks = self.scoring.sinks.as_ref().map(|_| &sinks[..strip.count]);
                (0..pages.len(), Goal::Rows { sinks })
            }
            Some((range, at)) => {
                let length = range.len() * strip.count * gain_length(dim);
                // SAFETY: the pieces' parts of the gains do not overlap, and `run` gives each piece to one call.
                let gains = unsafe { gains.part(*at..at + length) };
                (range.clone(), Goal::Gains { first: range.start, gains })
            }
        };
        let views = self.views(span, strip, range);
        let after = after.and_then(|after| {
            let first = after.part.as_ref().map_or(0, |(range, _)| range.start);
            self.views(&spans[after.strip.span], after.strip, first..first + 1).pop()
        });
        kernels.run(AttendTask {
            dim,
            seen: &seen[..strip.count],
            cap: self.scoring.cap,
            pages: &views,
            after,
            scratch,
            goal,
        });
        if piece.part.is_none() {
            for (row, result) in rows.zip(scratch.out.chunks_exact(dim)) {
                let at = self.place(span, strip, row).1;
                // SAFETY: each row and head belongs to one strip, and `run` gives each strip to one call.
                unsafe { out.part(at..at + shape.dim) }.copy_from_slice(&result[..shape.dim]);
            }
        }
    }

    /// Joins what row number `index` of a divided strip got from its pages.
    fn join_row(
        &self,
        kernels: Kernels,
        span: &Span<'_>,
        divided: &Divided,
        index: usize,
        (gains, out): (&[f32], &Disjoint<'_, f32>),
        scratch: &mut AttendScratch,
    ) {
        let (shape, strip) = (span.cache.shape(), divided.strip);
        let length = gain_length(shape.stored_dim());
        let gains = &gains[divided.gains..][..divided.pages * strip.count * length];
        let row = strip.first + index;
        kernels.run(JoinPages {
            dim: shape.stored_dim(),
            sink: self.sink(span, strip, row),
            gains: gains.chunks_exact(length).skip(index).step_by(strip.count),
            scratch,
        });
        let at = self.place(span, strip, row).1;
        // SAFETY: each row and head belongs to one divided strip, and `run` gives each of its rows to one call.
        unsafe { out.part(at..at + shape.dim) }.copy_from_slice(&scratch.out[..shape.dim]);
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
