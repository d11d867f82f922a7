//! The lanes in pairs of 256-bit registers.
#![expect(unsafe_code, reason = "instructions that only some processors have")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]
#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "never built on other processors"))]

/// Proof that the processor has AVX2, FMA and F16C. Made by [`Avx2::detect`] alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::Avx2;
    use crate::kernels::{Simd, Task};
    use std::arch::x86_64::{
        __m256, __m256i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_loadl_epi64,
        _mm_loadu_si128, _mm_packs_epi16, _mm_prefetch, _mm_storeu_si128, _mm256_abs_epi8, _mm256_add_epi32,
        _mm256_add_ps, _mm256_and_si256, _mm256_andnot_ps, _mm256_blend_epi16, _mm256_broadcastsi128_si256,
        _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps,
        _mm256_cvtepu8_epi32, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_cvtps_epi32, _mm256_div_ps,
        _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_packs_epi32,
        _mm256_permute4x64_epi64, _mm256_round_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_set1_ps, _mm256_shuffle_epi8, _mm256_sign_epi8, _mm256_sll_epi16, _mm256_sll_epi32, _mm256_slli_epi32,
        _mm256_srl_epi16, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps, _mm256_xor_si256,
    };

    impl Avx2 {
        pub(in crate::kernels) fn detect() -> Option<Self> {
            let has =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            has.then_some(Self(()))
        }

        /// Runs the task with the instructions enabled.
        pub(in crate::kernels) fn enter<T: Task>(self, task: T) -> T::Output {
            // SAFETY: `self` was made by `detect`, which asked the processor for each of the features enabled there.
            unsafe { inner(self, task) }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn inner<T: Task>(simd: Avx2, task: T) -> T::Output {
        task.run(simd)
    }

    /// Marks an expression of intrinsics; the proof is `self`.
    macro_rules! lanes {
        ($value:expr) => {
            // SAFETY: a value of `Avx2` exists only after `detect` found the instructions, and memory operands come from
            // references to arrays or slices of at least the size that is read or written.
            unsafe { $value }
        };
    }

    /// Evaluates an expression for the first and for the second items of pairs.
    macro_rules! each {
        ($($name:ident in $pair:expr),+ => $body:expr) => {
            [
                { $(let $name = $pair[0];)+ lanes!($body) },
                { $(let $name = $pair[1];)+ lanes!($body) },
            ]
        };
    }

    impl Simd for Avx2 {
        type Bytes = [__m256i; 2];
        type Ints = [__m256i; 2];
        type Floats = [__m256; 2];

        const TILES: usize = 1;
        const QUERIES: usize = 2;
        const QUARTERS: bool = false;
        const WIDE_IS_SIGNED: bool = true;

        #[inline(always)]
        fn prefetch(self, address: *const u8) {
            lanes!(_mm_prefetch::<_MM_HINT_T1>(address.cast()));
        }
        #[inline(always)]
        fn load_line(self, line: &[u8; 64]) -> [__m256i; 2] {
            let halves = [&line[..32], &line[32..]];
            each!(half in halves => _mm256_loadu_si256(half.as_ptr().cast()))
        }
        #[inline(always)]
        fn store_line(self, value: [__m256i; 2], line: &mut [u8; 64]) {
            lanes!({
                _mm256_storeu_si256(line[..32].as_mut_ptr().cast(), value[0]);
                _mm256_storeu_si256(line[32..].as_mut_ptr().cast(), value[1]);
            });
        }
        #[inline(always)]
        fn low_nibbles(self, value: [__m256i; 2]) -> [__m256i; 2] {
            each!(half in value => _mm256_and_si256(half, _mm256_set1_epi8(15)))
        }
        #[inline(always)]
        fn high_nibbles(self, value: [__m256i; 2]) -> [__m256i; 2] {
            each!(half in value => _mm256_and_si256(_mm256_srli_epi16::<4>(half), _mm256_set1_epi8(15)))
        }
        #[inline(always)]
        fn bits<const RIGHT: u32>(self, value: [__m256i; 2], mask: u8) -> [__m256i; 2] {
            each!(half in value => {
                let moved = _mm256_srl_epi16(half, _mm_cvtsi32_si128(RIGHT as i32));
                _mm256_and_si256(moved, _mm256_set1_epi8(mask as i8))
            })
        }
        #[inline(always)]
        fn choose(self, table: &[u8; 16], value: [__m256i; 2]) -> [__m256i; 2] {
            let table = lanes!(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())));
            each!(half in value => _mm256_shuffle_epi8(table, half))
        }
        #[inline(always)]
        fn join_bits<const LEFT: u32, const RIGHT: u32>(
            self,
            bits: [__m256i; 2],
            mask: u8,
            base: [__m256i; 2],
        ) -> [__m256i; 2] {
            each!(bits in bits, base in base => {
                let left = _mm256_sll_epi16(bits, _mm_cvtsi32_si128(LEFT as i32));
                let moved = _mm256_srl_epi16(left, _mm_cvtsi32_si128(RIGHT as i32));
                _mm256_or_si256(_mm256_and_si256(moved, _mm256_set1_epi8(mask as i8)), base)
            })
        }

        #[inline(always)]
        fn dot(self, sum: [__m256i; 2], weights: [__m256i; 2], quad: i32) -> [__m256i; 2] {
            // Pairs of products stay below 2 * 127 * 127, so that the saturation of `maddubs` is never reached.
            each!(sum in sum, weights in weights => {
                let pairs = _mm256_maddubs_epi16(weights, _mm256_set1_epi32(quad));
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
        }
        #[inline(always)]
        fn dot_wide(self, sum: [__m256i; 2], weights: [__m256i; 2], quad: i32) -> [__m256i; 2] {
            // |weight| is at most 128 and |quad| at most 127, so that pairs stay at or below 32,512.
            each!(sum in sum, weights in weights => {
                let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
                let factors = _mm256_sign_epi8(_mm256_set1_epi32(quad), signed);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), factors);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
        }
        #[inline(always)]
        fn pair(self, low: [__m256i; 2], high: [__m256i; 2]) -> [__m256i; 2] {
            each!(low in low, high in high => _mm256_blend_epi16::<0b1010_1010>(low, _mm256_slli_epi32::<16>(high)))
        }
        #[inline(always)]
        fn dot_pairs(self, sum: [__m256i; 2], values: [__m256i; 2], pair: i32) -> [__m256i; 2] {
            each!(sum in sum, values in values =>
                _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_set1_epi32(pair))))
        }
        #[inline(always)]
        fn widen_bytes(self, bytes: &[u8; 32]) -> [__m256i; 2] {
            let [low, high] = [&bytes[..16], &bytes[16..]];
            lanes!([
                _mm256_cvtepi8_epi16(_mm_loadu_si128(low.as_ptr().cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(high.as_ptr().cast())),
            ])
        }
        #[inline(always)]
        fn ints(self, value: i32) -> [__m256i; 2] {
            [lanes!(_mm256_set1_epi32(value)); 2]
        }
        #[inline(always)]
        fn shift_ints<const BITS: u32>(self, value: [__m256i; 2]) -> [__m256i; 2] {
            each!(half in value => _mm256_sll_epi32(half, _mm_cvtsi32_si128(BITS as i32)))
        }
        #[inline(always)]
        fn add_ints(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            each!(a in a, b in b => _mm256_add_epi32(a, b))
        }
        #[inline(always)]
        fn sum_ints(self, value: [__m256i; 2]) -> i32 {
            let mut lanes = [0; 8];
            lanes!(_mm256_storeu_si256(lanes.as_mut_ptr().cast(), _mm256_add_epi32(value[0], value[1])));
            lanes.iter().sum()
        }
        #[inline(always)]
        fn to_floats(self, value: [__m256i; 2]) -> [__m256; 2] {
            each!(half in value => _mm256_cvtepi32_ps(half))
        }
        #[inline(always)]
        fn to_ints(self, value: [__m256; 2]) -> [__m256i; 2] {
            each!(half in value => _mm256_cvtps_epi32(half))
        }
        #[inline(always)]
        fn store_bytes(self, value: [__m256i; 2], out: &mut [u8; 16]) {
            lanes!({
                let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(value[0], value[1]));
                let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
            });
        }

        #[inline(always)]
        fn floats(self, value: f32) -> [__m256; 2] {
            [lanes!(_mm256_set1_ps(value)); 2]
        }
        #[inline(always)]
        fn load(self, values: &[f32; 16]) -> [__m256; 2] {
            let halves = [&values[..8], &values[8..]];
            each!(half in halves => _mm256_loadu_ps(half.as_ptr()))
        }
        #[inline(always)]
        fn store(self, value: [__m256; 2], out: &mut [f32; 16]) {
            lanes!({
                _mm256_storeu_ps(out[..8].as_mut_ptr(), value[0]);
                _mm256_storeu_ps(out[8..].as_mut_ptr(), value[1]);
            });
        }
        #[inline(always)]
        fn load_f16(self, bytes: &[u8; 32]) -> [__m256; 2] {
            let halves = [&bytes[..16], &bytes[16..]];
            each!(half in halves => _mm256_cvtph_ps(_mm_loadu_si128(half.as_ptr().cast())))
        }
        #[inline(always)]
        fn load_bf16(self, bytes: &[u8; 32]) -> [__m256; 2] {
            let halves = [&bytes[..16], &bytes[16..]];
            each!(half in halves => {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(half.as_ptr().cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            })
        }
        #[inline(always)]
        fn load_u8(self, bytes: &[u8; 16]) -> [__m256; 2] {
            let halves = [&bytes[..8], &bytes[8..]];
            each!(half in halves => _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(half.as_ptr().cast()))))
        }
        #[inline(always)]
        fn load_i8(self, bytes: &[u8; 16]) -> [__m256; 2] {
            let halves = [&bytes[..8], &bytes[8..]];
            each!(half in halves => _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(half.as_ptr().cast()))))
        }
        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_mul_ps(a, b))
        }
        #[inline(always)]
        fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_div_ps(a, b))
        }
        #[inline(always)]
        fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b, c in c => _mm256_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn times_power_of_two(self, value: [__m256; 2], exponent: f32) -> [__m256; 2] {
            self.mul(value, self.floats(exponent.exp2()))
        }
        #[inline(always)]
        fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_max_ps(a, b))
        }
        #[inline(always)]
        fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            each!(a in a, b in b => _mm256_min_ps(a, b))
        }
        #[inline(always)]
        fn abs(self, value: [__m256; 2]) -> [__m256; 2] {
            each!(half in value => _mm256_andnot_ps(_mm256_set1_ps(-0.0), half))
        }
        #[inline(always)]
        fn round(self, value: [__m256; 2]) -> [__m256; 2] {
            each!(half in value => _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(half))
        }
        #[inline(always)]
        fn power_of_two(self, exponent: [__m256; 2]) -> [__m256; 2] {
            each!(half in exponent => {
                let biased = _mm256_add_epi32(_mm256_cvtps_epi32(half), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            })
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn enter<T: super::Task>(self, task: T) -> T::Output {
        task.run(super::portable::Portable)
    }
}
