//! Rounding of queries, keys and values to 16-bit integers.

use super::{LANES, PAGE_PAIRS, PageViewMut, VALUE_LEVELS};
use crate::kernels::integer::Line;
use crate::kernels::{Simd, Task};

/// The Euclidean length up to which integers of a query or a key may go: the product of two such vectors stays below 2^31,
/// and each integer below 2^15.
pub(super) const LENGTH: f32 = 46_000.0;
/// Largest magnitude of the integers of queries and keys.
pub(super) const LEVELS: f32 = 32_767.0;
/// Heads are not longer than this.
pub(crate) const DIM_MAX: usize = 1024;

/// A row of `2 * pairs.len()` values as integers, and their step. Pair `i` is value `i` and value `pairs.len() + i`, which are
/// rotated together in most models.
pub(super) struct RoundRow<'a> {
    pub(super) row: &'a [f32],
    pub(super) pairs: &'a mut [i32],
}

impl Task for RoundRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let [length, largest] = magnitudes(simd, self.row);
        let step = (length / LENGTH).max(largest / LEVELS);
        round_pairs(simd, self.row, step, self.pairs);
        step
    }
}

/// The Euclidean length and the largest magnitude of a row.
#[inline(always)]
pub(super) fn magnitudes<S: Simd>(simd: S, row: &[f32]) -> [f32; 2] {
    let (mut squares, mut largest) = (simd.floats(0.0), simd.floats(0.0));
    for chunk in row.as_chunks::<LANES>().0 {
        let values = simd.load(chunk);
        squares = simd.fma(values, values, squares);
        largest = simd.max(simd.abs(values), largest);
    }
    [simd.sum_lanes(squares).sqrt(), simd.max_lanes(largest)]
}

/// One over a step, or nothing where the step is.
fn inverse(step: f32) -> f32 {
    if step > f32::MIN_POSITIVE { 1.0 / step } else { 0.0 }
}

/// Rounds a row to multiples of the step.
#[inline(always)]
pub(super) fn round_pairs<S: Simd>(simd: S, row: &[f32], step: f32, pairs: &mut [i32]) {
    let inverse = simd.floats(inverse(step));
    let (low, high) = row.split_at(pairs.len());
    let chunks = low.as_chunks::<LANES>().0.iter().zip(high.as_chunks::<LANES>().0);
    for ((low, high), out) in chunks.zip(pairs.as_chunks_mut::<LANES>().0) {
        let low = simd.to_ints(simd.mul(simd.load(low), inverse));
        let high = simd.to_ints(simd.mul(simd.load(high), inverse));
        let mut line = Line([0; 64]);
        simd.store_line(simd.pair(low, high), &mut line.0);
        *out = bytemuck::cast(line.0);
    }
}

/// Puts a token's key and value in their places within one head's part of a page.
pub(crate) struct StoreToken<'a> {
    /// The key, filled up with zeros to a multiple of 32 values, at most [`DIM_MAX`].
    pub(crate) key: &'a [f32],
    /// The value, filled up likewise.
    pub(crate) value: &'a [f32],
    /// Place of the token in the page.
    pub(crate) slot: usize,
    pub(crate) page: PageViewMut<'a>,
}

impl Task for StoreToken<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { key, value, slot, page } = self;
        let mut pairs = [0; DIM_MAX / 2];
        let pairs = &mut pairs[..key.len() / 2];
        page.key_steps[slot] = RoundRow { row: key, pairs }.run(simd);
        let block = &mut page.keys[slot / LANES * pairs.len()..][..pairs.len()];
        for (line, pair) in block.iter_mut().zip(pairs) {
            line.0.as_chunks_mut::<4>().0[slot % LANES] = pair.to_le_bytes();
        }
        page.value_steps[slot] = store_value(simd, value, slot, page.values);
    }
}

/// Rounds a value and puts it in its place, the lower or the upper half of the words of its pair.
#[inline(always)]
fn store_value<S: Simd>(simd: S, value: &[f32], slot: usize, lines: &mut [Line]) -> f32 {
    let step = magnitudes(simd, value)[1] / VALUE_LEVELS;
    let inverse = simd.floats(inverse(step));
    let (pair, upper) = value_place(slot);
    for (chunk, block) in value.as_chunks::<LANES>().0.iter().zip(lines.as_chunks_mut::<PAGE_PAIRS>().0) {
        let mut halves = Line([0; 64]);
        let values = simd.to_ints(simd.mul(simd.load(chunk), inverse));
        simd.store_line(simd.pair(values, values), &mut halves.0);
        let words = block[pair].0.as_chunks_mut::<4>().0;
        for (word, value) in words.iter_mut().zip(halves.0.as_chunks::<4>().0) {
            word[2 * upper..][..2].copy_from_slice(&value[..2]);
        }
    }
    step
}

/// The pair of keys that a token's value belongs to, and its half: 0 or 1.
pub(super) fn value_place(slot: usize) -> (usize, usize) {
    (slot / (2 * LANES) * LANES + slot % LANES, slot / LANES % 2)
}
