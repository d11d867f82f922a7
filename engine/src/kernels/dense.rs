//! Products of float weights with float activations: fused multiply-adds, column after column.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::Simd;
use super::integer::Lanes;

/// How the values of a column of 16 rows are read.
pub(super) trait Column {
    const BYTES: usize;
    fn read<S: Simd>(simd: S, bytes: &[u8]) -> S::Floats;
}

pub(super) struct F32;
impl Column for F32 {
    const BYTES: usize = 64;
    #[inline(always)]
    fn read<S: Simd>(simd: S, bytes: &[u8]) -> S::Floats {
        let mut values = [0.0; 16];
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        simd.load(&values)
    }
}

pub(super) struct F16;
impl Column for F16 {
    const BYTES: usize = 32;
    #[inline(always)]
    fn read<S: Simd>(simd: S, bytes: &[u8]) -> S::Floats {
        simd.load_f16(bytes.as_array().expect("a column of halves has 32 bytes"))
    }
}

pub(super) struct Bf16;
impl Column for Bf16 {
    const BYTES: usize = 32;
    #[inline(always)]
    fn read<S: Simd>(simd: S, bytes: &[u8]) -> S::Floats {
        simd.load_bf16(bytes.as_array().expect("a column of halves has 32 bytes"))
    }
}

/// Straight from the packed form: for a single strip.
#[inline(always)]
pub(super) fn direct<S: Simd, C: Column, const W: usize>(simd: S, tile: &[u8], strip: &[[f32; W]]) -> [S::Floats; W] {
    let mut result = [simd.floats(0.0); W];
    for (column, values) in tile.chunks_exact(C::BYTES).zip(strip) {
        let weights = C::read(simd, column);
        for row in 0..W {
            result[row] = simd.fma(weights, simd.floats(values[row]), result[row]);
        }
    }
    result
}

/// Widens tile `place` of a panel of `T` tiles; the panel's floats stand by column and tile.
#[inline(always)]
pub(super) fn unpack<S: Simd, C: Column, const T: usize>(
    simd: S,
    tile: &[u8],
    cols: usize,
    place: usize,
    panel: &mut Vec<Lanes>,
) {
    panel.resize(cols * T, Lanes([0.0; 16]));
    for (column, out) in tile.chunks_exact(C::BYTES).zip(panel.chunks_exact_mut(T)) {
        simd.store(C::read(simd, column), &mut out[place].0);
    }
}

/// A panel of `T` tiles against one strip.
#[inline(always)]
pub(super) fn panel<S: Simd, const T: usize, const W: usize>(
    simd: S,
    panel: &[Lanes],
    strip: &[[f32; W]],
) -> [[S::Floats; W]; T] {
    let mut result = [[simd.floats(0.0); W]; T];
    for (tiles, values) in panel.as_chunks::<T>().0.iter().zip(strip) {
        for tile in 0..T {
            let weights = simd.load(&tiles[tile].0);
            for row in 0..W {
                result[tile][row] = simd.fma(weights, simd.floats(values[row]), result[tile][row]);
            }
        }
    }
    result
}
