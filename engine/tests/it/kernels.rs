//! Matrix products: all kernel sets equal bit for bit, rows independent of their company, and close to exact arithmetic.

use crate::tiny::{Random, random_rows};
use cloister_engine::kernels::{Activations, Kernels, Needs, Product, multiply};
use cloister_engine::pool::Pool;
use cloister_engine::quant::{Matrix, WeightType, dequantize};
use proptest::prelude::*;

/// Rows of inputs with magnitudes that differ from group to group; some groups are zero, some hold one large value.
fn inputs(rows: usize, cols: usize, random: &mut Random) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows * cols);
    for _ in 0..rows * cols / 32 {
        let size = [0.0, 1e-3, 1.0, 30.0, 1e4][random.below(5)];
        let spike = random.below(40);
        values.extend((0..32).map(|at| if at == spike { 100.0 * size } else { size * random.normal() }));
    }
    values
}

fn product(kernels: Kernels, threads: usize, weights: &Matrix, inputs: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    product_of(Needs::of([weights]), kernels, threads, weights, inputs, bias)
}

fn product_of(
    needs: Needs,
    kernels: Kernels,
    threads: usize,
    weights: &Matrix,
    inputs: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let pool = Pool::new(threads);
    let (cols, rows) = (weights.cols(), inputs.len() / weights.cols());
    let mut input = Activations::default();
    input.fill(&pool, kernels, (rows, cols), needs, |row, out| {
        out.copy_from_slice(&inputs[row * cols..][..cols]);
    });
    let mut out = vec![1.0; rows * weights.rows()];
    let mut products = [Product { weights, bias, out: &mut out, accumulate: bias.is_some() }];
    multiply(&pool, kernels, &input, &mut products);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// One thread of the portable set is the reference; all others must give the same bits, and so must each row alone.
    #[test]
    fn all_sets_threads_and_batches_agree(seed in any::<u64>(), rows in 1usize..24, outputs in 1usize..70, blocks in 1usize..4) {
        let random = &mut Random::new(seed);
        let cols = 256 * blocks;
        let pool = Pool::new(1);
        let inputs = inputs(rows, cols, random);
        let bias: Vec<f32> = (0..outputs).map(|_| random.normal()).collect();
        for kind in WeightType::ALL {
            let bytes = random_rows(kind, outputs, cols, random);
            let weights = Matrix::pack(kind, outputs, cols, &bytes, &pool).unwrap();
            let bias = (seed % 2 == 0).then_some(bias.as_slice());
            let needs = Needs { fine: seed % 3 == 0, ..Needs::of([&weights]) };
            let product = |kernels, threads, inputs| product_of(needs, kernels, threads, &weights, inputs, bias);
            let expected = product(Kernels::portable(), 1, &inputs);
            for kernels in Kernels::available() {
                let found = product(kernels, 2, &inputs);
                prop_assert_eq!(bits(&found), bits(&expected), "{} {}", kind.name(), kernels.name());
                for (row, expected) in expected.chunks(outputs).enumerate() {
                    let found = product(kernels, 1, &inputs[row * cols..][..cols]);
                    prop_assert_eq!(bits(&found), bits(expected), "{} {} row {}", kind.name(), kernels.name(), row);
                }
            }
        }
    }
}

