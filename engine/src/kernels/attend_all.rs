//! Attention of one text in which tokens see tokens on both sides: all of them, or those within a window.
//!
//! Queries, keys, values and the shares that the softmax gives are rounded to 13 bits with one scale for the text and head,
//! and their products are summed in 32-bit integers. Sixteen queries stand side by side in the lanes, so that the softmax of
//! each runs in a lane of its own and no sum crosses lanes.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::gemm_i8::{step, sum_pairs};
use super::integer::{Lanes, Line};
use super::{Simd, Task};

/// Heads are filled up with zeros to a multiple of this.
pub(crate) const HEAD_STEP: usize = 32;
const LANES: usize = 16;
/// Queries in a block: two tiles of lanes.
const QUERIES: usize = 2 * LANES;
/// Keys that stand side by side.
const KEYS: usize = 12;
/// Dimensions of the values that stand side by side.
const DIMS: usize = 8;
/// Largest magnitude of rounded values. 128 products of two of them stay within 32 bits.
const LEVELS: f32 = 4095.0;
/// Pairs of tokens whose products are summed in integers.
const PAIRS: usize = 64;

/// Attention of one head of one text.
pub(crate) struct AttendAll<'a> {
    /// For each token, `stride` values: the query, the key and the value, each `dim` long; what follows is not read.
    pub(crate) rows: &'a [f32],
    pub(crate) stride: usize,
    /// Length of a head as stored: a multiple of [`HEAD_STEP`].
    pub(crate) dim: usize,
    /// What the products of queries and keys are multiplied with.
    pub(crate) scale: f32,
    /// Tokens farther away than this are not seen.
    pub(crate) window: Option<usize>,
    /// For each token `out_stride` values, of which those from `column` on take the head's first `kept` values.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_stride: usize,
    pub(crate) column: usize,
    pub(crate) kept: usize,
    pub(crate) work: &'a mut AttendWork,
}

/// Memory kept from head to head.
#[derive(Debug, Default)]
pub(crate) struct AttendWork {
    /// By strip of keys and pair of dimensions.
    keys: Vec<[i32; KEYS]>,
    /// By block of dimensions and pair of tokens.
    values: Vec<[i32; DIMS]>,
    /// By pair of dimensions.
    queries: Vec<[Line; 2]>,
    /// By token.
    scores: Vec<[Lanes; 2]>,
    /// By pair of tokens.
    shares: Vec<[Line; 2]>,
}

/// The steps by which a text's queries, keys and values became integers.
struct Steps {
    queries: f32,
    keys: f32,
    values: f32,
}

impl Task for AttendAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tokens = self.rows.len() / self.stride;
        let mut task = self;
        let levels = LEVELS.min((i32::MAX as f32 / task.dim as f32).sqrt().floor());
        let dim = task.dim;
        let steps = Steps {
            queries: step(largest(simd, task.rows, task.stride, 0, dim), levels),
            keys: step(largest(simd, task.rows, task.stride, dim, dim), levels),
            values: step(largest(simd, task.rows, task.stride, 2 * dim, dim), LEVELS),
        };
        pack_keys(simd, &mut task, tokens, steps.keys);
        pack_values(simd, &mut task, tokens, steps.values);
        for first in (0..tokens).step_by(QUERIES) {
            pack_queries(simd, &mut task, first, tokens, steps.queries);
            let seen = seen(task.window, first, tokens);
            let factor = task.scale * std::f32::consts::LOG2_E * steps.queries * steps.keys;
            if S::TILES == 2 {
                block::<S, 2, KEYS, DIMS>(simd, &mut task, (first, 0), seen, factor, steps.values);
            } else {
                for side in 0..2 {
                    let seen = seen.clone();
                    block::<S, 1, { KEYS / 2 }, { DIMS / 2 }>(
                        simd,
                        &mut task,
                        (first, side),
                        seen,
                        factor,
                        steps.values,
                    );
                }
            }
        }
    }
}

