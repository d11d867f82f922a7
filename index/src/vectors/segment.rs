//! One vector file: written once, checked whole when it is opened, then mapped.
//!
//! All numbers little-endian. Header of 128 bytes: magic `CLOISVEC`, u32 format, u32 dimension, u32 rows, 32 bytes SHA-256 of the
//! embedder's weights, 16 bytes id of the catalogue, u64 edition, zeros, and at 124 a CRC-32 of the bytes before. Then per row
//! i64 passage, version, document and collection and f32 scale, column by column, padded to 64 bytes; then the rows, each `dimension` signed
//! bytes padded to a multiple of 64; then one CRC-32 for the columns and one for each block of 1,024 rows, and one over these.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::kernels::STRIDE;
use super::map::Map;
use crate::IndexError;
use crate::blobs::sync_directory;

const MAGIC: &[u8; 8] = b"CLOISVEC";
const FORMAT: u32 = 1;
const HEADER: usize = 128;
/// Bytes of the columns of one row.
const COLUMNS: usize = 4 * 8 + 4;
/// Rows under one checksum.
const BLOCK_ROWS: usize = 1_024;
/// Rows of one file.
const ROWS_MAX: usize = 100_000_000;
/// Numbers of one vector.
pub(super) const DIMENSION_MAX: usize = 4_096;

/// What all files of one index have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Numbers of one vector.
    pub(super) dimension: usize,
    /// SHA-256 of the embedder's weights.
    pub(super) embedder: [u8; 32],
    /// Id of the catalogue.
    pub(super) store: [u8; 16],
}

impl Kind {
    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.dimension.next_multiple_of(STRIDE)
    }
}

/// Whose vector a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) passage: i64,
    pub(crate) version: i64,
    pub(crate) document: i64,
    pub(crate) collection: i64,
}

/// Rows to be written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) owners: Vec<Owner>,
    pub(super) scales: Vec<f32>,
    pub(super) bytes: Vec<u8>,
}

impl Rows {
    /// Adds a vector, rounded to signed bytes with one scale.
    pub(super) fn push(&mut self, owner: Owner, vector: &[f32], stride: usize) {
        let (scale, row) = quantise(vector, stride);
        self.owners.push(owner);
        self.scales.push(scale);
        self.bytes.extend_from_slice(&row);
    }
}

/// A vector as signed bytes padded with zeros, and the value of one step.
pub(super) fn quantise(vector: &[f32], stride: usize) -> (f32, Vec<u8>) {
    let largest = vector.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let scale = largest / 127.0;
    let mut row = vec![0_u8; stride];
    if scale > 0.0 {
        for (byte, value) in row.iter_mut().zip(vector) {
            *byte = ((value / scale).round().clamp(-127.0, 127.0) as i8) as u8;
        }
    }
    (scale, row)
}

/// An open vector file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) owners: Vec<Owner>,
    pub(super) scales: Vec<f32>,
    map: Map,
    rows_at: usize,
    stride: usize,
}

impl Segment {
    /// Rows of the file.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The bytes of the rows from `first` on.
    pub(super) fn rows_from(&self, first: usize) -> &[u8] {
        let all = &self.map.bytes()[self.rows_at..self.rows_at + self.len() * self.stride];
        &all[first * self.stride..]
    }

    /// The bytes of one row.
    pub(super) fn row(&self, at: usize) -> &[u8] {
        &self.rows_from(at)[..self.stride]
    }

    /// Opens a file and checks every byte of it. The error says what is wrong with it.
    pub(super) fn open(directory: &Path, name: &str, kind: &Kind) -> Result<Self, SegmentFault> {
        let map = Map::open(&directory.join(name)).map_err(SegmentFault::from)?;
        let bytes = map.bytes();
        let rows = check_header(bytes, kind)?;
        let stride = kind.stride();
        let (columns_end, rows_at, rows_end) = layout(rows, stride);
        let sums_bytes = (rows.div_ceil(BLOCK_ROWS) + 2) * 4;
        if bytes.len() != rows_end + sums_bytes {
            return damaged(name, "its length differs");
        }
        let sums: Vec<u32> = bytes[rows_end..].as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect();
        let expected = checksums(&bytes[HEADER..columns_end], &bytes[rows_at..rows_end], stride);
        if sums != expected {
            return damaged(name, "a checksum differs");
        }
        let (owners, scales) = read_columns(&bytes[HEADER..columns_end], rows);
        Ok(Self { name: name.to_owned(), owners, scales, map, rows_at, stride })
    }
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum SegmentFault {
    /// Missing or damaged: to be rebuilt.
    Damaged(String),
    /// The environment refused.
    Environment(IndexError),
}

impl From<IndexError> for SegmentFault {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io { path, source, .. }
                if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) =>
            {
                Self::Damaged(format!("{} is missing", path.file_name().unwrap_or_default().display()))
            }
            other => Self::Environment(other),
        }
    }
}

