//! A few query rows: keys stand in the lanes for the scores, dimensions for the weighted values.
#![expect(clippy::needless_range_loop, reason = "a register tile is read by its indices")]

use super::join::{finish, gain_length, join, set_header, start};
use super::round::RoundRow;
use super::{
    AttendScratch, AttendTask, FEW_ROWS, Goal, LANES, Lanes, Line, NOTHING, PAGE_PAIRS, PageView, UNIT, bounds, capped,
    hidden, inverse, power, sees_all, weight_step,
};
use crate::kernels::{Simd, Task};
use crate::kv::PAGE_TOKENS;

/// Blocks of keys in a page.
const BLOCKS: usize = PAGE_TOKENS / LANES;

/// Buffers for a few rows.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// By pair of dimensions, then by row.
    queries: Vec<i32>,
    /// The pairs of one row.
    pairs: Vec<i32>,
    /// By row what it gets from one page.
    gains: Vec<f32>,
    /// By row what it has from all pages so far.
    states: Vec<f32>,
}

/// Weights of the keys of a page.
struct Weights<const W: usize> {
    /// By row, scores and later weights.
    scores: [[Lanes; BLOCKS]; W],
    /// By row, the pairs of integers.
    words: [[i32; PAGE_PAIRS]; W],
}

/// What attention reads of the query rows.
struct Rows<'a, const W: usize> {
    /// By pair of dimensions.
    words: &'a [[i32; W]],
    /// What a row's products are multiplied with.
    steps: [f32; W],
    cap: Option<f32>,
    seen: &'a [[usize; 2]; W],
}

#[inline(always)]
pub(super) fn attend<S: Simd, const W: usize>(simd: S, task: AttendTask<'_>) {
    let (dim, length) = (task.dim, gain_length(task.dim));
    let AttendScratch { queries, out, few: work, widened, .. } = task.scratch;
    let steps = round::<S, W>(simd, queries, dim, task.cap.is_some(), work);
    let rows = Rows {
        words: work.queries.as_chunks::<W>().0,
        steps,
        cap: task.cap,
        seen: task.seen.as_array().expect("the task has this many rows"),
    };
    match task.goal {
        Goal::Gains { first, gains } => {
            for ((index, page), gains) in task.pages.iter().enumerate().zip(gains.chunks_exact_mut(W * length)) {
                let next = task.pages.get(index + 1).or(task.after.as_ref()).unwrap_or(page);
                let (page, next) = page.view(simd, next, widened);
                attend_page(simd, &rows, (first + index) * PAGE_TOKENS, (page, next), gains);
            }
        }
        Goal::Rows { sinks } => {
            work.gains.resize(W * length, 0.0);
            work.states.resize(W * length, 0.0);
            for (row, state) in work.states.chunks_exact_mut(length).enumerate() {
                start(state, sinks.map(|sinks| sinks[row]));
            }
            for (index, page) in task.pages.iter().enumerate() {
                let next = task.pages.get(index + 1).or(task.after.as_ref()).unwrap_or(page);
                let (page, next) = page.view(simd, next, widened);
                attend_page(simd, &rows, index * PAGE_TOKENS, (page, next), &mut work.gains);
                for (state, gain) in work.states.chunks_exact_mut(length).zip(work.gains.chunks_exact(length)) {
                    join(simd, state, gain);
                }
            }
            out.resize(W * dim, 0.0);
            for (state, out) in work.states.chunks_exact(length).zip(out.chunks_exact_mut(dim)) {
                finish(simd, state, out);
            }
        }
    }
}

/// Rounds the query rows and puts them side by side; returns their steps.
#[inline(always)]
fn round<S: Simd, const W: usize>(simd: S, queries: &[f32], dim: usize, cap: bool, work: &mut Work) -> [f32; W] {
    work.queries.resize(dim / 2 * W, 0);
    work.pairs.resize(dim / 2, 0);
    let mut steps = [0.0; W];
    for (row, query) in queries.chunks_exact(dim).take(W).enumerate() {
        let step = RoundRow { row: query, pairs: &mut work.pairs }.run(simd);
        steps[row] = if cap { step } else { step * std::f32::consts::LOG2_E };
        for (words, &pair) in work.queries.as_chunks_mut::<W>().0.iter_mut().zip(&work.pairs) {
            words[row] = pair;
        }
    }
    steps
}

