//! The packed form of a weight matrix: tiles of 16 rows, in the order in which the kernels read.
//!
//! For each group of 32 columns a tile holds 16 x 32 quants as lines of 64 bytes; byte `4 * row + b` of a line belongs to that
//! row, so that one integer dot instruction advances all 16 rows by four columns. The eight column quads of a group are
//! numbered 0 to 7. Lines of a group:
//! - 2 bits: two lines with two bits for each of the quads 0 to 3 and 4 to 7;
//! - 3 bits: the same, then a line whose bit `j` is the third bit of quad `j`;
//! - 4 bits: line `j` has quad `j` in its low and quad `j + 4` in its high nibbles;
//! - 5 bits: the same, then a line whose bit `j` is the fifth bit of quad `j`;
//! - 6 bits: the same, then two lines with two bits for each of the quads 0 to 3 and 4 to 7;
//! - 8 bits: line `j` is quad `j`.
//!
//! Types whose four bits choose from a table are kept as these bits. Behind the quants of a tile stand its scales, as they are in the file, regrouped by row. Dense types are kept column by
//! column, 16 rows each. Packing loses nothing: every value comes out as it went in.

use super::{GROUP, Group, SUPER, WeightType, groups};
use crate::mmap::FileBytes;
use crate::pool::Pool;
use memmap2::MmapMut;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows in a tile; a last tile is filled up with zero rows.
pub(crate) const TILE_ROWS: usize = 16;
/// Bytes of a line: 16 rows by 4 columns.
const LINE: usize = 64;

/// How the scales behind a tile's quants are laid out. All halves are `f16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScaleKind {
    /// No scales: the values are floats.
    Dense,
    /// A group: 16 scales.
    Plain,
    /// A group: 16 scales, 16 biases.
    Affine,
    /// A group: 16 bytes, each the exponent of a power of two.
    Powers,
    /// A super-block: 16 scales, 16 minima, then for each of 8 groups 16 and 16 bytes that multiply them.
    Super,
    /// A super-block: 16 scales, 16 minima, then for each of 8 groups 16 and 16 bytes, one for each half group, whose low
    /// nibbles multiply the scales and whose high nibbles multiply the minima.
    SuperHalves,
    /// A super-block: 16 scales, then for each of 8 groups 16 signed bytes that multiply them.
    Signed,
    /// A super-block: 16 scales, then for each of 8 groups 16 and 16 signed bytes that multiply them, one for each half group.
    SignedHalves,
}

impl ScaleKind {
    fn of(kind: WeightType) -> Self {
        match kind {
            WeightType::F32 | WeightType::F16 | WeightType::BF16 => Self::Dense,
            WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 | WeightType::IQ4_NL => Self::Plain,
            WeightType::Q4_1 | WeightType::Q5_1 => Self::Affine,
            WeightType::MXFP4 => Self::Powers,
            WeightType::Q4_K | WeightType::Q5_K => Self::Super,
            WeightType::Q2_K => Self::SuperHalves,
            WeightType::IQ4_XS => Self::Signed,
            WeightType::Q3_K | WeightType::Q6_K => Self::SignedHalves,
        }
    }

    /// Bytes of one unit of scales, and how many groups it covers.
    fn unit(self) -> (usize, usize) {
        match self {
            Self::Dense => (0, 1),
            Self::Plain => (32, 1),
            Self::Affine => (64, 1),
            Self::Powers => (16, 1),
            Self::Super | Self::SuperHalves => (64 + 8 * 32, 8),
            Self::Signed => (32 + 8 * 16, 8),
            Self::SignedHalves => (32 + 8 * 32, 8),
        }
    }
}

/// Bytes of quants in one group of a tile.
fn quant_bytes(kind: WeightType) -> usize {
    LINE * match kind {
        WeightType::Q2_K => 2,
        WeightType::Q3_K => 3,
        WeightType::Q4_0
        | WeightType::Q4_1
        | WeightType::Q4_K
        | WeightType::IQ4_NL
        | WeightType::IQ4_XS
        | WeightType::MXFP4 => 4,
        WeightType::Q5_0 | WeightType::Q5_1 | WeightType::Q5_K => 5,
        WeightType::Q6_K => 6,
        WeightType::Q8_0 => 8,
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => kind.block_bytes() * GROUP * TILE_ROWS / LINE,
    }
}

/// The largest exponent of `MXFP4` with which each of its floats is a finite number.
const EXPONENT_MAX: u8 = 252;

