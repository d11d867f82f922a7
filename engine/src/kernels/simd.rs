//! The sixteen-lane operations that the kernels are written in.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

/// Work that is generic over the lanes; [`super::Kernels::run`] calls it inside a function that enables the instructions.
///
/// Everything that `run` calls on `simd` must be `#[inline(always)]`, or it is compiled without them.
pub(crate) trait Task {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Sixteen lanes of floats and integers, and lines of 64 bytes: four for each lane.
///
/// A value of an implementing type is the proof that the processor has its instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    type Bytes: Copy;
    type Ints: Copy;
    type Floats: Copy;

    /// Weight tiles (one or two) in a register tile of the matrix kernels.
    const TILES: usize;
    /// Query rows in a register tile of attention.
    const QUERIES: usize;
    /// Scales are multiplied by reading multiples and [`Simd::times_power_of_two`] rather than by a product.
    const QUARTERS: bool;
    /// [`Simd::dot_wide`] takes bytes as if 128 had been subtracted.
    const WIDE_IS_SIGNED: bool;

    /// Asks for the cache line at an address to be brought to the second-level cache. The address need not belong to anything:
    /// this is a hint that cannot fail.
    fn prefetch(self, address: *const u8);
    fn load_line(self, line: &[u8; 64]) -> Self::Bytes;
    fn store_line(self, value: Self::Bytes, line: &mut [u8; 64]);
    fn low_nibbles(self, value: Self::Bytes) -> Self::Bytes;
    fn high_nibbles(self, value: Self::Bytes) -> Self::Bytes;
    /// Shifts each byte to the right by `RIGHT` and keeps the bits of `mask`, which must not be among those shifted in.
    fn bits<const RIGHT: u32>(self, value: Self::Bytes, mask: u8) -> Self::Bytes;
    /// The bytes of `table` at the places that `value` holds, which must be below 16.
    fn choose(self, table: &[u8; 16], value: Self::Bytes) -> Self::Bytes;
    /// Shifts 16-bit units to the left by `LEFT` and to the right by `RIGHT`, keeps the bits of `mask` in each byte and
    /// joins them to `base`.
    fn join_bits<const LEFT: u32, const RIGHT: u32>(
        self,
        bits: Self::Bytes,
        mask: u8,
        base: Self::Bytes,
    ) -> Self::Bytes;

