//! Any bytes as a file of packed weights: refused or read, never a panic nor a byte outside the file. Three kinds of input, by
//! the first byte: the bytes as they are; a table behind a header whose checksums fit it; a whole file of a few matrices,
//! which must be read, and with one byte changed must be refused. What is read is multiplied, with the same result by every
//! set of kernels.

use std::sync::OnceLock;

use cloister_engine::kernels::{Activations, Kernels, Needs, Product, multiply};
use cloister_engine::packed::PackedFile;
use cloister_engine::pool::Pool;
use cloister_engine::quant::{Matrix, WeightType};
use sha2::{Digest, Sha256};

const KEY: [u8; 32] = [7; 32];
const BODY: usize = 4096;

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(1))
}

/// A file with right checksums in its header; see `engine/src/packed/format.rs`.
fn file(body: &[u8], table: &[u8]) -> Vec<u8> {
    let mut header = vec![0; BODY];
    header[..8].copy_from_slice(b"CLSTRPKW");
    header[8..12].copy_from_slice(&1u32.to_le_bytes());
    header[16..48].copy_from_slice(&KEY);
    header[48..56].copy_from_slice(&((BODY + body.len()) as u64).to_le_bytes());
    header[56..64].copy_from_slice(&(table.len() as u64).to_le_bytes());
    header[64..96].copy_from_slice(&Sha256::digest(table));
    let sum = Sha256::digest(&header[..96]);
    header[96..128].copy_from_slice(&sum);
    [&header, body, table].concat()
}

/// A body and a table of up to four matrices, each of one piece, whose bytes are taken from `bytes` again and again.
fn matrices(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let count = bytes.len().min(16) / 4;
    let (mut body, mut table) = (Vec::new(), (count as u32).to_le_bytes().to_vec());
    let mut endless = bytes.iter().copied().cycle();
    for (number, shape) in bytes.chunks_exact(4).take(count).enumerate() {
        let kind = usize::from(shape[0]) % WeightType::ALL.len();
        let weight = WeightType::ALL[kind];
        let (rows, blocks) = (1 + usize::from(shape[1]) % 48, 1 + usize::from(shape[2]) % 3);
        let cols = blocks * weight.block_values();
        let zeros = vec![0; rows * blocks * weight.block_bytes()];
        let length = Matrix::pack(weight, rows, cols, &zeros, pool()).expect("zeros are numbers").size_bytes();
        let start = body.len();
        body.extend(endless.by_ref().take(length));
        table.extend([1, b'a' + number as u8]);
        table.extend(0u64.to_le_bytes());
        table.push(kind as u8);
        table.extend((rows as u64).to_le_bytes());
        table.extend((cols as u64).to_le_bytes());
        table.extend(crc32fast::hash(&body[start..]).to_le_bytes());
    }
    (body, table)
}

/// Values of a matrix beyond which it is read but not multiplied.
const VALUES_MAX: usize = 1 << 16;

/// Reads the first and the last row of each matrix, and multiplies it with `inputs` rows.
fn touch(packed: &PackedFile, inputs: usize) -> usize {
    packed
        .matrices()
        .map(|(_, matrix)| {
            let mut row = vec![0.0; matrix.cols()];
            matrix.row_into(0, &mut row);
            matrix.row_into(matrix.rows() - 1, &mut row);
            std::hint::black_box(row);
            if matrix.rows() * matrix.cols() <= VALUES_MAX {
                multiply_by_all(&matrix, inputs);
            }
        })
        .count()
}

/// Multiplies a matrix with rows of ordinary numbers by every set of kernels.
fn multiply_by_all(matrix: &Matrix, inputs: usize) {
    let shape = (inputs, matrix.cols());
    let mut results = Kernels::available().into_iter().map(|kernels| {
        let (mut input, needs) = (Activations::default(), Needs::of([matrix]));
        let needs = if inputs.is_multiple_of(2) { needs.finely() } else { needs };
        input.fill(pool(), kernels, shape, needs, |row, out| {
            out.iter_mut().zip(1usize..).for_each(|(value, at)| *value = ((at * 37 + row * 11) % 101) as f32 - 50.0);
        });
        let mut out = vec![0.0; inputs * matrix.rows()];
        let product = Product { weights: matrix, bias: None, out: &mut out, accumulate: false };
        multiply(pool(), kernels, &input, &mut [product]);
        (kernels.name(), out)
    });
    let (_, first) = results.next().expect("some kernels run anywhere");
    for (name, other) in results {
        for (first, other) in first.iter().zip(&other).filter(|pair| pair.0.is_finite() || pair.1.is_finite()) {
            assert_eq!(first.to_bits(), other.to_bits(), "{name}: {:?}", matrix.kind());
        }
    }
}

pub fn check(bytes: &[u8]) {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    let inputs = 1 + bytes.len() % 19;
    match way % 3 {
        0 => {
            if let Ok(packed) = PackedFile::from_bytes(bytes.to_vec(), &KEY, pool()) {
                touch(&packed, inputs);
            }
        }
        1 => {
            let (body, table) = bytes.split_at(bytes.len() * usize::from(way / 3) / 86);
            if let Ok(packed) = PackedFile::from_bytes(file(body, table), &KEY, pool()) {
                touch(&packed, inputs);
            }
        }
        _ => {
            let (body, table) = matrices(bytes);
            let mut file = file(&body, &table);
            let packed = PackedFile::from_bytes(file.clone(), &KEY, pool()).expect("a whole file is read");
            assert_eq!(touch(&packed, inputs), bytes.len().min(16) / 4);
            let at = bytes.iter().fold(0usize, |at, &byte| at.wrapping_mul(257).wrapping_add(usize::from(byte)));
            let at = at % file.len();
            file[at] ^= way | 1;
            assert!(PackedFile::from_bytes(file, &KEY, pool()).is_err(), "byte {at} was changed");
        }
    }
}
