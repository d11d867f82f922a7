//! The inputs of matrix products: quantised once and shared by all matrices that read them.
//!
//! Rows are grouped in strips of six, and within a strip the values of all rows stand side by side, four columns of a row in
//! one word: that is how a register tile reads them. A strip that is not full has lanes that nobody reads the results of; an
//! input of few rows is a single strip of one, two, four or six lanes. Each group of 32 columns has its own scale (largest magnitude
//! divided by 127), kept in full precision.
#![expect(unsafe_code, reason = "threads fill disjoint strips")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::{Kernels, Simd, Task};
use crate::pool::{Disjoint, Pool};
use crate::quant::{GROUP, Matrix};

/// Lanes of a strip.
pub(super) const STRIP: usize = 6;

/// Lanes of the strips for an input of that many rows.
pub(super) fn strip_width(rows: usize) -> usize {
    match rows {
        0..=2 => rows.max(1),
        3..=4 => 4,
        _ => STRIP,
    }
}
/// Words of four columns in a group.
const QUADS: usize = GROUP / 4;

/// Which forms of an input its readers take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Quantised matrices read 8-bit integers.
    pub integers: bool,
    /// Dense matrices read floats.
    pub floats: bool,
}

impl Needs {
    /// What these matrices read.
    pub fn of<'a>(matrices: impl IntoIterator<Item = &'a Matrix>) -> Self {
        matrices.into_iter().fold(Self::default(), |needs, matrix| Self {
            integers: needs.integers || !matrix.kind().is_dense(),
            floats: needs.floats || matrix.kind().is_dense(),
        })
    }
}

/// `rows` by `cols` inputs in the order the matrix kernels read. Buffers are reused from one filling to the next.
#[derive(Debug, Default)]
pub struct Activations {
    rows: usize,
    cols: usize,
    words: Vec<i32>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    negative_totals: Vec<i32>,
    negative_halves: Vec<i32>,
    floats: Vec<f32>,
}

/// One strip of `W` lanes in integers; all slices are indexed by group.
pub(super) struct IntegerStrip<'a, const W: usize> {
    /// Four signed columns in each word.
    pub(super) words: &'a [[[i32; W]; QUADS]],
    pub(super) scales: &'a [[f32; W]],
    /// Scale times the sum of the integers.
    pub(super) sums: &'a [[f32; W]],
    /// The sums of the integers of the group, and of its halves, negated.
    pub(super) negative_totals: &'a [[i32; W]],
    pub(super) negative_halves: &'a [[[i32; W]; 2]],
}

impl Activations {
    /// Rows of the last filling.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the last filling.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Takes `rows` rows of `cols` values. `source` is called once for each row, on any thread, and writes the row.
    ///
    /// For integers `cols` must be a multiple of 32, as it is for every quantised matrix.
    pub fn fill(
        &mut self,
        pool: &Pool,
        kernels: Kernels,
        (rows, cols): (usize, usize),
        needs: Needs,
        source: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        (self.rows, self.cols) = (rows, cols);
        let groups = if needs.integers { cols / GROUP } else { 0 };
        let width = strip_width(rows);
        let strips = rows.div_ceil(width);
        let lanes = strips * width;
        self.words.resize(lanes * groups * QUADS, 0);
        self.scales.resize(lanes * groups, 0.0);
        self.sums.resize(lanes * groups, 0.0);
        self.negative_totals.resize(lanes * groups, 0);
        self.negative_halves.resize(lanes * groups * 2, 0);
        self.floats.resize(if needs.floats { lanes * cols } else { 0 }, 0.0);
        let parts = Parts {
            words: Disjoint::new(&mut self.words),
            scales: Disjoint::new(&mut self.scales),
            sums: Disjoint::new(&mut self.sums),
            negative_totals: Disjoint::new(&mut self.negative_totals),
            negative_halves: Disjoint::new(&mut self.negative_halves),
            floats: Disjoint::new(&mut self.floats),
        };
        pool.run(strips, &|index| {
            let first = index * width;
            // SAFETY: `run` gives each strip's number to one call, and strips do not overlap.
            let mut strip = unsafe { parts.strip(first, width, groups, if needs.floats { cols } else { 0 }) };
            let mut row = ROW.take();
            row.resize(cols, 0.0);
            for lane in 0..width.min(rows - first) {
                source(first + lane, &mut row);
                kernels.run(FillRow { row: &row, lane, width, groups, strip: &mut strip });
            }
            ROW.set(row);
        });
    }