/// How many bytes a tile takes, quants and all; `None` beyond 64 bits.
fn tile_bytes(kind: WeightType, cols: u64) -> Option<u64> {
    let groups = cols.div_ceil(GROUP as u64);
    let (unit_bytes, unit_groups) = ScaleKind::of(kind).unit();
    let scales = groups.div_ceil(unit_groups as u64).checked_mul(unit_bytes as u64)?;
    groups.checked_mul(quant_bytes(kind) as u64)?.checked_add(scales)?.checked_next_multiple_of(LINE as u64)
}

/// Bytes that a matrix takes in memory once it is packed; `None` beyond 64 bits.
pub(crate) fn packed_bytes(kind: WeightType, rows: u64, cols: u64) -> Option<u64> {
    tile_bytes(kind, cols)?.checked_mul(rows.div_ceil(TILE_ROWS as u64))
}

/// As [`packed_bytes`], for a matrix that is to lie in memory.
fn shape_bytes(kind: WeightType, rows: usize, cols: usize) -> std::io::Result<usize> {
    let bytes = packed_bytes(kind, rows as u64, cols as u64).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::from(ErrorKind::OutOfMemory))
}

/// What a file of packed weights has a checksum for.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Bytes of the pieces of a matrix, whole tiles each.
fn piece_bytes(tile_bytes: usize) -> usize {
    (PIECE_BYTES / tile_bytes).max(1) * tile_bytes
}

/// Bytes of the pieces in which [`Matrix::pack_to`] writes a matrix of that shape; `None` beyond the address space.
pub(crate) fn matrix_piece_bytes(kind: WeightType, cols: usize) -> Option<usize> {
    tile_bytes(kind, cols as u64)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|&bytes| bytes > 0)
        .map(piece_bytes)
}

/// A weight matrix of `rows` outputs by `cols` inputs in packed form.
pub struct Matrix {
    kind: WeightType,
    rows: usize,
    cols: usize,
    quants_length: usize,
    tile_bytes: usize,
    data: Data,
}

/// Takes a piece of a packed matrix: its number, its place in the matrix, and its bytes.
type WritePiece<'a> = dyn Fn(usize, usize, &[u8]) -> std::io::Result<()> + Sync + 'a;

/// Where the tiles of a matrix lie.
enum Data {
    /// In memory of their own.
    Own(MmapMut),
    /// In a file of packed weights, from this place on.
    Filed(Arc<FileBytes>, usize),
    /// Nowhere: they were written to a file that is not open for reading yet.
    Written,
}

impl Matrix {
    /// Packs `rows` rows of `cols` values each, as they lie in a GGUF tensor, into memory of its own.
    ///
    /// # Errors
    /// When the byte count does not belong to the shape, `cols` is no whole number of blocks, a value or scale is infinite or
    /// no number, or there is no memory.
    pub fn pack(kind: WeightType, rows: usize, cols: usize, bytes: &[u8], pool: &Pool) -> std::io::Result<Self> {
        let source = SourceRows::new(kind, rows, cols, bytes)?;
        let mut data = MmapMut::map_anon(shape_bytes(kind, rows, cols)?)?;
        // Large pages are a matter of speed alone; a system without them says no, and nothing is lost.
        #[cfg(all(target_os = "linux", not(miri)))]
        drop(data.advise(memmap2::Advice::HugePage));
        let tile_bytes = data.len() / rows.div_ceil(TILE_ROWS);
        pool.chunks(&mut data, tile_bytes, |tile, out| source.pack_tile(tile, out));
        source.finish()?;
        Ok(Self::new(kind, (rows, cols), tile_bytes, Data::Own(data)))
    }

