//! The form of a file of packed weights. Numbers are little-endian.
//!
//! | Bytes | What |
//! | --- | --- |
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | [`VERSION`] |
//! | 12..16 | zero |
//! | 16..48 | the [`Key`] of the model that was packed |
//! | 48..56 | where the table begins |
//! | 56..64 | length of the table in bytes |
//! | 64..96 | SHA-256 of the table |
//! | 96..128 | SHA-256 of bytes 0..96 |
//! | 128..4096 | zero |
//! | 4096.. | the matrices, one behind the other, as [`Matrix`](crate::quant::Matrix) describes their tiles |
//! | to the end | the table |
//!
//! The table holds the number of matrices (4 bytes), and for each: the length of its tensor's name (1 byte), the name, the first
//! row that it has of that tensor (8 bytes), the number of its type in [`WeightType::ALL`] (1 byte), rows and columns (8 bytes
//! each), and a CRC-32 (4 bytes) for each of its pieces: as many whole tiles as a mebibyte holds, one at the least.

use sha2::{Digest as _, Sha256};

use super::PackedFault;
use crate::quant::{TILE_ROWS, WeightType, matrix_piece_bytes, packed_bytes};

pub(super) const MAGIC: [u8; 8] = *b"CLSTRPKW";
/// Goes up whenever tiles, table or key change their form, so that older files are packed anew.
pub(super) const VERSION: u32 = 1;
/// Where the matrices begin.
pub(super) const BODY: usize = 4096;
/// Bytes of the header that mean something.
const HEADER: usize = 128;
/// More matrices than this are not kept.
pub(super) const MATRICES_MAX: usize = 1 << 18;
/// Longest name of a tensor in bytes, as in GGUF files.
const NAME_BYTES_MAX: usize = crate::gguf::limits::NAME_BYTES_MAX as usize;

/// What tells one model from another; see [`crate::gguf::GgufFile`].
pub type Key = [u8; 32];

/// A matrix in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The tensor that the matrix is made of.
    pub(super) tensor: String,
    /// Its first row of that tensor.
    pub(super) first_row: u64,
    pub(super) kind: WeightType,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Where it begins in the file.
    pub(super) start: usize,
    /// Checksums of its pieces.
    pub(super) sums: Vec<u32>,
}

impl Entry {
    /// Bytes of the matrix and of one of its pieces; `None` where a size makes no sense.
    pub(super) fn lengths(&self) -> Option<(usize, usize)> {
        let Self { kind, rows, cols, .. } = *self;
        if rows == 0 || cols == 0 || !cols.is_multiple_of(kind.block_values()) {
            return None;
        }
        rows.checked_next_multiple_of(TILE_ROWS)?;
        let length = usize::try_from(packed_bytes(kind, rows as u64, cols as u64)?).ok()?;
        Some((length, matrix_piece_bytes(kind, cols)?))
    }
}

/// The header of a file whose table stands at `table_start`.
pub(super) fn header(key: &Key, table_start: usize, table: &[u8]) -> [u8; BODY] {
    let mut out = [0; BODY];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[16..48].copy_from_slice(key);
    out[48..56].copy_from_slice(&(table_start as u64).to_le_bytes());
    out[56..64].copy_from_slice(&(table.len() as u64).to_le_bytes());
    out[64..96].copy_from_slice(&Sha256::digest(table));
    let sum = Sha256::digest(&out[..96]);
    out[96..HEADER].copy_from_slice(&sum);
    out
}

/// The table of these matrices, which stand in the order of their places.
pub(super) fn table(entries: &[Entry]) -> Vec<u8> {
    let mut out = (entries.len() as u32).to_le_bytes().to_vec();
    for entry in entries {
        out.push(entry.tensor.len() as u8);
        out.extend(entry.tensor.as_bytes());
        out.extend(entry.first_row.to_le_bytes());
        let kind = WeightType::ALL.iter().position(|kind| *kind == entry.kind);
        out.push(kind.expect("ALL holds every type") as u8);
        out.extend((entry.rows as u64).to_le_bytes());
        out.extend((entry.cols as u64).to_le_bytes());
        entry.sums.iter().for_each(|sum| out.extend(sum.to_le_bytes()));
    }
    out
}