    /// Adds to each lane the products of its four unsigned bytes (at most 127) with the four signed bytes of `quad`.
    fn dot(self, sum: Self::Ints, weights: Self::Bytes, quad: i32) -> Self::Ints;
    /// As [`Simd::dot`] for all byte values; see [`Simd::WIDE_IS_SIGNED`]. `quad` must not hold -128.
    fn dot_wide(self, sum: Self::Ints, weights: Self::Bytes, quad: i32) -> Self::Ints;
    /// The low halves of the lanes of `low`, and those of `high` above them: two 16-bit values for each lane.
    fn pair(self, low: Self::Ints, high: Self::Ints) -> Self::Bytes;
    /// Adds to each lane the products of its two signed 16-bit values with the two of `pair`.
    fn dot_pairs(self, sum: Self::Ints, values: Self::Bytes, pair: i32) -> Self::Ints;
    /// 32 signed bytes as 16-bit values.
    fn widen_bytes(self, bytes: &[u8; 32]) -> Self::Bytes;
    fn ints(self, value: i32) -> Self::Ints;
    fn to_floats(self, value: Self::Ints) -> Self::Floats;
    /// Nearest integers, halves to even. Values must lie within the range of `i32`.
    fn to_ints(self, value: Self::Floats) -> Self::Ints;
    fn shift_ints<const BITS: u32>(self, value: Self::Ints) -> Self::Ints;
    fn add_ints(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    fn sum_ints(self, value: Self::Ints) -> i32;
    /// Stores the lanes as signed bytes; they must lie between -127 and 127.
    fn store_bytes(self, value: Self::Ints, out: &mut [u8; 16]);

    fn floats(self, value: f32) -> Self::Floats;
    fn load(self, values: &[f32; 16]) -> Self::Floats;
    fn store(self, value: Self::Floats, out: &mut [f32; 16]);
    fn load_f16(self, bytes: &[u8; 32]) -> Self::Floats;
    fn load_bf16(self, bytes: &[u8; 32]) -> Self::Floats;
    fn load_u8(self, bytes: &[u8; 16]) -> Self::Floats;
    fn load_i8(self, bytes: &[u8; 16]) -> Self::Floats;
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn div(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `value` times 2 to the power of `exponent`, a whole number; neither it nor the result may be out of the normal range.
    fn times_power_of_two(self, value: Self::Floats, exponent: f32) -> Self::Floats;
    /// The larger one; `b` where `a` is no number.
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The smaller one; `b` where `a` is no number.
    fn min(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn abs(self, value: Self::Floats) -> Self::Floats;
    /// Nearest whole number, halves to even.
    fn round(self, value: Self::Floats) -> Self::Floats;
    /// 2 to the power of whole numbers from -126 to 127.
    fn power_of_two(self, exponent: Self::Floats) -> Self::Floats;

    /// The sum of the lanes, always in the same order: halves onto halves.
    #[inline(always)]
    fn sum_lanes(self, value: Self::Floats) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(value, &mut lanes);
        let mut width = 8;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// The largest lane.
    #[inline(always)]
    fn max_lanes(self, value: Self::Floats) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(value, &mut lanes);
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// The largest lane of each of at most 16 rows; what stands behind them means nothing.
    #[inline(always)]
    fn max_lanes_of_each<const N: usize>(self, rows: [Self::Floats; N]) -> [f32; 16] {
        let mut largest = [0.0; 16];
        for (largest, row) in largest.iter_mut().zip(rows) {
            *largest = self.max_lanes(row);
        }
        largest
    }

    /// Stores 32 values of each of some rows, which must lie between -127 and 127, as signed bytes: four of a row in one word,
    /// the same four of all rows side by side. Returns the sums of the first and of the last 16 values; what stands behind those
    /// of the rows, of which there are at most 16, means nothing.
    #[inline(always)]
    fn store_columns<const N: usize>(self, rows: &[[Self::Ints; 2]; N], out: &mut [[i32; N]; 8]) -> [[i32; 16]; 2] {
        store_columns_singly(self, rows, out)
    }

    /// The natural exponential, within 2 units in the last place between -87.3 and 88; clamped beyond.
    ///
    /// Splits off the power of two (Cody and Waite) and takes a polynomial of degree 7 on the rest.
    #[inline(always)]
    fn exp(self, value: Self::Floats) -> Self::Floats {
        let value = self.max(self.min(value, self.floats(88.0)), self.floats(-87.3));
        let exponent = self.round(self.mul(value, self.floats(std::f32::consts::LOG2_E)));
        let rest = self.fma(exponent, self.floats(-0.693_145_75), value);
        let rest = self.fma(exponent, self.floats(-1.428_606_8e-6), rest);
        let mut sum = self.floats(1.0 / 5040.0);
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            sum = self.fma(sum, rest, self.floats(coefficient));
        }
        self.mul(sum, self.power_of_two(exponent))
    }
}

/// As [`Simd::store_columns`], row by row.
#[inline(always)]
pub(super) fn store_columns_singly<S: Simd, const N: usize>(
    simd: S,
    rows: &[[S::Ints; 2]; N],
    out: &mut [[i32; N]; 8],
) -> [[i32; 16]; 2] {
    let mut sums = [[0; 16]; 2];
    for (row, halves) in rows.iter().enumerate() {
        for (half, &values) in halves.iter().enumerate() {
            let mut bytes = [0; 16];
            simd.store_bytes(values, &mut bytes);
            for (words, bytes) in out[half * 4..half * 4 + 4].iter_mut().zip(bytes.as_chunks::<4>().0) {
                words[row] = i32::from_le_bytes(*bytes);
            }
            sums[half][row] = simd.sum_ints(values);
        }
    }
    sums
}
