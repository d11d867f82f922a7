//! Attention of a few query rows to the keys and values of one head.
//!
//! All scores of a row are computed, then their exponentials, then the weighted sum of the values: each in the order of the
//! keys, so that a row's result does not depend on the rows beside it or on how a prompt was cut. Keys lie in blocks of 16,
//! dimension by dimension, so that a lane is a key; values lie key by key, so that a lane is a dimension.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::rows::{exponentials_beside, soft_cap};
use super::{Simd, Task};
use crate::kv::PAGE_TOKENS;

/// Keys in a block.
const BLOCK: usize = 16;

/// One head's part of a page: `PAGE_TOKENS` keys in blocks, and as many values. Both as half floats.
#[derive(Clone, Copy)]
pub(crate) struct PageView<'a> {
    pub(crate) keys: &'a [u16],
    pub(crate) values: &'a [u16],
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct AttendScratch {
    /// Query rows, each of `dim` values, already scaled.
    pub(crate) queries: Vec<f32>,
    /// Result rows.
    pub(crate) out: Vec<f32>,
    interleaved: Vec<f32>,
    scores: Vec<f32>,
}

/// Query rows of one head against the pages of one sequence. The queries are in the scratch, the results go there.
pub(crate) struct AttendTask<'a, P> {
    /// Values of a head, a multiple of 16.
    pub(crate) dim: usize,
    /// For each row the first key that it sees, and the one after the last; at least one lies between. The number of rows
    /// is 1, 2, 4 or 8, and at most `Simd::QUERIES`.
    pub(crate) seen: &'a [[usize; 2]],
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    /// For each row a score without a value.
    pub(crate) sinks: Option<&'a [f32]>,
    pub(crate) pages: P,
    pub(crate) scratch: &'a mut AttendScratch,
}

impl<'p, P: Iterator<Item = PageView<'p>> + Clone> Task for AttendTask<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.seen.len() {
            1 => attend::<S, P, 1>(simd, self),
            2 => attend::<S, P, 2>(simd, self),
            4 if S::QUERIES >= 4 => attend::<S, P, 4>(simd, self),
            8 if S::QUERIES >= 8 => attend::<S, P, 8>(simd, self),
            rows => unreachable!("{rows} rows in a strip of attention"),
        }
    }
}

#[inline(always)]
fn attend<'p, S: Simd, P: Iterator<Item = PageView<'p>> + Clone, const W: usize>(simd: S, task: AttendTask<'_, P>) {
    let (dim, scratch) = (task.dim, task.scratch);
    let longest = task.seen.iter().map(|&[_, end]| end).max().unwrap_or(0);
    let stride = longest.next_multiple_of(PAGE_TOKENS);
    let pages = longest.div_ceil(PAGE_TOKENS);
    scratch.interleaved.resize(dim * W, 0.0);
    for (row, query) in scratch.queries.chunks_exact(dim).take(W).enumerate() {
        for (out, &value) in scratch.interleaved[row..].iter_mut().step_by(W).zip(query) {
            *out = value;
        }
    }
    scratch.scores.resize((stride * W).max(scratch.scores.len()), 0.0);
    let queries = scratch.interleaved.as_chunks::<W>().0;
    for (index, page) in task.pages.clone().take(pages).enumerate() {
        let blocks = (longest - index * PAGE_TOKENS).min(PAGE_TOKENS).div_ceil(BLOCK);
        score_page::<S, W>(simd, queries, page.keys, blocks, &mut scratch.scores[index * PAGE_TOKENS..], stride);
    }
    let mut scales = [0.0; W];
    for (row, scale) in scales.iter_mut().enumerate() {
        let [first, end] = task.seen[row];
        let (before, rest) = scratch.scores[row * stride..][..stride].split_at_mut(first);
        let (seen, after) = rest.split_at_mut(end - first);
        if let Some(cap) = task.cap {
            soft_cap(simd, seen, cap);
        }
        *scale = 1.0 / exponentials_beside(simd, seen, task.sinks.map(|sinks| sinks[row]));
        before.fill(0.0);
        after.fill(0.0);
    }
    scratch.out.resize(dim * W, 0.0);
    let vectors = dim / 16;
    for pair in 0..vectors / 2 {
        weigh::<S, P, W, 2>(
            simd,
            task.pages.clone(),
            longest,
            &scratch.scores,
            stride,
            (dim, pair * 32),
            &scales,
            &mut scratch.out,
        );
    }
    if vectors % 2 == 1 {
        weigh::<S, P, W, 1>(
            simd,
            task.pages,
            longest,
            &scratch.scores,
            stride,
            (dim, dim - 16),
            &scales,
            &mut scratch.out,
        );
    }
}

