//! Products of quantised weights with quantised activations.
//!
//! A register tile is one or two weight tiles of 16 rows by the up to six rows of a strip. For each group of 32 columns the
//! products are summed in integers; the sums are scaled and added up in floats, group after group. Both kernels here do
//! exactly that, so that it makes no difference which of them a row goes through.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::Simd;
use super::activations::IntegerStrip;
use super::forms::{Form, Quants, Scales};

/// 64 bytes on a cache line of their own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Sixteen floats on a cache line of their own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; 16]);

/// One or two weight tiles unpacked to bytes, in the order in which the panel kernel reads them.
#[derive(Debug, Default)]
pub(super) struct Panel {
    /// By group, quad and tile.
    pub(super) lines: Vec<Line>,
    /// By group, half and tile; without halves by group and tile.
    pub(super) scales: Vec<Lanes>,
    /// By group and tile; with a bias for each half by group, half and tile.
    pub(super) biases: Vec<Lanes>,
}

/// Straight from the packed form: for a single strip.
#[inline(always)]
pub(super) fn direct<S: Simd, F: Form, const W: usize>(
    simd: S,
    (quants, scales): (&[u8], &[u8]),
    strip: &IntegerStrip<'_, W>,
) -> [S::Floats; W] {
    let mut result = [simd.floats(0.0); W];
    let lines = quants.as_chunks::<64>().0.chunks_exact(F::Quants::LINES);
    for (group, lines) in lines.enumerate() {
        let unit = &scales[group / F::Scales::GROUPS * F::Scales::UNIT..][..F::Scales::UNIT];
        let scales = F::Scales::read(simd, unit, group % F::Scales::GROUPS);
        let second = usize::from(F::Scales::HALVES);
        let mut sums = [start::<S, F, W>(simd, strip, group, 0), start::<S, F, W>(simd, strip, group, second)];
        let words = &strip.words[group];
        pair::<S, F, 0, W>(simd, lines, words, &mut sums);
        pair::<S, F, 1, W>(simd, lines, words, &mut sums);
        pair::<S, F, 2, W>(simd, lines, words, &mut sums);
        pair::<S, F, 3, W>(simd, lines, words, &mut sums);
        for (sums, &half) in sums.iter().zip(&scales.halves).take(1 + second) {
            scale(simd, sums, half, &strip.scales[group], &mut result);
        }
        for half in 0..F::Scales::BIASES {
            offset(simd, scales.biases[half], &totals::<F, W>(strip, group, half), &mut result);
        }
    }
    result
}

/// Adds the quads `J` and `J + 4`; the first go to the first half.
#[inline(always)]
fn pair<S: Simd, F: Form, const J: usize, const W: usize>(
    simd: S,
    lines: &[[u8; 64]],
    words: &[[i32; W]; 8],
    sums: &mut [[S::Ints; W]; 2],
) {
    let (low, high) = F::Quants::pair::<S, J>(simd, lines);
    let second = usize::from(F::Scales::HALVES);
    for column in 0..W {
        sums[0][column] = dot::<S, F>(simd, sums[0][column], low, words[J][column]);
        sums[second][column] = dot::<S, F>(simd, sums[second][column], high, words[J + 4][column]);
    }
}

#[inline(always)]
fn dot<S: Simd, F: Form>(simd: S, sum: S::Ints, weights: S::Bytes, quad: i32) -> S::Ints {
    if F::Quants::WIDE { simd.dot_wide(sum, weights, quad) } else { simd.dot(sum, weights, quad) }
}

/// The integer sums of one half (the whole group where halves share a scale) before the first product: what the offset of
/// the quants takes away.
#[inline(always)]
fn start<S: Simd, F: Form, const W: usize>(
    simd: S,
    strip: &IntegerStrip<'_, W>,
    group: usize,
    half: usize,
) -> [S::Ints; W] {
    let mut sums = [simd.ints(0); W];
    if F::OFFSET_LOG2 == 0 || F::Quants::WIDE && S::WIDE_IS_SIGNED {
        return sums;
    }
    let totals = if F::Scales::HALVES { &strip.negative_halves[group][half] } else { &strip.negative_totals[group] };
    for column in 0..W {
        sums[column] = shift::<S, F>(simd, simd.ints(totals[column]));
    }
    sums
}

/// Multiplies by the offset.
#[inline(always)]
fn shift<S: Simd, F: Form>(simd: S, value: S::Ints) -> S::Ints {
    match F::OFFSET_LOG2 {
        2 => simd.shift_ints::<2>(value),
        3 => simd.shift_ints::<3>(value),
        4 => simd.shift_ints::<4>(value),
        5 => simd.shift_ints::<5>(value),
        7 => simd.shift_ints::<7>(value),
        _ => value,
    }
}

