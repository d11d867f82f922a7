//! Linear layers of the encoders in integers.
//!
//! Weights are rounded to 8 bits with one scale for each output column, inputs with one scale and one middle for each row.
//! A few inputs, those that are far larger than the others or meet far larger weights, are kept out of that and are taken
//! with 12 to 14 bits on both sides: they would otherwise set the scale of all (Dettmers et al. 2022, section 3). The sums
//! of each part run in 32-bit integers over the whole depth and are scaled once at the end:
//!
//! `out[r][c] = bias[c] + scale[c] * (step[r] * sum(w * q) + middle[r] * sum(w)) + fine_scale[c] * fine_step[r] * sum(v * p)`
//!
//! Integer sums are exact, so that a row's result depends on nothing but the row.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::integer::{Lanes, Line};
use super::{Kernels, Simd, Task};

/// Rows of inputs that stand side by side.
const ROWS: usize = 12;
/// Columns of a weight tile.
const LANES: usize = 16;
/// Columns of the two weight tiles that stand side by side.
pub(crate) const COLUMNS: usize = 2 * LANES;
/// The number of fine inputs is padded to a multiple of this.
const FINE_STEP: usize = 32;
/// Largest 8-bit magnitude.
const COARSE_MAX: f32 = 127.0;
/// Most inputs of a layer for which the sums of 8-bit products stay within 32 bits.
pub(crate) const DEPTH_MAX: usize = 1 << 16;

/// Which inputs of a linear layer are taken finely, and in which order the others stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Split {
    depth: usize,
    fine: Vec<usize>,
    /// The inputs at 8 bits: each at its own place but for those that fill the places of fine ones.
    coarse: Vec<usize>,
    /// Those that do: place and input.
    moved: Vec<(usize, usize)>,
    /// Largest magnitude of fine values: the sum of that many products must stay within 32 bits.
    fine_max: f32,
}

impl Split {
    /// Takes the inputs with these numbers finely; they must be below `depth` and ascend.
    pub(crate) fn new(depth: usize, fine: Vec<usize>) -> Self {
        let mut coarse: Vec<usize> = (0..depth - fine.len()).collect();
        let mut is_fine = vec![false; depth];
        fine.iter().for_each(|&input| is_fine[input] = true);
        let mut spare = (coarse.len()..depth).filter(|&input| !is_fine[input]);
        let mut moved = Vec::new();
        for place in (0..coarse.len()).filter(|&place| is_fine[place]) {
            coarse[place] = spare.next().expect("as many spare inputs as taken places");
            moved.push((place, coarse[place]));
        }
        let terms = fine.len().next_multiple_of(FINE_STEP).max(1);
        let fine_max = (f64::from(i32::MAX) / terms as f64).sqrt().floor().min(f64::from(i16::MAX)) as f32;
        Self { depth, fine, coarse, moved, fine_max }
    }

    /// Pairs of fine inputs in a strip.
    fn pairs(&self) -> usize {
        self.fine.len().next_multiple_of(FINE_STEP) / 2
    }

    /// Quads of inputs at 8 bits in a strip.
    fn quads(&self) -> usize {
        self.coarse.len().next_multiple_of(LANES) / 4
    }
}

/// A linear layer as the kernels read it.
#[derive(Debug)]
pub(crate) struct Linear {
    split: Split,
    /// For each two tiles of 16 columns the pairs of the fine inputs, then the quads of the others with 128 added.
    lines: Vec<[Line; 2]>,
    /// For each tile.
    columns: Vec<ColumnScales>,
}

/// What the sums of a tile's columns are multiplied with, and what is added.
#[derive(Debug, Clone)]
struct ColumnScales {
    scale: Lanes,
    fine_scale: Lanes,
    sums: Lanes,
    bias: Lanes,
}

