//! The inputs of matrix products: quantised once and shared by all matrices that read them.
//!
//! Rows are grouped in strips of six lanes, and within a strip the values of all lanes stand side by side, four columns of a
//! row in one word: that is how a register tile reads them. A strip that is not full has lanes that nobody reads the results
//! of; an input of few rows has one strip of one to eight lanes, or two of six or eight.
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

/// Lanes of the strips of some inputs of few lanes.
const WIDE_STRIP: usize = 8;

/// Inputs of at most so many lanes are multiplied straight from the packed form of the weights, in one or two strips.
pub(super) const DIRECT_LANES: usize = 2 * WIDE_STRIP;

/// Lanes of the strips for an input of that many lanes.
pub(super) fn strip_width(lanes: usize) -> usize {
    match lanes {
        0..=2 => lanes.max(1),
        3..=4 => 4,
        7..=8 | 13..=DIRECT_LANES => WIDE_STRIP,
        _ => STRIP,
    }
}

/// Rows of a strip when each takes two lanes.
pub(super) const FINE_ROWS: usize = STRIP / 2;

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
    /// A [`StripGroup`] for each group of each strip.
    records: Vec<i32>,
    floats: Vec<f32>,
}

/// One group of a strip of `W` lanes and `R` rows in integers (`W` is `R`, or twice `R` for fine ones).
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct StripGroup<const W: usize, const R: usize> {
    /// Four signed columns in each word.
    pub(super) words: [[i32; W]; QUADS],
    pub(super) scales: [f32; R],
    /// The scale is `1 + fraction` times 2 to this power.
    pub(super) exponents: [f32; R],
    /// Scale times the sum of the integers.
    pub(super) sums: [f32; R],
    /// The sums of the integers of the group, and of its halves, negated.
    pub(super) negative_totals: [i32; R],
    pub(super) negative_halves: [[i32; R]; 2],
}

// SAFETY: all fields are arrays of 32-bit numbers, so nothing is padded, and any bits are a value.
unsafe impl<const W: usize, const R: usize> bytemuck::Zeroable for StripGroup<W, R> {}
// SAFETY: as above.
unsafe impl<const W: usize, const R: usize> bytemuck::Pod for StripGroup<W, R> {}

/// 32-bit numbers in a [`StripGroup`].
fn record_length(lanes: usize, rows: usize) -> usize {
    QUADS * lanes + 6 * rows
}

