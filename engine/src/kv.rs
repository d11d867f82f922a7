//! Keys and values of a sequence, in pages of 64 tokens.
//!
//! A page holds the keys and values of all layers for its tokens as integers of 16 or 8 bits, with a step for each token and
//! head. Pages are counted references: a copy of a sequence shares them, and a page is copied only when one of its owners writes
//! to it. Keys are stored after rotation. The places within one head's part of a page are those that attention reads
//! ([`PageView`], [`NarrowView`]); head sizes are filled up with zeros to a multiple of 32.

use crate::kernels::{
    AnyPage, Kernels, Line, NarrowView, NarrowViewMut, PageView, PageViewMut, StoreNarrow, StoreToken,
};
use crate::pool::Pool;
use std::ops::Range;
use std::sync::Arc;

/// Tokens in a page.
pub(crate) const PAGE_TOKENS: usize = 64;
/// Bytes of a line of a page.
const LINE_BYTES: usize = size_of::<Line>();
/// Lines that hold one number for each token of a page.
const STEP_LINES: usize = PAGE_TOKENS * size_of::<f32>() / LINE_BYTES;
/// Lines of 16 bits that a pair of dimensions takes in a page.
const PAIR_LINES: usize = PAGE_TOKENS * 2 * size_of::<i16>() / LINE_BYTES;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvForm {
    /// In 16 bits, which no result shows.
    #[default]
    Bits16,
    /// In 8 bits, which takes half the memory and costs accuracy.
    Bits8,
}

/// What a model stores for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    /// Heads of keys and values.
    pub(crate) heads: usize,
    /// Values of a head as the model has them.
    pub(crate) dim: usize,
    pub(crate) form: KvForm,
    /// Pairs of dimensions of each head of keys that have 16 bits where others have 8.
    pub(crate) wide_pairs: usize,
}

impl KvShape {
    /// Values of a head as they are stored.
    pub(crate) fn stored_dim(self) -> usize {
        self.dim.next_multiple_of(32)
    }

    /// Lines of one head of one layer in a page: keys, their wide pairs, values, steps of keys, steps of values.
    fn parts(self) -> [usize; 5] {
        let full = self.stored_dim() / 2 * PAIR_LINES;
        match self.form {
            KvForm::Bits16 => [full, 0, full, STEP_LINES, STEP_LINES],
            KvForm::Bits8 => [full / 2, self.wide_pairs * PAIR_LINES, full / 2, STEP_LINES, STEP_LINES],
        }
    }

    fn head_lines(self) -> usize {
        self.parts().iter().sum()
    }

    fn page_lines(self) -> usize {
        self.layers * self.heads * self.head_lines()
    }

    /// The lines of one head within a page.
    fn head(self, layer: usize, head: usize) -> Range<usize> {
        let first = (layer * self.heads + head) * self.head_lines();
        first..first + self.head_lines()
    }
}

/// Bytes that a token takes for a head of one layer in [`KvForm::Bits16`].
pub(crate) fn head_bytes(dim: u64) -> u64 {
    2 * (2 * dim.next_multiple_of(32) + 4)
}

/// New keys and values of one layer: rows of `heads * dim` values.
#[derive(Clone, Copy)]
pub(crate) struct NewRows<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    /// For each head the pairs of dimensions of its keys that have 16 bits where others have 8.
    pub(crate) wide: &'a [Vec<u16>],
}

/// The pages of one sequence.
#[derive(Clone, Debug)]
pub(crate) struct KvCache {
    shape: KvShape,
    pages: Vec<Arc<Vec<Line>>>,
}