/// The largest magnitude in a part of each row.
#[inline(always)]
fn largest<S: Simd>(simd: S, rows: &[f32], stride: usize, start: usize, length: usize) -> f32 {
    let mut most = simd.floats(0.0);
    for row in rows.chunks_exact(stride) {
        for chunk in row[start..start + length].as_chunks::<LANES>().0 {
            most = simd.max(simd.abs(simd.load(chunk)), most);
        }
    }
    simd.max_lanes(most)
}

/// The tokens that the queries of a block see, from an even one on.
fn seen(window: Option<usize>, first: usize, tokens: usize) -> std::ops::Range<usize> {
    match window {
        None => 0..tokens,
        Some(window) => first.saturating_sub(window) / 2 * 2..tokens.min((first + QUERIES).saturating_add(window)),
    }
}

/// Two pieces of a row as 16-bit integers, pair by pair.
#[inline(always)]
fn round_pair<S: Simd>(simd: S, low: &[f32; LANES], high: &[f32; LANES], inverse: f32) -> [i32; LANES] {
    let low = simd.to_ints(simd.mul(simd.load(low), simd.floats(inverse)));
    let high = simd.to_ints(simd.mul(simd.load(high), simd.floats(inverse)));
    let mut line = Line([0; 64]);
    simd.store_line(simd.pair(low, high), &mut line.0);
    bytemuck::cast(line.0)
}

#[inline(always)]
fn pack_keys<S: Simd>(simd: S, task: &mut AttendAll<'_>, tokens: usize, step: f32) {
    let (dim, half) = (task.dim, task.dim / 2);
    task.work.keys.resize(tokens.div_ceil(KEYS) * half, [0; KEYS]);
    for (token, row) in task.rows.chunks_exact(task.stride).enumerate() {
        let strip = &mut task.work.keys[token / KEYS * half..][..half];
        let pieces = row[dim..2 * dim].as_chunks::<LANES>().0.as_chunks::<2>().0;
        for ([low, high], words) in pieces.iter().zip(strip.as_chunks_mut::<LANES>().0) {
            let pairs = round_pair(simd, low, high, 1.0 / step);
            words.iter_mut().zip(pairs).for_each(|(word, pair)| word[token % KEYS] = pair);
        }
    }
}

#[inline(always)]
fn pack_values<S: Simd>(simd: S, task: &mut AttendAll<'_>, tokens: usize, step: f32) {
    let (dim, pairs) = (task.dim, tokens.div_ceil(2));
    task.work.values.resize(pairs * dim / DIMS, [0; DIMS]);
    let nothing = [0.0; LANES];
    for (pair, rows) in task.rows.chunks(2 * task.stride).enumerate() {
        let (first, second) = rows.split_at(task.stride);
        for at in (0..dim).step_by(LANES) {
            let piece = |row: &'_ [f32]| row.get(2 * dim + at..).and_then(|rest| rest.first_chunk::<LANES>().copied());
            let low = piece(first).unwrap_or(nothing);
            let words = round_pair(simd, &low, &piece(second).unwrap_or(nothing), 1.0 / step);
            for (block, words) in words.as_chunks::<DIMS>().0.iter().enumerate() {
                task.work.values[(at / DIMS + block) * pairs + pair] = *words;
            }
        }
    }
}

/// The queries from `first` on, one in each lane; lanes beyond the text hold zeros.
#[inline(always)]
fn pack_queries<S: Simd>(simd: S, task: &mut AttendAll<'_>, first: usize, tokens: usize, step: f32) {
    let (dim, half) = (task.dim, task.dim / 2);
    task.work.queries.clear();
    task.work.queries.resize(half, [Line([0; 64]); 2]);
    for (query, row) in task.rows.chunks_exact(task.stride).skip(first).take(QUERIES.min(tokens - first)).enumerate() {
        let pieces = row[..dim].as_chunks::<LANES>().0.as_chunks::<2>().0;
        for ([low, high], lines) in pieces.iter().zip(task.work.queries.as_chunks_mut::<LANES>().0) {
            let pairs = round_pair(simd, low, high, 1.0 / step);
            for (line, pair) in lines.iter_mut().zip(pairs) {
                line[query / LANES].0.as_chunks_mut::<4>().0[query % LANES] = pair.to_le_bytes();
            }
        }
    }
}