/// Calls a block with the lanes and rows of the strips of an input as constants.
macro_rules! by_strip {
    (@ $lanes:expr, $rows:expr, $W:ident, $R:ident => $body:expr) => {{
        const $W: usize = $lanes;
        const $R: usize = $rows;
        $body
    }};
    ($lanes:expr, $copies:expr, $W:ident, $R:ident => $body:expr) => {
        match (strip_width($lanes), $copies) {
            (1, _) => by_strip!(@ 1, 1, $W, $R => $body),
            (2, 1) => by_strip!(@ 2, 2, $W, $R => $body),
            (4, 1) => by_strip!(@ 4, 4, $W, $R => $body),
            (8, 1) => by_strip!(@ 8, 8, $W, $R => $body),
            (_, 1) => by_strip!(@ STRIP, STRIP, $W, $R => $body),
            (2, _) => by_strip!(@ 2, 1, $W, $R => $body),
            (4, _) => by_strip!(@ 4, 2, $W, $R => $body),
            (8, _) => by_strip!(@ 8, 4, $W, $R => $body),
            _ => by_strip!(@ STRIP, FINE_ROWS, $W, $R => $body),
        }
    };
}
pub(super) use by_strip;

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

    /// Whether weights of that type are multiplied straight from their packed form.
    pub(super) fn is_direct(&self, kind: WeightType) -> bool {
        self.lanes(kind) <= DIRECT_LANES
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
                let mut values = ROWS.take();
                values.resize(rows_per_strip * cols, 0.0);
                let mut lanes = values.chunks_exact_mut(cols);
                for (row, lane) in (strip * rows_per_strip..rows).zip(&mut lanes) {
                    source(row, lane);
                }
                lanes.for_each(|missing| missing.fill(0.0));
                kernels.run(FillStrip { values: &values, strip, writer: &writer });
                ROWS.set(values);
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
        let lanes = strip_width(rows * copies);
        let strips = (rows * copies).div_ceil(lanes);
        self.records.resize(strips * groups * record_length(lanes, lanes / copies), 0);
        GroupWriter { lanes, copies, groups, records: Disjoint::new(&mut self.records) }
    }

    fn fill_floats(&mut self, pool: &Pool, source: &(impl Fn(usize, &mut [f32]) + Sync)) {
        let (rows, cols) = (self.rows, self.cols);
        let width = strip_width(rows);
        self.floats.resize(rows.next_multiple_of(width) * cols, 0.0);
        pool.chunks(&mut self.floats, width * cols, |index, strip| {
            let mut values = ROWS.take();
            values.resize(cols, 0.0);
            for lane in 0..width.min(rows - index * width) {
                source(index * width + lane, &mut values);
                for (value, out) in values.iter().zip(strip.iter_mut().skip(lane).step_by(width)) {
                    *out = *value;
                }
            }
            ROWS.set(values);
        });
    }

    /// One strip of `W` lanes and `R` rows in integers, group by group.
    #[inline(always)]
    pub(super) fn integers<const W: usize, const R: usize>(&self, strip: usize) -> &[StripGroup<W, R>] {
        let length = self.cols / GROUP * record_length(W, R);
        bytemuck::cast_slice(&self.records[strip * length..][..length])
    }

    /// One strip of `W` lanes in floats, by column.
    #[inline(always)]
    pub(super) fn floats<const W: usize>(&self, strip: usize) -> &[[f32; W]] {
        self.floats[strip * W * self.cols..][..W * self.cols].as_chunks::<W>().0
    }
}

thread_local! {
    /// The rows of the strip that is being filled, kept between calls.
    static ROWS: std::cell::Cell<Vec<f32>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Quantises the rows of one strip.
struct FillStrip<'a, 'b> {
    /// As many rows as the strip has, one after the other.
    values: &'a [f32],
    strip: usize,
    writer: &'a GroupWriter<'b>,
}

impl Task for FillStrip<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let writer = self.writer;
        by_strip!(writer.lanes, writer.copies, W, R => {
            let values = self.values.as_chunks::<16>().0.as_chunks::<2>().0;
            assert_eq!(values.len(), R * writer.groups, "a value for each column of the strip's rows");
            for group in 0..writer.groups {
                let mut rows = [[simd.floats(0.0); 2]; R];
                for (row, out) in rows.iter_mut().enumerate() {
                    let values = &values[row * writer.groups + group];
                    *out = [simd.load(&values[0]), simd.load(&values[1])];
                }
                // SAFETY: each strip is filled by one call, group after group.
                unsafe { writer.record::<W, R>(self.strip, group) }.put(simd, &rows);
            }
        });
    }
}

/// Where the integers of an input go.
pub(super) struct GroupWriter<'a> {
    pub(super) lanes: usize,
    pub(super) copies: usize,
    groups: usize,
    records: Disjoint<'a, i32>,
}

impl<'a> GroupWriter<'a> {
    fn rows_per_strip(&self) -> usize {
        self.lanes / self.copies
    }

    /// One group of a strip. `W` and `R` must be those of [`by_strip`].
    ///
    /// # Safety
    /// No two records of the same group of the same strip at the same time.
    #[inline(always)]
    pub(super) unsafe fn record<const W: usize, const R: usize>(
        &self,
        strip: usize,
        group: usize,
    ) -> &'a mut StripGroup<W, R> {
        let length = record_length(W, R);
        let at = (strip * self.groups + group) * length;
        // SAFETY: records of different groups or strips do not overlap; the rest is the caller's promise.
        let record = unsafe { self.records.part(at..at + length) };
        &mut bytemuck::cast_slice_mut(record)[0]
    }
}