/// The scores of `blocks` blocks of a page; row `r` goes to `scores[r * stride..]`.
#[inline(always)]
fn score_page<S: Simd, const W: usize>(
    simd: S,
    queries: &[[f32; W]],
    keys: &[u16],
    blocks: usize,
    scores: &mut [f32],
    stride: usize,
) {
    let length = queries.len() * BLOCK;
    let mut block = 0;
    while block + 2 <= blocks {
        let result = score_blocks::<S, W, 2>(simd, queries, &keys[block * length..][..2 * length]);
        store_scores(simd, &result, &mut scores[block * BLOCK..], stride);
        block += 2;
    }
    if block < blocks {
        let result = score_blocks::<S, W, 1>(simd, queries, &keys[block * length..][..length]);
        store_scores(simd, &result, &mut scores[block * BLOCK..], stride);
    }
}

#[inline(always)]
fn score_blocks<S: Simd, const W: usize, const B: usize>(
    simd: S,
    queries: &[[f32; W]],
    keys: &[u16],
) -> [[S::Floats; W]; B] {
    let mut result = [[simd.floats(0.0); W]; B];
    let lines = keys.as_chunks::<BLOCK>().0;
    for (dimension, query) in queries.iter().enumerate() {
        for block in 0..B {
            let keys = simd.load_f16(bytemuck::cast_ref(&lines[block * queries.len() + dimension]));
            for row in 0..W {
                result[block][row] = simd.fma(keys, simd.floats(query[row]), result[block][row]);
            }
        }
    }
    result
}

#[inline(always)]
fn store_scores<S: Simd, const W: usize, const B: usize>(
    simd: S,
    result: &[[S::Floats; W]; B],
    scores: &mut [f32],
    stride: usize,
) {
    for (block, rows) in result.iter().enumerate() {
        for (row, &value) in rows.iter().enumerate() {
            let out = &mut scores[row * stride + block * BLOCK..][..BLOCK];
            simd.store(value, out.as_mut_array().expect("a block has 16 scores"));
        }
    }
}

/// Sums `V` vectors of 16 dimensions of the values, from dimension `first` of `dim`, weighted by the scores.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one inner loop with all that it reads")]
fn weigh<'p, S: Simd, P: Iterator<Item = PageView<'p>>, const W: usize, const V: usize>(
    simd: S,
    pages: P,
    longest: usize,
    scores: &[f32],
    stride: usize,
    (dim, first): (usize, usize),
    scales: &[f32; W],
    out: &mut [f32],
) {
    let mut sums = [[simd.floats(0.0); V]; W];
    for (index, page) in pages.take(longest.div_ceil(PAGE_TOKENS)).enumerate() {
        let start = index * PAGE_TOKENS;
        let weights: [&[f32; PAGE_TOKENS]; W] = std::array::from_fn(|row| {
            scores[row * stride + start..][..PAGE_TOKENS].as_array().expect("scores are padded to whole pages")
        });
        let lines = page.values[first..].as_chunks::<16>().0;
        for key in 0..(longest - start).min(PAGE_TOKENS) {
            let values: [S::Floats; V] = load_values(simd, &lines[key * (dim / 16)..]);
            for row in 0..W {
                let weight = simd.floats(weights[row][key]);
                for vector in 0..V {
                    sums[row][vector] = simd.fma(values[vector], weight, sums[row][vector]);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, &sum) in sums.iter().enumerate() {
            let out = &mut out[row * dim + first + vector * 16..][..16];
            simd.store(simd.mul(sum, simd.floats(scales[row])), out.as_mut_array().expect("a vector has 16 values"));
        }
    }
}

#[inline(always)]
fn load_values<S: Simd, const V: usize>(simd: S, lines: &[[u16; 16]]) -> [S::Floats; V] {
    let mut values = [simd.floats(0.0); V];
    for (value, line) in values.iter_mut().zip(lines) {
        *value = simd.load_f16(bytemuck::cast_ref(line));
    }
    values
}
