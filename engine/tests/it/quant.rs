//! The meaning of the weight types, and that packing loses nothing.

use crate::tiny::{Random, TinyModel, random_rows, set_scales};
use cloister_engine::ModelInfo;
use cloister_engine::gguf::GgufFile;
use cloister_engine::pool::Pool;
use cloister_engine::quant::{Matrix, WeightType, dequantize};

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_type_means_what_the_reference_says() {
    let golden = include_str!("golden/quants.txt");
    let mut seen = Vec::new();
    for line in golden.lines() {
        let [name, bytes, expected] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three fields") };
        let kind = WeightType::ALL.into_iter().find(|kind| kind.name() == name).unwrap();
        let (bytes, expected) = (unhex(bytes), unhex(expected));
        let mut values = vec![0.0f32; expected.len() / 4];
        assert_eq!(dequantize(kind, &bytes, &mut values), values.len(), "{name}");
        let found: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(found, expected, "{name}");
        seen.push(kind);
    }
    assert_eq!(seen.len(), WeightType::ALL.len());
}

#[test]
fn packing_loses_nothing() {
    let pool = Pool::new(2);
    for kind in WeightType::ALL {
        for (rows, cols) in [(1, 256), (16, 512), (37, 768)] {
            let bytes = random_rows(kind, rows, cols, &mut Random::new(7));
            let matrix = Matrix::pack(kind, rows, cols, &bytes, &pool).unwrap();
            let mut expected = vec![0.0; rows * cols];
            assert_eq!(dequantize(kind, &bytes, &mut expected), rows * cols);
            for (row, expected) in expected.chunks(cols).enumerate() {
                let mut found = vec![0.0; cols];
                matrix.row_into(row, &mut found);
                assert_eq!(found, expected, "{} row {row} of {rows}", kind.name());
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let pool = Pool::new(1);
    for (rows, cols, bytes) in [(2, 32, 35), (2, 33, 36), (0, 32, 0), (2, 0, 0), (usize::MAX, 32, 18)] {
        assert!(Matrix::pack(WeightType::Q4_0, rows, cols, &vec![0; bytes], &pool).is_err(), "{rows}x{cols}, {bytes}");
    }
}

#[test]
fn values_that_are_no_finite_numbers_are_refused() {
    let pool = Pool::new(2);
    for kind in WeightType::ALL {
        let (rows, cols) = (20, 256);
        let bytes = random_rows(kind, rows, cols, &mut Random::new(9));
        assert!(Matrix::pack(kind, rows, cols, &bytes, &pool).is_ok());
        for infinity in [f32::INFINITY, f32::NAN] {
            let mut bytes = bytes.clone();
            let last = bytes.len() - kind.block_bytes();
            set_scales(kind, &mut bytes[last..], &mut || infinity);
            match kind {
                WeightType::F32 => bytes[last..].copy_from_slice(&infinity.to_le_bytes()),
                WeightType::F16 => bytes[last..].copy_from_slice(&half::f16::from_f32(infinity).to_le_bytes()),
                WeightType::BF16 => bytes[last..].copy_from_slice(&half::bf16::from_f32(infinity).to_le_bytes()),
                _ => {}
            }
            assert!(Matrix::pack(kind, rows, cols, &bytes, &pool).is_err(), "{} {infinity}", kind.name());
        }
    }
}

#[test]
fn exponents_are_taken_up_to_the_last_that_is_finite() {
    let pool = Pool::new(1);
    // The largest 4-bit float is 6, and 6 times 2 to the power of 252 - 127 is the largest product that is a number.
    let packed = |exponent: u8| {
        let block: Vec<u8> = std::iter::once(exponent).chain([0x7f; 16]).collect();
        Matrix::pack(WeightType::MXFP4, 1, 32, &block, &pool)
    };
    let mut row = [0.0; 32];
    for (exponent, largest) in [(0u8, 12.0 * 2f64.powi(-128)), (1, 12.0 * 2f64.powi(-127)), (252, 6.0 * 2f64.powi(125))]
    {
        packed(exponent).unwrap().row_into(0, &mut row);
        assert_eq!((f64::from(row[0]), f64::from(row[16])), (-largest, largest), "{exponent}");
    }
    for exponent in [253, 254, 255] {
        assert!(packed(exponent).is_err(), "{exponent}");
    }
}

/// What is said of a file's memory beforehand is what its matrices and vectors take.
#[test]
fn the_estimate_is_what_packing_takes() {
    let pool = Pool::new(2);
    for kind in WeightType::ALL {
        let file = tempfile::NamedTempFile::new().unwrap();
        TinyModel { kind, ..TinyModel::QWEN2 }.write(file.path(), 3);
        let file = GgufFile::open(file.path()).unwrap();
        let held = |tensor: cloister_engine::gguf::TensorView<'_>| {
            if tensor.dims.len() == 1 {
                return tensor.columns() * 4;
            }
            Matrix::pack(kind, tensor.rows(), tensor.columns(), tensor.bytes, &pool).unwrap().size_bytes()
        };
        let info = ModelInfo::from_gguf(&file).unwrap();
        assert_eq!(info.packed_bytes, file.tensors().map(held).sum::<usize>() as u64, "{}", kind.name());
        assert_eq!(info.memory(64).weights_bytes, info.packed_bytes);
        let bits = kind.block_bytes() as f64 * 8.0 / kind.block_values() as f64;
        assert!((info.bits_per_weight() / bits - 1.0).abs() < 0.05, "{} {}", kind.name(), info.bits_per_weight());
    }
}
