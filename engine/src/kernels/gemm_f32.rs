//! Products of 32-bit floats for the encoders, in the same sixteen lanes as the other kernels.
//!
//! The right side is kept in tiles of 16 columns (`[tile][k][16]`, the last one filled up with zeros), the left side is
//! repacked into strips of rows. Each result is one chain of fused multiply-adds over k in blocks of [`BLOCK`]; it does
//! not depend on which other rows are computed beside it.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::rows::exponentials;
use super::{Simd, Task};

/// Columns of a tile.
pub(crate) const TILE: usize = 16;
/// Length of k that is summed in registers before it goes to memory: a strip and a tile of it stay in the first caches.
const BLOCK: usize = 384;
/// Rows of a strip: with two tiles in 32 wide registers, with one in 16 narrow ones.
const ROWS_WIDE: usize = 12;
const ROWS_NARROW: usize = 6;

/// A right side: `columns` columns of length `depth`.
#[derive(Debug, Clone)]
pub(crate) struct Tiles {
    columns: usize,
    depth: usize,
    data: Vec<[f32; TILE]>,
}

impl Tiles {
    /// From `value(column, k)`.
    pub(crate) fn new(columns: usize, depth: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut data = vec![[0.0; TILE]; columns.div_ceil(TILE) * depth];
        for column in 0..columns {
            for k in 0..depth {
                data[column / TILE * depth + k][column % TILE] = value(column, k);
            }
        }
        Self { columns, depth, data }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    fn tiles(&self) -> impl Iterator<Item = &[[f32; TILE]]> {
        self.data.chunks_exact(self.depth)
    }
}

/// `out[row][column] = bias[column] + sum over k of left[row][k] * right[k][column]`.
pub(crate) struct Product<'a> {
    /// Rows of `right.depth()` values.
    pub(crate) left: &'a [f32],
    pub(crate) right: &'a Tiles,
    pub(crate) bias: &'a [f32],
    /// Rows of `right.columns()` values.
    pub(crate) out: &'a mut [f32],
}

impl Task for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::TILES == 2 {
            product::<S, ROWS_WIDE>(simd, self);
        } else {
            product::<S, ROWS_NARROW>(simd, self);
        }
    }
}

#[inline(always)]
fn product<S: Simd, const ROWS: usize>(simd: S, task: Product<'_>) {
    let Product { left, right, bias, out } = task;
    let (depth, columns) = (right.depth, right.columns);
    let rows = left.len() / depth;
    for row in out.chunks_exact_mut(columns) {
        row.copy_from_slice(bias);
    }
    let mut strips = vec![[0.0; ROWS]; rows.div_ceil(ROWS) * BLOCK.min(depth)];
    for start in (0..depth).step_by(BLOCK) {
        let length = BLOCK.min(depth - start);
        pack_strips(left, depth, start, &mut strips[..rows.div_ceil(ROWS) * length]);
        let mut tiles = right.tiles().enumerate().map(|(at, tile)| (at * TILE, &tile[start..start + length]));
        while let Some((column, first)) = tiles.next() {
            let second = if S::TILES == 2 { tiles.next() } else { None };
            for (number, strip) in strips.chunks_exact(length).take(rows.div_ceil(ROWS)).enumerate() {
                let top = number * ROWS;
                let height = ROWS.min(rows - top);
                let target = &mut out[top * columns..(top + height) * columns];
                match second {
                    Some((_, second)) => {
                        let sums = multiply_two(simd, strip, first, second);
                        add_to(simd, &sums[0], target, columns, column);
                        add_to(simd, &sums[1], target, columns, column + TILE);
                    }
                    None => add_to(simd, &multiply_one(simd, strip, first), target, columns, column),
                }
            }
        }
    }
}

/// Brings `ROWS` rows side by side, k by k; missing rows are zeros.
#[inline(always)]
fn pack_strips<const ROWS: usize>(left: &[f32], stride: usize, start: usize, strips: &mut [[f32; ROWS]]) {
    let rows = left.len() / stride;
    let length = strips.len() / rows.div_ceil(ROWS);
    for (number, strip) in strips.chunks_exact_mut(length).enumerate() {
        for lane in 0..ROWS {
            let row = number * ROWS + lane;
            if row < rows {
                let values = &left[row * stride + start..][..length];
                strip.iter_mut().zip(values).for_each(|(step, &value)| step[lane] = value);
            } else {
                strip.iter_mut().for_each(|step| step[lane] = 0.0);
            }
        }
    }
}

