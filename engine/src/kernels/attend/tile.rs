//! Many query rows: one stands in each lane, so that the softmax of each runs in a lane of its own and no sum crosses lanes.

use super::join::Peaks;
use super::narrow::Widened;
use super::round::RoundRow;
use super::{
    AnyPage, AttendScratch, AttendTask, Goal, LANES, Lanes, Line, NOTHING, PAGE_PAIRS, PageView, UNIT, bounds, capped,
    hidden, inverse, largest_so_far, power, sees_all, weight_step,
};
use crate::kernels::gemm_i8::sum_pairs;
use crate::kernels::{Simd, Task};
use crate::kv::PAGE_TOKENS;

/// Keys or dimensions that stand beside the lanes of two tiles, and of one.
const WIDE: usize = 8;
const NARROW: usize = 4;

/// Buffers for a tile of rows; each line or row of lanes is twofold, for the first 16 rows and the others.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// By pair of dimensions.
    queries: Vec<[Line; 2]>,
    pairs: Vec<i32>,
    /// By key of a page, scores and later weights.
    scores: Vec<[Lanes; 2]>,
    /// By pair of keys of a page.
    words: Vec<[Line; 2]>,
    /// By dimension, what the rows have from all pages so far.
    mixed: Vec<[Lanes; 2]>,
}

/// What belongs to the rows in the lanes of `T` tiles from tile `side` on.
struct Rows<'a, S: Simd, const T: usize> {
    side: usize,
    /// What a row's products are multiplied with.
    steps: [S::Floats; T],
    cap: Option<f32>,
    seen: &'a [[usize; 2]],
}

/// The rows' state between pages, beside [`Work::mixed`].
struct State<F, const T: usize> {
    peaks: [F; T],
    sums: [F; T],
}

#[inline(always)]
pub(super) fn attend<S: Simd>(simd: S, task: AttendTask<'_>) {
    let Goal::Rows { sinks } = task.goal else { unreachable!("gains of single pages are for a few rows") };
    let (dim, rows) = (task.dim, task.seen.len());
    let AttendScratch { queries, out, tile: work, widened, .. } = task.scratch;
    let steps = round(simd, queries, dim, task.cap.is_some(), work);
    // Lanes beyond the last row see what it sees, and nobody reads what they get.
    let last = *task.seen.last().expect("a tile has rows");
    let mut seen = [last; 2 * LANES];
    seen[..rows].copy_from_slice(task.seen);
    let mut lane_sinks = [[NOTHING; LANES]; 2];
    if let Some(sinks) = sinks {
        for (lane, sink) in lane_sinks.as_flattened_mut().iter_mut().zip(sinks) {
            *lane = sink * std::f32::consts::LOG2_E;
        }
    }
    out.resize(rows * dim, 0.0);
    let pages = task.pages;
    let sides = rows.div_ceil(LANES);
    if S::TILES == 2 && sides == 2 {
        let steps = [simd.load(&steps[0]), simd.load(&steps[1])];
        let rows = Rows::<S, 2> { side: 0, steps, cap: task.cap, seen: &seen };
        let state =
            State { peaks: [simd.load(&lane_sinks[0]), simd.load(&lane_sinks[1])], sums: [simd.floats(0.0); 2] };
        tiles::<S, 2, WIDE>(simd, &rows, pages, sinks.is_some(), state, (work, widened), out);
    } else {
        for side in 0..sides {
            let seen = &seen[side * LANES..][..LANES];
            let rows = Rows::<S, 1> { side, steps: [simd.load(&steps[side])], cap: task.cap, seen };
            let state = State { peaks: [simd.load(&lane_sinks[side])], sums: [simd.floats(0.0)] };
            let out = &mut out[side * LANES * dim..];
            if S::TILES == 2 {
                tiles::<S, 1, WIDE>(simd, &rows, pages, sinks.is_some(), state, (work, widened), out);
            } else {
                tiles::<S, 1, NARROW>(simd, &rows, pages, sinks.is_some(), state, (work, widened), out);
            }
        }
    }
}

/// Rounds the query rows and puts each in a lane; returns their steps.
#[inline(always)]
fn round<S: Simd>(simd: S, queries: &[f32], dim: usize, cap: bool, work: &mut Work) -> [[f32; LANES]; 2] {
    work.queries.clear();
    work.queries.resize(dim / 2, [Line([0; 64]); 2]);
    work.pairs.resize(dim / 2, 0);
    let mut steps = [[0.0; LANES]; 2];
    for (row, query) in queries.chunks_exact(dim).take(2 * LANES).enumerate() {
        let step = RoundRow { row: query, pairs: &mut work.pairs }.run(simd);
        steps[row / LANES][row % LANES] = if cap { step } else { step * std::f32::consts::LOG2_E };
        for (lines, pair) in work.queries.iter_mut().zip(&work.pairs) {
            lines[row / LANES].0.as_chunks_mut::<4>().0[row % LANES] = pair.to_le_bytes();
        }
    }
    steps
}

