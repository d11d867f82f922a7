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
use crate::quant::{GROUP, Matrix, WeightType};

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
    /// What the rounding to integers took away is quantised too, as a lane of its own beside each row, and the products of
    /// both are added: about 15 bits instead of 8, for twice the arithmetic.
    pub fine: bool,
}

impl Needs {
    /// What these matrices read.
    pub fn of<'a>(matrices: impl IntoIterator<Item = &'a Matrix>) -> Self {
        matrices.into_iter().fold(Self::default(), |needs, matrix| Self {
            integers: needs.integers || !matrix.kind().is_dense(),
            floats: needs.floats || matrix.kind().is_dense(),
            fine: false,
        })
    }

    /// The same, with fine integers.
    #[must_use]
    pub fn finely(self) -> Self {
        Self { fine: true, ..self }
    }
}

/// `rows` by `cols` inputs in the order the matrix kernels read. Buffers are reused from one filling to the next.
#[derive(Debug, Default)]
pub struct Activations {
    rows: usize,
    cols: usize,
    fine: bool,
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

    /// Lanes of a row for weights of that type.
    pub(super) fn lanes_per_row(&self, kind: WeightType) -> usize {
        1 + usize::from(self.fine && !kind.is_dense())
    }

    /// Lanes of all rows for weights of that type.
    pub(super) fn lanes(&self, kind: WeightType) -> usize {
        self.rows * self.lanes_per_row(kind)
    }

    /// Takes `rows` rows of `cols` values. `source` is called for each row, on any thread, and writes the row.
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
        (self.rows, self.cols, self.fine) = (rows, cols, needs.fine);
        if needs.integers {
            self.fill_integers(pool, kernels, &source);
        }
        if needs.floats {
            self.fill_floats(pool, &source);
        }
    }

    fn fill_integers(&mut self, pool: &Pool, kernels: Kernels, source: &(impl Fn(usize, &mut [f32]) + Sync)) {
        let (rows, cols, groups) = (self.rows, self.cols, self.cols / GROUP);
        let copies = 1 + usize::from(self.fine);
        let width = strip_width(rows * copies);
        let strips = (rows * copies).div_ceil(width);
        let lanes = strips * width;
        self.words.resize(lanes * groups * QUADS, 0);
        self.scales.resize(lanes * groups, 0.0);
        self.sums.resize(lanes * groups, 0.0);
        self.negative_totals.resize(lanes * groups, 0);
        self.negative_halves.resize(lanes * groups * 2, 0);
        let parts = Parts {
            words: Disjoint::new(&mut self.words),
            scales: Disjoint::new(&mut self.scales),
            sums: Disjoint::new(&mut self.sums),
            negative_totals: Disjoint::new(&mut self.negative_totals),
            negative_halves: Disjoint::new(&mut self.negative_halves),
        };
        pool.run(strips, &|index| {
            let first = index * width;
            // SAFETY: `run` gives each strip's number to one call, and strips do not overlap.
            let mut strip = unsafe { parts.strip(first, width, groups) };
            let mut values = ROW.take();
            values.resize(cols, 0.0);
            for lane in (0..width).step_by(copies).take_while(|lane| (first + lane) / copies < rows) {
                source((first + lane) / copies, &mut values);
                kernels.run(FillRow { row: &values, lane, copies, width, strip: &mut strip });
            }
            ROW.set(values);
        });
    }

    fn fill_floats(&mut self, pool: &Pool, source: &(impl Fn(usize, &mut [f32]) + Sync)) {
        let (rows, cols) = (self.rows, self.cols);
        let width = strip_width(rows);
        self.floats.resize(rows.next_multiple_of(width) * cols, 0.0);
        pool.chunks(&mut self.floats, width * cols, |index, strip| {
            let mut values = ROW.take();
            values.resize(cols, 0.0);
            for lane in 0..width.min(rows - index * width) {
                source(index * width + lane, &mut values);
                for (value, out) in values.iter().zip(strip.iter_mut().skip(lane).step_by(width)) {
                    *out = *value;
                }
            }
            ROW.set(values);
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
}

/// The slices of one strip.
struct StripParts<'a> {
    words: &'a mut [i32],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    negative_totals: &'a mut [i32],
    negative_halves: &'a mut [i32],
}

impl<'a> Parts<'a> {
    /// # Safety
    /// No two strips that are alive at the same time may share lanes.
    unsafe fn strip(&self, first: usize, width: usize, groups: usize) -> StripParts<'a> {
        let range = |unit: usize| first * unit..(first + width) * unit;
        // SAFETY: lanes are disjoint by the caller's promise, so the ranges are.
        unsafe {
            StripParts {
                words: self.words.part(range(groups * QUADS)),
                scales: self.scales.part(range(groups)),
                sums: self.sums.part(range(groups)),
                negative_totals: self.negative_totals.part(range(groups)),
                negative_halves: self.negative_halves.part(range(groups * 2)),
            }
        }
    }
}

/// Puts one row into its lane of a strip, and with two copies what the rounding took away into the next.
struct FillRow<'a, 'b> {
    row: &'a [f32],
    lane: usize,
    copies: usize,
    width: usize,
    strip: &'a mut StripParts<'b>,
}

impl Task for FillRow<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (group, values) in self.row.as_chunks::<16>().0.as_chunks::<2>().0.iter().enumerate() {
            let mut values = [simd.load(&values[0]), simd.load(&values[1])];
            for lane in self.lane..self.lane + self.copies {
                values = self.strip.put(simd, group, lane, self.width, values);
            }
        }
    }
}

impl StripParts<'_> {
    /// Quantises the 32 values of one group and lane and returns what the rounding took away.
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        group: usize,
        lane: usize,
        width: usize,
        values: [S::Floats; 2],
    ) -> [S::Floats; 2] {
        let largest = simd.max_lanes(simd.max(simd.abs(values[0]), simd.abs(values[1])));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        // The smallest denormals have no finite inverse; they count as zero.
        let inverse = simd.floats(if inverse.is_finite() { inverse } else { 0.0 });
        let scale = largest / 127.0;
        let quants = [simd.to_ints(simd.mul(values[0], inverse)), simd.to_ints(simd.mul(values[1], inverse))];
        let halves = [simd.sum_ints(quants[0]), simd.sum_ints(quants[1])];
        let total = halves[0] + halves[1];
        let at = group * width + lane;
        self.scales[at] = scale;
        self.sums[at] = scale * total as f32;
        self.negative_totals[at] = -total;
        let words = &mut self.words[group * QUADS * width..][..QUADS * width];
        let mut rest = values;
        for half in 0..2 {
            self.negative_halves[(group * 2 + half) * width + lane] = -halves[half];
            let mut bytes = [0; 16];
            simd.store_bytes(quants[half], &mut bytes);
            for (quad, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
                words[(half * 4 + quad) * width + lane] = i32::from_le_bytes(*bytes);
            }
            rest[half] = simd.fma(simd.to_floats(quants[half]), simd.floats(-scale), values[half]);
        }
        rest
    }
}