#[inline(always)]
fn multiply_two<S: Simd, const ROWS: usize>(
    simd: S,
    strip: &[[f32; ROWS]],
    first: &[[f32; TILE]],
    second: &[[f32; TILE]],
) -> [[S::Floats; ROWS]; 2] {
    let mut sums = [[simd.floats(0.0); ROWS]; 2];
    for ((values, first), second) in strip.iter().zip(first).zip(second) {
        let (first, second) = (simd.load(first), simd.load(second));
        for row in 0..ROWS {
            let value = simd.floats(values[row]);
            sums[0][row] = simd.fma(first, value, sums[0][row]);
            sums[1][row] = simd.fma(second, value, sums[1][row]);
        }
    }
    sums
}

#[inline(always)]
fn multiply_one<S: Simd, const ROWS: usize>(simd: S, strip: &[[f32; ROWS]], tile: &[[f32; TILE]]) -> [S::Floats; ROWS] {
    let mut sums = [simd.floats(0.0); ROWS];
    for (values, tile) in strip.iter().zip(tile) {
        let tile = simd.load(tile);
        for row in 0..ROWS {
            sums[row] = simd.fma(tile, simd.floats(values[row]), sums[row]);
        }
    }
    sums
}

/// Adds the sums of a tile to the rows of `target` from `column` on.
#[inline(always)]
fn add_to<S: Simd, const ROWS: usize>(
    simd: S,
    sums: &[S::Floats; ROWS],
    target: &mut [f32],
    columns: usize,
    column: usize,
) {
    for (row, &sum) in target.chunks_exact_mut(columns).zip(sums) {
        let out = &mut row[column..columns.min(column + TILE)];
        if let Some(out) = out.as_mut_array::<TILE>() {
            let total = simd.add(simd.load(out), sum);
            simd.store(total, out);
        } else {
            let mut lanes = [0.0; TILE];
            simd.store(sum, &mut lanes);
            out.iter_mut().zip(lanes).for_each(|(out, lane)| *out += lane);
        }
    }
}

/// Attention of one text in which every token sees every token.
pub(crate) struct Attend<'a> {
    /// For each token queries, keys and values of all heads, one after the other; queries are already scaled.
    pub(crate) qkv: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) dim: usize,
    /// For each token the mixed values of all heads.
    pub(crate) out: &'a mut [f32],
}

impl Task for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.heads * self.dim;
        let tokens = self.qkv.len() / (3 * width);
        let at = |token: usize, part: usize, head: usize| token * 3 * width + part * width + head * self.dim;
        for head in 0..self.heads {
            let keys = Tiles::new(tokens, self.dim, |token, k| self.qkv[at(token, 1, head) + k]);
            let values = Tiles::new(self.dim, tokens, |k, token| self.qkv[at(token, 2, head) + k]);
            for top in (0..tokens).step_by(ROWS_NARROW) {
                let mut queries = vec![[0.0; ROWS_NARROW]; self.dim];
                for (row, token) in (top..tokens.min(top + ROWS_NARROW)).enumerate() {
                    let query = &self.qkv[at(token, 0, head)..][..self.dim];
                    queries.iter_mut().zip(query).for_each(|(step, &value)| step[row] = value);
                }
                let mixed = attend(simd, &queries, &keys, &values);
                for (row, token) in (top..tokens.min(top + ROWS_NARROW)).enumerate() {
                    let out = &mut self.out[token * width + head * self.dim..][..self.dim];
                    out.copy_from_slice(&mixed[row * self.dim..][..self.dim]);
                }
            }
        }
    }
}

