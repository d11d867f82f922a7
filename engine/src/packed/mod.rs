//! Packed weights kept in a file from one start to the next.
//!
//! The first start of a model packs its matrices straight into a file (`place.rs` says where, `format.rs` in what form) and maps
//! it; later starts map what they find. A file is used only if its key is that of the model as it lies on the disk now, and
//! every byte of it has the checksum that was noted; else it is packed anew. Where no file can be had, the weights are packed
//! into memory. See `docs/decisions/0008-packed-weights.md`.

mod format;
mod place;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::EngineError;
use crate::gguf::GgufFile;
use crate::mmap::FileBytes;
use crate::models::{self, Decoder};
use crate::pool::Pool;
use crate::quant::{Matrix, WeightType};
use format::{BODY, Entry};
use place::Draft;

pub use format::Key;
pub use place::DISK_RESERVE_BYTES;

/// Room in a file for its table, which is far smaller: some hundred bytes a matrix.
const TABLE_ROOM_BYTES: u64 = 1 << 20;

/// Where packed weights are kept from one start to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeepPacked {
    /// Beside the model's file, under its name with `.packed` behind it.
    #[default]
    BesideModel,
    /// As before; in this folder where that one cannot be written.
    BesideModelOr(PathBuf),
    /// Nowhere: every start packs into memory.
    Nowhere,
}

impl KeepPacked {
    /// The files that loading `model` may have left, whether they exist or not: what is to go when the model goes. Ask before
    /// the model itself is removed.
    pub fn leavings(&self, model: &Path) -> Vec<PathBuf> {
        place::leavings(model, self)
    }
}

/// Where the weights of a loaded model are, for whoever keeps a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedWeights {
    /// The file that they are mapped from; none when they are in memory.
    pub file: Option<PathBuf>,
    /// Whether they were packed at this start.
    pub packed_now: bool,
    /// What stood in the way of a faster start, a sentence each: a file that was not used, a place that was not written.
    pub notes: Vec<String>,
}

/// Why a file of packed weights is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackedFault {
    /// It is no such file.
    Foreign,
    /// It is of another version of the packed form.
    Version,
    /// It was packed from another model, or from the same before it changed.
    Stale,
    /// It has not its full length.
    Cut,
    /// This part of it is not as it was written.
    Damaged(&'static str),
    /// The matrix made of this tensor is not as it was written.
    Matrix(String),
}

impl fmt::Display for PackedFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => write!(formatter, "it is no file of packed weights"),
            Self::Version => write!(formatter, "another version of this program has packed it"),
            Self::Stale => write!(formatter, "it was packed from another file than the model is now"),
            Self::Cut => write!(formatter, "it is not whole"),
            Self::Damaged(part) => write!(formatter, "its {part} is damaged"),
            Self::Matrix(tensor) => write!(formatter, "the weights of {tensor} in it are damaged"),
        }
    }
}

/// A file of packed weights that has been checked.
#[derive(Debug)]
pub struct PackedFile {
    bytes: Arc<FileBytes>,
    entries: Vec<Entry>,
    by_part: HashMap<(String, u64), usize>,
}

impl PackedFile {
    /// Checks the bytes of a whole file, which must be of the model with this key.
    ///
    /// # Errors
    /// The first fault that is found; of several damaged matrices, any.
    pub fn from_bytes(bytes: Vec<u8>, key: &Key, pool: &Pool) -> Result<Self, PackedFault> {
        Self::read(FileBytes::Held(bytes), key, pool)
    }

    fn read(bytes: FileBytes, key: &Key, pool: &Pool) -> Result<Self, PackedFault> {
        let entries = format::read(&bytes, key)?;
        check_sums(&bytes, &entries, pool)?;
        let part = |(index, entry): (usize, &Entry)| ((entry.tensor.clone(), entry.first_row), index);
        let by_part = entries.iter().enumerate().map(part).collect();
        Ok(Self { bytes: Arc::new(bytes), entries, by_part })
    }

    /// The matrices, each with the name of the tensor that it is made of.
    pub fn matrices(&self) -> impl Iterator<Item = (&str, Matrix)> {
        self.entries.iter().filter_map(|entry| Some((entry.tensor.as_str(), self.view(entry)?)))
    }

    fn view(&self, entry: &Entry) -> Option<Matrix> {
        Matrix::filed(entry.kind, (entry.rows, entry.cols), &self.bytes, entry.start)
    }