/// The matrices of a whole file, all but their own bytes checked.
///
/// Nothing is reserved from a number that the file merely claims: a list grows as its bytes are found.
pub(super) fn read(file: &[u8], key: &Key) -> Result<Vec<Entry>, PackedFault> {
    let header = file.first_chunk::<BODY>().ok_or(PackedFault::Cut)?;
    if header[..8] != MAGIC {
        return Err(PackedFault::Foreign);
    }
    if header[8..12] != VERSION.to_le_bytes() {
        return Err(PackedFault::Version);
    }
    if header[96..HEADER] != Sha256::digest(&header[..96])[..] || header[HEADER..].iter().any(|&byte| byte != 0) {
        return Err(PackedFault::Damaged("header"));
    }
    if header[16..48] != key[..] {
        return Err(PackedFault::Stale);
    }
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes were taken"));
    let (start, length) = (number(48), number(56));
    // The table ends where the file ends.
    if start < BODY as u64 || start.checked_add(length) != Some(file.len() as u64) {
        return Err(PackedFault::Cut);
    }
    let table = &file[start as usize..];
    if header[64..96] != Sha256::digest(table)[..] {
        return Err(PackedFault::Damaged("table"));
    }
    read_table(table, start as usize).ok_or(PackedFault::Damaged("table"))
}

/// The entries of a table, whose matrices fill the file from [`BODY`] to `body_end`.
fn read_table(table: &[u8], body_end: usize) -> Option<Vec<Entry>> {
    let mut rest = table;
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    if count > MATRICES_MAX {
        return None;
    }
    let (mut entries, mut start) = (Vec::new(), BODY);
    for _ in 0..count {
        let (entry, length) = read_entry(&mut rest, start, body_end)?;
        start += length;
        entries.push(entry);
    }
    (rest.is_empty() && start == body_end).then_some(entries)
}

/// The next entry, which begins at `start`, and the length of its matrix.
fn read_entry(rest: &mut &[u8], start: usize, body_end: usize) -> Option<(Entry, usize)> {
    let [name_length] = take(rest)?;
    let name_length = usize::from(name_length);
    if name_length > NAME_BYTES_MAX || name_length > rest.len() {
        return None;
    }
    let (name, after) = rest.split_at(name_length);
    *rest = after;
    let tensor = std::str::from_utf8(name).ok()?.to_owned();
    let first_row = u64::from_le_bytes(take(rest)?);
    let [kind] = take(rest)?;
    let kind = *WeightType::ALL.get(usize::from(kind))?;
    let mut size = || usize::try_from(u64::from_le_bytes(take(rest)?)).ok();
    let (rows, cols) = (size()?, size()?);
    let mut entry = Entry { tensor, first_row, kind, rows, cols, start, sums: Vec::new() };
    let (length, piece_bytes) = entry.lengths()?;
    start.checked_add(length).filter(|&end| end <= body_end)?;
    for _ in 0..length.div_ceil(piece_bytes) {
        entry.sums.push(u32::from_le_bytes(take(rest)?));
    }
    Some((entry, length))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let shapes = [
            ("a", WeightType::Q4_0, 33, 64),
            ("b.weight", WeightType::F32, 1, 7),
            ("b.weight", WeightType::Q6_K, 5000, 1024),
        ];
        let mut start = BODY;
        shapes
            .map(|(tensor, kind, rows, cols)| {
                let mut entry =
                    Entry { tensor: tensor.into(), first_row: 16, kind, rows, cols, start, sums: Vec::new() };
                let (length, piece_bytes) = entry.lengths().expect("a shape");
                entry.sums = (0..length.div_ceil(piece_bytes) as u32).collect();
                start += length;
                entry
            })
            .to_vec()
    }

    fn end(entries: &[Entry]) -> usize {
        entries.last().map_or(BODY, |last| last.start + last.lengths().expect("a shape").0)
    }

    #[test]
    fn a_table_comes_back_and_no_other_length_does() {
        let entries = entries();
        let table = table(&entries);
        let end = end(&entries);
        assert!(entries[2].sums.len() > 3);
        assert_eq!(read_table(&table, end).as_ref(), Some(&entries));
        assert_eq!(read_table(&table, end + 64), None);
        for length in 0..table.len() {
            assert_eq!(read_table(&table[..length], end), None, "{length}");
        }
        assert_eq!(read_table(&[table, vec![0]].concat(), end), None);
    }

    #[test]
    fn shapes_beyond_the_file_are_refused_before_anything_is_reserved() {
        for (rows, cols) in [(u64::MAX, 32), (1 << 60, 1 << 20), (u64::MAX - 3, !31u64), (0, 32), (16, 0), (16, 31)] {
            let mut table = 1u32.to_le_bytes().to_vec();
            table.extend([1, b'a']);
            table.extend(0u64.to_le_bytes());
            table.push(3);
            table.extend(rows.to_le_bytes());
            table.extend(cols.to_le_bytes());
            assert_eq!(read_table(&table, 1 << 20), None, "{rows} x {cols}");
        }
    }
}
