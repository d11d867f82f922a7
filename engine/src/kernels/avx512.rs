//! The lanes in 512-bit registers, with the VNNI integer dot product.
#![expect(unsafe_code, reason = "instructions that only some processors have")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]
#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "never built on other processors"))]

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI. Made by [`Avx512::detect`] alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::Avx512;
    use crate::kernels::simd::store_columns_singly;
    use crate::kernels::{Simd, Task};
    use std::arch::x86_64::{
        __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch,
        _mm_storeu_si128, _mm256_loadu_si256, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
        _mm512_broadcast_i32x4, _mm512_castsi512_ps, _mm512_cvtepi8_epi16, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
        _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_cvtps_epi32, _mm512_cvtsepi32_epi8,
        _mm512_div_ps, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_packs_epi16, _mm512_packs_epi32, _mm512_permute_ps,
        _mm512_permutex2var_epi32, _mm512_permutexvar_ps, _mm512_reduce_add_epi32, _mm512_reduce_max_ps,
        _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32,
        _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_f32x4, _mm512_shuffle_i32x4, _mm512_slli_epi16,
        _mm512_slli_epi32, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
        _mm512_ternarylogic_epi32, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
    };

    impl Avx512 {
        pub(in crate::kernels) fn detect() -> Option<Self> {
            let has = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            has.then_some(Self(()))
        }

        /// Runs the task with the instructions enabled.
        pub(in crate::kernels) fn enter<T: Task>(self, task: T) -> T::Output {
            // SAFETY: `self` was made by `detect`, which asked the processor for each of the features enabled there.
            unsafe { inner(self, task) }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn inner<T: Task>(simd: Avx512, task: T) -> T::Output {
        task.run(simd)
    }

    /// Marks an expression of intrinsics; the proof is `self`.
    macro_rules! lanes {
        ($value:expr) => {
            // SAFETY: a value of `Avx512` exists only after `detect` found the instructions, and memory operands come
            // from references to arrays of exactly the size that is read or written.
            unsafe { $value }
        };
    }

    /// The largest lane of each row, in the first six lanes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn max_of_six(rows: &[__m512; 6]) -> __m512 {
        // Halves: eight lanes of each row are left, then four, in blocks of rows 0 1 2 3 and 4 5 4 5.
        let two = |a: __m512, b: __m512| {
            _mm512_max_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b))
        };
        let (first, second, third) = (two(rows[0], rows[1]), two(rows[2], rows[3]), two(rows[4], rows[5]));
        let four = |a: __m512, b: __m512| {
            _mm512_max_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
        };
        let (first, last) = (four(first, second), four(third, third));
        // Pairs within blocks, the rows of both vectors in turns.
        let pairs = _mm512_max_ps(_mm512_unpacklo_ps(first, last), _mm512_unpackhi_ps(first, last));
        let lanes = _mm512_max_ps(pairs, _mm512_permute_ps::<0x4e>(pairs));
        _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), lanes)
    }

    /// See [`Simd::store_columns`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn store_columns_of_six(rows: &[[__m512i; 2]; 6], out: &mut [i32; 48], sums: &mut [[i32; 16]; 2]) {
        // Word `4 quad + 2 row + half` of two rows, quads counted within a half.
        let pack = |a: &[__m512i; 2], b: &[__m512i; 2]| {
            _mm512_packs_epi16(_mm512_packs_epi32(a[0], a[1]), _mm512_packs_epi32(b[0], b[1]))
        };
        let packed = [pack(&rows[0], &rows[1]), pack(&rows[2], &rows[3]), pack(&rows[4], &rows[5])];
        for (place, out) in PLACES.iter().zip(out.as_chunks_mut::<16>().0) {
            // SAFETY: both arrays have the sixteen words that are read.
            let [from_four, from_all] =
                unsafe { [_mm512_loadu_si512(place.0.as_ptr().cast()), _mm512_loadu_si512(place.1.as_ptr().cast())] };
            let four = _mm512_permutex2var_epi32(packed[0], from_four, packed[1]);
            let all = _mm512_permutex2var_epi32(four, from_all, packed[2]);
            // SAFETY: the array has the sixteen words that are written.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), all) };
        }
        let sum = |packed: __m512i| {
            let quads = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), packed);
            let pairs = _mm512_add_epi32(quads, _mm512_shuffle_i32x4::<0x4e>(quads, quads));
            _mm512_add_epi32(pairs, _mm512_shuffle_i32x4::<0xb1>(pairs, pairs))
        };
        // Words `2 row + half` of two rows, four times over.
        let (first, second, third) = (sum(packed[0]), sum(packed[1]), sum(packed[2]));
        for (half, sums) in (0..).zip(sums) {
            let four = _mm512_setr_epi32(half, half + 2, half + 16, half + 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let all = _mm512_setr_epi32(0, 1, 2, 3, half + 16, half + 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let all = _mm512_permutex2var_epi32(_mm512_permutex2var_epi32(first, four, second), all, third);
            // SAFETY: the array has the sixteen words that are written.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), all) };
        }
    }

    /// For each line of sixteen words that [`store_columns_of_six`] writes: where they stand in the first four rows, and then
    /// in that result and the last two rows.
    const PLACES: [([i32; 16], [i32; 16]); 3] = places();

    const fn places() -> [([i32; 16], [i32; 16]); 3] {
        let mut places = [([0; 16], [0; 16]); 3];
        let mut at = 0;
        while at < 48 {
            let (column, row) = (at / 6, at % 6);
            let word = (4 * (column % 4) + 2 * (row % 2) + column / 4) as i32;
            let (line, lane) = (at / 16, at % 16);
            if row < 4 {
                places[line].0[lane] = word + 16 * (row / 2) as i32;
                places[line].1[lane] = lane as i32;
            } else {
                places[line].1[lane] = word + 16;
            }
            at += 1;
        }
        places
    }

    impl Simd for Avx512 {
        type Bytes = __m512i;
        type Ints = __m512i;
        type Floats = __m512;

        const TILES: usize = 2;
        const QUERIES: usize = 8;
        const QUARTERS: bool = true;
        const WIDE_IS_SIGNED: bool = false;

        #[inline(always)]
        fn prefetch(self, address: *const u8) {
            lanes!(_mm_prefetch::<_MM_HINT_T1>(address.cast()));
        }
        #[inline(always)]
        fn load_line(self, line: &[u8; 64]) -> __m512i {
            lanes!(_mm512_loadu_si512(line.as_ptr().cast()))
        }
        #[inline(always)]
        fn store_line(self, value: __m512i, line: &mut [u8; 64]) {
            lanes!(_mm512_storeu_si512(line.as_mut_ptr().cast(), value));
        }
        #[inline(always)]
        fn low_nibbles(self, value: __m512i) -> __m512i {
            lanes!(_mm512_and_si512(value, _mm512_set1_epi8(15)))
        }
        #[inline(always)]
        fn high_nibbles(self, value: __m512i) -> __m512i {
            lanes!(_mm512_and_si512(_mm512_srli_epi16::<4>(value), _mm512_set1_epi8(15)))
        }
        #[inline(always)]
        fn bits<const RIGHT: u32>(self, value: __m512i, mask: u8) -> __m512i {
            lanes!(_mm512_and_si512(_mm512_srli_epi16::<RIGHT>(value), _mm512_set1_epi8(mask as i8)))
        }
        #[inline(always)]
        fn choose(self, table: &[u8; 16], value: __m512i) -> __m512i {
            lanes!({
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
                _mm512_shuffle_epi8(table, value)
            })
        }
        #[inline(always)]
        fn join_bits<const LEFT: u32, const RIGHT: u32>(self, bits: __m512i, mask: u8, base: __m512i) -> __m512i {
            lanes!({
                let moved = _mm512_srli_epi16::<RIGHT>(_mm512_slli_epi16::<LEFT>(bits));
                // 0xea: (first & second) | third
                _mm512_ternarylogic_epi32::<0xea>(moved, _mm512_set1_epi8(mask as i8), base)
            })
        }

        #[inline(always)]
        fn dot(self, sum: __m512i, weights: __m512i, quad: i32) -> __m512i {
            lanes!(_mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(quad)))
        }
        #[inline(always)]
        fn dot_wide(self, sum: __m512i, weights: __m512i, quad: i32) -> __m512i {
            self.dot(sum, weights, quad)
        }
        #[inline(always)]
        fn pair(self, low: __m512i, high: __m512i) -> __m512i {
            lanes!({
                // 0xca: second where first is set, third elsewhere
                let mask = _mm512_set1_epi32(0xffff);
                _mm512_ternarylogic_epi32::<0xca>(mask, low, _mm512_slli_epi32::<16>(high))
            })
        }
        #[inline(always)]
        fn dot_pairs(self, sum: __m512i, values: __m512i, pair: i32) -> __m512i {
            lanes!(_mm512_dpwssd_epi32(sum, values, _mm512_set1_epi32(pair)))
        }
        #[inline(always)]
        fn widen_bytes(self, bytes: &[u8; 32]) -> __m512i {
            lanes!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(bytes.as_ptr().cast())))
        }
        #[inline(always)]
        fn ints(self, value: i32) -> __m512i {
            lanes!(_mm512_set1_epi32(value))
        }
        #[inline(always)]
        fn to_floats(self, value: __m512i) -> __m512 {
            lanes!(_mm512_cvtepi32_ps(value))
        }
        #[inline(always)]
        fn to_ints(self, value: __m512) -> __m512i {
            lanes!(_mm512_cvtps_epi32(value))
        }
        #[inline(always)]
        fn shift_ints<const BITS: u32>(self, value: __m512i) -> __m512i {
            lanes!(_mm512_slli_epi32::<BITS>(value))
        }
        #[inline(always)]
        fn add_ints(self, a: __m512i, b: __m512i) -> __m512i {
            lanes!(_mm512_add_epi32(a, b))
        }
        #[inline(always)]
        fn sum_ints(self, value: __m512i) -> i32 {
            lanes!(_mm512_reduce_add_epi32(value))
        }
        #[inline(always)]
        fn store_bytes(self, value: __m512i, out: &mut [u8; 16]) {
            lanes!(_mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(value)));
        }

        #[inline(always)]
        fn floats(self, value: f32) -> __m512 {
            lanes!(_mm512_set1_ps(value))
        }
        #[inline(always)]
        fn load(self, values: &[f32; 16]) -> __m512 {
            lanes!(_mm512_loadu_ps(values.as_ptr()))
        }
        #[inline(always)]
        fn store(self, value: __m512, out: &mut [f32; 16]) {
            lanes!(_mm512_storeu_ps(out.as_mut_ptr(), value));
        }
        #[inline(always)]
        fn load_f16(self, bytes: &[u8; 32]) -> __m512 {
            lanes!(_mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast())))
        }
        #[inline(always)]
        fn load_bf16(self, bytes: &[u8; 32]) -> __m512 {
            lanes!({
                let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
            })
        }
        #[inline(always)]
        fn load_u8(self, bytes: &[u8; 16]) -> __m512 {
            lanes!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))))
        }
        #[inline(always)]
        fn load_i8(self, bytes: &[u8; 16]) -> __m512 {
            lanes!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))))
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_mul_ps(a, b))
        }
        #[inline(always)]
        fn div(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_div_ps(a, b))
        }
        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            lanes!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn times_power_of_two(self, value: __m512, exponent: f32) -> __m512 {
            lanes!(_mm512_scalef_ps(value, _mm512_set1_ps(exponent)))
        }
        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_max_ps(a, b))
        }
        #[inline(always)]
        fn min(self, a: __m512, b: __m512) -> __m512 {
            lanes!(_mm512_min_ps(a, b))
        }
        #[inline(always)]
        fn max_lanes(self, value: __m512) -> f32 {
            lanes!(_mm512_reduce_max_ps(value))
        }
        #[inline(always)]
        fn max_lanes_of_each<const N: usize>(self, rows: [__m512; N]) -> [f32; 16] {
            let mut largest = [0.0; 16];
            if let Some(rows) = rows.as_array::<6>() {
                self.store(lanes!(max_of_six(rows)), &mut largest);
                return largest;
            }
            for (largest, row) in largest.iter_mut().zip(rows) {
                *largest = self.max_lanes(row);
            }
            largest
        }
        #[inline(always)]
        fn store_columns<const N: usize>(self, rows: &[[__m512i; 2]; N], out: &mut [[i32; N]; 8]) -> [[i32; 16]; 2] {
            if let (Some(rows), Some(out)) = (rows.as_array::<6>(), out.as_flattened_mut().as_mut_array::<48>()) {
                let mut sums = [[0; 16]; 2];
                lanes!(store_columns_of_six(rows, out, &mut sums));
                return sums;
            }
            store_columns_singly(self, rows, out)
        }
        #[inline(always)]
        fn abs(self, value: __m512) -> __m512 {
            lanes!(_mm512_abs_ps(value))
        }
        #[inline(always)]
        fn round(self, value: __m512) -> __m512 {
            lanes!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value))
        }
        #[inline(always)]
        fn power_of_two(self, exponent: __m512) -> __m512 {
            lanes!({
                let biased = _mm512_add_epi32(_mm512_cvtps_epi32(exponent), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
            })
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn enter<T: super::Task>(self, task: T) -> T::Output {
        task.run(super::portable::Portable)
    }
}
