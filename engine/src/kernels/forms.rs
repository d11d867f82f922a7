//! How the packed quants and scales of each weight type are read (layout: [`crate::quant`], packed form).
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::Simd;
use crate::quant::{MICRO_FLOATS, NON_LINEAR};

/// One weight type as the integer kernels see it.
pub(super) trait Form {
    type Quants: Quants;
    type Scales: Scales;
    /// The quants stand for themselves less 2 to this power, unless it is zero.
    const OFFSET_LOG2: u32;
}

/// The quants of one group of 32 columns and 16 rows.
pub(super) trait Quants {
    /// Lines of 64 bytes in a group.
    const LINES: usize;
    /// Values may exceed 127.
    const WIDE: bool;
    /// The column quads `J` and `J + 4`.
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes);
}

/// The scales of 16 rows.
pub(super) trait Scales {
    /// Each half of a group has a scale of its own.
    const HALVES: bool;
    /// Biases of a group: none, one, or one for each half.
    const BIASES: usize;
    /// Bytes in a unit of scales, and groups that it covers.
    const UNIT: usize;
    const GROUPS: usize;
    /// The scales and biases of both halves of one group of the unit.
    fn read<S: Simd>(simd: S, unit: &[u8], group: usize) -> GroupScales<S>;
}

/// Scales and biases of one group, a lane a row.
pub(super) struct GroupScales<S: Simd> {
    pub(super) halves: [S::Floats; 2],
    pub(super) biases: [S::Floats; 2],
}

impl<S: Simd> GroupScales<S> {
    /// Scales without biases.
    #[inline(always)]
    fn unbiased(simd: S, halves: [S::Floats; 2]) -> Self {
        Self { halves, biases: [simd.floats(0.0); 2] }
    }
}

/// `N` bytes from `at`.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..at + N].as_array().expect("the range has the length of the array")
}

pub(super) struct Bits2;
impl Quants for Bits2 {
    const LINES: usize = 2;
    const WIDE: bool = false;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        let (low, high) = (simd.load_line(&lines[0]), simd.load_line(&lines[1]));
        match J {
            0 => (simd.bits::<0>(low, 3), simd.bits::<0>(high, 3)),
            1 => (simd.bits::<2>(low, 3), simd.bits::<2>(high, 3)),
            2 => (simd.bits::<4>(low, 3), simd.bits::<4>(high, 3)),
            _ => (simd.bits::<6>(low, 3), simd.bits::<6>(high, 3)),
        }
    }
}

pub(super) struct Bits3;
impl Quants for Bits3 {
    const LINES: usize = 3;
    const WIDE: bool = false;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        let (low, high) = Bits2::pair::<S, J>(simd, lines);
        let third = simd.load_line(&lines[2]);
        // Bit `J` of the line belongs to the low quad, bit `J + 4` to the high one; both go to bit 2.
        match J {
            0 => (simd.join_bits::<2, 0>(third, 4, low), simd.join_bits::<0, 2>(third, 4, high)),
            1 => (simd.join_bits::<1, 0>(third, 4, low), simd.join_bits::<0, 3>(third, 4, high)),
            2 => (simd.join_bits::<0, 0>(third, 4, low), simd.join_bits::<0, 4>(third, 4, high)),
            _ => (simd.join_bits::<0, 1>(third, 4, low), simd.join_bits::<0, 5>(third, 4, high)),
        }
    }
}

pub(super) struct Bits4;
impl Quants for Bits4 {
    const LINES: usize = 4;
    const WIDE: bool = false;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        let nibbles = simd.load_line(&lines[J]);
        (simd.low_nibbles(nibbles), simd.high_nibbles(nibbles))
    }
}

/// Names four bits that choose from a table.
macro_rules! choice {
    ($name:ident, $table:expr, $wide:literal) => {
        pub(super) struct $name;
        impl Quants for $name {
            const LINES: usize = 4;
            const WIDE: bool = $wide;
            #[inline(always)]
            fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
                let (low, high) = Bits4::pair::<S, J>(simd, lines);
                (simd.choose(&$table, low), simd.choose(&$table, high))
            }
        }
    };
}

