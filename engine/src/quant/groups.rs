//! Reading one group of 32 values out of a block, in plain scalar code.

use super::{GROUP, WeightType};

/// 32 consecutive values of a weight row: `scales[i / 16] * (quants[i] - offset) + biases[i / 16]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Unsigned quants, in the order of the values.
    pub quants: [u8; GROUP],
    /// The scale of the first and of the last 16 values; equal for all types but `Q2_K`, `Q3_K` and `Q6_K`.
    pub scales: [f32; 2],
    /// What is added to each of the first and of the last 16 values, for the types that add something.
    pub biases: Option<[f32; 2]>,
}

impl Group {
    /// Writes the 32 values.
    pub(super) fn expand(&self, offset: i32, out: &mut [f32]) {
        for (index, (value, &quant)) in out.iter_mut().zip(&self.quants).enumerate() {
            let scaled = self.scales[index / 16] * (i32::from(quant) - offset) as f32;
            *value = self.biases.map_or(scaled, |biases| scaled + biases[index / 16]);
        }
    }
}

/// Group `index` of one block of a quantised type.
///
/// `block` holds exactly `kind.block_bytes()` bytes, and `index` counts groups within the block.
pub fn group(kind: WeightType, block: &[u8], index: usize) -> Group {
    let quants = decode(kind, codes(kind, block, index));
    let (scales, biases) = match kind {
        WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 | WeightType::IQ4_NL => ([half(block, 0); 2], None),
        WeightType::Q4_1 | WeightType::Q5_1 => ([half(block, 0); 2], Some([half(block, 2); 2])),
        WeightType::Q4_K | WeightType::Q5_K => {
            let (scale, min) = k_scale_min(&block[4..16], index);
            ([half(block, 0) * f32::from(scale); 2], Some([-(half(block, 2) * f32::from(min)); 2]))
        }
        WeightType::Q2_K => {
            let scale = |at: usize| half(block, 80) * f32::from(block[2 * index + at] & 15);
            let bias = |at: usize| -(half(block, 82) * f32::from(block[2 * index + at] >> 4));
            ([scale(0), scale(1)], Some([bias(0), bias(1)]))
        }
        WeightType::Q3_K | WeightType::Q6_K => {
            let scale = |at| half(block, block.len() - 2) * f32::from(half_scale(kind, block, 2 * index + at));
            ([scale(0), scale(1)], None)
        }
        WeightType::IQ4_XS => ([half(block, 0) * f32::from(non_linear_scale(&block[2..8], index)); 2], None),
        WeightType::MXFP4 => ([half_power(block[0]); 2], None),
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => ([f32::NAN; 2], None),
    };
    Group { quants, scales, biases }
}

/// The quants that stored codes stand for.
pub(super) fn decode(kind: WeightType, codes: [u8; GROUP]) -> [u8; GROUP] {
    kind.table().map_or(codes, |table| codes.map(|code| table[usize::from(code & 15)]))
}

/// The stored bits of a group: its quants, or where the type has a table their places in it.
pub(super) fn codes(kind: WeightType, block: &[u8], index: usize) -> [u8; GROUP] {
    match kind {
        WeightType::MXFP4 => nibbles(&block[1..]),
        WeightType::Q4_0 | WeightType::IQ4_NL => nibbles(&block[2..]),
        WeightType::IQ4_XS => nibbles(&block[8 + 16 * index..]),
        WeightType::Q2_K => pairs_of_bits(&block[16..80], index),
        WeightType::Q3_K => three_bits(block, index),
        WeightType::Q4_1 => nibbles(&block[4..]),
        WeightType::Q5_0 => five_bits(&block[2..]),
        WeightType::Q5_1 => five_bits(&block[4..]),
        WeightType::Q8_0 => signed_bytes(&block[2..]),
        WeightType::Q4_K => k_nibbles(&block[16..], index),
        WeightType::Q5_K => k_five_bits(block, index),
        WeightType::Q6_K => six_bits(block, index),
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => [0; GROUP],
    }
}