/// Scores, their softmax, and the values mixed by it, for one strip of queries.
#[inline(always)]
fn attend<S: Simd>(simd: S, queries: &[[f32; ROWS_NARROW]], keys: &Tiles, values: &Tiles) -> Vec<f32> {
    let (tokens, dim) = (keys.columns, values.columns);
    let mut scores = vec![0.0; ROWS_NARROW * tokens];
    for (number, tile) in keys.tiles().enumerate() {
        add_to(simd, &multiply_one(simd, queries, tile), &mut scores, tokens, number * TILE);
    }
    let mut shares = vec![[0.0; ROWS_NARROW]; tokens];
    let mut sums = [0.0; ROWS_NARROW];
    for (row, scores) in scores.chunks_exact_mut(tokens).enumerate() {
        sums[row] = exponentials(simd, scores);
        shares.iter_mut().zip(scores).for_each(|(share, &mut score)| share[row] = score);
    }
    let mut mixed = vec![0.0; ROWS_NARROW * dim];
    for (number, tile) in values.tiles().enumerate() {
        add_to(simd, &multiply_one(simd, &shares, tile), &mut mixed, dim, number * TILE);
    }
    for (row, mixed) in mixed.chunks_exact_mut(dim).enumerate() {
        mixed.iter_mut().for_each(|value| *value /= sums[row]);
    }
    mixed
}

/// The Gaussian error linear unit in place: `x * (1 + erf(x / sqrt(2))) / 2`, the error function by formula 7.1.26 of
/// Abramowitz and Stegun (absolute error below 2e-7).
pub(crate) struct Gelu<'a> {
    pub(crate) values: &'a mut [f32],
}

impl Task for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (chunks, rest) = self.values.as_chunks_mut::<16>();
        for chunk in chunks {
            simd.store(gelu(simd, simd.load(chunk)), chunk);
        }
        let mut last = [0.0; 16];
        last[..rest.len()].copy_from_slice(rest);
        simd.store(gelu(simd, simd.load(&last)), &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::Floats) -> S::Floats {
    let one = simd.floats(1.0);
    let size = simd.mul(simd.abs(x), simd.floats(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div(one, simd.fma(simd.floats(0.327_591_1), size, one));
    let mut sum = simd.floats(1.061_405_4);
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = simd.fma(sum, t, simd.floats(coefficient));
    }
    let tail = simd.mul(simd.mul(sum, t), simd.exp(simd.sub(simd.floats(0.0), simd.mul(size, size))));
    // x * (1 + sign(x) * (1 - tail)) / 2 = (x + |x| * (1 - tail)) / 2
    let half = simd.floats(0.5);
    simd.mul(half, simd.fma(simd.abs(x), simd.sub(one, tail), x))
}

/// Layer norm of rows after adding what went around: `(row + residual)` to mean 0 and variance 1, times weight plus bias.
pub(crate) struct AddNorm<'a> {
    /// Rows of `weight.len()` values; the result goes here.
    pub(crate) rows: &'a mut [f32],
    pub(crate) residual: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) epsilon: f32,
}

impl Task for AddNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for (row, residual) in self.rows.chunks_exact_mut(width).zip(self.residual.chunks_exact(width)) {
            row.iter_mut().zip(residual).for_each(|(value, add)| *value += add);
            let mean = sum(simd, row, |_, value| value) / width as f32;
            row.iter_mut().for_each(|value| *value -= mean);
            let variance = sum(simd, row, |simd, value| simd.mul(value, value)) / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(self.weight).zip(self.bias) {
                *value = *value * scale * weight + bias;
            }
        }
    }
}

