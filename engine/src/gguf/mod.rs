//! GGUF files, versions 2 and 3, little-endian: metadata and tensors over a memory map.
//!
//! The file is taken for hostile. Every count, length and offset is checked against the file's length before it is
//! used, nothing is reserved from a number that the file merely claims, and a tensor can be seen only if all its bytes
//! lie inside the file. What is read here costs at most [`limits::METADATA_BYTES_MAX`] bytes of reading.
//!
//! Format: the GGUF specification of the ggml project (version 3, little-endian form).

mod cursor;
mod identity;
pub mod limits;
mod parse;
mod types;
mod value;

use std::collections::HashMap;
use std::path::Path;

use crate::EngineError;
use crate::mmap::FileBytes;

pub use types::TensorType;
pub use value::{Array, Kind, Strings, Value};

/// A GGUF file whose header has been read and checked.
#[derive(Debug)]
pub struct GgufFile {
    bytes: FileBytes,
    label: String,
    header: Header,
}

/// What the parser found: positions in the file only, no copy of its contents but the names.
#[derive(Debug)]
struct Header {
    version: u32,
    metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
    data_start: u64,
}

#[derive(Debug)]
struct TensorInfo {
    name: String,
    dims: Vec<u64>,
    kind: TensorType,
    /// Range of the tensor's bytes in the file; inside the file, proven by the parser.
    start: usize,
    end: usize,
}

/// One tensor: its name, shape, type and bytes.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name, at most [`limits::NAME_BYTES_MAX`] bytes.
    pub name: &'a str,
    /// Sizes, fastest-varying first (ggml's order): a weight of `rows x columns` has `[columns, rows]`. One to four.
    pub dims: &'a [u64],
    /// How the values are stored.
    pub kind: TensorType,
    /// The stored bytes, exactly as many as `dims` and `kind` say.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// Number of values.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Values of one row (the first dimension).
    pub fn columns(&self) -> usize {
        self.dims[0] as usize
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.dims[1..].iter().product::<u64>() as usize
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.columns() / self.kind.block_values() * self.kind.block_bytes()
    }
}

impl GgufFile {
    /// Maps a file and reads its header. No weight is touched.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let label = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        Self::new(FileBytes::map(path)?, label)
    }

    /// Reads a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, EngineError> {
        Self::new(FileBytes::Held(bytes), "model file".to_owned())
    }

    fn new(bytes: FileBytes, label: String) -> Result<Self, EngineError> {
        let header = parse::header(&bytes, &label)?;
        Ok(Self { bytes, label, header })
    }

    /// The format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where the tensor data begins, in bytes from the file's start.
    pub fn data_start(&self) -> u64 {
        self.header.data_start
    }

    /// Name used in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The tensors in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|info| self.view(info))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let idx = *self.header.by_name.get(name)?;
        Some(self.view(&self.header.tensors[idx]))
    }

    /// The tensor of that name, or an error that names it.
    pub fn require_tensor(&self, name: &str) -> Result<TensorView<'_>, EngineError> {
        self.tensor(name).ok_or_else(|| self.damaged(format!("tensor {name} is missing")))
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorView<'a> {
        TensorView { name: &info.name, dims: &info.dims, kind: info.kind, bytes: &self.bytes[info.start..info.end] }
    }

    /// The metadata keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.header.metadata.keys().map(String::as_str)
    }

    /// What kind of value a key holds.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        self.header.metadata.get(key).map(Value::kind)
    }

    /// A text value; `None` when the key is absent.
    ///
    /// # Errors
    /// The value is no text, or not UTF-8.
    pub fn text(&self, key: &str) -> Result<Option<&str>, EngineError> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        let Value::Text { start, end } = value else { return Err(self.wrong_kind(key, value, "a text")) };
        let text =
            std::str::from_utf8(&self.bytes[*start..*end]).map_err(|_| self.damaged(format!("{key} is not UTF-8")))?;
        Ok(Some(text))
    }

    /// A text value that must be there.
    pub fn require_text(&self, key: &str) -> Result<&str, EngineError> {
        self.text(key)?.ok_or_else(|| self.damaged(format!("{key} is missing")))
    }

    /// A whole number of any stored width that is not negative and fits 64 bits; `None` when the key is absent.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, EngineError> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        value.as_unsigned().map(Some).ok_or_else(|| self.wrong_kind(key, value, "a whole number that is not negative"))
    }

    /// As [`GgufFile::unsigned`], within 32 bits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, EngineError> {
        let Some(number) = self.unsigned(key)? else { return Ok(None) };
        let number = u32::try_from(number).map_err(|_| self.damaged(format!("{key} is too large: {number}")))?;
        Ok(Some(number))
    }

    /// A 32-bit whole number that must be there.
    pub fn require_u32(&self, key: &str) -> Result<u32, EngineError> {
        self.u32(key)?.ok_or_else(|| self.damaged(format!("{key} is missing")))
    }

    /// A floating point value that is finite; `None` when the key is absent.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, EngineError> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number as f32)),
            _ => Err(self.wrong_kind(key, value, "a finite number")),
        }
    }

    /// A truth value; `None` when the key is absent.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, EngineError> {
        match self.header.metadata.get(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(value) => Err(self.wrong_kind(key, value, "true or false")),
        }
    }

    /// A list of texts, as bytes (a vocabulary need not be UTF-8); `None` when the key is absent.
    pub fn strings(&self, key: &str) -> Result<Option<Strings<'_>>, EngineError> {
        match self.header.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(Array::Texts(ranges))) => Ok(Some(Strings { bytes: &self.bytes, ranges })),
            Some(value) => Err(self.wrong_kind(key, value, "a list of texts")),
        }
    }

    /// A list of whole numbers that are not negative, or one such number as a list of one; `None` when absent.
    pub fn unsigned_list(&self, key: &str) -> Result<Option<Vec<u64>>, EngineError> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        let list = match value {
            Value::Array(Array::Numbers { kind, start, len }) => value::unsigned_list(*kind, &self.bytes, *start, *len),
            single => single.as_unsigned().map(|number| vec![number]),
        };
        list.map(Some).ok_or_else(|| self.wrong_kind(key, value, "a list of whole numbers"))
    }

    /// A list of truth values; `None` when the key is absent or holds something else than a list.
    ///
    /// # Errors
    /// The list holds other values than true and false (1 and 0 count as such).
    pub fn flag_list(&self, key: &str) -> Result<Option<Vec<bool>>, EngineError> {
        match self.header.metadata.get(key) {
            Some(value @ Value::Array(Array::Numbers { kind, start, len })) => {
                let list = value::flag_list(*kind, &self.bytes, *start, *len);
                list.map(Some).ok_or_else(|| self.wrong_kind(key, value, "a list of true and false"))
            }
            Some(value @ Value::Array(Array::Texts(_))) => Err(self.wrong_kind(key, value, "a list of true and false")),
            _ => Ok(None),
        }
    }

    /// A list of numbers as f32; `None` when the key is absent.
    pub fn f32_list(&self, key: &str) -> Result<Option<Vec<f32>>, EngineError> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        let list = match value {
            Value::Array(Array::Numbers { kind, start, len }) => value::f32_list(*kind, &self.bytes, *start, *len),
            _ => None,
        };
        list.map(Some).ok_or_else(|| self.wrong_kind(key, value, "a list of numbers"))
    }

    fn wrong_kind(&self, key: &str, value: &Value, wanted: &str) -> EngineError {
        self.damaged(format!("{key} should be {wanted} and is {:?}", value.kind()))
    }

    /// An error about this file's contents as a whole.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> EngineError {
        EngineError::damaged(&self.label, 0, what)
    }
}
