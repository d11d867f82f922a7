//! Matrix products over the thread pool: which tiles go to which kernel, and where the results go.
#![expect(unsafe_code, reason = "threads write disjoint columns of one output")]
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::activations::{Activations, FINE_ROWS, STRIP, by_strip, strip_width};
use super::dense::{self, Bf16, Column, F16, F32};
use super::forms::{Form, Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4K, Q5K, Q6K, Q40, Q41, Q50, Q51, Q80};
use super::integer::{self, Panel};
use super::{Kernels, Simd, Task};
use crate::pool::{Disjoint, Pool};
use crate::quant::{Matrix, TILE_ROWS, WeightType};
use std::cell::Cell;
use std::ops::Range;

/// How many of `items`, which take `bytes` of weights together, make a piece of work when few rows are multiplied: at
/// least some microseconds, beside which handing a piece out costs little, and a small part of a thread's share, so that
/// little is left to wait for at the end.
pub(super) fn piece(items: usize, bytes: usize, threads: usize) -> usize {
    let piece_bytes = (bytes / (threads * 32)).max(32 << 10);
    (piece_bytes * items / bytes.max(1)).clamp(1, items.max(1))
}

/// One product of a shared input.
#[derive(Debug)]
pub struct Product<'a> {
    /// Outputs by inputs.
    pub weights: &'a Matrix,
    /// Added to each output row; as long as the matrix has rows.
    pub bias: Option<&'a [f32]>,
    /// Input rows by matrix rows, row after row.
    pub out: &'a mut [f32],
    /// Whether the product is added to what `out` holds, or replaces it.
    pub accumulate: bool,
}

/// A product whose output is shared by the threads.
pub(super) struct Shared<'a> {
    pub(super) weights: &'a Matrix,
    pub(super) bias: Option<&'a [f32]>,
    /// Row after row.
    pub(super) out: Disjoint<'a, f32>,
    /// Columns of the output, and which of the matrix's rows is the first of them.
    pub(super) columns: usize,
    pub(super) first_column: usize,
    pub(super) accumulate: bool,
}

/// Multiplies one input with several matrices in one pass over the pool.
///
/// # Panics
/// When a matrix does not fit the input or the length of its output.
pub fn multiply(pool: &Pool, kernels: Kernels, input: &Activations, products: &mut [Product<'_>]) {
    for product in &*products {
        assert_eq!(product.weights.cols(), input.cols(), "the input has as many columns as the matrix");
        assert_eq!(product.out.len(), input.rows() * product.weights.rows(), "the output has the product's shape");
        assert!(product.bias.is_none_or(|bias| bias.len() == product.weights.rows()), "a bias for each output");
    }
    let tiles: usize = products.iter().map(|product| product.weights.tiles()).sum();
    let bytes: usize = products.iter().map(|product| product.weights.size_bytes()).sum();
    let direct = products.iter().all(|product| input.is_direct(product.weights.kind()));
    let piece = if direct { piece(tiles, bytes, pool.threads()) } else { 2 };
    let products: Vec<Shared<'_>> = products
        .iter_mut()
        .map(|product| Shared {
            weights: product.weights,
            bias: product.bias,
            out: Disjoint::new(product.out),
            columns: product.weights.rows(),
            first_column: 0,
            accumulate: product.accumulate,
        })
        .collect();
    let pieces = |product: &Shared<'_>| product.weights.tiles().div_ceil(piece);
    pool.run(products.iter().map(pieces).sum(), &|mut index| {
        for product in &products {
            if index < pieces(product) {
                let tiles = index * piece..((index + 1) * piece).min(product.weights.tiles());
                return multiply_tiles(kernels, input, product, tiles);
            }
            index -= pieces(product);
        }
    });
}

thread_local! {
    /// The unpacked tiles of this thread, kept between calls.
    static PANEL: Cell<Panel> = const { Cell::new(Panel { lines: Vec::new(), scales: Vec::new(), biases: Vec::new() }) };
}

/// Multiplies the input with some tiles of a matrix.
pub(super) fn multiply_tiles(kernels: Kernels, input: &Activations, product: &Shared<'_>, tiles: Range<usize>) {
    if input.is_direct(product.weights.kind()) {
        kernels.run(DirectTask { input, product, tiles });
        return;
    }
    let mut panel = PANEL.take();
    kernels.run(PanelTask { input, product, tiles, panel: &mut panel });
    PANEL.set(panel);
}

/// Calls a generic function with the form or column type of a matrix.
macro_rules! by_type {
    ($kind:expr, $forms:ident, $columns:ident, ($($argument:expr),*)) => {
        match $kind {
            WeightType::Q4_0 => $forms::<S, Q40>($($argument),*),
            WeightType::Q4_1 => $forms::<S, Q41>($($argument),*),
            WeightType::Q5_0 => $forms::<S, Q50>($($argument),*),
            WeightType::Q5_1 => $forms::<S, Q51>($($argument),*),
            WeightType::Q8_0 => $forms::<S, Q80>($($argument),*),
            WeightType::Q2_K => $forms::<S, Q2K>($($argument),*),
            WeightType::Q3_K => $forms::<S, Q3K>($($argument),*),
            WeightType::Q4_K => $forms::<S, Q4K>($($argument),*),
            WeightType::Q5_K => $forms::<S, Q5K>($($argument),*),
            WeightType::Q6_K => $forms::<S, Q6K>($($argument),*),
            WeightType::IQ4_NL => $forms::<S, Iq4Nl>($($argument),*),
            WeightType::IQ4_XS => $forms::<S, Iq4Xs>($($argument),*),
            WeightType::MXFP4 => $forms::<S, Mxfp4>($($argument),*),
            WeightType::F32 => $columns::<S, F32>($($argument),*),
            WeightType::F16 => $columns::<S, F16>($($argument),*),
            WeightType::BF16 => $columns::<S, Bf16>($($argument),*),
        }
    };
}

/// Tiles of one matrix against an input of one or two strips.
struct DirectTask<'a, 'b> {
    input: &'a Activations,
    product: &'a Shared<'b>,
    tiles: Range<usize>,
}

impl Task for DirectTask<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        by_type!(self.product.weights.kind(), direct_forms, direct_columns, (simd, &self));
    }
}

