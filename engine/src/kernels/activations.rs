//! The inputs of matrix products: quantised once and shared by all matrices that read them.
//!
//! Rows are grouped in strips of six lanes, and within a strip the values of all lanes stand side by side, four columns of a
//! row in one word: that is how a register tile reads them. A strip that is not full has lanes that nobody reads the results
//! of; an input of few rows is a single strip of one, two, four or six lanes.
//!
//! Each group of 32 columns has a scale of its own: the least number with three significant bits (`1`, `1.25`, `1.5` or
//! `1.75` times a power of two) that brings the group's largest magnitude to 127 at most. So a product of scales is one of
//! four multiples of a weight's scale, shifted by a power of two, which the panel kernel gets without a multiplication.
//!
//! Fine integers have 16 bits: a row then takes two lanes, one for the upper and one for the lower eight bits, and the
//! integer sums of both are joined before anything is scaled.
#![expect(unsafe_code, reason = "threads fill disjoint groups")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::{Kernels, Simd, Task};
use crate::pool::{Disjoint, Pool};
use crate::quant::{GROUP, Matrix, WeightType};

/// Lanes of a strip.
pub(super) const STRIP: usize = 6;

/// Lanes of the strips for an input of that many lanes.
pub(super) fn strip_width(lanes: usize) -> usize {
    match lanes {
        0..=2 => lanes.max(1),
        3..=4 => 4,
        _ => STRIP,
    }
}

/// Words of four columns in a group.
const QUADS: usize = GROUP / 4;

/// Groups whose largest magnitude is below 127 times this count as zero; it keeps every product of scales a normal number.
const SCALE_MIN: f32 = 1e-24;

/// Which forms of an input its readers take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Quantised matrices read integers.
    pub integers: bool,
    /// Dense matrices read floats.
    pub floats: bool,
    /// The integers have 16 bits instead of 8, for twice the arithmetic.
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
    exponents: Vec<f32>,
    sums: Vec<f32>,
    negative_totals: Vec<i32>,
    negative_halves: Vec<i32>,
    floats: Vec<f32>,
}

/// One strip of `W` lanes and `R` rows in integers (`W` is `R`, or twice `R` for fine ones); all slices are indexed by group.
pub(super) struct IntegerStrip<'a, const W: usize, const R: usize> {
    /// Four signed columns in each word.
    words: &'a [[[i32; W]; QUADS]],
    scales: &'a [[f32; R]],
    /// The scale is `1 + fraction` times 2 to this power.
    exponents: &'a [[f32; R]],
    /// Scale times the sum of the integers.
    sums: &'a [[f32; R]],
    /// The sums of the integers of the group, and of its halves, negated.
    pub(super) negative_totals: &'a [[i32; R]],
    pub(super) negative_halves: &'a [[[i32; R]; 2]],
}

/// One group of a strip.
pub(super) struct StripGroup<'a, const W: usize, const R: usize> {
    pub(super) words: &'a [[i32; W]; QUADS],
    pub(super) scales: &'a [f32; R],
    pub(super) exponents: &'a [f32; R],
    pub(super) sums: &'a [f32; R],
    pub(super) negative_totals: &'a [i32; R],
    pub(super) negative_halves: &'a [[i32; R]; 2],
}

impl<'a, const W: usize, const R: usize> IntegerStrip<'a, W, R> {
    /// The groups in turn; no bounds are checked on the way.
    #[inline(always)]
    pub(super) fn groups(&self) -> impl Iterator<Item = StripGroup<'a, W, R>> {
        let scales = self.scales.iter().zip(self.exponents).zip(self.sums);
        let totals = self.negative_totals.iter().zip(self.negative_halves);
        self.words.iter().zip(scales).zip(totals).map(
            |((words, ((scales, exponents), sums)), (negative_totals, negative_halves))| StripGroup {
                words,
                scales,
                exponents,
                sums,
                negative_totals,
                negative_halves,
            },
        )
    }
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
        if needs.integers {
            let writer = self.writer((rows, cols), needs.fine);
            let rows_per_strip = writer.rows_per_strip();
            pool.run(rows.div_ceil(rows_per_strip), &|strip| {
                let mut values = ROW.take();
                values.resize(cols, 0.0);
                for row in (strip * rows_per_strip..rows).take(rows_per_strip) {
                    source(row, &mut values);
                    kernels.run(FillRow { values: &values, row, writer: &writer });
                }
                ROW.set(values);
            });
        }
        (self.rows, self.cols, self.fine) = (rows, cols, needs.fine);
        if needs.floats {
            self.fill_floats(pool, &source);
        }
    }

    /// Makes room for `rows` rows of `cols` integers, which the caller then writes group by group.
    pub(super) fn writer(&mut self, (rows, cols): (usize, usize), fine: bool) -> GroupWriter<'_> {
        (self.rows, self.cols, self.fine) = (rows, cols, fine);
        let (copies, groups) = (1 + usize::from(fine), cols / GROUP);
        let width = strip_width(rows * copies);
        let strips = (rows * copies).div_ceil(width);
        let rows = strips * width / copies;
        self.words.resize(strips * width * groups * QUADS, 0);
        self.scales.resize(rows * groups, 0.0);
        self.exponents.resize(rows * groups, 0.0);
        self.sums.resize(rows * groups, 0.0);
        self.negative_totals.resize(rows * groups, 0);
        self.negative_halves.resize(rows * groups * 2, 0);
        GroupWriter {
            width,
            copies,
            groups,
            words: Disjoint::new(&mut self.words),
            scales: Disjoint::new(&mut self.scales),
            exponents: Disjoint::new(&mut self.exponents),
            sums: Disjoint::new(&mut self.sums),
            negative_totals: Disjoint::new(&mut self.negative_totals),
            negative_halves: Disjoint::new(&mut self.negative_halves),
        }
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
    pub(super) fn integers<const W: usize, const R: usize>(&self, strip: usize) -> IntegerStrip<'_, W, R> {
        let groups = self.cols / GROUP;
        let (lanes, rows) =
            (strip * W * groups..(strip + 1) * W * groups, strip * R * groups..(strip + 1) * R * groups);
        IntegerStrip {
            words: self.words[lanes.start * QUADS..lanes.end * QUADS].as_chunks::<W>().0.as_chunks::<QUADS>().0,
            scales: self.scales[rows.clone()].as_chunks::<R>().0,
            exponents: self.exponents[rows.clone()].as_chunks::<R>().0,
            sums: self.sums[rows.clone()].as_chunks::<R>().0,
            negative_totals: self.negative_totals[rows.clone()].as_chunks::<R>().0,
            negative_halves: self.negative_halves[rows.start * 2..rows.end * 2].as_chunks::<R>().0.as_chunks::<2>().0,
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

/// Puts one row into its lanes.
struct FillRow<'a, 'b> {
    values: &'a [f32],
    row: usize,
    writer: &'a GroupWriter<'b>,
}

impl Task for FillRow<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (group, values) in self.values.as_chunks::<16>().0.as_chunks::<2>().0.iter().enumerate() {
            let values = [simd.load(&values[0]), simd.load(&values[1])];
            // SAFETY: each strip is filled by one call, row after row.
            unsafe { self.writer.put(simd, (self.row, group), values) };
        }
    }
}