impl Linear {
    /// Packs `columns` columns; `weight(column)` gives a column's `split.depth` weights, `bias(column)` its bias.
    pub(crate) fn new<'a>(
        split: Split,
        columns: usize,
        weight: impl Fn(usize) -> &'a [f32],
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let tiles = columns.div_ceil(COLUMNS) * 2;
        let length = split.pairs() + split.quads();
        let mut lines = vec![[Line([0; 64]); 2]; tiles / 2 * length];
        for tile in lines.chunks_exact_mut(length.max(1)) {
            tile[split.pairs()..].fill([Line([128; 64]); 2]);
        }
        let zeros = Lanes([0.0; 16]);
        let none = ColumnScales { scale: zeros, fine_scale: zeros, sums: zeros, bias: zeros };
        let mut scales = vec![none; tiles];
        for column in 0..columns {
            let tile = &mut lines[column / COLUMNS * length..][..length];
            let (side, lane) = (column / LANES % 2, column % LANES);
            let mut set = |line: usize, byte: usize, value: u8| tile[line][side].0[4 * lane + byte] = value;
            let scales = &mut scales[column / LANES];
            scales.bias.0[lane] = bias(column);
            pack_fine(&split, weight(column), &mut set, &mut scales.fine_scale.0[lane]);
            let mut sum = 0;
            pack_coarse(&split, weight(column), &mut set, &mut scales.scale.0[lane], &mut sum);
            scales.sums.0[lane] = sum as f32;
        }
        Self { split, lines, columns: scales }
    }

    /// Which inputs are taken finely.
    pub(crate) fn split(&self) -> &Split {
        &self.split
    }

    /// Length of a row of results: the columns, rounded up to a multiple of [`COLUMNS`].
    pub(crate) fn stride(&self) -> usize {
        self.columns.len() * LANES
    }
}

/// The largest magnitude of the values at these places.
fn largest(values: &[f32], places: &[usize]) -> f32 {
    places.iter().fold(0.0, |largest: f32, &at| largest.max(values[at].abs()))
}

/// The step by which values up to `largest` become integers up to `max`.
#[inline(always)]
pub(super) fn step(largest: f32, max: f32) -> f32 {
    let step = largest / max;
    if step > f32::MIN_POSITIVE { step } else { 1.0 }
}

fn pack_fine(split: &Split, weights: &[f32], set: &mut impl FnMut(usize, usize, u8), scale: &mut f32) {
    let step = step(largest(weights, &split.fine), split.fine_max);
    *scale = step;
    for (at, &input) in split.fine.iter().enumerate() {
        let value = (weights[input] / step).round_ties_even() as i16;
        let pair = at / FINE_STEP * LANES + at % LANES;
        let byte = at / LANES % 2 * 2;
        let [low, high] = value.to_le_bytes();
        set(pair, byte, low);
        set(pair, byte + 1, high);
    }
}

fn pack_coarse(split: &Split, weights: &[f32], set: &mut impl FnMut(usize, usize, u8), scale: &mut f32, sum: &mut i32) {
    let step = step(largest(weights, &split.coarse), COARSE_MAX);
    *scale = step;
    for (at, &input) in split.coarse.iter().enumerate() {
        let value = (weights[input] / step).round_ties_even() as i32;
        *sum += value;
        set(split.pairs() + at / 4, at % 4, (value + 128) as u8);
    }
}

/// Rows of inputs as integers, in strips of [`ROWS`] rows that stand side by side. Buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    rows: usize,
    /// For each strip the pairs of the fine inputs, then the quads of the others.
    words: Vec<[i32; ROWS]>,
    strips: Vec<StripScales>,
    row: Vec<f32>,
    fine: Vec<f32>,
}

/// How the rows of a strip were made integers: `value = middle + step * integer`, fine ones `fine_step * integer`.
#[derive(Debug, Clone, Default)]
struct StripScales {
    step: [f32; ROWS],
    middle: [f32; ROWS],
    /// What the 128 in the weights adds to each sum, with its sign turned.
    offset: [i32; ROWS],
    fine_step: [f32; ROWS],
}

