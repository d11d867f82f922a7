//! Weight types of GGUF files: block shapes, the plain reference of their meaning, and the packed form that the kernels read.
//!
//! A weight row is a run of blocks. Every type handled here is read as *groups* of 32 values: unsigned quants, one scale for
//! each half of the group, and one bias, so that `value = scale * (quant - offset) + bias`. The dense types have no groups.
//! Source of the layouts: the GGUF format's block structures (`ggml-common.h` of the ggml project).

mod groups;
mod pack;

pub use groups::{Group, group};
pub use pack::Matrix;
pub(crate) use pack::TILE_ROWS;

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
    /// 4 bits, 6-bit scales and biases in super-blocks of 256.
    Q4_K,
    /// 5 bits, 6-bit scales and biases in super-blocks of 256.
    Q5_K,
    /// 6 bits, 8-bit scales for 16 values in super-blocks of 256.
    Q6_K,
}

impl WeightType {
    /// Every type that the engine reads.
    pub const ALL: [WeightType; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
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
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
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
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Values in one block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => GROUP,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => SUPER,
        }
    }

    /// Bytes in one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
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
            Self::Q4_0 => 8,
            Self::Q5_0 => 16,
            Self::Q6_K => 32,
            Self::Q8_0 => 128,
            _ => 0,
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
