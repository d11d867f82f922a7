//! Gated products: two matrices of one input, joined value by value and quantised at once as the input of a third.
//!
//! A piece of 32 columns goes through all three steps while it is in the cache; the wide values between the matrices are
//! never written out.
#![expect(unsafe_code, reason = "threads fill disjoint groups of one input")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::activations::{Activations, FINE_ROWS, GroupWriter, STRIP, by_strip, strip_width};
use super::matmul::{self, Shared, multiply_tiles};
use super::rows::{ClampedSwiglu, Combine, Gate, GeluTanh, Silu};
use super::{Kernels, Simd, Task};
use crate::pool::{Disjoint, Pool};
use crate::quant::{GROUP, Matrix, TILE_ROWS};
use std::cell::Cell;

/// One of the two matrices of a gated product, with its bias where it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatedMatrix<'a> {
    /// Outputs by inputs.
    pub(crate) weights: &'a Matrix,
    /// As long as the matrix has rows.
    pub(crate) bias: Option<&'a [f32]>,
}

/// Whether [`multiply_gated`] takes these matrices, with a quantised reader of the result.
pub(crate) fn can_gate(gate: &Matrix, up: &Matrix, reader: &Matrix) -> bool {
    !gate.kind().is_dense() && !up.kind().is_dense() && !reader.kind().is_dense() && gate.rows().is_multiple_of(GROUP)
}

thread_local! {
    /// Both products of one group of columns, row after row, kept between calls.
    static GROUPS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// Fills `out` with the gated unit of the input, in integers; fine ones when `fine` is set.
///
/// # Panics
/// When the matrices do not fit the input or each other.
pub(crate) fn multiply_gated(
    pool: &Pool,
    kernels: Kernels,
    input: &Activations,
    [gate, up]: [GatedMatrix<'_>; 2],
    kind: Gate,
    (out, fine): (&mut Activations, bool),
) {
    let (rows, columns) = (input.rows(), gate.weights.rows());
    for matrix in [gate, up] {
        assert_eq!(
            (matrix.weights.rows(), matrix.weights.cols()),
            (columns, input.cols()),
            "both matrices fit the input"
        );
        assert!(matrix.bias.is_none_or(|bias| bias.len() == columns), "a bias for each output");
    }
    let groups = columns / GROUP;
    let few = [gate, up].iter().all(|matrix| input.is_direct(matrix.weights.kind()));
    let bytes = gate.weights.size_bytes() + up.weights.size_bytes();
    let piece = if few { matmul::piece(groups, bytes, pool.threads()) } else { 1 };
    let writer = out.writer((rows, columns), fine);
    pool.run(groups.div_ceil(piece), &|index| {
        let mut values = GROUPS.take();
        for group in index * piece..((index + 1) * piece).min(groups) {
            for (values, matrix) in values.iter_mut().zip([gate, up]) {
                values.resize(rows * GROUP, 0.0);
                let product = Shared {
                    weights: matrix.weights,
                    bias: matrix.bias,
                    out: Disjoint::new(values),
                    columns: GROUP,
                    first_column: group * GROUP,
                    accumulate: false,
                };
                let first = group * GROUP / TILE_ROWS;
                multiply_tiles(kernels, input, &product, first..first + GROUP / TILE_ROWS);
            }
            let [gate, up] = &values;
            kernels.run(GateGroup { kind, gate, up, group, writer: &writer });
        }
        GROUPS.set(values);
    });
}

/// Joins one group of columns of all rows.
struct GateGroup<'a, 'b> {
    kind: Gate,
    gate: &'a [f32],
    up: &'a [f32],
    group: usize,
    writer: &'a GroupWriter<'b>,
}

impl Task for GateGroup<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.kind {
            Gate::Silu => join_group::<S, Silu>(simd, &self),
            Gate::GeluTanh => join_group::<S, GeluTanh>(simd, &self),
            Gate::ClampedSwiglu => join_group::<S, ClampedSwiglu>(simd, &self),
        }
    }
}