/// Where the integers of an input go.
pub(super) struct GroupWriter<'a> {
    width: usize,
    copies: usize,
    groups: usize,
    words: Disjoint<'a, i32>,
    scales: Disjoint<'a, f32>,
    exponents: Disjoint<'a, f32>,
    sums: Disjoint<'a, f32>,
    negative_totals: Disjoint<'a, i32>,
    negative_halves: Disjoint<'a, i32>,
}

impl GroupWriter<'_> {
    fn rows_per_strip(&self) -> usize {
        self.width / self.copies
    }

    /// Quantises the 32 values of one row and group.
    ///
    /// # Safety
    /// Rows of one strip share the memory of a group: no two calls for the same group of the same strip at the same time.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd>(&self, simd: S, (row, group): (usize, usize), values: [S::Floats; 2]) {
        let rows_per_strip = self.rows_per_strip();
        let (strip, place) = (row / rows_per_strip, row % rows_per_strip);
        let block = strip * self.groups + group;
        let at = block * rows_per_strip + place;
        let scale = scale_for(simd.max_lanes(simd.max(simd.abs(values[0]), simd.abs(values[1]))));
        let inverse = if scale >= SCALE_MIN { 1.0 / scale } else { 0.0 };
        // SAFETY: the group of the strip is this caller's alone, by his promise.
        let words = unsafe { self.words.part(block * QUADS * self.width..(block + 1) * QUADS * self.width) };
        let mut halves = [0; 2];
        for (half, values) in values.into_iter().enumerate() {
            let upper = simd.to_ints(simd.mul(values, simd.floats(inverse)));
            self.store_words(simd, upper, (place * self.copies, half), words);
            halves[half] = simd.sum_ints(upper);
            if self.copies == 2 {
                let rest = simd.fma(simd.to_floats(upper), simd.floats(-scale), values);
                let lower = simd.mul(rest, simd.floats(inverse * 256.0));
                let lower = simd.to_ints(simd.max(simd.min(lower, simd.floats(127.0)), simd.floats(-127.0)));
                self.store_words(simd, lower, (place * 2 + 1, half), words);
                halves[half] = 256 * halves[half] + simd.sum_ints(lower);
            }
        }
        let scale = if self.copies == 2 { scale / 256.0 } else { scale };
        let total = halves[0] + halves[1];
        // SAFETY: as above.
        unsafe {
            self.scales.part(at..at + 1)[0] = scale;
            self.exponents.part(at..at + 1)[0] = exponent_of(scale);
            self.sums.part(at..at + 1)[0] = scale * total as f32;
            self.negative_totals.part(at..at + 1)[0] = -total;
            for (half, sum) in halves.into_iter().enumerate() {
                let at = (block * 2 + half) * rows_per_strip + place;
                self.negative_halves.part(at..at + 1)[0] = -sum;
            }
        }
    }

    #[inline(always)]
    fn store_words<S: Simd>(&self, simd: S, values: S::Ints, (lane, half): (usize, usize), words: &mut [i32]) {
        let mut bytes = [0; 16];
        simd.store_bytes(values, &mut bytes);
        for (quad, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
            words[(half * 4 + quad) * self.width + lane] = i32::from_le_bytes(*bytes);
        }
    }
}

/// The scale of a group with that largest magnitude; zero for a group that counts as zero, no number for an infinite one.
fn scale_for(largest: f32) -> f32 {
    let exact = largest / 127.0;
    if !exact.is_finite() {
        return f32::NAN;
    }
    if exact < SCALE_MIN {
        return 0.0;
    }
    // Two bits of the fraction stay, rounded up.
    f32::from_bits((exact.to_bits() + 0x1f_ffff) & !0x1f_ffff)
}

/// The power of two in a scale; zero for scales that are zero or no number.
fn exponent_of(scale: f32) -> f32 {
    if scale > 0.0 { ((scale.to_bits() >> 23) as i32 - 127) as f32 } else { scale }
}

/// Which quarter a scale's fraction is: 0 to 3.
#[inline(always)]
pub(super) fn quarter(scale: f32) -> usize {
    (scale.to_bits() >> 21 & 3) as usize
}