    /// As [`Matrix::pack`], but each piece of whole tiles, at most [`PIECE_BYTES`] where a tile is not longer, goes to `write`
    /// with its number and its place in the packed matrix. The matrix that is returned has a shape and no values.
    pub(crate) fn pack_to(
        kind: WeightType,
        (rows, cols): (usize, usize),
        bytes: &[u8],
        pool: &Pool,
        write: &WritePiece<'_>,
    ) -> std::io::Result<Self> {
        let source = SourceRows::new(kind, rows, cols, bytes)?;
        let length = shape_bytes(kind, rows, cols)?;
        let tile_bytes = length / rows.div_ceil(TILE_ROWS);
        let piece_bytes = piece_bytes(tile_bytes);
        let failed = Mutex::new(None);
        pool.run(length.div_ceil(piece_bytes), &|piece| {
            let start = piece * piece_bytes;
            let mut out = vec![0; piece_bytes.min(length - start)];
            for (tile, out) in out.chunks_exact_mut(tile_bytes).enumerate() {
                source.pack_tile(start / tile_bytes + tile, out);
            }
            if let Err(error) = write(piece, start, &out) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)?;
        source.finish()?;
        Ok(Self::new(kind, (rows, cols), tile_bytes, Data::Written))
    }

    /// The matrix of this shape whose tiles begin at `start` of a file; `None` where the file is too short for it.
    pub(crate) fn filed(
        kind: WeightType,
        (rows, cols): (usize, usize),
        file: &Arc<FileBytes>,
        start: usize,
    ) -> Option<Self> {
        if rows == 0 || cols == 0 || !cols.is_multiple_of(kind.block_values()) {
            return None;
        }
        let length = shape_bytes(kind, rows, cols).ok()?;
        start.checked_add(length).filter(|&end| end <= file.len())?;
        let tile_bytes = length / rows.div_ceil(TILE_ROWS);
        Some(Self::new(kind, (rows, cols), tile_bytes, Data::Filed(Arc::clone(file), start)))
    }

    /// Packs a matrix of 32-bit floats, row after row.
    ///
    /// # Errors
    /// As [`Matrix::pack`].
    pub fn from_f32(rows: usize, cols: usize, values: &[f32], pool: &Pool) -> std::io::Result<Self> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::pack(WeightType::F32, rows, cols, &bytes, pool)
    }

    fn new(kind: WeightType, (rows, cols): (usize, usize), tile_bytes: usize, data: Data) -> Self {
        Self { kind, rows, cols, quants_length: cols.div_ceil(GROUP) * quant_bytes(kind), tile_bytes, data }
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The type the weights came in.
    pub fn kind(&self) -> WeightType {
        self.kind
    }

    /// Bytes of the packed form.
    pub fn size_bytes(&self) -> usize {
        self.tiles() * self.tile_bytes
    }

    /// Number of tiles of 16 rows.
    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    /// The quants and the scales of one tile.
    pub(crate) fn tile(&self, index: usize) -> (&[u8], &[u8]) {
        let start = index * self.tile_bytes;
        let tile = match &self.data {
            Data::Own(memory) => &memory[start..][..self.tile_bytes],
            Data::Filed(file, first) => &file[first + start..][..self.tile_bytes],
            Data::Written => &[],
        };
        tile.split_at(self.quants_length)
    }

    /// Writes the values of one row, as [`super::dequantize`] gives them.
    pub fn row_into(&self, row: usize, out: &mut [f32]) {
        let (tile, lane) = (row / TILE_ROWS, row % TILE_ROWS);
        let (quants, scales) = self.tile(tile);
        let layout = self.layout();
        if self.kind.is_dense() {
            let bytes = self.kind.block_bytes();
            for (col, value) in out.iter_mut().take(self.cols).enumerate() {
                super::dequantize(
                    self.kind,
                    &quants[(col * TILE_ROWS + lane) * bytes..][..bytes],
                    std::slice::from_mut(value),
                );
            }
            return;
        }
        for (index, out) in out.chunks_exact_mut(GROUP).take(self.cols / GROUP).enumerate() {
            layout.unpack_group(quants, scales, index, lane).expand(self.kind.offset(), out);
        }
    }

    fn layout(&self) -> Layout {
        Layout { kind: self.kind, quants_length: self.quants_length, scales: ScaleKind::of(self.kind) }
    }
}

/// The rows of a GGUF tensor on their way into tiles.
struct SourceRows<'a> {
    layout: Layout,
    rows: usize,
    row_bytes: usize,
    bytes: &'a [u8],
    finite: AtomicBool,
}

impl<'a> SourceRows<'a> {
    fn new(kind: WeightType, rows: usize, cols: usize, bytes: &'a [u8]) -> std::io::Result<Self> {
        let row_bytes = cols / kind.block_values() * kind.block_bytes();
        let whole = cols.is_multiple_of(kind.block_values()) && rows > 0 && cols > 0;
        if !whole || row_bytes.checked_mul(rows) != Some(bytes.len()) {
            return Err(Error::new(ErrorKind::InvalidData, "the tensor's bytes do not fit its shape"));
        }
        let quants_length = cols.div_ceil(GROUP) * quant_bytes(kind);
        let layout = Layout { kind, quants_length, scales: ScaleKind::of(kind) };
        Ok(Self { layout, rows, row_bytes, bytes, finite: AtomicBool::new(true) })
    }