/// What each row gets from the page that begins at key `from`; the page after it is asked for meanwhile.
#[inline(always)]
fn attend_page<S: Simd, const W: usize>(
    simd: S,
    rows: &Rows<'_, W>,
    from: usize,
    (page, next): (PageView<'_>, PageView<'_>),
    gains: &mut [f32],
) {
    let end = rows.seen.iter().map(|&[_, end]| end).max().unwrap_or(0);
    let blocks = end.saturating_sub(from).min(PAGE_TOKENS).div_ceil(LANES);
    let mut weights = Weights { scores: [[Lanes([0.0; LANES]); BLOCKS]; W], words: [[0; PAGE_PAIRS]; W] };
    score(simd, rows, (page, next), blocks, &mut weights.scores);
    let length = gains.len() / W;
    for row in 0..W {
        if rows.cap.is_some() || !sees_all(&rows.seen[row], from) {
            let bounds = bounds(rows.seen[row], from);
            limit(simd, &mut weights.scores[row][..blocks], rows.cap, bounds);
        }
        let limit = largest(page.value_steps, rows.seen[row][1].saturating_sub(from));
        let [peak, sum, step] = weigh(simd, &mut weights, row, blocks, page.value_steps, limit);
        set_header(&mut gains[row * length..], peak, sum, step);
    }
    if W <= 2 {
        mix::<S, W, 4>(simd, (page.values, next.values), &weights.words, blocks, gains);
    } else {
        mix::<S, W, 2>(simd, (page.values, next.values), &weights.words, blocks, gains);
    }
}

/// The largest step of a page's first `count` values.
#[inline(always)]
fn largest(steps: &[f32; PAGE_TOKENS], count: usize) -> f32 {
    steps[..count.min(PAGE_TOKENS)].iter().fold(0.0, |largest: f32, &step| largest.max(step))
}

/// Scores of the first `blocks` blocks of keys.
#[inline(always)]
fn score<S: Simd, const W: usize>(
    simd: S,
    rows: &Rows<'_, W>,
    pages: (PageView<'_>, PageView<'_>),
    blocks: usize,
    scores: &mut [[Lanes; BLOCKS]; W],
) {
    let mut block = 0;
    if S::QUERIES == FEW_ROWS {
        while W <= 6 && block + 4 <= blocks {
            score_blocks::<S, W, 4>(simd, rows, pages, block, scores);
            block += 4;
        }
        while block + 2 <= blocks {
            score_blocks::<S, W, 2>(simd, rows, pages, block, scores);
            block += 2;
        }
    }
    for block in block..blocks {
        score_blocks::<S, W, 1>(simd, rows, pages, block, scores);
    }
}

#[inline(always)]
fn score_blocks<S: Simd, const W: usize, const B: usize>(
    simd: S,
    rows: &Rows<'_, W>,
    (page, next): (PageView<'_>, PageView<'_>),
    first: usize,
    scores: &mut [[Lanes; BLOCKS]; W],
) {
    let pairs = rows.words.len();
    let keys: [&[Line]; B] = std::array::from_fn(|block| &page.keys[(first + block) * pairs..][..pairs]);
    let ahead: [&[Line]; B] = std::array::from_fn(|block| &next.keys[(first + block) * pairs..][..pairs]);
    let mut sums = [[simd.ints(0); W]; B];
    for (pair, words) in rows.words.iter().enumerate() {
        for block in 0..B {
            let line = simd.load_line(&keys[block][pair].0);
            simd.prefetch(ahead[block][pair].0.as_ptr());
            for row in 0..W {
                sums[block][row] = simd.dot_pairs(sums[block][row], line, words[row]);
            }
        }
    }
    let steps = page.key_steps.as_chunks::<LANES>().0;
    for block in 0..B {
        let key_steps = simd.load(&steps[first + block]);
        for row in 0..W {
            let score = simd.mul(simd.to_floats(sums[block][row]), key_steps);
            simd.store(simd.mul(score, simd.floats(rows.steps[row])), &mut scores[row][first + block].0);
        }
    }
}

/// Caps the scores of a row and hides the keys outside of `first..=last`.
#[inline(always)]
fn limit<S: Simd>(simd: S, scores: &mut [Lanes], cap: Option<f32>, [first, last]: [f32; 2]) {
    const NUMBERS: [f32; LANES] =
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    for (block, scores) in scores.iter_mut().enumerate() {
        let mut score = simd.load(&scores.0);
        if let Some(cap) = cap {
            score = capped(simd, score, cap);
        }
        let keys = simd.add(simd.load(&NUMBERS), simd.floats((block * LANES) as f32));
        let room = simd.min(simd.sub(simd.floats(last), keys), simd.sub(keys, simd.floats(first)));
        simd.store(hidden(simd, score, room), &mut scores.0);
    }
}

