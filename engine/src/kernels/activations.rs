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
            (_, 1) => by_strip!(@ STRIP, STRIP, $W, $R => $body),
            (2, _) => by_strip!(@ 2, 1, $W, $R => $body),
            (4, _) => by_strip!(@ 4, 2, $W, $R => $body),
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

    /// One strip of `W` lanes and `R` rows in integers, group by group.
    #[inline(always)]
    pub(super) fn integers<const W: usize, const R: usize>(&self, strip: usize) -> &[StripGroup<W, R>] {
        let length = self.cols / GROUP * record_length(W, R);
        bytemuck::cast_slice(&self.records[strip * length..][..length])
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
        let writer = self.writer;
        let (strip, place) = (self.row / writer.rows_per_strip(), self.row % writer.rows_per_strip());
        by_strip!(writer.lanes, writer.copies, W, R => {
            for (group, values) in self.values.as_chunks::<16>().0.as_chunks::<2>().0.iter().enumerate() {
                // SAFETY: each strip is filled by one call, row after row.
                let record = unsafe { writer.record::<W, R>(strip, group) };
                record.put(simd, place, [simd.load(&values[0]), simd.load(&values[1])]);
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
    /// Quantises the 32 values of one row.
    #[inline(always)]
    pub(super) fn put<S: Simd>(&mut self, simd: S, row: usize, values: [S::Floats; 2]) {
        assert!(row < R, "a row of the strip");
        let copies = W / R;
        let scale = scale_for(simd.max_lanes(simd.max(simd.abs(values[0]), simd.abs(values[1]))));
        let inverse = if scale >= SCALE_MIN { 1.0 / scale } else { 0.0 };
        let mut halves = [0; 2];
        for (half, values) in values.into_iter().enumerate() {
            let upper = simd.to_ints(simd.mul(values, simd.floats(inverse)));
            self.put_words(simd, upper, (row * copies, half));
            halves[half] = simd.sum_ints(upper);
            if copies == 2 {
                let rest = simd.fma(simd.to_floats(upper), simd.floats(-scale), values);
                let lower = simd.mul(rest, simd.floats(inverse * 256.0));
                let lower = simd.to_ints(simd.max(simd.min(lower, simd.floats(127.0)), simd.floats(-127.0)));
                self.put_words(simd, lower, (row * 2 + 1, half));
                halves[half] = 256 * halves[half] + simd.sum_ints(lower);
            }
        }
        let scale = if copies == 2 { scale / 256.0 } else { scale };
        let total = halves[0] + halves[1];
        self.scales[row] = scale;
        self.exponents[row] = exponent_of(scale);
        self.sums[row] = scale * total as f32;
        self.negative_totals[row] = -total;
        self.negative_halves[0][row] = -halves[0];
        self.negative_halves[1][row] = -halves[1];
    }

    #[inline(always)]
    fn put_words<S: Simd>(&mut self, simd: S, values: S::Ints, (lane, half): (usize, usize)) {
        let mut bytes = [0; 16];
        simd.store_bytes(values, &mut bytes);
        for (words, bytes) in self.words[half * 4..half * 4 + 4].iter_mut().zip(bytes.as_chunks::<4>().0) {
            words[lane] = i32::from_le_bytes(*bytes);
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