impl Inputs {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Rounds rows of values that stand `stride` apart.
    pub(crate) fn fill(&mut self, kernels: Kernels, values: &[f32], stride: usize, split: &Split) {
        self.rows = values.len() / stride;
        let strips = self.rows.div_ceil(ROWS);
        self.words.resize(strips * (split.pairs() + split.quads()), [0; ROWS]);
        self.strips.resize(strips, StripScales::default());
        self.row.resize(split.depth.next_multiple_of(LANES), 0.0);
        // Places beyond the fine inputs take part in the search for the largest.
        self.fine.clear();
        self.fine.resize(2 * split.pairs(), 0.0);
        kernels.run(Round { values, stride, split, inputs: self });
    }
}

struct Round<'a> {
    values: &'a [f32],
    stride: usize,
    split: &'a Split,
    inputs: &'a mut Inputs,
}

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { values, stride, split, inputs } = self;
        let Inputs { words, strips, row, fine, .. } = inputs;
        let (pairs, length) = (split.pairs(), split.pairs() + split.quads());
        for (number, values) in values.chunks_exact(stride).enumerate() {
            let lane = number % ROWS;
            let words = &mut words[number / ROWS * length..][..length];
            let strip = &mut strips[number / ROWS];
            row[..split.depth].copy_from_slice(&values[..split.depth]);
            fine.iter_mut().zip(&split.fine).for_each(|(fine, &input)| *fine = values[input]);
            split.moved.iter().for_each(|&(place, input)| row[place] = values[input]);
            let (fine_words, coarse_words) = words.split_at_mut(pairs);
            strip.fine_step[lane] = round_fine(simd, fine, split.fine_max, fine_words, lane);
            let end = split.coarse.len().next_multiple_of(LANES);
            if end > 0 {
                let first = row[0];
                row[split.coarse.len()..end].fill(first);
            }
            let (step, middle, sum) = round_coarse(simd, &row[..end], coarse_words, lane);
            strip.step[lane] = step;
            strip.middle[lane] = middle;
            strip.offset[lane] = if S::WIDE_IS_SIGNED { 0 } else { -128 * sum };
        }
    }
}

/// Rounds to 16 bits and returns the step. Values 16 apart share a word.
#[inline(always)]
fn round_fine<S: Simd>(simd: S, values: &[f32], max: f32, words: &mut [[i32; ROWS]], lane: usize) -> f32 {
    let mut most = simd.floats(0.0);
    for chunk in values.as_chunks::<LANES>().0 {
        most = simd.max(simd.abs(simd.load(chunk)), most);
    }
    let step = step(simd.max_lanes(most), max);
    let inverse = simd.floats(1.0 / step);
    let blocks = values.as_chunks::<LANES>().0.as_chunks::<2>().0;
    for ([low, high], words) in blocks.iter().zip(words.as_chunks_mut::<LANES>().0) {
        let low = simd.to_ints(simd.mul(simd.load(low), inverse));
        let high = simd.to_ints(simd.mul(simd.load(high), inverse));
        let mut line = [0; 64];
        simd.store_line(simd.pair(low, high), &mut line);
        spread(&line, words, lane);
    }
    step
}

/// Rounds to 8 bits around the middle of the smallest and the largest value; returns step, middle and the integers' sum.
#[inline(always)]
fn round_coarse<S: Simd>(simd: S, values: &[f32], words: &mut [[i32; ROWS]], lane: usize) -> (f32, f32, i32) {
    let chunks = values.as_chunks::<LANES>().0;
    let Some(first) = chunks.first() else { return (1.0, 0.0, 0) };
    let (mut low, mut high) = (simd.load(first), simd.load(first));
    for chunk in chunks {
        let values = simd.load(chunk);
        low = simd.min(values, low);
        high = simd.max(values, high);
    }
    let high = simd.max_lanes(high);
    let low = -simd.max_lanes(simd.sub(simd.floats(0.0), low));
    let middle = 0.5 * low + 0.5 * high;
    let step = step(0.5 * high - 0.5 * low, COARSE_MAX);
    let (inverse, shift) = (simd.floats(1.0 / step), simd.floats(middle));
    let mut sum = simd.floats(0.0);
    for (chunk, words) in chunks.iter().zip(words.as_chunks_mut::<4>().0) {
        let rounded = simd.round(simd.mul(simd.sub(simd.load(chunk), shift), inverse));
        sum = simd.add(sum, rounded);
        let mut bytes = [0; 16];
        simd.store_bytes(simd.to_ints(rounded), &mut bytes);
        spread(&bytes, words, lane);
    }
    (step, middle, simd.sum_lanes(sum) as i32)
}