fn damaged<T>(name: &str, what: &str) -> Result<T, SegmentFault> {
    Err(SegmentFault::Damaged(format!("{name}: {what}")))
}

fn header(kind: &Kind, rows: usize, edition: u64) -> [u8; HEADER] {
    let mut bytes = [0_u8; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..16].copy_from_slice(&(kind.dimension as u32).to_le_bytes());
    bytes[16..20].copy_from_slice(&(rows as u32).to_le_bytes());
    bytes[20..52].copy_from_slice(&kind.embedder);
    bytes[52..68].copy_from_slice(&kind.store);
    bytes[68..76].copy_from_slice(&edition.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The number of rows, once the header is found to be whole and of this index.
fn check_header(bytes: &[u8], kind: &Kind) -> Result<usize, SegmentFault> {
    let Some(head) = bytes.first_chunk::<HEADER>() else { return damaged("the header", "it is cut off") };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let rows = number(16) as usize;
    let edition = u64::from_le_bytes(std::array::from_fn(|i| head[68 + i]));
    if *head != header(kind, rows, edition) {
        return damaged("the header", "it is damaged or of another index");
    }
    if rows > ROWS_MAX {
        return damaged("the header", "it has too many rows");
    }
    Ok(rows)
}

/// End of the columns, start and end of the rows.
fn layout(rows: usize, stride: usize) -> (usize, usize, usize) {
    let columns_end = HEADER + rows * COLUMNS;
    let rows_at = columns_end.next_multiple_of(STRIDE);
    (columns_end, rows_at, rows_at + rows * stride)
}

fn checksums(columns: &[u8], rows: &[u8], stride: usize) -> Vec<u32> {
    let mut sums = vec![crc32fast::hash(columns)];
    sums.extend(rows.chunks(BLOCK_ROWS * stride).map(crc32fast::hash));
    let packed: Vec<u8> = sums.iter().flat_map(|s| s.to_le_bytes()).collect();
    sums.push(crc32fast::hash(&packed));
    sums
}

fn pack_columns(rows: &Rows) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.owners.len() * COLUMNS);
    for column in [|o: &Owner| o.passage, |o: &Owner| o.version, |o: &Owner| o.document, |o: &Owner| o.collection] {
        bytes.extend(rows.owners.iter().flat_map(|owner| column(owner).to_le_bytes()));
    }
    bytes.extend(rows.scales.iter().flat_map(|scale| scale.to_le_bytes()));
    bytes
}

fn read_columns(bytes: &[u8], rows: usize) -> (Vec<Owner>, Vec<f32>) {
    let (numbers, scales) = bytes.split_at(rows * 32);
    let column = |index: usize| &numbers.as_chunks::<8>().0[index * rows..(index + 1) * rows];
    let owners = (0..rows)
        .map(|at| Owner {
            passage: i64::from_le_bytes(column(0)[at]),
            version: i64::from_le_bytes(column(1)[at]),
            document: i64::from_le_bytes(column(2)[at]),
            collection: i64::from_le_bytes(column(3)[at]),
        })
        .collect();
    let scales = scales.as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c)).collect();
    (owners, scales)
}

/// Writes a file, makes it durable under its name, and opens it.
pub(super) fn write(
    directory: &Path,
    name: &str,
    kind: &Kind,
    rows: &Rows,
    edition: u64,
) -> Result<Segment, IndexError> {
    let count = rows.owners.len();
    if count > ROWS_MAX {
        return Err(IndexError::Limit { what: "the number of vectors", value: count as u64, max: ROWS_MAX as u64 });
    }
    let columns = pack_columns(rows);
    let (columns_end, rows_at, _) = layout(count, kind.stride());
    let sums: Vec<u8> = checksums(&columns, &rows.bytes, kind.stride()).iter().flat_map(|s| s.to_le_bytes()).collect();
    let padding = vec![0_u8; rows_at - columns_end];
    let parts: [&[u8]; 5] = [&header(kind, count, edition), &columns, &padding, &rows.bytes, &sums];
    write_durably(directory, name, &parts)?;
    Segment::open(directory, name, kind).map_err(|fault| match fault {
        SegmentFault::Damaged(detail) => IndexError::Damaged { what: "a vector file just written".to_owned(), detail },
        SegmentFault::Environment(error) => error,
    })
}

/// Writes a file under a temporary name, syncs it, renames it and syncs the directory.
pub(super) fn write_durably(directory: &Path, name: &str, parts: &[&[u8]]) -> Result<(), IndexError> {
    let temporary = directory.join(format!("{name}.tmp"));
    let result = (|| {
        let file = File::create(&temporary)?;
        let mut out = BufWriter::new(file);
        parts.iter().try_for_each(|part| out.write_all(part))?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, directory.join(name))
    })();
    if let Err(error) = result {
        // The file may not be there; what stays is removed at the next open.
        let _ = std::fs::remove_file(&temporary);
        return Err(IndexError::io("write", &directory.join(name), error));
    }
    sync_directory(directory)
}
