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
    use crate::kernels::{Simd, Task};
    use std::arch::x86_64::{
        __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch,
        _mm_storeu_si128, _mm256_loadu_si256, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
        _mm512_broadcast_i32x4, _mm512_castsi512_ps, _mm512_cvtepi8_epi16, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
        _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_cvtps_epi32, _mm512_cvtsepi32_epi8,
        _mm512_div_ps, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_add_epi32, _mm512_reduce_max_ps,
        _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_shuffle_epi8, _mm512_slli_epi16, _mm512_slli_epi32, _mm512_srli_epi16, _mm512_storeu_ps,
        _mm512_storeu_si512, _mm512_sub_ps, _mm512_ternarylogic_epi32,
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