/// The largest quants of both signs: no integer sum may saturate or overflow.
#[test]
fn extreme_values_do_not_saturate() {
    let pool = Pool::new(1);
    let (outputs, cols) = (16, 256);
    for kind in WeightType::ALL.into_iter().filter(|kind| !kind.is_dense()) {
        for fill in [0x00u8, 0xff, 0x7f, 0x80] {
            let mut bytes = vec![fill; outputs * cols / kind.block_values() * kind.block_bytes()];
            crate::tiny::set_scales(kind, &mut bytes, &mut || 0.5);
            let weights = Matrix::pack(kind, outputs, cols, &bytes, &pool).unwrap();
            for sign in [1.0f32, -1.0] {
                let inputs = vec![sign * 127.0; cols];
                let expected = product(Kernels::portable(), 1, &weights, &inputs, None);
                let exact = exact_product(kind, &bytes, cols, &inputs);
                for (found, exact) in expected.iter().zip(exact) {
                    let tolerance = exact.abs() * 1e-5 + 1e-3;
                    assert!((f64::from(*found) - exact).abs() <= tolerance, "{}: {found} {exact}", kind.name());
                }
                for kernels in Kernels::available() {
                    let found = product(kernels, 1, &weights, &inputs, None);
                    assert_eq!(bits(&found), bits(&expected), "{} {} {fill:#x}", kind.name(), kernels.name());
                }
            }
        }
    }
}

/// Powers of two from below the normal numbers to the largest: every set reads the same ones.
#[test]
fn exponents_of_all_sizes_are_read_alike() {
    let pool = Pool::new(1);
    let random = &mut Random::new(17);
    let (outputs, cols) = (16, 64);
    for exponent in [0u8, 1, 2, 100, 127, 200, 252] {
        let mut bytes = random_rows(WeightType::MXFP4, outputs, cols, random);
        bytes.chunks_exact_mut(17).for_each(|block| block[0] = exponent);
        let weights = Matrix::pack(WeightType::MXFP4, outputs, cols, &bytes, &pool).unwrap();
        for rows in [1, 7] {
            let inputs: Vec<f32> = (0..rows * cols).map(|_| random.normal() * 0.1).collect();
            let expected = product(Kernels::portable(), 1, &weights, &inputs, None);
            let exact = exact_product(WeightType::MXFP4, &bytes, cols, &inputs[..cols]);
            let power: f64 = exact.iter().map(|value| value * value).sum();
            let error: f64 = expected.iter().zip(&exact).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum();
            assert!(error / power < 1e-3 && power > 0.0, "{exponent}: {}", error / power);
            for kernels in Kernels::available() {
                let found = product(kernels, 1, &weights, &inputs, None);
                assert_eq!(bits(&found), bits(&expected), "{exponent} {rows} {}", kernels.name());
            }
        }
    }
}

/// Products of one row in double precision.
fn exact_product(kind: WeightType, bytes: &[u8], cols: usize, inputs: &[f32]) -> Vec<f64> {
    let mut values = vec![0.0; bytes.len() / kind.block_bytes() * kind.block_values()];
    dequantize(kind, bytes, &mut values);
    let dot = |row: &[f32]| row.iter().zip(inputs).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    values.chunks(cols).map(dot).collect()
}

#[test]
fn products_are_close_to_exact_ones() {
    let (outputs, cols) = (64, 1024);
    let pool = Pool::new(1);
    let random = &mut Random::new(3);
    let inputs: Vec<f32> = (0..cols).map(|_| random.normal()).collect();
    for kind in WeightType::ALL {
        let bytes = random_rows(kind, outputs, cols, random);
        let weights = Matrix::pack(kind, outputs, cols, &bytes, &pool).unwrap();
        let exact = exact_product(kind, &bytes, cols, &inputs);
        let power: f64 = exact.iter().map(|value| value * value).sum();
        for fine in [false, true] {
            let needs = Needs { fine, ..Needs::of([&weights]) };
            let found = product_of(needs, Kernels::detect(), 1, &weights, &inputs, None);
            let error: f64 = found.iter().zip(&exact).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum();
            // Eight bits with a scale for each 32 values have an error power of some 1e-5 of the result's; more where biases
            // cancel much of it. What is left of the error after a second round of eight bits is 1/254 in size.
            let limit = if kind.is_dense() {
                1e-11
            } else if fine {
                4e-9
            } else {
                2e-4
            };
            assert!(error / power < limit, "{} {fine}: {}", kind.name(), error / power);
        }
    }
}
