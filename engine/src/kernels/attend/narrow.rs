//! Keys and values in 8 bits.
//!
//! A few pairs of dimensions of the keys keep 16 bits: where a model adds a large bias to its keys, they are many times larger than
//! the others and would take all bits from them. The step is that of the other dimensions.

use super::round::{LENGTH, LEVELS, magnitudes, round_pairs, value_place};
use super::{DIM_MAX, LANES, Line, PAGE_PAIRS, PageView};
use crate::kernels::{Simd, Task};
use crate::kv::PAGE_TOKENS;

/// Largest magnitude of the integers.
const BYTE_LEVELS: f32 = 127.0;

/// One head's part of a page in 8 bits.
#[derive(Clone, Copy)]
pub(crate) struct NarrowView<'a> {
    /// For each 16 keys and each two pairs of dimensions a line: 16 keys of the first pair, then of the second.
    pub(crate) keys: &'a [Line],
    /// For each 16 keys and each pair of `wide` a line as in [`PageView`].
    pub(crate) wide_keys: &'a [Line],
    /// For each 16 dimensions and each two pairs of keys a line: 16 dimensions of the first pair, then of the second.
    pub(crate) values: &'a [Line],
    pub(crate) key_steps: &'a [f32; PAGE_TOKENS],
    pub(crate) value_steps: &'a [f32; PAGE_TOKENS],
    /// The pairs of dimensions of the keys that keep 16 bits.
    pub(crate) wide: &'a [u16],
}

/// As [`NarrowView`], to be written.
pub(crate) struct NarrowViewMut<'a> {
    pub(crate) keys: &'a mut [Line],
    pub(crate) wide_keys: &'a mut [Line],
    pub(crate) values: &'a mut [Line],
    pub(crate) key_steps: &'a mut [f32; PAGE_TOKENS],
    pub(crate) value_steps: &'a mut [f32; PAGE_TOKENS],
    pub(crate) wide: &'a [u16],
}

/// One head's part of a page in 16 bits again.
#[derive(Debug, Default)]
pub(crate) struct Widened {
    keys: Vec<Line>,
    values: Vec<Line>,
}

impl Widened {
    /// Widens a page and asks for the one after it.
    #[inline(always)]
    pub(super) fn view<'a, S: Simd>(
        &'a mut self,
        simd: S,
        page: &NarrowView<'a>,
        next: &NarrowView<'a>,
    ) -> PageView<'a> {
        widen(simd, (page.keys, next.keys), &mut self.keys);
        widen(simd, (page.values, next.values), &mut self.values);
        let pairs = self.keys.len() / (PAGE_TOKENS / LANES);
        for (keys, wide) in self.keys.chunks_exact_mut(pairs).zip(page.wide_keys.chunks_exact(page.wide.len().max(1))) {
            for (&pair, &line) in page.wide.iter().zip(wide) {
                keys[usize::from(pair)] = line;
            }
        }
        let Self { keys, values } = self;
        PageView { keys, values, key_steps: page.key_steps, value_steps: page.value_steps }
    }
}

#[inline(always)]
fn widen<S: Simd>(simd: S, (lines, next): (&[Line], &[Line]), out: &mut Vec<Line>) {
    out.resize(2 * lines.len(), Line([0; 64]));
    for ((line, next), out) in lines.iter().zip(next).zip(out.as_chunks_mut::<2>().0) {
        simd.prefetch(next.0.as_ptr());
        for (half, out) in line.0.as_chunks::<32>().0.iter().zip(out) {
            simd.store_line(simd.widen_bytes(half), &mut out.0);
        }
    }
}

/// As [`super::StoreToken`], in 8 bits.
pub(crate) struct StoreNarrow<'a> {
    pub(crate) key: &'a [f32],
    pub(crate) value: &'a [f32],
    pub(crate) slot: usize,
    pub(crate) page: NarrowViewMut<'a>,
}

impl Task for StoreNarrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { key, value, slot, page } = self;
        let (mut narrow, mut pairs) = ([0.0; DIM_MAX], [0; DIM_MAX / 2]);
        let (narrow, pairs) = (&mut narrow[..key.len()], &mut pairs[..key.len() / 2]);
        narrow.copy_from_slice(key);
        let mut largest_wide = 0.0f32;
        for &pair in page.wide {
            for at in [usize::from(pair), usize::from(pair) + pairs.len()] {
                largest_wide = largest_wide.max(key[at].abs());
                narrow[at] = 0.0;
            }
        }
        let largest = magnitudes(simd, narrow)[1] / BYTE_LEVELS;
        let step = (magnitudes(simd, key)[0] / LENGTH).max(largest_wide / LEVELS).max(largest);
        round_pairs(simd, key, step, pairs);
        let lane = slot % LANES;
        let block = &mut page.wide_keys[slot / LANES * page.wide.len()..][..page.wide.len()];
        for (line, &pair) in block.iter_mut().zip(page.wide) {
            let pair = &mut pairs[usize::from(pair)];
            line.0.as_chunks_mut::<4>().0[lane] = pair.to_le_bytes();
            *pair = 0;
        }
        let block = &mut page.keys[slot / LANES * pairs.len() / 2..][..pairs.len() / 2];
        let halves = block.iter_mut().flat_map(|line| line.0.as_chunks_mut::<32>().0);
        for (half, &pair) in halves.zip(&*pairs) {
            half.as_chunks_mut::<2>().0[lane] = [pair as u8, (pair >> 16) as u8];
        }
        page.key_steps[slot] = step;
        page.value_steps[slot] = store_value(simd, value, slot, pairs, page.values);
    }
}

/// Rounds a value and puts it in its place, the lower or the upper half of the words of its pair.
#[inline(always)]
fn store_value<S: Simd>(simd: S, value: &[f32], slot: usize, pairs: &mut [i32], lines: &mut [Line]) -> f32 {
    let step = magnitudes(simd, value)[1] / BYTE_LEVELS;
    round_pairs(simd, value, step, pairs);
    let (pair, upper) = value_place(slot);
    let dims = pairs.iter().map(|&pair| pair as u8).chain(pairs.iter().map(|&pair| (pair >> 16) as u8));
    for (dim, byte) in dims.enumerate() {
        let line = &mut lines[dim / LANES * (PAGE_PAIRS / 2) + pair / 2];
        line.0[pair % 2 * 32 + 2 * (dim % LANES) + upper] = byte;
    }
    step
}
