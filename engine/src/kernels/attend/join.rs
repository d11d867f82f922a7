//! What a row gets from its pages, joined in their order.

use super::{AttendScratch, LANES, NOTHING, UNIT, power};
use crate::kernels::{Simd, Task};

/// Numbers of what a row gets from one page, in front of its values: the largest score, the sum of the powers of two, and the step
/// of the values.
const HEADER: usize = LANES;

/// Length of what a row gets from one page.
pub(crate) const fn gain_length(dim: usize) -> usize {
    HEADER + dim
}

/// Writes the header of what a row gets from one page.
pub(super) fn set_header(gain: &mut [f32], peak: f32, sum: f32, step: f32) {
    gain[..3].copy_from_slice(&[peak, sum, step]);
}

/// What a row has before its first page: nothing, or the share of a score without a value.
#[inline(always)]
pub(super) fn start(state: &mut [f32], sink: Option<f32>) {
    state.fill(0.0);
    let (peak, sum) = sink.map_or((NOTHING, 0.0), |sink| (sink * std::f32::consts::LOG2_E, UNIT));
    set_header(state, peak, sum, 0.0);
}

/// Joins what a row gets from one more page to what it has.
#[inline(always)]
pub(super) fn join<S: Simd>(simd: S, state: &mut [f32], gain: &[f32]) {
    let ([peak, sum], [page_peak, page_sum, step]) = ([state[0], state[1]], [gain[0], gain[1], gain[2]]);
    let peaks = Peaks::join(simd, simd.floats(peak), simd.floats(page_peak));
    let new_sum = simd.fma(simd.floats(page_sum), peaks.new_share, simd.mul(simd.floats(sum), peaks.old_share));
    let factor = simd.mul(simd.floats(step), peaks.new_share);
    let (header, values) = state.split_at_mut(HEADER);
    for (value, gain) in values.as_chunks_mut::<LANES>().0.iter_mut().zip(gain[HEADER..].as_chunks::<LANES>().0) {
        let kept = simd.mul(simd.load(value), peaks.old_share);
        simd.store(simd.fma(simd.load(gain), factor, kept), value);
    }
    header[0] = peak.max(page_peak);
    header[1] = simd.max_lanes(new_sum);
}

/// Two largest scores become one.
pub(super) struct Peaks<F> {
    pub(super) peak: F,
    /// What the sums so far are multiplied with.
    pub(super) old_share: F,
    /// What the sums of the page are multiplied with.
    pub(super) new_share: F,
}

impl<F: Copy> Peaks<F> {
    #[inline(always)]
    pub(super) fn join<S: Simd<Floats = F>>(simd: S, old: F, new: F) -> Self {
        let peak = simd.max(old, new);
        Self {
            peak,
            old_share: power(simd, simd.sub(old, peak), 1.0),
            new_share: power(simd, simd.sub(new, peak), 1.0),
        }
    }
}

/// Divides what a row got from all its pages by the sum of its weights.
#[inline(always)]
pub(super) fn finish<S: Simd>(simd: S, state: &[f32], out: &mut [f32]) {
    let inverse = simd.div(simd.floats(1.0), simd.floats(state[1]));
    for (out, value) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(state[HEADER..].as_chunks::<LANES>().0) {
        simd.store(simd.mul(simd.load(value), inverse), out);
    }
}

/// Joins what a row got from each of its pages; the result goes to the scratch.
pub(crate) struct JoinPages<'a, G> {
    pub(crate) dim: usize,
    pub(crate) sink: Option<f32>,
    /// The gains page by page.
    pub(crate) gains: G,
    pub(crate) scratch: &'a mut AttendScratch,
}

impl<'g, G: Iterator<Item = &'g [f32]>> Task for JoinPages<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let AttendScratch { state, out, .. } = self.scratch;
        state.resize(gain_length(self.dim), 0.0);
        start(state, self.sink);
        for gain in self.gains {
            join(simd, state, gain);
        }
        out.resize(self.dim, 0.0);
        finish(simd, state, out);
    }
}
