//! What the encoders do row by row besides products: activations and norms.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::gemm_i8::Finish;
use super::{Simd, Task};

/// The Gaussian error linear unit, `x * (1 + erf(x / sqrt(2))) / 2`.
///
/// The integral of the normal distribution from 0 to `x` is `x` times a polynomial of degree 10 in `x * x`, fitted between
/// -5 and 5 and taken in the variable `2 * x * x / 25 - 1`, which keeps its terms small. Absolute error below 1e-5 there and
/// beyond.
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Gelu {
    const BOUND: f32 = 5.0;
    /// Highest power first.
    const COEFFICIENTS: [f32; 11] = [
        0.002_181_779_2,
        -0.006_199_693,
        0.007_211_899,
        -0.008_479_780_5,
        0.015_421_818,
        -0.024_122_357,
        0.031_775_56,
        -0.040_339_638,
        0.051_485_617,
        -0.070_299_36,
        0.141_364_32,
    ];
}

impl Finish for Gelu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::Floats) -> S::Floats {
        let inner = simd.max(simd.min(x, simd.floats(Self::BOUND)), simd.floats(-Self::BOUND));
        let factor = simd.floats(2.0 / (Self::BOUND * Self::BOUND));
        let place = simd.fma(simd.mul(inner, inner), factor, simd.floats(-1.0));
        let [first, rest @ ..] = Self::COEFFICIENTS;
        let mut sum = simd.floats(first);
        for coefficient in rest {
            sum = simd.fma(sum, place, simd.floats(coefficient));
        }
        simd.mul(x, simd.fma(inner, sum, simd.floats(0.5)))
    }
}

/// The sigmoid linear unit, `x / (1 + exp(-x))`.
#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Finish for Silu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::Floats) -> S::Floats {
        let below = simd.add(simd.floats(1.0), simd.exp(simd.sub(simd.floats(0.0), x)));
        simd.div(x, below)
    }
}

/// Multiplies the first half of each row, activated, with the second half; the result stands in the first half.
pub(crate) struct Gate<'a, F> {
    pub(crate) rows: &'a mut [f32],
    /// Length of a row: two halves, each a multiple of 16.
    pub(crate) stride: usize,
    pub(crate) activation: F,
}

impl<F: Finish> Task for Gate<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.stride) {
            let (first, second) = row.split_at_mut(self.stride / 2);
            for (first, second) in first.as_chunks_mut::<16>().0.iter_mut().zip(second.as_chunks::<16>().0) {
                let activated = self.activation.finish(simd, simd.load(first));
                simd.store(simd.mul(activated, simd.load(second)), first);
            }
        }
    }
}

/// Activates the values of a row in place.
pub(crate) struct Activate<'a, F> {
    pub(crate) row: &'a mut [f32],
    pub(crate) activation: F,
}

impl<F: Finish> Task for Activate<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for chunk in self.row.chunks_mut(16) {
            let mut values = [0.0; 16];
            values[..chunk.len()].copy_from_slice(chunk);
            let activated = self.activation.finish(simd, simd.load(&values));
            simd.store(activated, &mut values);
            chunk.copy_from_slice(&values[..chunk.len()]);
        }
    }
}

/// Adds rows that stand `stride` apart to rows of `width` values.
pub(crate) struct Add<'a> {
    pub(crate) rows: &'a mut [f32],
    pub(crate) width: usize,
    pub(crate) added: &'a [f32],
    pub(crate) stride: usize,
}

impl Task for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (row, added) in self.rows.chunks_exact_mut(self.width).zip(self.added.chunks_exact(self.stride)) {
            row.iter_mut().zip(added).for_each(|(value, add)| *value += add);
        }
    }
}

/// Layer norm of rows in place: to mean 0 and variance 1, times weight plus bias.
pub(crate) struct Normalise<'a> {
    /// Rows of `weight.len()` values.
    pub(crate) rows: &'a mut [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) epsilon: f32,
}