/// One or two tiles of queries against the tokens `seen`.
#[inline(always)]
fn block<S: Simd, const T: usize, const W: usize, const D: usize>(
    simd: S,
    task: &mut AttendAll<'_>,
    (first, side): (usize, usize),
    seen: std::ops::Range<usize>,
    factor: f32,
    value_step: f32,
) {
    let tokens = task.rows.len() / task.stride;
    let most = match task.window {
        None => score::<S, T, W, false>(simd, task, (first, side), seen.clone(), 0),
        Some(window) => score::<S, T, W, true>(simd, task, (first, side), seen.clone(), window),
    };
    let sums = shares::<S, T>(simd, task.work, side, seen.clone(), (most, factor));
    let mut norms = sums;
    for norm in &mut norms {
        *norm = simd.div(simd.floats(value_step), *norm);
    }
    let pairs = seen.start / 2..seen.end.div_ceil(2);
    for column in (0..task.kept).step_by(D) {
        let (place, lane) = (column / DIMS * tokens.div_ceil(2), column % DIMS);
        let words = &task.work.values[place + pairs.start..place + pairs.end];
        let mut mixed = [[simd.floats(0.0); D]; T];
        for (words, shares) in words.chunks(PAIRS).zip(task.work.shares[pairs.clone()].chunks(PAIRS)) {
            let sums = sum_pairs::<S, T, D, DIMS>(simd, shares, side, words, lane);
            for tile in 0..T {
                for dim in 0..D {
                    mixed[tile][dim] = simd.add(mixed[tile][dim], simd.to_floats(sums[tile][dim]));
                }
            }
        }
        for tile in 0..T {
            let mut columns = [[0.0; LANES]; D];
            for dim in 0..D {
                simd.store(simd.mul(mixed[tile][dim], norms[tile]), &mut columns[dim]);
            }
            let top = first + (side + tile) * LANES;
            let out = task.out[(top.min(tokens)) * task.out_stride..].chunks_exact_mut(task.out_stride);
            let width = D.min(task.kept - column);
            for (lane, row) in out.take(LANES).enumerate() {
                let row = &mut row[task.column + column..][..width];
                row.iter_mut().zip(&columns).for_each(|(out, column)| *out = column[lane]);
            }
        }
    }
}

/// Products of the queries with the keys of the tokens `seen`, and the largest of each query. With `WINDOW` those of tokens
/// farther away than `window` are hidden.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the sums stay in registers where the loop has a fixed length")]
fn score<S: Simd, const T: usize, const W: usize, const WINDOW: bool>(
    simd: S,
    task: &mut AttendAll<'_>,
    (first, side): (usize, usize),
    seen: std::ops::Range<usize>,
    window: usize,
) -> [S::Floats; T] {
    let half = task.dim / 2;
    let tokens = task.rows.len() / task.stride;
    let AttendWork { keys, queries, scores, .. } = &mut *task.work;
    scores.resize(tokens.next_multiple_of(KEYS), [Lanes([0.0; LANES]); 2]);
    let mut most = [simd.floats(f32::NEG_INFINITY); T];
    for strip in seen.start / KEYS..seen.end.div_ceil(KEYS) {
        let words = &keys[strip * half..][..half];
        for lane in (0..KEYS).step_by(W) {
            let sums = sum_pairs::<S, T, W, KEYS>(simd, queries, side, words, lane);
            for key in 0..W {
                let token = strip * KEYS + lane + key;
                if token >= seen.end {
                    break;
                }
                for tile in 0..T {
                    let mut score = simd.to_floats(sums[tile][key]);
                    if WINDOW {
                        score = beyond(simd, score, first + (side + tile) * LANES, token, window);
                    }
                    most[tile] = simd.max(score, most[tile]);
                    simd.store(score, &mut scores[token][side + tile].0);
                }
            }
        }
    }
    most
}