impl KvCache {
    pub(crate) fn new(shape: KvShape) -> Self {
        Self { shape, pages: Vec::new() }
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    /// Makes the pages of the tokens `start..end` exist and belong to this sequence alone.
    pub(crate) fn reserve(&mut self, start: usize, end: usize) {
        self.pages.resize_with(end.div_ceil(PAGE_TOKENS).max(self.pages.len()), || {
            Arc::new(bytemuck::allocation::zeroed_vec(self.shape.page_lines()))
        });
        for page in &mut self.pages[start / PAGE_TOKENS..end.div_ceil(PAGE_TOKENS)] {
            Arc::make_mut(page);
        }
    }

    /// Forgets the pages after the first `tokens` tokens.
    pub(crate) fn truncate(&mut self, tokens: usize) {
        self.pages.truncate(tokens.div_ceil(PAGE_TOKENS));
    }

    /// Stores new rows of one layer for the tokens from `start` on; see [`KvCache::reserve`].
    ///
    /// `prepare` is called on each row of keys first, with its number and the row.
    pub(crate) fn store(
        &mut self,
        (pool, kernels): (&Pool, Kernels),
        layer: usize,
        start: usize,
        new: NewRows<'_>,
        prepare: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let shape = self.shape;
        let width = shape.heads * shape.dim;
        let rows = new.keys.len() / width;
        let first_page = start / PAGE_TOKENS;
        let pages = &mut self.pages[first_page..(start + rows).div_ceil(PAGE_TOKENS)];
        pool.chunks(pages, 1, |index, page| {
            let page = Arc::get_mut(&mut page[0]).expect("reserve made the page this sequence's own");
            let page_start = (first_page + index) * PAGE_TOKENS;
            let mut all_keys = vec![0.0; width];
            let (mut key, mut value) = (vec![0.0; shape.stored_dim()], vec![0.0; shape.stored_dim()]);
            for token in page_start.max(start)..(page_start + PAGE_TOKENS).min(start + rows) {
                let row = token - start;
                all_keys.copy_from_slice(&new.keys[row * width..][..width]);
                prepare(row, &mut all_keys);
                for head in 0..shape.heads {
                    clamp(&all_keys[head * shape.dim..][..shape.dim], &mut key);
                    clamp(&new.values[row * width + head * shape.dim..][..shape.dim], &mut value);
                    let wide = new.wide.get(head).map_or(&[][..], Vec::as_slice);
                    let part = &mut page[shape.head(layer, head)];
                    store_token(kernels, shape, token - page_start, (&key, &value, wide), part);
                }
            }
        });
    }

    /// One head of one layer in pages.
    pub(crate) fn pages<'a>(
        &'a self,
        (layer, head): (usize, usize),
        pages: Range<usize>,
        wide: &'a [u16],
    ) -> Vec<AnyPage<'a>> {
        let shape = self.shape;
        let view = |page: &'a Arc<Vec<Line>>| {
            let (keys, rest) = page[shape.head(layer, head)].split_at(shape.parts()[0]);
            let (wide_keys, rest) = rest.split_at(shape.parts()[1]);
            let (values, steps) = rest.split_at(shape.parts()[2]);
            let [key_steps, value_steps] = bytemuck::cast_slice(steps).as_array().expect("two steps for each token");
            match shape.form {
                KvForm::Bits16 => AnyPage::Wide(PageView { keys, values, key_steps, value_steps }),
                KvForm::Bits8 => AnyPage::Narrow(NarrowView { keys, wide_keys, values, key_steps, value_steps, wide }),
            }
        };
        self.pages[pages].iter().map(view).collect()
    }
}

/// Fills a row up with zeros. An infinity in one token would spoil what other tokens get from it with weight zero.
fn clamp(row: &[f32], out: &mut [f32]) {
    const MAGNITUDE_MAX: f32 = 65504.0;
    for (out, &value) in out.iter_mut().zip(row) {
        *out = value.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
    }
}

/// Stores one head's key and value with the wide pairs of the key.
fn store_token(
    kernels: Kernels,
    shape: KvShape,
    slot: usize,
    (key, value, wide): (&[f32], &[f32], &[u16]),
    part: &mut [Line],
) {
    let (keys, rest) = part.split_at_mut(shape.parts()[0]);
    let (wide_keys, rest) = rest.split_at_mut(shape.parts()[1]);
    let (values, steps) = rest.split_at_mut(shape.parts()[2]);
    let [key_steps, value_steps] = bytemuck::cast_slice_mut(steps).as_mut_array().expect("two steps for each token");
    match shape.form {
        KvForm::Bits16 => {
            let page = PageViewMut { keys, values, key_steps, value_steps };
            kernels.run(StoreToken { key, value, slot, page });
        }
        KvForm::Bits8 => {
            let page = NarrowViewMut { keys, wide_keys, values, key_steps, value_steps, wide };
            kernels.run(StoreNarrow { key, value, slot, page });
        }
    }
}