#[inline(always)]
fn direct_forms<S: Simd, F: Form>(simd: S, task: &DirectTask<'_, '_>) {
    let kind = task.product.weights.kind();
    by_strip!(task.input.lanes(kind), task.input.lanes_per_row(kind), W, R => {
        let rows = task.input.rows();
        for tile in task.tiles.clone() {
            for strip in 0..rows.div_ceil(R) {
                let view = task.input.integers::<W, R>(strip);
                let result = integer::direct::<S, F, W, R>(simd, task.product.weights.tile(tile), view);
                store(simd, task.product, tile, strip * R, rows, &result);
            }
        }
    });
}

#[inline(always)]
fn direct_columns<S: Simd, C: Column>(simd: S, task: &DirectTask<'_, '_>) {
    by_strip!(task.input.rows(), 1, W, _R => {
        let rows = task.input.rows();
        for tile in task.tiles.clone() {
            for strip in 0..rows.div_ceil(W) {
                let view = task.input.floats::<W>(strip);
                let result = dense::direct::<S, C, W>(simd, task.product.weights.tile(tile).0, view);
                store(simd, task.product, tile, strip * W, rows, &result);
            }
        }
    });
}

/// Tiles of one matrix, unpacked, against all strips of an input.
struct PanelTask<'a, 'b> {
    input: &'a Activations,
    product: &'a Shared<'b>,
    tiles: Range<usize>,
    panel: &'a mut Panel,
}

impl Task for PanelTask<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if S::TILES == 2 {
            by_type!(self.product.weights.kind(), panel_forms_2, panel_columns_2, (simd, &mut self));
        } else {
            by_type!(self.product.weights.kind(), panel_forms_1, panel_columns_1, (simd, &mut self));
        }
    }
}

#[inline(always)]
fn panel_forms_1<S: Simd, F: Form>(simd: S, task: &mut PanelTask<'_, '_>) {
    panel_forms::<S, F, 1>(simd, task);
}

#[inline(always)]
fn panel_forms_2<S: Simd, F: Form>(simd: S, task: &mut PanelTask<'_, '_>) {
    panel_forms::<S, F, 2>(simd, task);
}

#[inline(always)]
fn panel_columns_1<S: Simd, C: Column>(simd: S, task: &mut PanelTask<'_, '_>) {
    panel_columns::<S, C, 1>(simd, task);
}

#[inline(always)]
fn panel_columns_2<S: Simd, C: Column>(simd: S, task: &mut PanelTask<'_, '_>) {
    panel_columns::<S, C, 2>(simd, task);
}