/// Puts words of four bytes into one lane of as many rows.
#[inline(always)]
fn spread<const BYTES: usize>(bytes: &[u8; BYTES], words: &mut [[i32; ROWS]], lane: usize) {
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        word[lane] = i32::from_le_bytes(*bytes);
    }
}

/// What becomes of each result before it is stored.
pub(crate) trait Finish: Copy {
    fn finish<S: Simd>(self, simd: S, value: S::Floats) -> S::Floats;
}

/// Results as they are.
#[derive(Clone, Copy)]
pub(crate) struct Plain;
impl Finish for Plain {
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, value: S::Floats) -> S::Floats {
        value
    }
}

/// The results of a linear layer.
pub(crate) struct Multiply<'a, F> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) linear: &'a Linear,
    /// Rows of [`Linear::stride`] values.
    pub(crate) out: &'a mut [f32],
    pub(crate) finish: F,
}

impl<F: Finish> Task for Multiply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let strips = self.inputs.strips.len();
        for two in 0..self.linear.columns.len() / 2 {
            for strip in 0..strips {
                if S::TILES == 2 {
                    block::<S, F, 2, ROWS>(simd, &mut self, (two, 0), strip, 0);
                    continue;
                }
                for (side, lane) in [(0, 0), (0, ROWS / 2), (1, 0), (1, ROWS / 2)] {
                    block::<S, F, 1, { ROWS / 2 }>(simd, &mut self, (two, side), strip, lane);
                }
            }
        }
    }
}

/// `T` tiles against `W` rows.
#[inline(always)]
fn block<S: Simd, F: Finish, const T: usize, const W: usize>(
    simd: S,
    task: &mut Multiply<'_, F>,
    (two, side): (usize, usize),
    strip: usize,
    lane: usize,
) {
    let (inputs, linear) = (task.inputs, task.linear);
    let (pairs, length) = (linear.split.pairs(), linear.split.pairs() + linear.split.quads());
    let (fine_lines, lines) = linear.lines[two * length..][..length].split_at(pairs);
    let (fine_words, words) = inputs.words[strip * length..][..length].split_at(pairs);
    let scales = &inputs.strips[strip];
    let mut fine = [[simd.floats(0.0); W]; T];
    if pairs > 0 {
        let sums = sum_pairs::<S, T, W, ROWS>(simd, fine_lines, side, fine_words, lane);
        for tile in 0..T {
            let scale = simd.load(&linear.columns[2 * two + side + tile].fine_scale.0);
            for row in 0..W {
                let step = simd.floats(scales.fine_step[lane + row]);
                fine[tile][row] = simd.mul(simd.mul(simd.to_floats(sums[tile][row]), step), scale);
            }
        }
    }
    let mut start = [simd.ints(0); W];
    for (start, &offset) in start.iter_mut().zip(&scales.offset[lane..]) {
        *start = simd.ints(offset);
    }
    let sums = sum_quads::<S, T, W>(simd, start, lines, side, words, lane);
    let (stride, top) = (linear.stride(), strip * ROWS + lane);
    let height = W.min(inputs.rows.saturating_sub(top));
    for tile in 0..T {
        let columns = &linear.columns[2 * two + side + tile];
        let (scale, weights, bias) =
            (simd.load(&columns.scale.0), simd.load(&columns.sums.0), simd.load(&columns.bias.0));
        for row in 0..W {
            if row >= height {
                break;
            }
            let scaled = simd.mul(simd.to_floats(sums[tile][row]), simd.floats(scales.step[lane + row]));
            let whole = simd.fma(weights, simd.floats(scales.middle[lane + row]), scaled);
            let value = simd.add(simd.fma(whole, scale, bias), fine[tile][row]);
            let value = task.finish.finish(simd, value);
            let out = &mut task.out[(top + row) * stride + (2 * two + side + tile) * LANES..][..LANES];
            simd.store(value, out.as_mut_array().expect("a tile has 16 columns"));
        }
    }
}

