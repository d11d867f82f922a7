//! Work on single rows: norm, activation, softmax.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::{Simd, Task};

/// Sixteen values of a row from `at`, the missing ones as `fill`.
#[inline(always)]
fn padded(values: &[f32], fill: f32) -> [f32; 16] {
    let mut lanes = [fill; 16];
    lanes[..values.len()].copy_from_slice(values);
    lanes
}

/// Root mean square norm: `out = row / sqrt(mean(row^2) + epsilon) * weight` (Zhang and Sennrich 2019).
pub(crate) struct RmsNorm<'a> {
    pub(crate) row: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) out: &'a mut [f32],
}

impl Task for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (chunks, rest) = self.row.as_chunks::<16>();
        let mut squares = simd.floats(0.0);
        for chunk in chunks {
            let values = simd.load(chunk);
            squares = simd.fma(values, values, squares);
        }
        let values = simd.load(&padded(rest, 0.0));
        let mean = simd.sum_lanes(simd.fma(values, values, squares)) / self.row.len() as f32;
        let scale = 1.0 / (mean + self.epsilon).sqrt();
        for ((out, &value), &weight) in self.out.iter_mut().zip(self.row).zip(self.weight) {
            *out = value * scale * weight;
        }
    }
}

/// The gated unit of llama and its kin: `out = gate / (1 + exp(-gate)) * up` (Shazeer 2020).
pub(crate) struct SiluGate<'a> {
    pub(crate) gate: &'a [f32],
    pub(crate) up: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Task for SiluGate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (gate, gate_rest) = self.gate.as_chunks::<16>();
        let (up, up_rest) = self.up.as_chunks::<16>();
        let (out, out_rest) = self.out.as_chunks_mut::<16>();
        for ((gate, up), out) in gate.iter().zip(up).zip(out) {
            simd.store(silu_gate(simd, gate, up), out);
        }
        let mut last = [0.0; 16];
        simd.store(silu_gate(simd, &padded(gate_rest, 0.0), &padded(up_rest, 0.0)), &mut last);
        out_rest.copy_from_slice(&last[..out_rest.len()]);
    }
}

/// Sixteen values of the gated unit.
#[inline(always)]
pub(super) fn silu_gate<S: Simd>(simd: S, gate: &[f32; 16], up: &[f32; 16]) -> S::Floats {
    let gate = simd.load(gate);
    let one = simd.floats(1.0);
    let below = simd.add(one, simd.exp(simd.sub(simd.floats(0.0), gate)));
    simd.mul(simd.div(gate, below), simd.load(up))
}

/// Replaces scores by `exp(score - largest)` and returns their sum. Sums run lane by lane, so they depend on the row alone.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let (chunks, rest) = scores.as_chunks_mut::<16>();
    let mut largest = simd.load(&padded(rest, f32::NEG_INFINITY));
    for chunk in &*chunks {
        largest = simd.max(simd.load(chunk), largest);
    }
    let largest = simd.floats(simd.max_lanes(largest));
    let mut sum = simd.floats(0.0);
    for chunk in chunks {
        let value = simd.exp(simd.sub(simd.load(chunk), largest));
        simd.store(value, chunk);
        sum = simd.add(sum, value);
    }
    let mut last = [0.0; 16];
    simd.store(simd.exp(simd.sub(simd.load(&padded(rest, f32::NEG_INFINITY)), largest)), &mut last);
    last[rest.len()..].fill(0.0);
    rest.copy_from_slice(&last[..rest.len()]);
    simd.sum_lanes(simd.add(sum, simd.load(&last)))
}

/// The natural logarithm of the sum of exponentials of a row, in double precision between pieces of 4,096 values.
pub(crate) struct LogSumExp<'a> {
    pub(crate) row: &'a [f32],
}

impl Task for LogSumExp<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let largest = self.row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !largest.is_finite() {
            return f64::from(largest);
        }
        let shift = simd.floats(largest);
        let mut total = 0.0;
        for piece in self.row.chunks(4096) {
            let (chunks, rest) = piece.as_chunks::<16>();
            let mut sum = simd.floats(0.0);
            for chunk in chunks {
                sum = simd.add(sum, simd.exp(simd.sub(simd.load(chunk), shift)));
            }
            total += f64::from(simd.sum_lanes(sum));
            total += rest.iter().map(|&value| f64::from(value - largest).exp()).sum::<f64>();
        }
        f64::from(largest) + total.ln()
    }
}