#[inline(always)]
fn join_group<S: Simd, C: Combine>(simd: S, task: &GateGroup<'_, '_>) {
    let gate = task.gate.as_chunks::<16>().0.as_chunks::<2>().0;
    let up = task.up.as_chunks::<16>().0.as_chunks::<2>().0;
    by_strip!(task.writer.lanes, task.writer.copies, W, R => {
        for (strip, (gate, up)) in gate.chunks(R).zip(up.chunks(R)).enumerate() {
            // SAFETY: each group is written by one call, strip after strip.
            let record = unsafe { task.writer.record::<W, R>(strip, task.group) };
            let mut rows = [[simd.floats(0.0); 2]; R];
            for (row, (gate, up)) in rows.iter_mut().zip(gate.iter().zip(up)) {
                for (half, value) in row.iter_mut().enumerate() {
                    *value = C::combine(simd, simd.load(&gate[half]), simd.load(&up[half]));
                }
            }
            record.put(simd, &rows);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::rows::GateTask;
    use crate::kernels::{Needs, Product, multiply};
    use crate::quant::WeightType;

    /// Values between -1 and 1 by a linear congruential generator.
    fn values(count: usize, mut state: u32) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 2_147_483_648.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Blocks of `Q8_0` with the values of random bytes.
    fn matrix(rows: usize, cols: usize, seed: u32, pool: &Pool) -> Matrix {
        let blocks = values(rows * cols, seed);
        let bytes: Vec<u8> = blocks
            .chunks(GROUP)
            .flat_map(|block| {
                let scale = half::f16::from_f32(0.01).to_le_bytes();
                scale.into_iter().chain(block.iter().map(|value| (value * 127.0) as i8 as u8)).collect::<Vec<_>>()
            })
            .collect();
        Matrix::pack(WeightType::Q8_0, rows, cols, &bytes, pool).expect("the bytes fit the shape")
    }

    #[test]
    fn joined_at_once_or_written_out_between_is_the_same() {
        let pool = Pool::new(2);
        let (inner, cols, outputs) = (96, 64, 20);
        let (gate, up) = (matrix(inner, cols, 1, &pool), matrix(inner, cols, 2, &pool));
        let (down, bias) = (matrix(outputs, inner, 3, &pool), values(inner, 4));
        for (kernels, kind, rows, fine) in Kernels::available().into_iter().flat_map(|kernels| {
            [
                (Gate::Silu, 1, false),
                (Gate::GeluTanh, 1, true),
                (Gate::ClampedSwiglu, 5, false),
                (Gate::Silu, 7, true),
                (Gate::GeluTanh, if cfg!(miri) { 9 } else { 20 }, false),
            ]
            .map(|(kind, rows, fine)| (kernels, kind, rows, fine))
        }) {
            let source = values(rows * cols, 5);
            let needs = Needs { fine, ..Needs::of([&gate]) };
            let mut input = Activations::default();
            input.fill(&pool, kernels, (rows, cols), needs, |row, out| {
                out.copy_from_slice(&source[row * cols..][..cols]);
            });
            let mut joined = Activations::default();
            let halves = [GatedMatrix { weights: &gate, bias: Some(&bias) }, GatedMatrix { weights: &up, bias: None }];
            multiply_gated(&pool, kernels, &input, halves, kind, (&mut joined, fine));
            let (mut gates, mut ups) = (vec![0.0; rows * inner], vec![0.0; rows * inner]);
            let mut products = [
                Product { weights: &gate, bias: Some(&bias), out: &mut gates, accumulate: false },
                Product { weights: &up, bias: None, out: &mut ups, accumulate: false },
            ];
            multiply(&pool, kernels, &input, &mut products);
            let mut written = Activations::default();
            written.fill(&pool, kernels, (rows, inner), needs, |row, out| {
                let range = row * inner..(row + 1) * inner;
                kernels.run(GateTask { kind, gate: &gates[range.clone()], up: &ups[range], out });
            });
            let results = [&joined, &written].map(|input| {
                let mut out = vec![0.0; rows * outputs];
                let product = Product { weights: &down, bias: None, out: &mut out, accumulate: false };
                multiply(&pool, kernels, input, &mut [product]);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert_eq!(results[0], results[1], "{} {rows} rows, fine {fine}", kernels.name());
        }
    }
}