/// Makes weights of the scores of a row: integers in pairs. Returns the largest score, the sum of the powers of two, and the
/// step of the integers.
#[inline(always)]
fn weigh<S: Simd, const W: usize>(
    simd: S,
    weights: &mut Weights<W>,
    row: usize,
    blocks: usize,
    value_steps: &[f32; PAGE_TOKENS],
    limit: f32,
) -> [f32; 3] {
    let scores = &mut weights.scores[row];
    let mut most = simd.floats(NOTHING);
    for score in &scores[..blocks] {
        most = simd.max(simd.load(&score.0), most);
    }
    let peak = simd.max_lanes(most);
    let (shift, mut sum, mut most) = (simd.floats(peak), simd.ints(0), simd.floats(0.0));
    for (scores, steps) in scores[..blocks].iter_mut().zip(value_steps.as_chunks::<LANES>().0) {
        let share = power(simd, simd.sub(simd.load(&scores.0), shift), UNIT);
        sum = simd.add_ints(sum, simd.to_ints(share));
        let weight = simd.mul(share, simd.load(steps));
        most = simd.max(weight, most);
        simd.store(weight, &mut scores.0);
    }
    let sum = simd.sum_ints(sum) as f32;
    let step = weight_step(simd, simd.floats(sum), simd.floats(simd.max_lanes(most)), simd.floats(limit));
    let inverse = inverse(simd, step);
    for (group, words) in weights.words[row].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut line = Line([0; 64]);
        let low = rounded(simd, &scores[..blocks], 2 * group, inverse);
        let high = rounded(simd, &scores[..blocks], 2 * group + 1, inverse);
        simd.store_line(simd.pair(low, high), &mut line.0);
        *words = bytemuck::cast(line.0);
    }
    [peak, sum, simd.max_lanes(step)]
}

/// The weights of a block as integers; none where there is no such block.
#[inline(always)]
fn rounded<S: Simd>(simd: S, weights: &[Lanes], block: usize, inverse: S::Floats) -> S::Ints {
    match weights.get(block) {
        Some(weights) => simd.to_ints(simd.mul(simd.load(&weights.0), inverse)),
        None => simd.ints(0),
    }
}

/// The sums of the values of the first `blocks` blocks of keys, weighted; `V` blocks of dimensions at once where they are left.
#[inline(always)]
fn mix<S: Simd, const W: usize, const V: usize>(
    simd: S,
    (values, next): (&[Line], &[Line]),
    words: &[[i32; PAGE_PAIRS]; W],
    blocks: usize,
    gains: &mut [f32],
) {
    let dims = values.len() / PAGE_PAIRS;
    let pairs = blocks.div_ceil(2) * LANES;
    let mut first = 0;
    while first + V <= dims {
        mix_dims::<S, W, V>(simd, (values, next), words, pairs, first, gains);
        first += V;
    }
    for first in first..dims {
        mix_dims::<S, W, 1>(simd, (values, next), words, pairs, first, gains);
    }
}

#[inline(always)]
fn mix_dims<S: Simd, const W: usize, const V: usize>(
    simd: S,
    (values, next): (&[Line], &[Line]),
    words: &[[i32; PAGE_PAIRS]; W],
    pairs: usize,
    first: usize,
    gains: &mut [f32],
) {
    let (values, next) = (values.as_chunks::<PAGE_PAIRS>().0, next.as_chunks::<PAGE_PAIRS>().0);
    let blocks: [&[Line; PAGE_PAIRS]; V] = std::array::from_fn(|block| &values[first + block]);
    let ahead: [&[Line; PAGE_PAIRS]; V] = std::array::from_fn(|block| &next[first + block]);
    let mut sums = [[simd.ints(0); V]; W];
    for pair in 0..pairs.min(PAGE_PAIRS) {
        let lines: [S::Bytes; V] = load(simd, &blocks, pair);
        for block in 0..V {
            simd.prefetch(ahead[block][pair].0.as_ptr());
        }
        for row in 0..W {
            for block in 0..V {
                sums[row][block] = simd.dot_pairs(sums[row][block], lines[block], words[row][pair]);
            }
        }
    }
    let length = gains.len() / W;
    for row in 0..W {
        let gain = &mut gains[row * length + gain_length(first * LANES)..][..V * LANES];
        for (block, out) in gain.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            simd.store(simd.to_floats(sums[row][block]), out);
        }
    }
}

#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, blocks: &[&[Line; PAGE_PAIRS]; V], pair: usize) -> [S::Bytes; V] {
    let mut lines = [simd.load_line(&blocks[0][pair].0); V];
    for block in 1..V {
        lines[block] = simd.load_line(&blocks[block][pair].0);
    }
    lines
}
