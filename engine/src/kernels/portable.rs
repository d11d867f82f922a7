//! The lanes in plain Rust: the reference for the other sets, and what runs on a processor without them.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::Simd;
use std::array::from_fn;

/// Arrays instead of registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Simd for Portable {
    type Bytes = [u8; 64];
    type Ints = [i32; 16];
    type Floats = [f32; 16];

    const TILES: usize = 1;
    const QUERIES: usize = 2;
    const QUARTERS: bool = false;
    const WIDE_IS_SIGNED: bool = false;

    #[inline(always)]
    fn prefetch(self, _address: *const u8) {}
    #[inline(always)]
    fn load_line(self, line: &[u8; 64]) -> [u8; 64] {
        *line
    }
    #[inline(always)]
    fn store_line(self, value: [u8; 64], line: &mut [u8; 64]) {
        *line = value;
    }
    #[inline(always)]
    fn low_nibbles(self, value: [u8; 64]) -> [u8; 64] {
        value.map(|byte| byte & 15)
    }
    #[inline(always)]
    fn high_nibbles(self, value: [u8; 64]) -> [u8; 64] {
        value.map(|byte| byte >> 4)
    }
    #[inline(always)]
    fn bits<const RIGHT: u32>(self, value: [u8; 64], mask: u8) -> [u8; 64] {
        value.map(|byte| byte >> RIGHT & mask)
    }
    #[inline(always)]
    fn choose(self, table: &[u8; 16], value: [u8; 64]) -> [u8; 64] {
        value.map(|byte| table[usize::from(byte & 15)])
    }
    #[inline(always)]
    fn join_bits<const LEFT: u32, const RIGHT: u32>(self, bits: [u8; 64], mask: u8, base: [u8; 64]) -> [u8; 64] {
        from_fn(|at| (bits[at] << LEFT >> RIGHT) & mask | base[at])
    }

    #[inline(always)]
    fn dot(self, mut sum: [i32; 16], weights: [u8; 64], quad: i32) -> [i32; 16] {
        let quad = quad.to_le_bytes().map(|byte| i32::from(byte as i8));
        for (sum, weights) in sum.iter_mut().zip(weights.as_chunks::<4>().0) {
            for (&weight, factor) in weights.iter().zip(quad) {
                *sum += i32::from(weight) * factor;
            }
        }
        sum
    }
    #[inline(always)]
    fn dot_wide(self, sum: [i32; 16], weights: [u8; 64], quad: i32) -> [i32; 16] {
        self.dot(sum, weights, quad)
    }
    #[inline(always)]
    fn pair(self, low: [i32; 16], high: [i32; 16]) -> [u8; 64] {
        bytemuck::cast(from_fn::<i32, 16, _>(|lane| low[lane] & 0xffff | high[lane] << 16).map(i32::to_le_bytes))
    }
    #[inline(always)]
    fn dot_pairs(self, sum: [i32; 16], values: [u8; 64], pair: i32) -> [i32; 16] {
        let quads = values.as_chunks::<4>().0;
        let (low, high) = (i32::from(pair as i16), pair >> 16);
        from_fn(|lane| {
            let values = i32::from_le_bytes(quads[lane]);
            sum[lane] + i32::from(values as i16) * low + (values >> 16) * high
        })
    }
    #[inline(always)]
    fn widen_bytes(self, bytes: &[u8; 32]) -> [u8; 64] {
        bytemuck::cast(bytes.map(|byte| i16::from(byte as i8).to_le_bytes()))
    }
    #[inline(always)]
    fn ints(self, value: i32) -> [i32; 16] {
        [value; 16]
    }
    #[inline(always)]
    fn to_floats(self, value: [i32; 16]) -> [f32; 16] {
        value.map(|lane| lane as f32)
    }
    #[inline(always)]
    fn to_ints(self, value: [f32; 16]) -> [i32; 16] {
        value.map(|lane| lane.round_ties_even() as i32)
    }
    #[inline(always)]
    fn shift_ints<const BITS: u32>(self, value: [i32; 16]) -> [i32; 16] {
        value.map(|lane| lane << BITS)
    }
    #[inline(always)]
    fn add_ints(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    fn sum_ints(self, value: [i32; 16]) -> i32 {
        value.iter().sum()
    }
    #[inline(always)]
    fn store_bytes(self, value: [i32; 16], out: &mut [u8; 16]) {
        *out = value.map(|lane| lane as u8);
    }

    #[inline(always)]
    fn floats(self, value: f32) -> [f32; 16] {
        [value; 16]
    }
    #[inline(always)]
    fn load(self, values: &[f32; 16]) -> [f32; 16] {
        *values
    }
    #[inline(always)]
    fn store(self, value: [f32; 16], out: &mut [f32; 16]) {
        *out = value;
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 32]) -> [f32; 16] {
        from_fn(|lane| half::f16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 32]) -> [f32; 16] {
        from_fn(|lane| f32::from_bits(u32::from(u16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]])) << 16))
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8; 16]) -> [f32; 16] {
        bytes.map(f32::from)
    }
    #[inline(always)]
    fn load_i8(self, bytes: &[u8; 16]) -> [f32; 16] {
        bytes.map(|byte| f32::from(byte as i8))
    }
    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    fn div(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    fn fma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    fn times_power_of_two(self, value: [f32; 16], exponent: f32) -> [f32; 16] {
        value.map(|lane| lane * exponent.exp2())
    }
    #[inline(always)]
    fn max(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn abs(self, value: [f32; 16]) -> [f32; 16] {
        value.map(f32::abs)
    }
    #[inline(always)]
    fn round(self, value: [f32; 16]) -> [f32; 16] {
        value.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn power_of_two(self, exponent: [f32; 16]) -> [f32; 16] {
        exponent.map(|lane| f32::from_bits(((lane as i32 + 127) as u32) << 23))
    }
}