/// The sums of 8-bit products, from `start` on.
#[inline(always)]
fn sum_quads<S: Simd, const T: usize, const W: usize>(
    simd: S,
    start: [S::Ints; W],
    lines: &[[Line; 2]],
    side: usize,
    words: &[[i32; ROWS]],
    lane: usize,
) -> [[S::Ints; W]; T] {
    let mut sums = [start; T];
    for (lines, words) in lines.iter().zip(words) {
        let weights = load_tiles::<S, T>(simd, lines, side);
        for row in 0..W {
            let word = words[if W == ROWS { row } else { lane + row }];
            for tile in 0..T {
                sums[tile][row] = simd.dot_wide(sums[tile][row], weights[tile], word);
            }
        }
    }
    sums
}

/// The sums of 16-bit products of one or two tiles with `W` of `N` rows.
#[inline(always)]
pub(super) fn sum_pairs<S: Simd, const T: usize, const W: usize, const N: usize>(
    simd: S,
    lines: &[[Line; 2]],
    side: usize,
    words: &[[i32; N]],
    lane: usize,
) -> [[S::Ints; W]; T] {
    let mut sums = [[simd.ints(0); W]; T];
    for (lines, words) in lines.iter().zip(words) {
        let values = load_tiles::<S, T>(simd, lines, side);
        for row in 0..W {
            let word = words[if W == N { row } else { lane + row }];
            for tile in 0..T {
                sums[tile][row] = simd.dot_pairs(sums[tile][row], values[tile], word);
            }
        }
    }
    sums
}