choice!(NonLinear, NON_LINEAR, true);
choice!(MicroFloats, MICRO_FLOATS, false);

pub(super) struct Bits5;
impl Quants for Bits5 {
    const LINES: usize = 5;
    const WIDE: bool = false;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        let (low, high) = Bits4::pair::<S, J>(simd, lines);
        let fifth = simd.load_line(&lines[4]);
        // Bit `J` of the line belongs to the low quad, bit `J + 4` to the high one; both go to bit 4.
        match J {
            0 => (simd.join_bits::<4, 0>(fifth, 16, low), simd.join_bits::<0, 0>(fifth, 16, high)),
            1 => (simd.join_bits::<3, 0>(fifth, 16, low), simd.join_bits::<0, 1>(fifth, 16, high)),
            2 => (simd.join_bits::<2, 0>(fifth, 16, low), simd.join_bits::<0, 2>(fifth, 16, high)),
            _ => (simd.join_bits::<1, 0>(fifth, 16, low), simd.join_bits::<0, 3>(fifth, 16, high)),
        }
    }
}

pub(super) struct Bits6;
impl Quants for Bits6 {
    const LINES: usize = 6;
    const WIDE: bool = false;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        let (low, high) = Bits4::pair::<S, J>(simd, lines);
        let (low_top, high_top) = (simd.load_line(&lines[4]), simd.load_line(&lines[5]));
        // Bits `2 J` and `2 J + 1` go to bits 4 and 5.
        match J {
            0 => (simd.join_bits::<4, 0>(low_top, 48, low), simd.join_bits::<4, 0>(high_top, 48, high)),
            1 => (simd.join_bits::<2, 0>(low_top, 48, low), simd.join_bits::<2, 0>(high_top, 48, high)),
            2 => (simd.join_bits::<0, 0>(low_top, 48, low), simd.join_bits::<0, 0>(high_top, 48, high)),
            _ => (simd.join_bits::<0, 2>(low_top, 48, low), simd.join_bits::<0, 2>(high_top, 48, high)),
        }
    }
}

pub(super) struct Bits8;
impl Quants for Bits8 {
    const LINES: usize = 8;
    const WIDE: bool = true;
    #[inline(always)]
    fn pair<S: Simd, const J: usize>(simd: S, lines: &[[u8; 64]]) -> (S::Bytes, S::Bytes) {
        (simd.load_line(&lines[J]), simd.load_line(&lines[J + 4]))
    }
}

pub(super) struct Plain;
impl Scales for Plain {
    const HALVES: bool = false;
    const BIASES: usize = 0;
    const UNIT: usize = 32;
    const GROUPS: usize = 1;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], _group: usize) -> GroupScales<S> {
        GroupScales::unbiased(simd, [simd.load_f16(array(unit, 0)); 2])
    }
}

pub(super) struct Affine;
impl Scales for Affine {
    const HALVES: bool = false;
    const BIASES: usize = 1;
    const UNIT: usize = 64;
    const GROUPS: usize = 1;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], _group: usize) -> GroupScales<S> {
        GroupScales { halves: [simd.load_f16(array(unit, 0)); 2], biases: [simd.load_f16(array(unit, 32)); 2] }
    }
}

pub(super) struct Powers;
impl Scales for Powers {
    const HALVES: bool = false;
    const BIASES: usize = 0;
    const UNIT: usize = 16;
    const GROUPS: usize = 1;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], _group: usize) -> GroupScales<S> {
        // 2 to the power of the exponent less 128. The two smallest are no normal numbers, so a factor of 4 goes in between;
        // exponents end at 252 (see the packing), and all of these products are exact.
        let power = simd.power_of_two(simd.sub(simd.load_u8(array(unit, 0)), simd.floats(126.0)));
        GroupScales::unbiased(simd, [simd.mul(power, simd.floats(0.25)); 2])
    }
}