    /// Packs the rows of one tile into `out`, which holds zeros.
    fn pack_tile(&self, tile: usize, out: &mut [u8]) {
        let first = tile * TILE_ROWS;
        for lane in 0..TILE_ROWS.min(self.rows - first) {
            let row = &self.bytes[(first + lane) * self.row_bytes..][..self.row_bytes];
            if !self.layout.is_finite(row) {
                self.finite.store(false, Ordering::Relaxed);
            }
            self.layout.pack_row(row, lane, out);
        }
    }

    /// Fails when a row held what is no finite number.
    fn finish(self) -> std::io::Result<()> {
        if self.finite.into_inner() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidData, "it holds values that are no finite numbers"))
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Matrix({} {}x{})", self.kind.name(), self.rows, self.cols)
    }
}

/// Where things stand within a tile.
#[derive(Clone, Copy)]
struct Layout {
    kind: WeightType,
    quants_length: usize,
    scales: ScaleKind,
}

impl Layout {
    /// Whether all values of a dense row, or all scales of another, are finite.
    fn is_finite(self, row: &[u8]) -> bool {
        let half = |block: &[u8], at: usize| u16::from_le_bytes([block[at], block[at + 1]]) & 0x7c00 != 0x7c00;
        let mut blocks = row.chunks_exact(self.kind.block_bytes());
        match self.scales {
            ScaleKind::Dense => blocks.all(|value| super::dense_value(self.kind, value).is_finite()),
            ScaleKind::Plain | ScaleKind::Signed => blocks.all(|block| half(block, 0)),
            ScaleKind::Affine | ScaleKind::Super => blocks.all(|block| half(block, 0) && half(block, 2)),
            ScaleKind::Powers => blocks.all(|block| block[0] <= EXPONENT_MAX),
            ScaleKind::SuperHalves => blocks.all(|block| half(block, 80) && half(block, 82)),
            ScaleKind::SignedHalves => blocks.all(|block| half(block, self.kind.block_bytes() - 2)),
        }
    }

    fn pack_row(self, row: &[u8], lane: usize, tile: &mut [u8]) {
        let (quants, scales) = tile.split_at_mut(self.quants_length);
        let block_bytes = self.kind.block_bytes();
        if self.kind.is_dense() {
            for (value, out) in row.chunks_exact(block_bytes).zip(quants.chunks_exact_mut(block_bytes * TILE_ROWS)) {
                out[lane * block_bytes..][..block_bytes].copy_from_slice(value);
            }
            return;
        }
        let groups_in_block = self.kind.block_values() / GROUP;
        for (number, block) in row.chunks_exact(block_bytes).enumerate() {
            self.pack_scales(block, number, lane, scales);
            for index in 0..groups_in_block {
                let at = (number * groups_in_block + index) * quant_bytes(self.kind);
                self.pack_quants(
                    &groups::codes(self.kind, block, index),
                    lane,
                    &mut quants[at..][..quant_bytes(self.kind)],
                );
            }
        }
    }

    /// Puts the 32 codes of one row to their places, four columns at a time.
    fn pack_quants(self, values: &[u8; GROUP], lane: usize, lines: &mut [u8]) {
        let bits = quant_bytes(self.kind) / LINE;
        let mut quads = [0u32; 8];
        for (quad, bytes) in quads.iter_mut().zip(values.as_chunks::<4>().0) {
            *quad = u32::from_le_bytes(*bytes);
        }
        let mut put = |line: usize, word: u32| {
            lines[line * LINE + 4 * lane..][..4].copy_from_slice(&word.to_le_bytes());
        };
        if bits == 8 {
            quads.iter().enumerate().for_each(|(line, &quad)| put(line, quad));
            return;
        }
        // `mask` bits of each quad, after those below `from`, side by side.
        let join = |range: std::ops::Range<usize>, from: usize, mask: u32| {
            let step = mask.count_ones() as usize;
            let field = |quad: &u32| quad >> from & (mask * 0x0101_0101);
            quads[range].iter().enumerate().fold(0, |word, (at, quad)| word | field(quad) << (at * step))
        };
        if bits < 4 {
            put(0, join(0..4, 0, 3));
            put(1, join(4..8, 0, 3));
        } else {
            for line in 0..4 {
                put(line, quads[line] & 0x0f0f_0f0f | (quads[line + 4] & 0x0f0f_0f0f) << 4);
            }
        }
        match bits {
            3 => put(2, join(0..8, 2, 1)),
            5 => put(4, join(0..8, 4, 1)),
            6 => {
                put(4, join(0..4, 4, 3));
                put(5, join(4..8, 4, 3));
            }
            _ => {}
        }
    }