    fn matrix(&self, part: &Part<'_>) -> Option<Matrix> {
        let entry = &self.entries[*self.by_part.get(&(part.tensor.to_owned(), part.first_row as u64))?];
        let same = (entry.kind, entry.rows, entry.cols) == (part.kind, part.rows, part.cols);
        if same { self.view(entry) } else { None }
    }
}

/// Compares every piece with its checksum.
fn check_sums(bytes: &[u8], entries: &[Entry], pool: &Pool) -> Result<(), PackedFault> {
    let mut pieces = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let (length, piece_bytes) = entry.lengths().ok_or(PackedFault::Damaged("table"))?;
        for (piece, sum) in entry.sums.iter().enumerate() {
            let start = piece * piece_bytes;
            pieces.push((number, entry.start + start..entry.start + length.min(start + piece_bytes), *sum));
        }
    }
    let damaged = AtomicUsize::new(usize::MAX);
    pool.run(pieces.len(), &|index| {
        let (number, range, sum) = &pieces[index];
        if bytes.get(range.clone()).map(crc32fast::hash) != Some(*sum) {
            damaged.store(*number, Ordering::Relaxed);
        }
    });
    let damaged = entries.get(damaged.into_inner());
    damaged.map_or(Ok(()), |entry| Err(PackedFault::Matrix(entry.tensor.clone())))
}

/// Consecutive rows of a tensor that make a matrix.
pub(crate) struct Part<'a> {
    pub(crate) tensor: &'a str,
    pub(crate) first_row: usize,
    pub(crate) kind: WeightType,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Where the matrices of a model that is being loaded come from or go to.
pub(crate) enum Store<'a> {
    /// Each is packed into memory of its own.
    Memory,
    /// Each is packed into a file. What the loader gets has a shape and no values.
    Write(&'a Writer),
    /// Each is taken from a file.
    Read(&'a PackedFile),
}

impl Store<'_> {
    /// The matrix made of these rows of a tensor, whose bytes in the model's file are `bytes`.
    pub(crate) fn matrix(&self, part: &Part<'_>, bytes: &[u8], pool: &Pool) -> io::Result<Matrix> {
        match self {
            Self::Memory => Matrix::pack(part.kind, part.rows, part.cols, bytes, pool),
            Self::Write(writer) => writer.pack(part, bytes, pool),
            Self::Read(file) => file
                .matrix(part)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the packed weights have no such matrix")),
        }
    }
}

/// A file of packed weights that is being written.
pub(crate) struct Writer {
    draft: Draft,
    entries: RefCell<Vec<Entry>>,
    end: Cell<usize>,
    /// Why nothing can be written any more.
    failure: Mutex<Option<String>>,
}

impl Writer {
    fn begin(place: &Path, bytes: u64) -> io::Result<Self> {
        let draft = Draft::begin(place, bytes)?;
        Ok(Self { draft, entries: RefCell::default(), end: Cell::new(BODY), failure: Mutex::default() })
    }

    fn pack(&self, part: &Part<'_>, bytes: &[u8], pool: &Pool) -> io::Result<Matrix> {
        let &Part { tensor, first_row, kind, rows, cols } = part;
        let start = self.end.get();
        let first_row = first_row as u64;
        let mut entry = Entry { tensor: tensor.to_owned(), first_row, kind, rows, cols, start, sums: Vec::new() };
        let shapeless = || io::Error::new(io::ErrorKind::InvalidData, "its shape makes no sense");
        let (length, piece_bytes) = entry.lengths().ok_or_else(shapeless)?;
        let sums: Vec<AtomicU32> = (0..length.div_ceil(piece_bytes)).map(|_| AtomicU32::new(0)).collect();
        let (draft, failure) = (&self.draft, &self.failure);
        let matrix = Matrix::pack_to(kind, (rows, cols), bytes, pool, &|piece, at, tiles| {
            sums[piece].store(crc32fast::hash(tiles), Ordering::Relaxed);
            draft.write_at(tiles, (start + at) as u64).inspect_err(|error| {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            })
        });
        entry.sums = sums.into_iter().map(AtomicU32::into_inner).collect();
        self.end.set(start + length);
        self.entries.borrow_mut().push(entry);
        matrix
    }

    /// Completes the file and opens it for reading.
    fn finish(self, key: &Key) -> io::Result<File> {
        let (entries, end) = (self.entries.into_inner(), self.end.get());
        if entries.len() > format::MATRICES_MAX {
            return Err(io::Error::other(format!("{} matrices are more than a file may hold", entries.len())));
        }
        let table = format::table(&entries);
        self.draft.write_at(&table, end as u64)?;
        self.draft.write_at(&format::header(key, end, &table), 0)?;
        self.draft.settle((end + table.len()) as u64)
    }
}

