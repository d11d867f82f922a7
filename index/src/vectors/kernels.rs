//! Exact products of signed bytes, in sums of 32-bit integers: every kernel gives the same numbers.
//!
//! A kernel is chosen once by what the processor can do. The sums cannot overflow: 4,096 products of at most 255 x 128 stay
//! below 2^28.
#![expect(unsafe_code, reason = "vector instructions need loads by address and calls that depend on the processor")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_setzero_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512,
    _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_xor_si512,
};

/// Bytes that rows are padded to with zeros.
pub(super) const STRIDE: usize = 64;

/// How products are computed. Other than portable ones can only be made by [`Kernel::best`], after the processor was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(super) fn best() -> Self {
        Self::all().pop().expect("the portable kernel is always there")
    }

    /// Every kernel that this processor has, the portable one first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(Self(Kind::Vnni));
            }
        }
        all
    }

    /// The product of two rows of signed bytes. Both have one length, a multiple of 64.
    pub(super) fn dot(self, a: &[u8], b: &[u8]) -> i32 {
        assert_eq!(a.len(), b.len(), "rows of one index have one length");
        assert!(a.len().is_multiple_of(STRIDE), "rows are padded");
        match self.0 {
            Kind::Portable => portable(a, b),
            // SAFETY: this kind is only made after the processor said that it has AVX2; lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2(a, b) },
            // SAFETY: this kind is only made after the processor said that it has AVX-512 F and VNNI; lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            Kind::Vnni => unsafe { vnni(a, b) },
        }
    }

    /// Products of `query` with those of up to 64 rows whose bit is set in `mask`; rows follow one another.
    pub(super) fn dots(self, query: &[u8], rows: &[u8], mask: u64, out: &mut [i32; 64]) {
        let stride = query.len();
        let highest = 64 - mask.leading_zeros() as usize;
        assert!(stride.is_multiple_of(STRIDE) && rows.len() >= stride * highest, "the rows of the mask are there");
        match self.0 {
            Kind::Portable => each(mask, |row| out[row] = portable(query, &rows[row * stride..(row + 1) * stride])),
            // SAFETY: as in `dot`; each row is sliced with bounds checked inside.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2_rows(query, rows, mask, out) },
            // SAFETY: as in `dot`; each row is sliced with bounds checked inside.
            #[cfg(target_arch = "x86_64")]
            Kind::Vnni => unsafe { vnni_rows(query, rows, mask, out) },
        }
    }
}

/// Calls `work` with the number of each set bit.
#[inline]
fn each(mut mask: u64, mut work: impl FnMut(usize)) {
    while mask != 0 {
        work(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
}

fn portable(a: &[u8], b: &[u8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x as i8) * i32::from(*y as i8)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_rows(query: &[u8], rows: &[u8], mask: u64, out: &mut [i32; 64]) {
    let stride = query.len();
    each(mask, |row| out[row] = avx2(query, &rows[row * stride..(row + 1) * stride]));
}

/// Bytes widened to 16 bits, multiplied and added in pairs: exact.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn avx2(a: &[u8], b: &[u8]) -> i32 {
    let mut sum = _mm256_setzero_si256();
    for (x, y) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        // SAFETY: each chunk has the 16 bytes that the unaligned load reads.
        let (x, y) = unsafe { (_mm_loadu_si128(x.as_ptr().cast()), _mm_loadu_si128(y.as_ptr().cast())) };
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y)));
    }
    add_lanes(sum)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn add_lanes(sum: __m256i) -> i32 {
    use std::arch::x86_64::{_mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32};
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b10_11_00_01>(quarter)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_rows(query: &[u8], rows: &[u8], mask: u64, out: &mut [i32; 64]) {
    let stride = query.len();
    each(mask, |row| out[row] = vnni(query, &rows[row * stride..(row + 1) * stride]));
}

/// The instruction wants one side unsigned: (a + 128) b is summed, and 128 b taken off again.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn vnni(a: &[u8], b: &[u8]) -> i32 {
    let high = _mm512_set1_epi8(i8::MIN);
    let mut sum: __m512i = _mm512_setzero_si512();
    let mut shift: __m512i = _mm512_setzero_si512();
    for (x, y) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
        // SAFETY: each chunk has the 64 bytes that the unaligned load reads.
        let (x, y) = unsafe { (_mm512_loadu_si512(x.as_ptr().cast()), _mm512_loadu_si512(y.as_ptr().cast())) };
        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(x, high), y);
        shift = _mm512_dpbusd_epi32(shift, high, y);
    }
    _mm512_reduce_add_epi32(sum) - _mm512_reduce_add_epi32(shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_kernel_gives_the_same_numbers(
            chunks in 1_usize..16,
            count in 1_usize..8,
            seed in any::<u64>(),
            mask in any::<u64>(),
        ) {
            let mut state = seed;
            let mut byte = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            };
            let stride = chunks * STRIDE;
            let query: Vec<u8> = (0..stride).map(|_| byte()).collect();
            let rows: Vec<u8> = (0..stride * count).map(|_| byte()).collect();
            let mask = mask & ((1 << count) - 1);
            let mut expected = [0; 64];
            Kernel(Kind::Portable).dots(&query, &rows, mask, &mut expected);
            for kernel in Kernel::all() {
                let mut out = [0; 64];
                kernel.dots(&query, &rows, mask, &mut out);
                prop_assert_eq!(out, expected);
                prop_assert_eq!(kernel.dot(&query, &rows[..stride]), portable(&query, &rows[..stride]));
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for a in [0x80_u8, 0x7f] {
            for b in [0x80_u8, 0x7f] {
                let (x, y) = (vec![a; 4096], vec![b; 4096]);
                let expected = 4096 * i32::from(a as i8) * i32::from(b as i8);
                for kernel in Kernel::all() {
                    assert_eq!(kernel.dot(&x, &y), expected, "{kernel:?}");
                }
            }
        }
    }
}