impl Task for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for row in self.rows.chunks_exact_mut(width) {
            let mean = sum(simd, row, |_, value| value) / width as f32;
            row.iter_mut().for_each(|value| *value -= mean);
            let variance = sum(simd, row, |simd, value| simd.mul(value, value)) / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(self.weight).zip(self.bias) {
                *value = *value * scale * weight + bias;
            }
        }
    }
}

/// The sum of a function of the values, lane by lane.
#[inline(always)]
fn sum<S: Simd>(simd: S, values: &[f32], term: impl Fn(S, S::Floats) -> S::Floats) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut total = simd.floats(0.0);
    for chunk in chunks {
        total = simd.add(total, term(simd, simd.load(chunk)));
    }
    let mut last = [0.0; 16];
    last[..rest.len()].copy_from_slice(rest);
    simd.sum_lanes(simd.add(total, term(simd, simd.load(&last))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernels;

    struct Apply<'a>(&'a mut [f32; 16]);
    impl Task for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            simd.store(Gelu.finish(simd, simd.load(self.0)), self.0);
        }
    }

    /// `x * (1 + erf(x / sqrt(2))) / 2` by the error function's Taylor series or, far out, by its limits.
    fn gelu(x: f64) -> f64 {
        if x.abs() > 6.5 {
            return x.max(0.0);
        }
        let place = x / 2.0f64.sqrt();
        let (mut term, mut sum) = (place, place);
        for n in 1..300 {
            term *= -place * place / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        x * (0.5 + sum / std::f64::consts::PI.sqrt())
    }

    #[test]
    fn gelu_is_close_everywhere() {
        for start in (-300..300).step_by(if cfg!(miri) { 50 } else { 1 }) {
            let inputs: [f32; 16] = std::array::from_fn(|lane| start as f32 * 0.04 + lane as f32 * 0.0025);
            let mut first = None;
            for kernels in Kernels::available() {
                let mut out = inputs;
                kernels.run(Apply(&mut out));
                for (&seen, &x) in out.iter().zip(&inputs) {
                    assert!((f64::from(seen) - gelu(f64::from(x))).abs() < 1.2e-5, "{x}: {seen}");
                }
                assert_eq!(*first.get_or_insert(out), out, "{}", kernels.name());
            }
        }
    }

    #[test]
    fn gates() {
        let rows: Vec<f32> = (0..64).map(|at| (at as f32 - 30.0) * 0.3).collect();
        for kernels in Kernels::available() {
            let (mut by_silu, mut by_gelu) = (rows.clone(), rows.clone());
            kernels.run(Gate { rows: &mut by_silu, stride: 64, activation: Silu });
            kernels.run(Gate { rows: &mut by_gelu, stride: 64, activation: Gelu });
            for at in 0..32 {
                let (x, factor) = (f64::from(rows[at]), f64::from(rows[at + 32]));
                assert!((f64::from(by_silu[at]) - x / (1.0 + (-x).exp()) * factor).abs() < 1e-5);
                assert!((f64::from(by_gelu[at]) - gelu(x) * factor).abs() < 2e-4);
            }
            assert_eq!(by_silu[32..], rows[32..]);
        }
    }

    #[test]
    fn norms_of_sums() {
        for kernels in Kernels::available() {
            let mut rows = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0];
            let added = [0.0, 0.0, 0.0, 9.0, 1.0, 1.0, 4.0, 9.0];
            let (weight, bias) = (&[1.0, 2.0, 1.0], &[0.0, 0.0, 1.0]);
            kernels.run(Add { rows: &mut rows, width: 3, added: &added, stride: 4 });
            kernels.run(Normalise { rows: &mut rows, weight, bias, epsilon: 0.0 });
            let (side, half) = (1.5f32.sqrt(), 0.5f32.sqrt());
            let wanted = [-side, 0.0, side + 1.0, -half, -2.0 * half, 2.0 * half + 1.0];
            assert!(rows.iter().zip(wanted).all(|(seen, wanted)| (seen - wanted).abs() < 1e-6), "{rows:?}");
        }
    }
}