/// Powers of two of the scores below the largest, as integers up to [`LEVELS`], and their sums.
#[inline(always)]
fn shares<S: Simd, const T: usize>(
    simd: S,
    work: &mut AttendWork,
    side: usize,
    seen: std::ops::Range<usize>,
    (most, factor): ([S::Floats; T], f32),
) -> [S::Floats; T] {
    let AttendWork { scores, shares, .. } = work;
    shares.resize(scores.len().div_ceil(2), [Line([0; 64]); 2]);
    let (factor, zero) = (simd.floats(factor), simd.floats(0.0));
    let mut sums = [zero; T];
    let mut shifts = most;
    for shift in &mut shifts {
        *shift = simd.mul(*shift, factor);
    }
    for pair in seen.start / 2..seen.end.div_ceil(2) {
        let odd = 2 * pair + 1 < seen.end;
        for tile in 0..T {
            let low = share(simd, &scores[2 * pair][side + tile], factor, shifts[tile]);
            let high = if odd { share(simd, &scores[2 * pair + 1][side + tile], factor, shifts[tile]) } else { zero };
            sums[tile] = simd.add(simd.add(sums[tile], low), high);
            let line = &mut shares[pair][side + tile].0;
            simd.store_line(simd.pair(simd.to_ints(low), simd.to_ints(high)), line);
        }
    }
    sums
}

/// A power of two of a score as a whole number.
#[inline(always)]
fn share<S: Simd>(simd: S, score: &Lanes, factor: S::Floats, shift: S::Floats) -> S::Floats {
    let power = simd.sub(simd.mul(simd.load(&score.0), factor), shift);
    simd.round(power_of_two(simd, power))
}

/// The score, less a very large number in the lanes of queries that are farther than `window` from the token.
#[inline(always)]
fn beyond<S: Simd>(simd: S, score: S::Floats, top: usize, token: usize, window: usize) -> S::Floats {
    const NUMBERS: [f32; LANES] =
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
    let distance = simd.abs(simd.add(simd.load(&NUMBERS), simd.floats(top as f32 - token as f32)));
    let room = simd.sub(simd.floats(window as f32 + 0.5), distance);
    simd.add(score, simd.min(simd.mul(room, simd.floats(1e30)), simd.floats(0.0)))
}

