//! Causal attention of query rows to the keys and values of one head (Dao et al. 2022), in integers.
//!
//! Queries and keys are vectors of 16-bit integers with a step for each; their products are exact sums in 32 bits. A page of
//! 64 keys is one step of the softmax: the scores of a row become powers of two below the page's largest, these times the steps
//! of the values are rounded to integers, and their products with the values are exact sums again. What a row gets from
//! its pages is joined in their order.
//!
//! Everything within a page is exact, or done lane by lane, or does not depend on an order (maxima, sums of integers).
//! So it makes no difference whether queries stand in the lanes ([`tile`], many rows) or keys do ([`few`], few rows), where
//! a prompt was cut, or which thread took which page: a row's result depends on what the row sees alone.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

mod few;
mod join;
mod narrow;
mod round;
mod tile;

pub(crate) use join::{JoinPages, gain_length};
pub(crate) use narrow::{NarrowView, NarrowViewMut, StoreNarrow};
pub(crate) use round::{DIM_MAX, StoreToken};

use super::integer::{Lanes, Line};
use super::{Simd, Task};
use crate::kv::PAGE_TOKENS;

/// Lanes of a vector: keys, dimensions or queries that stand side by side.
const LANES: usize = 16;
/// Pairs of keys in a page: key `j` of each 32 goes with key `j + 16`.
const PAGE_PAIRS: usize = PAGE_TOKENS / 2;
/// Query rows that a tile holds at most.
pub(crate) const TILE_ROWS: usize = 2 * LANES;
/// Query rows up to which keys stand in the lanes.
pub(crate) const FEW_ROWS: usize = 8;
/// Largest magnitude of the integers that values become.
const VALUE_LEVELS: f32 = 8191.0;
/// The unit in which powers of two are summed as integers: 64 of them stay within 32 bits.
const UNIT: f32 = 16_777_216.0;
/// Stands for no score at all.
const NOTHING: f32 = -1e20;
/// Keys that a row does not see get this score, or less.
const HIDDEN: f32 = 1e30;

/// One head's part of a page.
#[derive(Clone, Copy)]
pub(crate) struct PageView<'a> {
    /// For each 16 keys and each pair of dimensions a line of 16 keys; see [`round::RoundRow`].
    pub(crate) keys: &'a [Line],
    /// For each 16 dimensions and each pair of keys a line of 16 dimensions.
    pub(crate) values: &'a [Line],
    /// What the integers of each key are multiplied with.
    pub(crate) key_steps: &'a [f32; PAGE_TOKENS],
    /// What the integers of each value are multiplied with.
    pub(crate) value_steps: &'a [f32; PAGE_TOKENS],
}

/// One head's part of a page, in one form or the other.
#[derive(Clone, Copy)]
pub(crate) enum AnyPage<'a> {
    Wide(PageView<'a>),
    Narrow(NarrowView<'a>),
}

impl AnyPage<'_> {
    /// The page in 16 bits, and what is to be asked for while it is read: the lines of the next page, where they are not
    /// read here already.
    #[inline(always)]
    fn view<'b, S: Simd>(
        &'b self,
        simd: S,
        next: &'b Self,
        widened: &'b mut narrow::Widened,
    ) -> (PageView<'b>, PageView<'b>) {
        match (self, next) {
            (Self::Wide(page), Self::Wide(next)) => (*page, *next),
            (Self::Wide(page), Self::Narrow(_)) => (*page, *page),
            (Self::Narrow(page), Self::Wide(_)) => [widened.view(simd, page, page); 2].into(),
            (Self::Narrow(page), Self::Narrow(next)) => [widened.view(simd, page, next); 2].into(),
        }
    }
}

/// As [`PageView`], to be written.
pub(crate) struct PageViewMut<'a> {
    pub(crate) keys: &'a mut [Line],
    pub(crate) values: &'a mut [Line],
    pub(crate) key_steps: &'a mut [f32; PAGE_TOKENS],
    pub(crate) value_steps: &'a mut [f32; PAGE_TOKENS],
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct AttendScratch {
    /// Query rows, each of `dim` values, already scaled.
    pub(crate) queries: Vec<f32>,
    /// Result rows.
    pub(crate) out: Vec<f32>,
    state: Vec<f32>,
    widened: narrow::Widened,
    few: few::Work,
    tile: tile::Work,
}

/// Query rows of one head against the pages of one sequence. The queries are in the scratch.
pub(crate) struct AttendTask<'a> {
    /// Values of a head as stored, a multiple of 32.
    pub(crate) dim: usize,
    /// For each row the first key that it sees, and the one after the last, counted from the first page; at least one lies
    /// between. At most [`TILE_ROWS`] rows.
    pub(crate) seen: &'a [[usize; 2]],
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    pub(crate) pages: &'a [AnyPage<'a>],
    /// What this thread probably reads after these pages; it is asked for while the last of them is read.
    pub(crate) after: Option<AnyPage<'a>>,
    pub(crate) scratch: &'a mut AttendScratch,
    pub(crate) goal: Goal<'a>,
}