/// `T` tiles at a time; where the last ones are fewer, the last is computed again in the place of those that are missing.
#[inline(always)]
fn panel_forms<S: Simd, F: Form, const T: usize>(simd: S, task: &mut PanelTask<'_, '_>) {
    for first in task.tiles.clone().step_by(T) {
        for place in 0..T {
            let tile = (first + place).min(task.tiles.end - 1);
            integer::unpack::<S, F, T>(simd, task.product.weights.tile(tile), place, task.panel);
        }
        if task.input.lanes_per_row(task.product.weights.kind()) == 1 {
            panel_strips::<S, F, T, STRIP>(simd, task, first);
        } else {
            panel_strips::<S, F, T, FINE_ROWS>(simd, task, first);
        }
    }
}

/// The unpacked panel, whose first tile is `first`, against all strips of `R` rows.
#[inline(always)]
fn panel_strips<S: Simd, F: Form, const T: usize, const R: usize>(simd: S, task: &mut PanelTask<'_, '_>, first: usize) {
    let rows = task.input.rows();
    for strip in 0..rows.div_ceil(R) {
        let view = task.input.integers::<STRIP, R>(strip);
        let result = integer::panel::<S, F, T, STRIP, R>(simd, task.panel, view);
        for (tile, result) in (first..task.tiles.end).zip(&result) {
            store(simd, task.product, tile, strip * R, rows, result);
        }
    }
}

#[inline(always)]
fn panel_columns<S: Simd, C: Column, const T: usize>(simd: S, task: &mut PanelTask<'_, '_>) {
    for first in task.tiles.clone().step_by(T) {
        for place in 0..T {
            let tile = task.product.weights.tile((first + place).min(task.tiles.end - 1)).0;
            dense::unpack::<S, C, T>(simd, tile, task.input.cols(), place, &mut task.panel.scales);
        }
        for strip in 0..task.input.rows().div_ceil(STRIP) {
            let view = task.input.floats::<STRIP>(strip);
            let result = dense::panel::<S, T, STRIP>(simd, &task.panel.scales, view);
            for (tile, result) in (first..task.tiles.end).zip(&result) {
                store(simd, task.product, tile, strip * STRIP, task.input.rows(), result);
            }
        }
    }
}

/// Writes the 16 outputs of `tile` for the rows from `first_row` on, as far as the input has so many.
#[inline(always)]
fn store<S: Simd, const R: usize>(
    simd: S,
    product: &Shared<'_>,
    tile: usize,
    first_row: usize,
    rows: usize,
    result: &[S::Floats; R],
) {
    let first = tile * TILE_ROWS;
    let width = TILE_ROWS.min(product.weights.rows() - first);
    if width == TILE_ROWS && first_row + R <= rows {
        let start = first_row * product.columns + first - product.first_column;
        let out = product.out.pointer(start..start + (R - 1) * product.columns + TILE_ROWS);
        let bias = product.bias.and_then(|bias| bias[first..first + width].as_array());
        for (row, &value) in result.iter().enumerate() {
            // SAFETY: the lanes lie in the range asked for; as below, nobody else has these columns.
            let lanes = unsafe { &mut *out.add(row * product.columns).cast::<[f32; TILE_ROWS]>() };
            store_lanes(simd, value, bias, product.accumulate, lanes);
        }
        return;
    }
    for (row, &value) in (first_row..rows).zip(result) {
        let start = row * product.columns + first - product.first_column;
        // SAFETY: each tile of each product is computed by one call, and the columns of tiles do not overlap.
        let out = unsafe { product.out.part(start..start + width) };
        let bias = product.bias.map(|bias| &bias[first..first + width]);
        if let Some(lanes) = out.as_mut_array::<TILE_ROWS>() {
            store_lanes(simd, value, bias.and_then(|bias| bias.as_array()), product.accumulate, lanes);
        } else {
            let (mut lanes, mut bias_lanes) = ([0.0; TILE_ROWS], [0.0; TILE_ROWS]);
            lanes[..width].copy_from_slice(out);
            if let Some(bias) = bias {
                bias_lanes[..width].copy_from_slice(bias);
            }
            store_lanes(simd, value, bias.map(|_| &bias_lanes), product.accumulate, &mut lanes);
            out.copy_from_slice(&lanes[..width]);
        }
    }
}

#[inline(always)]
fn store_lanes<S: Simd>(simd: S, value: S::Floats, bias: Option<&[f32; 16]>, accumulate: bool, out: &mut [f32; 16]) {
    let value = if let Some(bias) = bias { simd.add(value, simd.load(bias)) } else { value };
    let value = if accumulate { simd.add(simd.load(out), value) } else { value };
    simd.store(value, out);
}