/// Takes the rows of `T` tiles through all pages and writes the results.
#[inline(always)]
fn tiles<S: Simd, const T: usize, const W: usize>(
    simd: S,
    rows: &Rows<'_, S, T>,
    pages: &[AnyPage<'_>],
    sinks: bool,
    mut state: State<S::Floats, T>,
    (work, widened): (&mut Work, &mut Widened),
    out: &mut [f32],
) {
    let dim = 2 * work.queries.len();
    work.scores.resize(PAGE_TOKENS, [Lanes([0.0; LANES]); 2]);
    work.words.resize(PAGE_PAIRS, [Line([0; 64]); 2]);
    work.mixed.resize(dim, [Lanes([0.0; LANES]); 2]);
    for mixed in &mut work.mixed {
        mixed[rows.side..][..T].fill(Lanes([0.0; LANES]));
    }
    if sinks {
        state.sums = [simd.floats(UNIT); T];
    }
    for (index, page) in pages.iter().enumerate() {
        let page = page.view(simd, page, widened).0;
        attend_page::<S, T, W>(simd, rows, index * PAGE_TOKENS, page, &mut state, work);
    }
    let count = out.len() / dim;
    for tile in 0..T {
        let inverse = simd.div(simd.floats(1.0), state.sums[tile]);
        for (column, mixed) in work.mixed.iter().enumerate() {
            let mut lanes = [0.0; LANES];
            simd.store(simd.mul(simd.load(&mixed[rows.side + tile].0), inverse), &mut lanes);
            for (lane, value) in lanes.iter().enumerate().take(count.saturating_sub(tile * LANES)) {
                out[(tile * LANES + lane) * dim + column] = *value;
            }
        }
    }
}

/// One page for the rows of `T` tiles.
#[inline(always)]
fn attend_page<S: Simd, const T: usize, const W: usize>(
    simd: S,
    rows: &Rows<'_, S, T>,
    from: usize,
    page: PageView<'_>,
    state: &mut State<S::Floats, T>,
    work: &mut Work,
) {
    let seen = &rows.seen[..T * LANES];
    let end = seen.iter().map(|&[_, end]| end).max().unwrap_or(0);
    let blocks = end.saturating_sub(from).min(PAGE_TOKENS).div_ceil(LANES);
    let whole = seen.iter().all(|seen| sees_all(seen, from));
    let mut most = score::<S, T, W>(simd, rows, page, blocks, work);
    let mut limits = [[0.0; LANES]; T];
    let largest = largest_so_far(page.value_steps);
    for (limit, &[_, end]) in limits.as_flattened_mut().iter_mut().zip(seen) {
        let last = end.saturating_sub(from).min(PAGE_TOKENS);
        *limit = if last > 0 { largest[last - 1] } else { 0.0 };
    }
    if !whole || rows.cap.is_some() {
        most = limit::<S, T>(simd, rows, from, blocks, work);
    }
    let mut old_shares = [simd.floats(0.0); T];
    let mut factors = [simd.floats(0.0); T];
    let (sums, steps) = weigh::<S, T>(simd, rows.side, page, blocks, (&most, &limits), work);
    for tile in 0..T {
        let peaks = Peaks::join(simd, state.peaks[tile], most[tile]);
        let kept = simd.mul(state.sums[tile], peaks.old_share);
        state.sums[tile] = simd.fma(sums[tile], peaks.new_share, kept);
        state.peaks[tile] = peaks.peak;
        old_shares[tile] = peaks.old_share;
        factors[tile] = simd.mul(steps[tile], peaks.new_share);
    }
    let words = &work.words[..blocks.div_ceil(2) * LANES];
    let blocks = bytemuck::cast_slice::<Line, [i32; LANES]>(page.values).as_chunks::<PAGE_PAIRS>().0;
    for (block, mixed) in blocks.iter().zip(work.mixed.as_chunks_mut::<LANES>().0) {
        for part in 0..LANES / W {
            let sums = sum_pairs::<S, T, W, LANES>(simd, words, rows.side, &block[..words.len()], part * W);
            for dim in 0..W {
                let mixed = &mut mixed[part * W + dim];
                for tile in 0..T {
                    let kept = simd.mul(simd.load(&mixed[rows.side + tile].0), old_shares[tile]);
                    let value = simd.fma(simd.to_floats(sums[tile][dim]), factors[tile], kept);
                    simd.store(value, &mut mixed[rows.side + tile].0);
                }
            }
        }
    }
}

/// Scores of the first `blocks` blocks of keys; returns the largest of each row.
#[inline(always)]
fn score<S: Simd, const T: usize, const W: usize>(
    simd: S,
    rows: &Rows<'_, S, T>,
    page: PageView<'_>,
    blocks: usize,
    work: &mut Work,
) -> [S::Floats; T] {
    let pairs = work.queries.len();
    let mut most = [simd.floats(NOTHING); T];
    let keys = bytemuck::cast_slice::<Line, [i32; LANES]>(page.keys).chunks_exact(pairs);
    let steps = page.key_steps.as_chunks::<LANES>().0;
    let scores = work.scores.as_chunks_mut::<LANES>().0;
    for ((keys, steps), scores) in keys.zip(steps).zip(scores).take(blocks) {
        for part in 0..LANES / W {
            let sums = sum_pairs::<S, T, W, LANES>(simd, &work.queries, rows.side, keys, part * W);
            for key in 0..W {
                let step = simd.floats(steps[part * W + key]);
                for tile in 0..T {
                    let score = simd.mul(simd.mul(simd.to_floats(sums[tile][key]), step), rows.steps[tile]);
                    most[tile] = simd.max(score, most[tile]);
                    simd.store(score, &mut scores[part * W + key][rows.side + tile].0);
                }
            }
        }
    }
    most
}

/// Caps the scores and hides the keys that a row does not see; returns the largest of each row.
#[inline(always)]
fn limit<S: Simd, const T: usize>(
    simd: S,
    rows: &Rows<'_, S, T>,
    from: usize,
    blocks: usize,
    work: &mut Work,
) -> [S::Floats; T] {
    let (mut first, mut last) = ([[0.0; LANES]; T], [[0.0; LANES]; T]);
    let lanes = first.as_flattened_mut().iter_mut().zip(last.as_flattened_mut());
    for ((first, last), &seen) in lanes.zip(rows.seen) {
        [*first, *last] = bounds(seen, from);
    }
    let mut most = [simd.floats(NOTHING); T];
    for (key, scores) in work.scores[..blocks * LANES].iter_mut().enumerate() {
        let key = simd.floats(key as f32);
        for tile in 0..T {
            let place = &mut scores[rows.side + tile].0;
            let mut score = simd.load(place);
            if let Some(cap) = rows.cap {
                score = capped(simd, score, cap);
            }
            let room = simd.min(simd.sub(simd.load(&last[tile]), key), simd.sub(key, simd.load(&first[tile])));
            let score = hidden(simd, score, room);
            most[tile] = simd.max(score, most[tile]);
            simd.store(score, place);
        }
    }
    most
}

/// Makes weights of the scores: integers, pair by pair of keys. Returns for each row the sum of the powers of two, and the step
/// of the integers.
#[inline(always)]
fn weigh<S: Simd, const T: usize>(
    simd: S,
    side: usize,
    page: PageView<'_>,
    blocks: usize,
    (most, limits): (&[S::Floats; T], &[[f32; LANES]; T]),
    work: &mut Work,
) -> ([S::Floats; T], [S::Floats; T]) {
    let (mut sums, mut peaks) = ([simd.ints(0); T], [simd.floats(0.0); T]);
    let scores = &mut work.scores[..blocks * LANES];
    for (scores, &step) in scores.iter_mut().zip(page.value_steps) {
        let step = simd.floats(step);
        for tile in 0..T {
            let place = &mut scores[side + tile].0;
            let share = power(simd, simd.sub(simd.load(place), most[tile]), UNIT);
            sums[tile] = simd.add_ints(sums[tile], simd.to_ints(share));
            let weight = simd.mul(share, step);
            peaks[tile] = simd.max(weight, peaks[tile]);
            simd.store(weight, place);
        }
    }
    let mut totals = [simd.floats(0.0); T];
    let (mut steps, mut inverses) = (totals, totals);
    for tile in 0..T {
        totals[tile] = simd.to_floats(sums[tile]);
        steps[tile] = weight_step(simd, totals[tile], peaks[tile], simd.load(&limits[tile]));
        inverses[tile] = inverse(simd, steps[tile]);
    }
    for (scores, words) in scores.chunks(2 * LANES).zip(work.words.as_chunks_mut::<LANES>().0) {
        let (low, high) = scores.split_at(LANES);
        for (pair, (low, words)) in low.iter().zip(words).enumerate() {
            for tile in 0..T {
                let low = simd.to_ints(simd.mul(simd.load(&low[side + tile].0), inverses[tile]));
                let high = match high.get(pair) {
                    Some(high) => simd.to_ints(simd.mul(simd.load(&high[side + tile].0), inverses[tile])),
                    None => simd.ints(0),
                };
                simd.store_line(simd.pair(low, high), &mut words[side + tile].0);
            }
        }
    }
    (totals, steps)
}