/// The half float at `at`.
fn half(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 16 bytes: low nibbles are values 0 to 15, high nibbles 16 to 31.
fn nibbles(bytes: &[u8]) -> [u8; GROUP] {
    let mut quants = [0; GROUP];
    let (low, high) = quants.split_at_mut(16);
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(&bytes[..16]) {
        *low = byte & 15;
        *high = byte >> 4;
    }
    quants
}

/// A 32-bit word with the fifth bits, then the nibbles.
fn five_bits(bytes: &[u8]) -> [u8; GROUP] {
    let fifth = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut quants = nibbles(&bytes[4..]);
    for (index, quant) in quants.iter_mut().enumerate() {
        *quant |= ((fifth >> index & 1) as u8) << 4;
    }
    quants
}

/// Signed bytes, moved up by 128.
fn signed_bytes(bytes: &[u8]) -> [u8; GROUP] {
    let mut quants = [0; GROUP];
    for (quant, &byte) in quants.iter_mut().zip(&bytes[..GROUP]) {
        *quant = byte ^ 0x80;
    }
    quants
}

/// The 6-bit scale and minimum of sub-block `index` from the 12 packed bytes of `Q4_K` and `Q5_K`.
pub(super) fn k_scale_min(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        return (packed[index] & 63, packed[index + 4] & 63);
    }
    let scale = packed[index + 4] & 15 | (packed[index - 4] >> 6) << 4;
    let min = packed[index + 4] >> 4 | (packed[index] >> 6) << 4;
    (scale, min)
}

/// The signed scale of half group `index` of `Q6_K`, a byte, or of `Q3_K`, 6 bits less 32: the low nibbles of 8 bytes, then
/// their high nibbles, with pairs of top bits in 4 bytes.
pub(super) fn half_scale(kind: WeightType, block: &[u8], index: usize) -> i8 {
    if kind == WeightType::Q6_K {
        return block[192 + index] as i8;
    }
    let packed = &block[96..108];
    let low = packed[index % 8] >> (index / 8 * 4) & 15;
    let high = packed[8 + index % 4] >> (index / 4 * 2) & 3;
    (low | high << 4) as i8 - 32
}

/// The 6-bit scale of group `index` from the 6 packed bytes of `IQ4_XS`: pairs of top bits in a 16-bit word, then nibbles.
pub(super) fn non_linear_scale(packed: &[u8], index: usize) -> i8 {
    let low = packed[2 + index / 2] >> (index % 2 * 4) & 15;
    let high = packed[index / 4] >> (index % 4 * 2) & 3;
    (low | high << 4) as i8 - 32
}

/// Half of the power of two that an 8-bit exponent stands for: the quants of `MXFP4` are doubled.
pub(super) fn half_power(exponent: u8) -> f32 {
    // The two smallest are no normal numbers.
    f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { u32::from(exponent - 1) << 23 })
}

/// Four groups to each 32 bytes, two bits each.
fn pairs_of_bits(bytes: &[u8], index: usize) -> [u8; GROUP] {
    let mut quants = [0; GROUP];
    for (quant, &byte) in quants.iter_mut().zip(&bytes[index / 4 * GROUP..][..GROUP]) {
        *quant = byte >> (index % 4 * 2) & 3;
    }
    quants
}

/// As [`pairs_of_bits`], with the third bits in 32 bytes of their own: bit `index` of byte `i` belongs to value `i`.
fn three_bits(block: &[u8], index: usize) -> [u8; GROUP] {
    let mut quants = pairs_of_bits(&block[32..96], index);
    for (quant, &byte) in quants.iter_mut().zip(&block[..GROUP]) {
        *quant |= (byte >> index & 1) << 2;
    }
    quants
}

/// 32 bytes hold a pair of groups: the even one in the low nibbles.
fn k_nibbles(nibbles: &[u8], index: usize) -> [u8; GROUP] {
    let mut quants = [0; GROUP];
    for (quant, &byte) in quants.iter_mut().zip(&nibbles[index / 2 * GROUP..][..GROUP]) {
        *quant = byte >> (index % 2 * 4) & 15;
    }
    quants
}

/// As [`k_nibbles`], with the fifth bits in 32 bytes of their own: bit `index` of byte `i` belongs to value `i`.
fn k_five_bits(block: &[u8], index: usize) -> [u8; GROUP] {
    let mut quants = k_nibbles(&block[48..], index);
    for (quant, &byte) in quants.iter_mut().zip(&block[16..48]) {
        *quant |= (byte >> index & 1) << 4;
    }
    quants
}

/// Low nibbles in 128 bytes and pairs of top bits in 64, each half of the block for itself.
fn six_bits(block: &[u8], index: usize) -> [u8; GROUP] {
    let (side, part) = (index / 4, index % 4);
    let low = &block[64 * side + GROUP * (part % 2)..][..GROUP];
    let high = &block[128 + GROUP * side..][..GROUP];
    let mut quants = [0; GROUP];
    for ((quant, &low), &high) in quants.iter_mut().zip(low).zip(high) {
        *quant = low >> (part / 2 * 4) & 15 | (high >> (2 * part) & 3) << 4;
    }
    quants
}