    #[inline(always)]
    pub(super) fn integers<const W: usize>(&self, strip: usize) -> IntegerStrip<'_, W> {
        let groups = self.cols / GROUP;
        let first = strip * W * groups;
        let count = W * groups;
        IntegerStrip {
            words: self.words[first * QUADS..][..count * QUADS].as_chunks::<W>().0.as_chunks::<QUADS>().0,
            scales: self.scales[first..][..count].as_chunks::<W>().0,
            sums: self.sums[first..][..count].as_chunks::<W>().0,
            negative_totals: self.negative_totals[first..][..count].as_chunks::<W>().0,
            negative_halves: self.negative_halves[first * 2..][..count * 2].as_chunks::<W>().0.as_chunks::<2>().0,
        }
    }

    /// One strip of `W` lanes in floats, by column.
    #[inline(always)]
    pub(super) fn floats<const W: usize>(&self, strip: usize) -> &[[f32; W]] {
        self.floats[strip * STRIP * self.cols..][..W * self.cols].as_chunks::<W>().0
    }
}

thread_local! {
    /// The row that is being filled, kept between calls.
    static ROW: std::cell::Cell<Vec<f32>> = const { std::cell::Cell::new(Vec::new()) };
}

struct Parts<'a> {
    words: Disjoint<'a, i32>,
    scales: Disjoint<'a, f32>,
    sums: Disjoint<'a, f32>,
    negative_totals: Disjoint<'a, i32>,
    negative_halves: Disjoint<'a, i32>,
    floats: Disjoint<'a, f32>,
}

/// The slices of one strip.
struct StripParts<'a> {
    words: &'a mut [i32],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    negative_totals: &'a mut [i32],
    negative_halves: &'a mut [i32],
    floats: &'a mut [f32],
}

impl<'a> Parts<'a> {
    /// # Safety
    /// No two strips that are alive at the same time may share rows.
    unsafe fn strip(&self, first: usize, width: usize, groups: usize, float_cols: usize) -> StripParts<'a> {
        let range = |unit: usize| first * unit..(first + width) * unit;
        // SAFETY: rows are disjoint by the caller's promise, so the ranges are.
        unsafe {
            StripParts {
                words: self.words.part(range(groups * QUADS)),
                scales: self.scales.part(range(groups)),
                sums: self.sums.part(range(groups)),
                negative_totals: self.negative_totals.part(range(groups)),
                negative_halves: self.negative_halves.part(range(groups * 2)),
                floats: self.floats.part(range(float_cols)),
            }
        }
    }
}

/// Puts one row into its lane of a strip.
struct FillRow<'a, 'b> {
    row: &'a [f32],
    lane: usize,
    width: usize,
    groups: usize,
    strip: &'a mut StripParts<'b>,
}

impl Task for FillRow<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (value, out) in self.row.iter().zip(self.strip.floats.iter_mut().skip(self.lane).step_by(self.width)) {
            *out = *value;
        }
        let (lane, width) = (self.lane, self.width);
        let strip = self.strip;
        for (group, values) in self.row.as_chunks::<GROUP>().0.iter().take(self.groups).enumerate() {
            let (scale, halves, bytes) = quantise(simd, values);
            let at = group * width + lane;
            let total = halves[0] + halves[1];
            strip.scales[at] = scale;
            strip.sums[at] = scale * total as f32;
            strip.negative_totals[at] = -total;
            strip.negative_halves[group * 2 * width + lane] = -halves[0];
            strip.negative_halves[(group * 2 + 1) * width + lane] = -halves[1];
            let words = &mut strip.words[group * QUADS * width..][..QUADS * width];
            for (quad, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
                words[quad * width + lane] = i32::from_le_bytes(*bytes);
            }
        }
    }
}

/// Scale, the sums of both halves, and the signed bytes of 32 values.
#[inline(always)]
fn quantise<S: Simd>(simd: S, values: &[f32; GROUP]) -> (f32, [i32; 2], [u8; GROUP]) {
    let [low, high] = values.as_chunks::<16>().0 else { unreachable!("a group is two halves of 16") };
    let (low, high) = (simd.load(low), simd.load(high));
    let largest = simd.max_lanes(simd.max(simd.abs(low), simd.abs(high)));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    // The smallest denormals have no finite inverse; they count as zero.
    let inverse = simd.floats(if inverse.is_finite() { inverse } else { 0.0 });
    let (low, high) = (simd.to_ints(simd.mul(low, inverse)), simd.to_ints(simd.mul(high, inverse)));
    let mut bytes = [0; GROUP];
    let [first, second] = bytes.as_chunks_mut::<16>().0 else { unreachable!("a group is two halves of 16") };
    simd.store_bytes(low, first);
    simd.store_bytes(high, second);
    (largest / 127.0, [simd.sum_ints(low), simd.sum_ints(high)], bytes)
}