/// Both tiles of a line, or the one on that side.
#[inline(always)]
fn load_tiles<S: Simd, const T: usize>(simd: S, lines: &[Line; 2], side: usize) -> [S::Bytes; T] {
    let mut tiles = [simd.load_line(&lines[if T == 2 { 0 } else { side }].0); T];
    if T == 2 {
        tiles[T - 1] = simd.load_line(&lines[1].0);
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values between -1 and 1 by a fixed rule.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|at| {
                let mixed = (at ^ seed << 16).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
                (mixed >> 8) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn layer(columns: usize, split: &Split, seed: u32) -> (Vec<f32>, Vec<f32>, Linear) {
        let (mut weights, bias) = (values(columns * split.depth, seed), values(columns, seed + 1));
        for row in weights.chunks_exact_mut(split.depth) {
            split.fine.iter().for_each(|&input| row[input] *= 20.0);
        }
        let packed = Linear::new(split.clone(), columns, |c| &weights[c * split.depth..][..split.depth], |c| bias[c]);
        (weights, bias, packed)
    }

    fn multiply(kernels: Kernels, linear: &Linear, rows: &[f32]) -> Vec<f32> {
        let mut inputs = Inputs::default();
        inputs.fill(kernels, rows, linear.split.depth, &linear.split);
        let mut out = vec![f32::NAN; inputs.rows() * linear.stride()];
        kernels.run(Multiply { inputs: &inputs, linear, out: &mut out, finish: Plain });
        out
    }

    /// Largest error beside the root of the mean square of all results.
    fn error(linear: &Linear, weights: &[f32], bias: &[f32], rows: &[f32], seen: &[f32]) -> f64 {
        let depth = linear.split.depth;
        let (mut worst, mut squares, mut count) = (0.0f64, 0.0, 0.0);
        for (row, seen) in rows.chunks_exact(depth).zip(seen.chunks_exact(linear.stride())) {
            for (column, weights) in weights.chunks_exact(depth).enumerate() {
                let sum: f64 = row.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                let wanted = sum + f64::from(bias[column]);
                worst = worst.max((f64::from(seen[column]) - wanted).abs());
                squares += wanted * wanted;
                count += 1.0;
            }
        }
        worst / (squares / count).sqrt()
    }

    #[test]
    fn large_inputs_do_not_spoil_the_others() {
        let depth = 384;
        let mut rows = values(if cfg!(miri) { 3 } else { 25 } * depth, 3);
        let far = |input: usize| input % 96 == 7;
        for row in rows.chunks_exact_mut(depth) {
            (0..depth).filter(|&input| far(input)).for_each(|input| row[input] *= 30.0);
        }
        let fine = Split::new(depth, (0..depth).filter(|&input| far(input)).collect());
        let (weights, bias, packed) = layer(50, &fine, 5);
        let plain = Linear::new(Split::new(depth, Vec::new()), 50, |c| &weights[c * depth..][..depth], |c| bias[c]);
        let all =
            Linear::new(Split::new(depth, (0..depth).collect()), 50, |c| &weights[c * depth..][..depth], |c| bias[c]);
        let kernels = Kernels::detect();
        let [with, without, finest] = [&packed, &plain, &all]
            .map(|linear| error(linear, &weights, &bias, &rows, &multiply(kernels, linear, &rows)));
        assert!(with < 0.002 && finest < 0.003 && without > 4.0 * with, "{with} {without} {finest}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 48 }))]

        #[test]
        fn products_of_any_size(rows in 1usize..30, depth in 1usize..120, columns in 1usize..70, every in 1usize..9, seed in 0u32..1000) {
            let split = Split::new(depth, (0..depth).filter(|input| every < 8 && input % every == 0).collect());
            let (weights, bias, linear) = layer(columns, &split, seed);
            let left = values(rows * depth, seed + 7);
            let seen = multiply(Kernels::portable(), &linear, &left);
            // 8 bits on both sides: each product is off by at most 1/127, and errors of many products level out.
            prop_assert!(error(&linear, &weights, &bias, &left, &seen) < 0.08);
            for kernels in Kernels::available() {
                prop_assert_eq!(&multiply(kernels, &linear, &left), &seen, "{}", kernels.name());
            }
            let last = multiply(Kernels::detect(), &linear, &left[(rows - 1) * depth..]);
            prop_assert_eq!(&last[..], &seen[(rows - 1) * linear.stride()..]);
        }
    }

    #[test]
    fn what_the_buffers_held_before_changes_nothing() {
        let (wide, narrow) = (Split::new(40, (0..40).collect()), Split::new(7, (0..7).collect()));
        let large: Vec<f32> = values(80, 1).iter().map(|value| 100.0 * value).collect();
        let rows = values(14, 3);
        let (_, _, linear) = layer(5, &narrow, 1);
        for kernels in Kernels::available() {
            let mut inputs = Inputs::default();
            inputs.fill(kernels, &large, 40, &wide);
            inputs.fill(kernels, &rows, 7, &narrow);
            let mut out = vec![f32::NAN; inputs.rows() * linear.stride()];
            kernels.run(Multiply { inputs: &inputs, linear: &linear, out: &mut out, finish: Plain });
            assert_eq!(out, multiply(kernels, &linear, &rows), "{}", kernels.name());
        }
    }

    #[test]
    fn extreme_rows() {
        let split = Split::new(40, vec![0, 39]);
        let (_, bias, linear) = layer(3, &split, 1);
        for value in [0.0, f32::MAX, f32::MIN_POSITIVE, 1e-40] {
            for kernels in Kernels::available() {
                let out = multiply(kernels, &linear, &[value; 40]);
                assert!(value > 1.0 || out.iter().zip(&bias).all(|(a, b)| (a - b).abs() < 1e-6), "{value}: {out:?}");
            }
        }
    }
}