/// [`LEVELS`] times 2 to the power of values that are not above 0: a polynomial on what is left beside whole numbers, whose
/// relative error is below 5e-6.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, power: S::Floats) -> S::Floats {
    let power = simd.max(power, simd.floats(-15.0));
    let whole = simd.round(power);
    let rest = simd.sub(power, whole);
    let mut sum = simd.floats(LEVELS * 0.009_676_037);
    for coefficient in [0.055_922_036, 0.240_221_07, 0.693_121, 1.0] {
        sum = simd.fma(sum, rest, simd.floats(LEVELS * coefficient));
    }
    simd.mul(sum, simd.power_of_two(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernels;
    use proptest::prelude::*;

    fn value(at: usize, seed: usize) -> f32 {
        let mixed = (at as u32 ^ (seed as u32) << 16).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
        (mixed >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn attend(kernels: Kernels, rows: &[f32], stride: usize, kept: usize, window: Option<usize>) -> Vec<f32> {
        let tokens = rows.len() / stride;
        let mut out = vec![7.0; tokens * (kept + 2)];
        let mut work = AttendWork::default();
        kernels.run(AttendAll {
            rows,
            stride,
            dim: kept.next_multiple_of(HEAD_STEP),
            scale: 0.7,
            window,
            out: &mut out,
            out_stride: kept + 2,
            column: 1,
            kept,
            work: &mut work,
        });
        out
    }

    /// Queries, keys and values as they are after rounding.
    fn rounded(rows: &[f32], stride: usize, dim: usize) -> Vec<f64> {
        let mut rounded: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
        for part in 0..3 {
            let places = || (0..rows.len()).filter(|at| (part * dim..(part + 1) * dim).contains(&(at % stride)));
            let step = step(places().fold(0.0, |most, at| rows[at].abs().max(most)), LEVELS);
            for at in places() {
                rounded[at] = f64::from((rows[at] * (1.0 / step)).round_ties_even()) * f64::from(step);
            }
        }
        rounded
    }

    /// Attention over values as they are, and for each result how far it may be off when the shares are rounded: each of them
    /// by half of one of [`LEVELS`] parts of the largest, and by a small part of itself for the powers of two.
    fn by_definition(rows: &[f64], stride: usize, kept: usize, window: Option<usize>) -> Vec<(f64, f64)> {
        let (dim, rows) = (kept.next_multiple_of(HEAD_STEP), rows.chunks_exact(stride).collect::<Vec<_>>());
        let mut out = Vec::new();
        for (place, query) in rows.iter().enumerate() {
            let near = |other: &usize| window.is_none_or(|window| other.abs_diff(place) <= window);
            let seen: Vec<usize> = (0..rows.len()).filter(near).collect();
            let score =
                |other: &usize| -> f64 { 0.7 * (0..kept).map(|k| query[k] * rows[*other][dim + k]).sum::<f64>() };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let most = scores.iter().fold(f64::NEG_INFINITY, |most, &score| score.max(most));
            let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let off: Vec<f64> = shares.iter().map(|share| 0.5 / f64::from(LEVELS) + 1e-4 * share).collect();
            let (total, total_off): (f64, f64) = (shares.iter().sum(), off.iter().sum());
            out.push((7.0, 0.0));
            for k in 0..kept {
                let value = |other: usize| rows[other][2 * dim + k];
                let mean = seen.iter().zip(&shares).map(|(&other, share)| share * value(other)).sum::<f64>() / total;
                let spread = seen.iter().zip(&off).map(|(&other, off)| off * (value(other) - mean).abs()).sum::<f64>();
                out.push((mean, spread / (total - total_off) + 1e-6));
            }
            out.push((7.0, 0.0));
        }
        out
    }

    /// An interpreter gets short texts.
    const TOKENS_END: usize = if cfg!(miri) { 40 } else { 150 };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 40 }))]

        #[test]
        fn equals_its_definition(tokens in 1usize..TOKENS_END, kept in 1usize..70, window in proptest::option::of(0usize..40), seed in 0usize..999) {
            let dim = kept.next_multiple_of(HEAD_STEP);
            let stride = 3 * dim + seed % 3;
            let used = |at: usize| (0..3).any(|part| (part * dim..part * dim + kept).contains(&(at % stride)));
            let rows: Vec<f32> = (0..tokens * stride).map(|at| if used(at) { 2.0 * value(at, seed) } else { 0.0 }).collect();
            let seen = attend(Kernels::portable(), &rows, stride, kept, window);
            for (seen, (wanted, off)) in seen.iter().zip(by_definition(&rounded(&rows, stride, dim), stride, kept, window)) {
                prop_assert!((f64::from(*seen) - wanted).abs() <= off, "{} for {}, off by {} at most", seen, wanted, off);
            }
            let exact: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
            let squares: f64 = (seen.iter().zip(by_definition(&exact, stride, kept, window)))
                .map(|(seen, (wanted, _))| (f64::from(*seen) - wanted).powi(2))
                .sum();
            prop_assert!((squares / seen.len() as f64).sqrt() < 0.002, "{} root mean square", (squares / seen.len() as f64).sqrt());
            for kernels in Kernels::available() {
                prop_assert_eq!(&attend(kernels, &rows, stride, kept, window), &seen, "{}", kernels.name());
            }
        }
    }

    #[test]
    fn powers_of_two() {
        struct Powers([f32; LANES]);
        impl Task for Powers {
            type Output = [f32; LANES];
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
                let mut out = [0.0; LANES];
                simd.store(power_of_two(simd, simd.load(&self.0)), &mut out);
                out
            }
        }
        for start in 0..200 {
            let powers = std::array::from_fn(|lane| (start * LANES + lane) as f32 * -0.005);
            for (seen, power) in Kernels::detect().run(Powers(powers)).iter().zip(powers) {
                let wanted = f64::from(LEVELS) * f64::from(power.max(-15.0)).exp2();
                assert!((f64::from(*seen) / wanted - 1.0).abs() < 5e-6, "{power}: {seen} for {wanted}");
            }
        }
        assert_eq!(Kernels::detect().run(Powers([0.0; LANES])), [LEVELS; LANES]);
    }
}
