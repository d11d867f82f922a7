//! Weight types of GGUF files: block shapes, the plain reference of their meaning, and the packed form that the kernels read.
//!
//! A weight row is a run of blocks. Every type handled here is read as *groups* of 32 values: unsigned quants, and one scale
//! and one bias for each half of the group, so that `value = scale * (quant - offset) + bias`. Some types store four bits that
//! stand for quants of a table. The dense types have no groups.
//! Source of the layouts: the GGUF format's block structures (`ggml-common.h` of the ggml project).

mod groups;
mod pack;

pub use groups::{Group, group};
pub use pack::Matrix;
pub(crate) use pack::{TILE_ROWS, matrix_piece_bytes, packed_bytes};

/// Values in one group, the unit in which activations are quantised.
pub const GROUP: usize = 32;

/// Values in one super-block of the k-quants.
pub const SUPER: usize = 256;

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names by which the field knows these types")]
pub enum WeightType {
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// 4 bits, one scale for 32 values.
    Q4_0,
    /// 4 bits, scale and bias for 32 values.
    Q4_1,
    /// 5 bits, one scale for 32 values.
    Q5_0,
    /// 5 bits, scale and bias for 32 values.
    Q5_1,
    /// 8 bits, one scale for 32 values.
    Q8_0,
    /// 2 bits, 4-bit scales and biases for 16 values in super-blocks of 256.
    Q2_K,
    /// 3 bits, 6-bit scales for 16 values in super-blocks of 256.
    Q3_K,
    /// 4 bits, 6-bit scales and biases in super-blocks of 256.
    Q4_K,
    /// 5 bits, 6-bit scales and biases in super-blocks of 256.
    Q5_K,
    /// 6 bits, 8-bit scales for 16 values in super-blocks of 256.
    Q6_K,
    /// 4 bits that choose from 16 values unevenly spaced, one scale for 32 values.
    IQ4_NL,
    /// As `IQ4_NL`, with 6-bit scales in super-blocks of 256.
    IQ4_XS,
    /// 4-bit floats (E2M1), a power of two as the scale of 32 values (Open Compute Project, Microscaling Formats 1.0).
    MXFP4,
}

/// The quants of `IQ4_NL` and `IQ4_XS`, moved up by 128.
pub(crate) const NON_LINEAR: [u8; 16] = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// The quants of `MXFP4`: twice the values of its floats, moved up by 16.
pub(crate) const MICRO_FLOATS: [u8; 16] = [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

impl WeightType {
    /// Every type that the engine reads.
    pub const ALL: [WeightType; 16] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::MXFP4,
    ];

    /// The type with this number in a GGUF tensor table, or `None` where the engine has no kernel for it.
    pub fn from_ggml(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            20 => Self::IQ4_NL,
            23 => Self::IQ4_XS,
            30 => Self::BF16,
            39 => Self::MXFP4,
            _ => return None,
        })
    }

    /// The name as the field writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::IQ4_XS => "IQ4_XS",
            Self::MXFP4 => "MXFP4",
        }
    }

    /// Values in one block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::IQ4_NL | Self::MXFP4 => GROUP,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => SUPER,
        }
    }

    /// Bytes in one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::MXFP4 => 17,
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::IQ4_XS => 136,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Whether the values are floats of their own, without blocks.
    pub fn is_dense(self) -> bool {
        self.block_values() == 1
    }

    /// What is subtracted from the unsigned quants.
    pub fn offset(self) -> i32 {
        match self {
            Self::Q3_K => 4,
            Self::Q4_0 => 8,
            Self::Q5_0 | Self::MXFP4 => 16,
            Self::Q6_K => 32,
            Self::Q8_0 | Self::IQ4_NL | Self::IQ4_XS => 128,
            _ => 0,
        }
    }

    /// The quants that the stored bits stand for, where they are not the quants themselves.
    fn table(self) -> Option<&'static [u8; 16]> {
        match self {
            Self::IQ4_NL | Self::IQ4_XS => Some(&NON_LINEAR),
            Self::MXFP4 => Some(&MICRO_FLOATS),
            _ => None,
        }
    }
}

/// Expands whole blocks of `kind` to 32-bit floats: the plain reference of every type's meaning.
///
/// Writes `min(out.len(), values in bytes)` values, rounded down to whole blocks, and returns how many.
pub fn dequantize(kind: WeightType, bytes: &[u8], out: &mut [f32]) -> usize {
    let values = kind.block_values();
    let blocks = bytes.chunks_exact(kind.block_bytes()).zip(out.chunks_exact_mut(values));
    let mut written = 0;
    for (block, out) in blocks {
        if kind.is_dense() {
            out[0] = dense_value(kind, block);
        } else {
            for (index, out) in out.chunks_exact_mut(GROUP).enumerate() {
                group(kind, block, index).expand(kind.offset(), out);
            }
        }
        written += values;
    }
    written
}

/// One value of a dense type from its bytes.
fn dense_value(kind: WeightType, bytes: &[u8]) -> f32 {
    match (kind, bytes) {
        (WeightType::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (WeightType::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
        (WeightType::BF16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
        _ => f32::NAN,
    }
}