/// What decides how the weights of a model are held.
pub(crate) struct Holding<'a> {
    pub(crate) keep: &'a KeepPacked,
    /// Bytes of the packed weights.
    pub(crate) packed_bytes: u64,
    /// Whether there is memory for them besides what else the model needs.
    pub(crate) fits_memory: bool,
}

/// A decoder with its weights.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) decoder: Decoder,
    pub(crate) weights: PackedWeights,
    /// The file that the decoder reads while it runs.
    bytes: Option<Arc<FileBytes>>,
}

impl Loaded {
    /// Fails when the weights need not be what they were at loading, so that nothing computed since may be believed.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        self.bytes.as_ref().map_or(Ok(()), |bytes| bytes.check())
    }
}

/// Loads the decoder in `model`, the file at `path`, for sequences of up to `context_tokens`.
///
/// # Errors
/// What is wrong with the model. `None` when no file can be had and there is no memory.
pub(crate) fn load(
    (model, path): (&GgufFile, &Path),
    holding: &Holding<'_>,
    pool: &Pool,
    context_tokens: usize,
) -> Result<Option<Loaded>, EngineError> {
    let key = model.identity()?;
    let places = if key.is_some() { place::places(path, holding.keep) } else { Vec::new() };
    let loading = Loading { model, key: key.unwrap_or_default(), pool, context_tokens };
    let mut notes = Vec::new();
    for place in &places {
        match place::open(place) {
            Ok(file) => match loading.read(file, place) {
                Ok((decoder, bytes)) => return Ok(Some(Loaded::filed(decoder, bytes, place, false, notes))),
                Err(why) => notes.push(format!("{} was not used: {why}", place.display())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => notes.push(format!("{} was not used: {error}", place.display())),
        }
    }
    for place in &places {
        match loading.write(place, holding.packed_bytes)? {
            Ok((decoder, bytes)) => return Ok(Some(Loaded::filed(decoder, bytes, place, true, notes))),
            Err(why) => notes.push(format!("{} was not written: {why}", place.display())),
        }
    }
    if !holding.fits_memory {
        return Ok(None);
    }
    let decoder = models::load(model, pool, context_tokens, &Store::Memory)?;
    let weights = PackedWeights { file: None, packed_now: true, notes };
    Ok(Some(Loaded { decoder, weights, bytes: None }))
}

impl Loaded {
    fn filed(decoder: Decoder, bytes: Arc<FileBytes>, place: &Path, packed_now: bool, notes: Vec<String>) -> Self {
        let weights = PackedWeights { file: Some(place.to_owned()), packed_now, notes };
        Self { decoder, weights, bytes: Some(bytes) }
    }
}

/// A model that is being loaded.
struct Loading<'a> {
    model: &'a GgufFile,
    key: Key,
    pool: &'a Pool,
    context_tokens: usize,
}

impl Loading<'_> {
    /// The decoder with the weights of a file, or why they are not used.
    fn read(&self, file: File, place: &Path) -> Result<(Decoder, Arc<FileBytes>), String> {
        let bytes = FileBytes::map_file(file, place).map_err(|error| error.to_string())?;
        bytes.ask_for_large_pages();
        let packed = PackedFile::read(bytes, &self.key, self.pool).map_err(|fault| fault.to_string())?;
        let store = Store::Read(&packed);
        let decoder = models::load(self.model, self.pool, self.context_tokens, &store);
        let decoder = decoder.map_err(|error| error.to_string())?;
        packed.bytes.check().map_err(|error| error.to_string())?;
        Ok((decoder, packed.bytes))
    }

    /// Packs the weights into a file and takes them from it; the inner error says why that was not possible.
    fn write(&self, place: &Path, packed_bytes: u64) -> Result<Result<(Decoder, Arc<FileBytes>), String>, EngineError> {
        let bytes = packed_bytes.saturating_add(TABLE_ROOM_BYTES);
        let writer = match Writer::begin(place, bytes) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Err(error) = models::load(self.model, self.pool, self.context_tokens, &Store::Write(&writer)) {
            let failure = writer.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
            return failure.map_or(Err(error), |failure| Ok(Err(failure)));
        }
        // What was packed while the model changed is nothing to keep.
        self.model.check()?;
        let written = writer.finish(&self.key).map_err(|error| error.to_string());
        Ok(written.and_then(|file| self.read(file, place)))
    }
}