/// Scales the integer sums of one half and adds them to the result.
#[inline(always)]
fn scale<S: Simd, const W: usize>(
    simd: S,
    sums: &[S::Ints; W],
    scale: S::Floats,
    factors: &[f32; W],
    result: &mut [S::Floats; W],
) {
    for column in 0..W {
        let factor = simd.mul(scale, simd.floats(factors[column]));
        result[column] = simd.fma(simd.to_floats(sums[column]), factor, result[column]);
    }
}

/// What the bias of a group, or of one of its halves where each has its own, is multiplied with: scale times sum of the inputs.
#[inline(always)]
fn totals<F: Form, const W: usize>(strip: &IntegerStrip<'_, W>, group: usize, half: usize) -> [f32; W] {
    if F::Scales::BIASES < 2 {
        return strip.sums[group];
    }
    std::array::from_fn(|column| strip.scales[group][column] * -strip.negative_halves[group][half][column] as f32)
}

/// Adds the bias of one group.
#[inline(always)]
fn offset<S: Simd, const W: usize>(simd: S, bias: S::Floats, sums: &[f32; W], result: &mut [S::Floats; W]) {
    for column in 0..W {
        result[column] = simd.fma(bias, simd.floats(sums[column]), result[column]);
    }
}

/// Unpacks tile `place` of a panel of `T` tiles.
#[inline(always)]
pub(super) fn unpack<S: Simd, F: Form, const T: usize>(
    simd: S,
    (quants, scales): (&[u8], &[u8]),
    place: usize,
    panel: &mut Panel,
) {
    let halves = 1 + usize::from(F::Scales::HALVES);
    let groups = quants.len() / (64 * F::Quants::LINES);
    panel.lines.resize(groups * 8 * T, Line([0; 64]));
    panel.scales.resize(groups * halves * T, Lanes([0.0; 16]));
    panel.biases.resize(groups * F::Scales::BIASES * T, Lanes([0.0; 16]));
    let lines = quants.as_chunks::<64>().0.chunks_exact(F::Quants::LINES);
    for (group, (lines, out)) in lines.zip(panel.lines.chunks_exact_mut(8 * T)).enumerate() {
        unpack_pair::<S, F, 0, T>(simd, lines, place, out);
        unpack_pair::<S, F, 1, T>(simd, lines, place, out);
        unpack_pair::<S, F, 2, T>(simd, lines, place, out);
        unpack_pair::<S, F, 3, T>(simd, lines, place, out);
        let unit = &scales[group / F::Scales::GROUPS * F::Scales::UNIT..][..F::Scales::UNIT];
        let scales = F::Scales::read(simd, unit, group % F::Scales::GROUPS);
        for half in 0..halves {
            simd.store(scales.halves[half], &mut panel.scales[(group * halves + half) * T + place].0);
        }
        for half in 0..F::Scales::BIASES {
            simd.store(scales.biases[half], &mut panel.biases[(group * F::Scales::BIASES + half) * T + place].0);
        }
    }
}

#[inline(always)]
fn unpack_pair<S: Simd, F: Form, const J: usize, const T: usize>(
    simd: S,
    lines: &[[u8; 64]],
    place: usize,
    out: &mut [Line],
) {
    let (low, high) = F::Quants::pair::<S, J>(simd, lines);
    simd.store_line(low, &mut out[J * T + place].0);
    simd.store_line(high, &mut out[(J + 4) * T + place].0);
}

/// A panel of `T` tiles against one strip.
#[inline(always)]
pub(super) fn panel<S: Simd, F: Form, const T: usize, const W: usize>(
    simd: S,
    panel: &Panel,
    strip: &IntegerStrip<'_, W>,
) -> [[S::Floats; W]; T] {
    let halves = 1 + usize::from(F::Scales::HALVES);
    let mut result = [[simd.floats(0.0); W]; T];
    let lines = panel.lines.as_chunks::<T>().0.as_chunks::<8>().0;
    let scales = panel.scales.as_chunks::<T>().0;
    let biases = panel.biases.as_chunks::<T>().0;
    for (group, (lines, words)) in lines.iter().zip(strip.words).enumerate() {
        for half in 0..halves {
            let mut sums = [start::<S, F, W>(simd, strip, group, half); T];
            for quad in half * 4..8 / (halves - half) {
                for tile in 0..T {
                    let weights = simd.load_line(&lines[quad][tile].0);
                    for column in 0..W {
                        sums[tile][column] = dot::<S, F>(simd, sums[tile][column], weights, words[quad][column]);
                    }
                }
            }
            for tile in 0..T {
                let factor = simd.load(&scales[group * halves + half][tile].0);
                scale(simd, &sums[tile], factor, &strip.scales[group], &mut result[tile]);
            }
        }
        for half in 0..F::Scales::BIASES {
            let totals = totals::<F, W>(strip, group, half);
            for tile in 0..T {
                let bias = simd.load(&biases[group * F::Scales::BIASES + half][tile].0);
                offset(simd, bias, &totals, &mut result[tile]);
            }
        }
    }
    result
}