/// The sum of a function of the values, lane by lane.
#[inline(always)]
fn sum<S: Simd>(simd: S, values: &[f32], term: impl Fn(S, S::Floats) -> S::Floats) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut total = simd.floats(0.0);
    for chunk in chunks {
        total = simd.add(total, term(simd, simd.load(chunk)));
    }
    let mut last = [0.0; 16];
    last[..rest.len()].copy_from_slice(rest);
    simd.sum_lanes(simd.add(total, term(simd, simd.load(&last))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernels;

    /// Values between -1 and 1 by a fixed rule.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|at| {
                let mixed = (at ^ seed << 16).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
                (mixed >> 8) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn close(seen: &[f32], wanted: &[f64], tolerance: f64) {
        assert_eq!(seen.len(), wanted.len());
        for (at, (&seen, &wanted)) in seen.iter().zip(wanted).enumerate() {
            assert!((f64::from(seen) - wanted).abs() <= tolerance, "{at}: {seen} for {wanted}");
        }
    }

    #[test]
    fn products_of_odd_sizes() {
        for (rows, depth, columns) in [(1, 1, 1), (7, 5, 17), (12, 384, 32), (25, 385, 47), (13, 800, 16), (3, 33, 100)]
        {
            let (left, right, bias) = (values(rows * depth, 1), values(columns * depth, 2), values(columns, 3));
            let tiles = Tiles::new(columns, depth, |column, k| right[column * depth + k]);
            let mut wanted = Vec::new();
            for row in 0..rows {
                for column in 0..columns {
                    let terms =
                        (0..depth).map(|k| f64::from(left[row * depth + k]) * f64::from(right[column * depth + k]));
                    wanted.push(f64::from(bias[column]) + terms.sum::<f64>());
                }
            }
            let mut first: Option<Vec<f32>> = None;
            for kernels in Kernels::available() {
                let mut out = vec![f32::NAN; rows * columns];
                kernels.run(Product { left: &left, right: &tiles, bias: &bias, out: &mut out });
                close(&out, &wanted, 1e-5 * depth as f64);
                assert_eq!(*first.get_or_insert_with(|| out.clone()), out, "{}", kernels.name());
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_company() {
        let (depth, columns) = (400, 40);
        let (left, right) = (values(30 * depth, 4), values(columns * depth, 5));
        let tiles = Tiles::new(columns, depth, |column, k| right[column * depth + k]);
        let bias = vec![0.5; columns];
        let kernels = Kernels::detect();
        let mut all = vec![0.0; 30 * columns];
        kernels.run(Product { left: &left, right: &tiles, bias: &bias, out: &mut all });
        for row in 0..30 {
            let mut alone = vec![0.0; columns];
            kernels.run(Product { left: &left[row * depth..][..depth], right: &tiles, bias: &bias, out: &mut alone });
            assert_eq!(alone, all[row * columns..][..columns]);
        }
    }

    #[test]
    fn attention_equals_its_definition() {
        for (tokens, heads, dim) in [(1, 1, 8), (5, 3, 20), (33, 2, 32), (16, 1, 16)] {
            let width = heads * dim;
            let qkv = values(tokens * 3 * width, 6);
            let wanted = reference_attention(&qkv, tokens, heads, dim);
            for kernels in Kernels::available() {
                let mut out = vec![f32::NAN; tokens * width];
                kernels.run(Attend { qkv: &qkv, heads, dim, out: &mut out });
                close(&out, &wanted, 2e-6);
            }
        }
    }

    fn reference_attention(qkv: &[f32], tokens: usize, heads: usize, dim: usize) -> Vec<f64> {
        let width = heads * dim;
        let at = |token: usize, part: usize, at: usize| f64::from(qkv[token * 3 * width + part * width + at]);
        let mut out = vec![0.0; tokens * width];
        for head in 0..heads {
            for token in 0..tokens {
                let score = |other: usize| -> f64 {
                    (head * dim..(head + 1) * dim).map(|k| at(token, 0, k) * at(other, 1, k)).sum()
                };
                let weights: Vec<f64> = (0..tokens).map(|other| score(other).exp()).collect();
                let total: f64 = weights.iter().sum();
                for k in head * dim..(head + 1) * dim {
                    let mixed = weights.iter().enumerate().map(|(other, weight)| weight * at(other, 2, k));
                    out[token * width + k] = mixed.sum::<f64>() / total;
                }
            }
        }
        out
    }

    #[test]
    fn gelu_and_norm() {
        let inputs = [-20.0f32, -3.0, -1.0, -0.1, 0.0, 0.5, 1.0, 2.5, 30.0];
        // 0.5 * x * (1 + erf(x / sqrt 2)), from tables of the error function.
        let wanted =
            [0.0, -0.004_049_694, -0.158_655_25, -0.046_017_216, 0.0, 0.345_731_23, 0.841_344_75, 2.484_475_8, 30.0];
        for kernels in Kernels::available() {
            let mut out = inputs;
            kernels.run(Gelu { values: &mut out });
            close(&out, &wanted, 5e-7);
            let mut rows = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0];
            let residual = [0.0, 0.0, 0.0, 1.0, 1.0, 4.0];
            kernels.run(AddNorm {
                rows: &mut rows,
                residual: &residual,
                weight: &[1.0, 2.0, 1.0],
                bias: &[0.0, 0.0, 1.0],
                epsilon: 0.0,
            });
            let side = 1.5f64.sqrt();
            let half = 0.5f64.sqrt();
            close(&rows, &[-side, 0.0, side + 1.0, -half, -2.0 * half, 2.0 * half + 1.0], 1e-6);
        }
    }
}
