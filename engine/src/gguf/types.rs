//! The closed table of tensor types.

/// How a tensor's values are stored. A block is the smallest run of values that stands on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names that ggml gives its types")]
#[expect(missing_docs, reason = "the names are those of the format")]
pub enum TensorType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
    IQ2_XXS,
    IQ2_XS,
    IQ3_XXS,
    IQ1_S,
    IQ4_NL,
    IQ3_S,
    IQ2_S,
    IQ4_XS,
    I8,
    I16,
    I32,
    I64,
    F64,
    IQ1_M,
    BF16,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
    Q1_0,
    Q2_0,
}

use TensorType as T;

/// (number in the file, type, name, values of a block, bytes of a block).
const TABLE: [(u32, T, &str, usize, usize); 35] = [
    (0, T::F32, "F32", 1, 4),
    (1, T::F16, "F16", 1, 2),
    (2, T::Q4_0, "Q4_0", 32, 18),
    (3, T::Q4_1, "Q4_1", 32, 20),
    (6, T::Q5_0, "Q5_0", 32, 22),
    (7, T::Q5_1, "Q5_1", 32, 24),
    (8, T::Q8_0, "Q8_0", 32, 34),
    (9, T::Q8_1, "Q8_1", 32, 36),
    (10, T::Q2_K, "Q2_K", 256, 84),
    (11, T::Q3_K, "Q3_K", 256, 110),
    (12, T::Q4_K, "Q4_K", 256, 144),
    (13, T::Q5_K, "Q5_K", 256, 176),
    (14, T::Q6_K, "Q6_K", 256, 210),
    (15, T::Q8_K, "Q8_K", 256, 292),
    (16, T::IQ2_XXS, "IQ2_XXS", 256, 66),
    (17, T::IQ2_XS, "IQ2_XS", 256, 74),
    (18, T::IQ3_XXS, "IQ3_XXS", 256, 98),
    (19, T::IQ1_S, "IQ1_S", 256, 50),
    (20, T::IQ4_NL, "IQ4_NL", 32, 18),
    (21, T::IQ3_S, "IQ3_S", 256, 110),
    (22, T::IQ2_S, "IQ2_S", 256, 82),
    (23, T::IQ4_XS, "IQ4_XS", 256, 136),
    (24, T::I8, "I8", 1, 1),
    (25, T::I16, "I16", 1, 2),
    (26, T::I32, "I32", 1, 4),
    (27, T::I64, "I64", 1, 8),
    (28, T::F64, "F64", 1, 8),
    (29, T::IQ1_M, "IQ1_M", 256, 56),
    (30, T::BF16, "BF16", 1, 2),
    (34, T::TQ1_0, "TQ1_0", 256, 54),
    (35, T::TQ2_0, "TQ2_0", 256, 66),
    (39, T::MXFP4, "MXFP4", 32, 17),
    (40, T::NVFP4, "NVFP4", 64, 36),
    (41, T::Q1_0, "Q1_0", 128, 18),
    (42, T::Q2_0, "Q2_0", 64, 18),
];

impl TensorType {
    /// The type with that number in the file; numbers that were withdrawn (4, 5, 31 to 33, 36 to 38) have none.
    pub fn from_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == id).map(|row| row.1)
    }

    fn row(self) -> &'static (u32, T, &'static str, usize, usize) {
        TABLE.iter().find(|row| row.1 == self).expect("the table holds each type")
    }

    /// The type's number in the file.
    pub fn id(self) -> u32 {
        self.row().0
    }

    /// The name that ggml gives the type.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Values of one block.
    pub fn block_values(self) -> usize {
        self.row().3
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        self.row().4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_type_and_withdrawn_numbers_have_none() {
        for (id, kind, name, values, bytes) in TABLE {
            assert_eq!(TensorType::from_id(id), Some(kind));
            assert_eq!((kind.id(), kind.name()), (id, name));
            assert_eq!((kind.block_values(), kind.block_bytes()), (values, bytes));
        }
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 99, u32::MAX] {
            assert_eq!(TensorType::from_id(id), None, "{id}");
        }
    }
}
