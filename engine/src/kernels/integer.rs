//! Products of quantised weights with quantised activations.
//!
//! A register tile is one or two weight tiles of 16 rows by the up to six rows of a strip. For each group of 32 columns the
//! products are summed in integers; the sums are scaled and added up in floats, group after group. Both kernels here do
//! exactly that, so that it makes no difference which of them a row goes through.
#![expect(clippy::needless_range_loop, reason = "a register tile is read by its indices")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::Simd;
use super::activations::{StripGroup, quarter};
use super::forms::{Form, Quants, Scales};

/// 64 bytes on a cache line of their own.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

/// Sixteen floats on a cache line of their own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; 16]);

/// One or two weight tiles unpacked to bytes, in the order in which the panel kernel reads them.
#[derive(Debug, Default)]
pub(super) struct Panel {
    /// By group, quad and tile.
    pub(super) lines: Vec<Line>,
    /// By group, half and tile; without halves by group and tile. [`Simd::QUARTERS`] sets keep four multiples of each.
    pub(super) scales: Vec<Lanes>,
    /// By group and tile; with a bias for each half by group, half and tile.
    pub(super) biases: Vec<Lanes>,
}

/// Straight from the packed form: for one strip of few.
#[inline(always)]
pub(super) fn direct<S: Simd, F: Form, const W: usize, const R: usize>(
    simd: S,
    (quants, scales): (&[u8], &[u8]),
    strip: &[StripGroup<W, R>],
) -> [S::Floats; R] {
    let mut result = [simd.floats(0.0); R];
    let lines = quants.as_chunks::<64>().0.chunks_exact(F::Quants::LINES);
    let tile_bytes = quants.len() + scales.len();
    for (group, (lines, input)) in lines.zip(strip).enumerate() {
        // The same place in the next tile: far enough for memory, near enough for the second-level cache.
        for line in lines {
            simd.prefetch(line.as_ptr().wrapping_add(tile_bytes));
        }
        simd.prefetch(scales.as_ptr().wrapping_add(tile_bytes + group * F::Scales::UNIT / F::Scales::GROUPS));
        let unit = &scales[group / F::Scales::GROUPS * F::Scales::UNIT..][..F::Scales::UNIT];
        let scales = F::Scales::read(simd, unit, group % F::Scales::GROUPS);
        let second = usize::from(F::Scales::HALVES);
        let mut sums = [[simd.ints(0); W]; 2];
        if F::Scales::HALVES {
            sums[0] = start::<S, F, W, R>(simd, &input.negative_halves[0]);
            sums[1] = start::<S, F, W, R>(simd, &input.negative_halves[1]);
        } else {
            sums[0] = start::<S, F, W, R>(simd, &input.negative_totals);
        }
        pair::<S, F, 0, W>(simd, lines, &input.words, &mut sums);
        pair::<S, F, 1, W>(simd, lines, &input.words, &mut sums);
        pair::<S, F, 2, W>(simd, lines, &input.words, &mut sums);
        pair::<S, F, 3, W>(simd, lines, &input.words, &mut sums);
        for half in 0..=second {
            for row in 0..R {
                let sum = join::<S, W, R>(simd, &sums[half], row);
                let factor = simd.mul(scales.halves[half], simd.floats(input.scales[row]));
                result[row] = simd.fma(simd.to_floats(sum), factor, result[row]);
            }
        }
        for half in 0..F::Scales::BIASES {
            add_bias::<S, F, W, R>(simd, scales.biases[half], (input, half), &mut result);
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

/// Integer sums before the first product: less what the offset of the quants takes away, from the negated sums of the inputs.
#[inline(always)]
fn start<S: Simd, F: Form, const W: usize, const R: usize>(simd: S, negative_totals: &[i32; R]) -> [S::Ints; W] {
    let mut sums = [simd.ints(0); W];
    if has_offset::<S, F>() {
        for row in 0..R {
            // Where a row has two lanes, the last holds the lower eight bits.
            sums[(row + 1) * (W / R) - 1] = simd.ints(negative_totals[row] << F::OFFSET_LOG2);
        }
    }
    sums
}

/// Whether the kernels of this set see quants that stand for other numbers than themselves.
#[inline(always)]
const fn has_offset<S: Simd, F: Form>() -> bool {
    F::OFFSET_LOG2 > 0 && !(F::Quants::WIDE && S::WIDE_IS_SIGNED)
}

/// The sum of a row. Where a row has two lanes, the first holds the upper eight bits.
#[inline(always)]
fn join<S: Simd, const W: usize, const R: usize>(simd: S, sums: &[S::Ints; W], row: usize) -> S::Ints {
    if W == R {
        sums[row]
    } else {
        simd.add_ints(simd.shift_ints::<8>(sums[row * (W / R)]), sums[row * (W / R) + W / R - 1])
    }
}

/// Adds the bias of a group, or of one of its halves where each has its own, times scale and sum of the inputs.
#[inline(always)]
fn add_bias<S: Simd, F: Form, const W: usize, const R: usize>(
    simd: S,
    bias: S::Floats,
    (input, half): (&StripGroup<W, R>, usize),
    result: &mut [S::Floats; R],
) {
    for row in 0..R {
        let sum = if F::Scales::BIASES == 2 {
            input.scales[row] * -input.negative_halves[half][row] as f32
        } else {
            input.sums[row]
        };
        result[row] = simd.fma(bias, simd.floats(sum), result[row]);
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
    let multiples = if S::QUARTERS { 4 } else { 1 };
    panel.scales.resize(groups * halves * T * multiples, Lanes([0.0; 16]));
    panel.biases.resize(groups * F::Scales::BIASES.max(1) * T, Lanes([0.0; 16]));
    let lines = quants.as_chunks::<64>().0.chunks_exact(F::Quants::LINES);
    for (group, (lines, out)) in lines.zip(panel.lines.chunks_exact_mut(8 * T)).enumerate() {
        unpack_pair::<S, F, 0, T>(simd, lines, place, out);
        unpack_pair::<S, F, 1, T>(simd, lines, place, out);
        unpack_pair::<S, F, 2, T>(simd, lines, place, out);
        unpack_pair::<S, F, 3, T>(simd, lines, place, out);
        let unit = &scales[group / F::Scales::GROUPS * F::Scales::UNIT..][..F::Scales::UNIT];
        let scales = F::Scales::read(simd, unit, group % F::Scales::GROUPS);
        for half in 0..halves {
            let at = ((group * halves + half) * T + place) * multiples;
            for (quarter, out) in panel.scales[at..at + multiples].iter_mut().enumerate() {
                simd.store(simd.mul(scales.halves[half], simd.floats(1.0 + quarter as f32 / 4.0)), &mut out.0);
            }
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
pub(super) fn panel<S: Simd, F: Form, const T: usize, const W: usize, const R: usize>(
    simd: S,
    panel: &Panel,
    strip: &[StripGroup<W, R>],
) -> [[S::Floats; R]; T] {
    let halves = 1 + usize::from(F::Scales::HALVES);
    let multiples = if S::QUARTERS { 4 } else { 1 };
    let mut result = [[simd.floats(0.0); R]; T];
    // Both halves must stay a loop: unrolled, their sums would not all find a register.
    let halves_at_run_time = std::hint::black_box(halves);
    let lines = panel.lines.as_chunks::<T>().0.as_chunks::<8>().0;
    let scales =
        panel.scales.chunks_exact(halves * T * multiples).zip(panel.biases.chunks_exact(F::Scales::BIASES.max(1) * T));
    for ((lines, (scales, biases)), input) in lines.iter().zip(scales).zip(strip) {
        if F::Scales::HALVES {
            let weights = lines.as_chunks::<4>().0.iter().zip(scales.chunks_exact(T * multiples));
            let inputs = input.words.as_chunks::<4>().0.iter().zip(&input.negative_halves);
            for ((lines, scales), (words, totals)) in weights.zip(inputs).take(halves_at_run_time) {
                let sums = products::<S, F, T, W, R, 4>(simd, lines, words, totals);
                add_scaled::<S, T, W, R>(simd, scales, input, &sums, &mut result);
            }
        } else {
            let sums = products::<S, F, T, W, R, 8>(simd, lines, &input.words, &input.negative_totals);
            add_scaled::<S, T, W, R>(simd, scales, input, &sums, &mut result);
        }
        for half in 0..F::Scales::BIASES {
            for tile in 0..T {
                let bias = simd.load(&biases[half * T + tile].0);
                add_bias::<S, F, W, R>(simd, bias, (input, half), &mut result[tile]);
            }
        }
    }
    result
}

/// The integer sums of `Q` quads.
#[inline(always)]
fn products<S: Simd, F: Form, const T: usize, const W: usize, const R: usize, const Q: usize>(
    simd: S,
    lines: &[[Line; T]; Q],
    words: &[[i32; W]; Q],
    negative_totals: &[i32; R],
) -> [[S::Ints; W]; T] {
    let mut sums = [start::<S, F, W, R>(simd, negative_totals); T];
    for (lines, words) in lines.iter().zip(words) {
        for tile in 0..T {
            let weights = simd.load_line(&lines[tile].0);
            for column in 0..W {
                sums[tile][column] = dot::<S, F>(simd, sums[tile][column], weights, words[column]);
            }
        }
    }
    sums
}

/// Scales the integer sums of one half of a group (of the whole group where halves share a scale) and adds them to the result.
///
/// The factor is weight scale times input scale. With [`Simd::QUARTERS`] it is read among the multiples of the weight scale
/// and shifted by the power of two, with the same bits: the units that multiply are busy with the dot products.
#[inline(always)]
fn add_scaled<S: Simd, const T: usize, const W: usize, const R: usize>(
    simd: S,
    scales: &[Lanes],
    input: &StripGroup<W, R>,
    sums: &[[S::Ints; W]; T],
    result: &mut [[S::Floats; R]; T],
) {
    for row in 0..R {
        for tile in 0..T {
            let sum = simd.to_floats(join::<S, W, R>(simd, &sums[tile], row));
            let factor = if S::QUARTERS {
                let multiple = &scales.as_chunks::<4>().0[tile][quarter(input.scales[row])];
                simd.times_power_of_two(simd.load(&multiple.0), input.exponents[row])
            } else {
                simd.mul(simd.load(&scales[tile].0), simd.floats(input.scales[row]))
            };
            result[tile][row] = simd.fma(sum, factor, result[tile][row]);
        }
    }
}
