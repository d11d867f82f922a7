//! Keys and values of a sequence, in pages of 64 tokens.
//!
//! A page holds the keys and values of all layers for its tokens as half floats. Pages are counted references: a copy of a
//! sequence shares them, and a page is copied only when one of its owners writes to it. Keys are stored after rotation, in
//! blocks of 16 tokens and dimension by dimension within a block; values token by token. Head sizes are filled up with
//! zeros to a multiple of 16.

use crate::kernels::PageView;
use crate::pool::Pool;
use half::slice::HalfFloatSliceExt;
use std::sync::Arc;

/// Tokens in a page.
pub(crate) const PAGE_TOKENS: usize = 64;
/// Tokens in a block of keys.
const BLOCK: usize = 16;

/// What a model stores for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    /// Heads of keys and values.
    pub(crate) heads: usize,
    /// Values of a head as the model has them.
    pub(crate) dim: usize,
}

impl KvShape {
    /// Values of a head as they are stored.
    pub(crate) fn stored_dim(self) -> usize {
        self.dim.next_multiple_of(16)
    }

    /// Half floats of one head of one layer in a page: keys, then values.
    fn head_length(self) -> usize {
        2 * PAGE_TOKENS * self.stored_dim()
    }

    fn page_length(self) -> usize {
        self.layers * self.heads * self.head_length()
    }
}

/// The pages of one sequence.
#[derive(Clone, Debug)]
pub(crate) struct KvCache {
    shape: KvShape,
    pages: Vec<Arc<Vec<u16>>>,
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
            Arc::new(vec![0; self.shape.page_length()])
        });
        for page in &mut self.pages[start / PAGE_TOKENS..end.div_ceil(PAGE_TOKENS)] {
            Arc::make_mut(page);
        }
    }

    /// Forgets the pages after the first `tokens` tokens.
    pub(crate) fn truncate(&mut self, tokens: usize) {
        self.pages.truncate(tokens.div_ceil(PAGE_TOKENS));
    }

    /// Stores the rows of keys and values of one layer for the tokens from `start` on; see [`KvCache::reserve`].
    ///
    /// A row holds `heads * dim` values. `prepare` is called on each row of keys first, with its number and the row.
    pub(crate) fn store(
        &mut self,
        pool: &Pool,
        layer: usize,
        start: usize,
        (keys, values): (&[f32], &[f32]),
        prepare: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let shape = self.shape;
        let width = shape.heads * shape.dim;
        let rows = keys.len() / width;
        let first_page = start / PAGE_TOKENS;
        let pages = &mut self.pages[first_page..(start + rows).div_ceil(PAGE_TOKENS)];
        pool.chunks(pages, 1, |index, page| {
            let page = Arc::get_mut(&mut page[0]).expect("reserve made the page this sequence's own");
            let page_start = (first_page + index) * PAGE_TOKENS;
            let mut key = vec![0.0; width];
            for token in page_start.max(start)..(page_start + PAGE_TOKENS).min(start + rows) {
                let row = token - start;
                key.copy_from_slice(&keys[row * width..][..width]);
                prepare(row, &mut key);
                store_token(shape, layer, token - page_start, &key, &values[row * width..][..width], page);
            }
        });
    }

    /// One head of one layer, page by page from page `first` on.
    pub(crate) fn head(&self, layer: usize, head: usize, first: usize) -> impl Iterator<Item = PageView<'_>> + Clone {
        let length = self.shape.head_length();
        let start = (layer * self.shape.heads + head) * length;
        self.pages[first..].iter().map(move |page| {
            let (keys, values) = page[start..start + length].split_at(length / 2);
            PageView { keys, values }
        })
    }
}

fn store_token(shape: KvShape, layer: usize, slot: usize, key: &[f32], value: &[f32], page: &mut [u16]) {
    let (dim, stored) = (shape.dim, shape.stored_dim());
    let mut halves = vec![half::f16::ZERO; dim];
    let mut clamped = vec![0.0; dim];
    let mut narrow = |row: &[f32], halves: &mut [half::f16]| {
        // An infinity in one token would spoil what other tokens get from it with weight zero.
        for (out, &value) in clamped.iter_mut().zip(row) {
            *out = value.clamp(-65504.0, 65504.0);
        }
        halves.convert_from_f32_slice(&clamped);
    };
    for head in 0..shape.heads {
        let length = shape.head_length();
        let (keys, values) = page[(layer * shape.heads + head) * length..][..length].split_at_mut(length / 2);
        narrow(&key[head * dim..][..dim], &mut halves);
        let block = &mut keys[slot / BLOCK * BLOCK * stored..][..BLOCK * stored];
        for (out, half) in block[slot % BLOCK..].iter_mut().step_by(BLOCK).zip(&halves) {
            *out = half.to_bits();
        }
        narrow(&value[head * dim..][..dim], &mut halves);
        for (out, half) in values[slot * stored..].iter_mut().zip(&halves) {
            *out = half.to_bits();
        }
    }
}
