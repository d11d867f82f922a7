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
        let scale = inverse_root_mean_square(simd, self.row, self.epsilon);
        for ((out, &value), &weight) in self.out.iter_mut().zip(self.row).zip(self.weight) {
            *out = value * scale * weight;
        }
    }
}

/// As [`RmsNorm`], added to what `out` holds.
pub(crate) struct AddNormalised<'a> {
    pub(crate) row: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) out: &'a mut [f32],
}

impl Task for AddNormalised<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = inverse_root_mean_square(simd, self.row, self.epsilon);
        for ((out, &value), &weight) in self.out.iter_mut().zip(self.row).zip(self.weight) {
            *out += value * scale * weight;
        }
    }
}

#[inline(always)]
fn inverse_root_mean_square<S: Simd>(simd: S, row: &[f32], epsilon: f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<16>();
    let mut squares = simd.floats(0.0);
    for chunk in chunks {
        let values = simd.load(chunk);
        squares = simd.fma(values, values, squares);
    }
    let values = simd.load(&padded(rest, 0.0));
    let mean = simd.sum_lanes(simd.fma(values, values, squares)) / row.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

/// How the two inputs of a gated unit become one (Shazeer 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `gate * sigmoid(gate) * up`, of llama and its kin.
    Silu,
    /// `gelu(gate) * up` with the approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016), of gemma.
    GeluTanh,
    /// `gate * sigmoid(1.702 gate) * (up + 1)` with the gate at most 7 and `up` between -7 and 7, of gpt-oss.
    ClampedSwiglu,
}

/// A row of a gated unit.
pub(crate) struct GateTask<'a> {
    pub(crate) kind: Gate,
    pub(crate) gate: &'a [f32],
    pub(crate) up: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Task for GateTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.kind {
            Gate::Silu => gate_row::<S, Silu>(simd, self),
            Gate::GeluTanh => gate_row::<S, GeluTanh>(simd, self),
            Gate::ClampedSwiglu => gate_row::<S, ClampedSwiglu>(simd, self),
        }
    }
}

/// What a gate does with sixteen lanes. (A closure would be compiled without the instructions of the lanes.)
pub(super) trait Combine {
    fn combine<S: Simd>(simd: S, gate: S::Floats, up: S::Floats) -> S::Floats;
}

#[inline(always)]
fn gate_row<S: Simd, C: Combine>(simd: S, task: GateTask<'_>) {
    let (gate, gate_rest) = task.gate.as_chunks::<16>();
    let (up, up_rest) = task.up.as_chunks::<16>();
    let (out, out_rest) = task.out.as_chunks_mut::<16>();
    for ((gate, up), out) in gate.iter().zip(up).zip(out) {
        simd.store(C::combine(simd, simd.load(gate), simd.load(up)), out);
    }
    let mut last = [0.0; 16];
    simd.store(C::combine(simd, simd.load(&padded(gate_rest, 0.0)), simd.load(&padded(up_rest, 0.0))), &mut last);
    out_rest.copy_from_slice(&last[..out_rest.len()]);
}

/// `value / (1 + exp(-slope))`.
#[inline(always)]
fn times_sigmoid<S: Simd>(simd: S, value: S::Floats, slope: S::Floats) -> S::Floats {
    simd.div(value, simd.add(simd.floats(1.0), simd.exp(simd.sub(simd.floats(0.0), slope))))
}

pub(super) struct Silu;
impl Combine for Silu {
    #[inline(always)]
    fn combine<S: Simd>(simd: S, gate: S::Floats, up: S::Floats) -> S::Floats {
        simd.mul(times_sigmoid(simd, gate, gate), up)
    }
}

// `(1 + tanh(x)) / 2` is the sigmoid of `2 x`.
pub(super) struct GeluTanh;
impl Combine for GeluTanh {
    #[inline(always)]
    fn combine<S: Simd>(simd: S, gate: S::Floats, up: S::Floats) -> S::Floats {
        let cubic = simd.fma(simd.mul(gate, gate), simd.floats(0.044_715), simd.floats(1.0));
        let slope = simd.mul(simd.mul(gate, cubic), simd.floats(2.0 * 0.797_884_6));
        simd.mul(times_sigmoid(simd, gate, slope), up)
    }
}

pub(super) struct ClampedSwiglu;
impl Combine for ClampedSwiglu {
    #[inline(always)]
    fn combine<S: Simd>(simd: S, gate: S::Floats, up: S::Floats) -> S::Floats {
        let gate = simd.min(gate, simd.floats(7.0));
        let up = simd.max(simd.min(up, simd.floats(7.0)), simd.floats(-7.0));
        simd.mul(times_sigmoid(simd, gate, simd.mul(gate, simd.floats(1.702))), simd.add(up, simd.floats(1.0)))
    }
}

/// Replaces each value by `cap * tanh(value / cap)`, with an absolute error of about a ten millionth of the cap.
pub(crate) struct SoftCap<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) cap: f32,
}

impl Task for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        soft_cap(simd, self.values, self.cap);
    }
}

#[inline(always)]
pub(super) fn soft_cap<S: Simd>(simd: S, values: &mut [f32], cap: f32) {
    let (chunks, rest) = values.as_chunks_mut::<16>();
    for chunk in chunks {
        simd.store(capped(simd, simd.load(chunk), cap), chunk);
    }
    let mut last = [0.0; 16];
    simd.store(capped(simd, simd.load(&padded(rest, 0.0)), cap), &mut last);
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
pub(super) fn capped<S: Simd>(simd: S, values: S::Floats, cap: f32) -> S::Floats {
    let powers = simd.exp(simd.mul(values, simd.floats(2.0 / cap)));
    let share = simd.div(simd.floats(2.0), simd.add(powers, simd.floats(1.0)));
    simd.mul(simd.sub(simd.floats(1.0), share), simd.floats(cap))
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