impl<const W: usize, const R: usize> StripGroup<W, R> {
    /// Quantises 32 values of each row.
    #[inline(always)]
    pub(super) fn put<S: Simd>(&mut self, simd: S, rows: &[[S::Floats; 2]; R]) {
        let mut largest = [simd.floats(0.0); R];
        for (largest, [first, second]) in largest.iter_mut().zip(rows) {
            *largest = simd.max(simd.abs(*first), simd.abs(*second));
        }
        let largest = simd.max_lanes_of_each(largest);
        // Whole vectors where there are several rows.
        let lanes_used = if R > 2 { 16 } else { R };
        let (mut scales, mut inverses) = ([0.0; 16], [0.0; 16]);
        for row in 0..lanes_used {
            scales[row] = scale_for(largest[row]);
            // A product instead of a choice, so that the compiler need not branch around the division.
            let counts = f32::from(u8::from(scales[row] >= SCALE_MIN));
            inverses[row] = 1.0 / scales[row].max(SCALE_MIN) * counts;
        }
        let mut lanes = [[simd.ints(0); 2]; W];
        for row in 0..R {
            for half in 0..2 {
                let (value, inverse) = (rows[row][half], inverses[row]);
                let upper = simd.to_ints(simd.mul(value, simd.floats(inverse)));
                lanes[row * (W / R)][half] = upper;
                if W > R {
                    let rest = simd.fma(simd.to_floats(upper), simd.floats(-scales[row]), value);
                    let lower = simd.mul(rest, simd.floats(inverse * 256.0));
                    let lower = simd.max(simd.min(lower, simd.floats(127.0)), simd.floats(-127.0));
                    lanes[row * (W / R) + W / R - 1][half] = simd.to_ints(lower);
                }
            }
        }
        let sums = simd.store_columns(&lanes, &mut self.words);
        let mut halves = sums;
        if W > R {
            for (halves, sums) in halves.iter_mut().zip(&sums) {
                for row in 0..R {
                    halves[row] = 256 * sums[2 * row] + sums[2 * row + 1];
                }
            }
        }
        let (mut exponents, mut products, mut totals) = ([0.0; 16], [0.0; 16], [0; 16]);
        for row in 0..lanes_used {
            let total = halves[0][row] + halves[1][row];
            scales[row] *= if W > R { 1.0 / 256.0 } else { 1.0 };
            exponents[row] = exponent_of(scales[row]);
            products[row] = scales[row] * total as f32;
            totals[row] = -total;
        }
        self.scales.copy_from_slice(&scales[..R]);
        self.exponents.copy_from_slice(&exponents[..R]);
        self.sums.copy_from_slice(&products[..R]);
        self.negative_totals.copy_from_slice(&totals[..R]);
        for (negative, halves) in self.negative_halves.iter_mut().zip(&halves) {
            for row in 0..R {
                negative[row] = -halves[row];
            }
        }
    }
}

/// The scale of a group with that largest magnitude; zero for a group that counts as zero, no number for an infinite one.
#[inline(always)]
fn scale_for(largest: f32) -> f32 {
    let exact = largest / 127.0;
    // Two bits of the fraction stay, rounded up.
    let rounded = f32::from_bits((exact.to_bits().wrapping_add(0x1f_ffff)) & !0x1f_ffff);
    let scale = if exact < SCALE_MIN { 0.0 } else { rounded };
    if exact.is_finite() { scale } else { f32::NAN }
}

/// The power of two in a scale; zero for scales that are zero or no number.
#[inline(always)]
fn exponent_of(scale: f32) -> f32 {
    if scale > 0.0 { ((scale.to_bits() >> 23) as i32 - 127) as f32 } else { scale }
}

/// Which quarter a scale's fraction is: 0 to 3.
#[inline(always)]
pub(super) fn quarter(scale: f32) -> usize {
    (scale.to_bits() >> 21 & 3) as usize
}