/// What becomes of what rows get from pages.
pub(crate) enum Goal<'a> {
    /// All pages are here, and the results go to the scratch. For each row there may be a score without a value.
    Rows { sinks: Option<&'a [f32]> },
    /// The pages from number `first` on are here; what each row gets from each goes to `gains`, page by page and row by row, to
    /// be joined by [`JoinPages`]. At most [`FEW_ROWS`] rows.
    Gains { first: usize, gains: &'a mut [f32] },
}

impl Task for AttendTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.seen.len() {
            1 => few::attend::<S, 1>(simd, self),
            2 => few::attend::<S, 2>(simd, self),
            3 => few::attend::<S, 3>(simd, self),
            4 => few::attend::<S, 4>(simd, self),
            5 => few::attend::<S, 5>(simd, self),
            6 => few::attend::<S, 6>(simd, self),
            7 => few::attend::<S, 7>(simd, self),
            FEW_ROWS => few::attend::<S, FEW_ROWS>(simd, self),
            _ => tile::attend(simd, self),
        }
    }
}

/// `scale` times 2 to the power of values that are not above 0; nothing at all below -126.5, and exactly `scale` at 0, so that a
/// page that a row does not see changes nothing. A polynomial on what is left beside whole numbers, whose relative error is
/// below 1e-7.
#[inline(always)]
fn power<S: Simd>(simd: S, power: S::Floats, scale: f32) -> S::Floats {
    /// Fitted as the others are, and therefore not quite the natural logarithm of 2.
    const LINEAR: f32 = f32::from_bits(0x3f31_7215);
    let power = simd.max(power, simd.floats(-127.0));
    let whole = simd.round(power);
    let rest = simd.sub(power, whole);
    let mut sum = simd.floats(scale * 0.001_326_472_7);
    for coefficient in [0.009_671_513, 0.055_507_336, 0.240_222_42, LINEAR, 1.0] {
        sum = simd.fma(sum, rest, simd.floats(scale * coefficient));
    }
    simd.mul(sum, simd.power_of_two(whole))
}

/// `cap * tanh(score / cap)` of scores, in powers of two.
#[inline(always)]
fn capped<S: Simd>(simd: S, score: S::Floats, cap: f32) -> S::Floats {
    let score = super::rows::capped(simd, score, cap);
    simd.mul(score, simd.floats(std::f32::consts::LOG2_E))
}

/// The score, less a very large number where `room` is negative.
#[inline(always)]
fn hidden<S: Simd>(simd: S, score: S::Floats, room: S::Floats) -> S::Floats {
    simd.add(score, simd.min(simd.mul(room, simd.floats(HIDDEN)), simd.floats(0.0)))
}

/// The step by which the weights of a page's values become integers, so that no sum of their products with values leaves 32
/// bits: with weights up to 32,767 their sum, of which `sum * limit` is a bound, must stay below 262,144; 64 weights up to
/// 4,094 stay below it in any case.
#[inline(always)]
fn weight_step<S: Simd>(simd: S, sum: S::Floats, peak: S::Floats, limit: S::Floats) -> S::Floats {
    let bound = simd.mul(simd.mul(sum, limit), simd.floats(1.0 / 262_000.0));
    let bound = simd.min(bound, simd.mul(peak, simd.floats(1.0 / 4094.0)));
    simd.max(simd.mul(peak, simd.floats(1.0 / 32_766.0)), bound)
}

/// One over the step, which may be zero.
#[inline(always)]
fn inverse<S: Simd>(simd: S, step: S::Floats) -> S::Floats {
    simd.div(simd.floats(1.0), simd.max(step, simd.floats(1e-30)))
}

/// The larger values of a page's first keys: item `n` is the largest of the steps `0..=n`.
fn largest_so_far(steps: &[f32; PAGE_TOKENS]) -> [f32; PAGE_TOKENS] {
    let mut largest = 0.0f32;
    steps.map(|step| {
        largest = largest.max(step);
        largest
    })
}

/// What a row sees of the page that begins at key `start`, as distances from the page's first key: the first and the last key.
fn bounds([first, end]: [usize; 2], start: usize) -> [f32; 2] {
    [first as f32 - start as f32, end as f32 - 1.0 - start as f32]
}

/// Whether a row sees all keys of the page that begins at key `start`.
fn sees_all(&[first, end]: &[usize; 2], start: usize) -> bool {
    first <= start && end >= start + PAGE_TOKENS
}

#[cfg(test)]
mod tests;