    fn unpack_group(self, quants: &[u8], scales: &[u8], index: usize, lane: usize) -> Group {
        let bits = quant_bytes(self.kind) / LINE;
        let lines = &quants[index * bits * LINE..][..bits * LINE];
        let mut values = [0; GROUP];
        for (index, value) in values.iter_mut().enumerate() {
            let (quad, byte) = (index / 4, lane * 4 + index % 4);
            let one = |line: usize| lines[line * LINE + byte] >> quad & 1;
            let two = |line: usize| lines[(line + quad / 4) * LINE + byte] >> (quad % 4 * 2) & 3;
            let four = || lines[quad % 4 * LINE + byte] >> (quad / 4 * 4) & 15;
            *value = match bits {
                2 => two(0),
                3 => two(0) | one(2) << 2,
                4 => four(),
                5 => four() | one(4) << 4,
                6 => four() | two(4) << 4,
                _ => lines[quad * LINE + byte],
            };
        }
        let (scales, biases) = self.unpack_scales(scales, index, lane);
        Group { quants: groups::decode(self.kind, values), scales, biases }
    }

    /// Copies the scale fields of block `number` to the place of `lane`.
    fn pack_scales(self, block: &[u8], number: usize, lane: usize, out: &mut [u8]) {
        let (unit_bytes, _) = self.scales.unit();
        let unit = &mut out[number * unit_bytes..][..unit_bytes];
        let mut half = |at: usize, from: usize| unit[at + 2 * lane..][..2].copy_from_slice(&block[from..from + 2]);
        match self.scales {
            ScaleKind::Dense => {}
            ScaleKind::Plain => half(0, 0),
            ScaleKind::Affine => {
                half(0, 0);
                half(32, 2);
            }
            ScaleKind::Powers => unit[lane] = block[0],
            ScaleKind::Super => {
                half(0, 0);
                half(32, 2);
                for index in 0..SUPER / GROUP {
                    let (scale, min) = groups::k_scale_min(&block[4..16], index);
                    unit[64 + index * 32 + lane] = scale;
                    unit[64 + index * 32 + 16 + lane] = min;
                }
            }
            ScaleKind::SuperHalves => {
                half(0, 80);
                half(32, 82);
                for (index, &scale_min) in block[..16].iter().enumerate() {
                    unit[64 + index * 16 + lane] = scale_min;
                }
            }
            ScaleKind::Signed => {
                half(0, 0);
                for index in 0..SUPER / GROUP {
                    unit[32 + index * 16 + lane] = groups::non_linear_scale(&block[2..8], index) as u8;
                }
            }
            ScaleKind::SignedHalves => {
                half(0, block.len() - 2);
                for index in 0..SUPER / 16 {
                    unit[32 + index * 16 + lane] = groups::half_scale(self.kind, block, index) as u8;
                }
            }
        }
    }

    fn unpack_scales(self, scales: &[u8], index: usize, lane: usize) -> ([f32; 2], Option<[f32; 2]>) {
        let (unit_bytes, unit_groups) = self.scales.unit();
        let unit = &scales[index / unit_groups * unit_bytes..][..unit_bytes];
        let half = |at: usize| half::f16::from_le_bytes([unit[at + 2 * lane], unit[at + 2 * lane + 1]]).to_f32();
        let within = index % unit_groups * 32;
        match self.scales {
            ScaleKind::Dense => ([1.0; 2], None),
            ScaleKind::Plain => ([half(0); 2], None),
            ScaleKind::Affine => ([half(0); 2], Some([half(32); 2])),
            ScaleKind::Powers => ([groups::half_power(unit[lane]); 2], None),
            ScaleKind::Super => {
                let (scale, min) = (unit[64 + within + lane], unit[64 + within + 16 + lane]);
                ([half(0) * f32::from(scale); 2], Some([-(half(32) * f32::from(min)); 2]))
            }
            ScaleKind::SuperHalves => {
                let scale = |at: usize| half(0) * f32::from(unit[64 + within + at + lane] & 15);
                let bias = |at: usize| -(half(32) * f32::from(unit[64 + within + at + lane] >> 4));
                ([scale(0), scale(16)], Some([bias(0), bias(16)]))
            }
            ScaleKind::Signed => ([half(0) * f32::from(unit[32 + within / 2 + lane] as i8); 2], None),
            ScaleKind::SignedHalves => {
                let scale = |at: usize| half(0) * f32::from(unit[32 + within + at + lane] as i8);
                ([scale(0), scale(16)], None)
            }
        }
    }
}