pub(super) struct Super;
impl Scales for Super {
    const HALVES: bool = false;
    const BIASES: usize = 1;
    const UNIT: usize = 64 + 8 * 32;
    const GROUPS: usize = 8;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], group: usize) -> GroupScales<S> {
        let at = 64 + 32 * group;
        let scale = simd.mul(simd.load_f16(array(unit, 0)), simd.load_u8(array(unit, at)));
        let min = simd.mul(simd.load_f16(array(unit, 32)), simd.load_u8(array(unit, at + 16)));
        GroupScales { halves: [scale; 2], biases: [simd.sub(simd.floats(0.0), min); 2] }
    }
}

pub(super) struct SuperHalves;
impl Scales for SuperHalves {
    const HALVES: bool = true;
    const BIASES: usize = 2;
    const UNIT: usize = 64 + 8 * 32;
    const GROUPS: usize = 8;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], group: usize) -> GroupScales<S> {
        let (scale, min) = (simd.load_f16(array(unit, 0)), simd.load_f16(array(unit, 32)));
        let min = simd.sub(simd.floats(0.0), min);
        let half = |at: usize| {
            let bytes: &[u8; 16] = array(unit, 64 + 32 * group + at);
            let (low, high) = (bytes.map(|byte| byte & 15), bytes.map(|byte| byte >> 4));
            (simd.mul(scale, simd.load_u8(&low)), simd.mul(min, simd.load_u8(&high)))
        };
        let (first, second) = (half(0), half(16));
        GroupScales { halves: [first.0, second.0], biases: [first.1, second.1] }
    }
}

pub(super) struct Signed;
impl Scales for Signed {
    const HALVES: bool = false;
    const BIASES: usize = 0;
    const UNIT: usize = 32 + 8 * 16;
    const GROUPS: usize = 8;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], group: usize) -> GroupScales<S> {
        let scale = simd.mul(simd.load_f16(array(unit, 0)), simd.load_i8(array(unit, 32 + 16 * group)));
        GroupScales::unbiased(simd, [scale; 2])
    }
}

pub(super) struct SignedHalves;
impl Scales for SignedHalves {
    const HALVES: bool = true;
    const BIASES: usize = 0;
    const UNIT: usize = 32 + 8 * 32;
    const GROUPS: usize = 8;
    #[inline(always)]
    fn read<S: Simd>(simd: S, unit: &[u8], group: usize) -> GroupScales<S> {
        let at = 32 + 32 * group;
        let scale = simd.load_f16(array(unit, 0));
        let first = simd.mul(scale, simd.load_i8(array(unit, at)));
        let second = simd.mul(scale, simd.load_i8(array(unit, at + 16)));
        GroupScales::unbiased(simd, [first, second])
    }
}

/// Names a weight type as a form.
macro_rules! form {
    ($name:ident, $quants:ident, $scales:ident, $offset_log2:literal) => {
        pub(super) struct $name;
        impl Form for $name {
            type Quants = $quants;
            type Scales = $scales;
            const OFFSET_LOG2: u32 = $offset_log2;
        }
    };
}

form!(Q40, Bits4, Plain, 3);
form!(Q41, Bits4, Affine, 0);
form!(Q50, Bits5, Plain, 4);
form!(Q51, Bits5, Affine, 0);
form!(Q80, Bits8, Plain, 7);
form!(Q2K, Bits2, SuperHalves, 0);
form!(Q3K, Bits3, SignedHalves, 2);
form!(Q4K, Bits4, Super, 0);
form!(Q5K, Bits5, Super, 0);
form!(Q6K, Bits6, SignedHalves, 5);
form!(Iq4Nl, NonLinear, Plain, 7);
form!(Iq4Xs, NonLinear, Signed, 7);
form!(Mxfp4, MicroFloats, Powers, 4);
