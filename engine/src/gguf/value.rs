//! Metadata values: small numbers are held, texts and lists stay in the file and are known by their place.

use super::cursor::Cursor;
use super::limits;
use crate::EngineError;

/// The kinds of metadata values, by their number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Flag,
    Text,
    Array,
    U64,
    I64,
    F64,
}

const KINDS: [Kind; 13] = [
    Kind::U8,
    Kind::I8,
    Kind::U16,
    Kind::I16,
    Kind::U32,
    Kind::I32,
    Kind::F32,
    Kind::Flag,
    Kind::Text,
    Kind::Array,
    Kind::U64,
    Kind::I64,
    Kind::F64,
];

impl Kind {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, EngineError> {
        let id = cursor.u32("a value type")?;
        KINDS.get(id as usize).copied().ok_or_else(|| cursor.damaged(format!("unknown value type {id}")))
    }

    /// Bytes of one value of fixed size.
    fn size(self) -> Option<u64> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Flag => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::Text | Kind::Array => None,
        }
    }
}

/// One metadata value.
#[derive(Debug, Clone)]
pub enum Value {
    /// An unsigned number of the given stored kind.
    Unsigned(Kind, u64),
    /// A signed number of the given stored kind.
    Signed(Kind, i64),
    /// A floating point number of the given stored kind.
    Float(Kind, f64),
    /// True or false.
    Flag(bool),
    /// A text, by its place in the file.
    Text {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// A list.
    Array(Array),
}

/// A list of values, by its place in the file.
#[derive(Debug, Clone)]
pub enum Array {
    /// Values of fixed size, one after the other.
    Numbers {
        /// Their kind.
        kind: Kind,
        /// First byte.
        start: usize,
        /// Number of values.
        len: usize,
    },
    /// Texts, each by its first byte and length.
    Texts(Vec<(u32, u32)>),
}

impl Value {
    /// The kind of the value as stored.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Unsigned(kind, _) | Value::Signed(kind, _) | Value::Float(kind, _) => *kind,
            Value::Flag(_) => Kind::Flag,
            Value::Text { .. } => Kind::Text,
            Value::Array(_) => Kind::Array,
        }
    }

    pub(super) fn as_unsigned(&self) -> Option<u64> {
        match self {
            Value::Unsigned(_, number) => Some(*number),
            Value::Signed(_, number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(_, number) => Some(*number),
            Value::Unsigned(_, number) => Some(*number as f64),
            Value::Signed(_, number) => Some(*number as f64),
            _ => None,
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, EngineError> {
        match Kind::read(cursor)? {
            Kind::Text => {
                let (start, end) = cursor.text_range(limits::TEXT_BYTES_MAX, "a text value")?;
                Ok(Value::Text { start, end })
            }
            Kind::Array => Array::read(cursor).map(Value::Array),
            kind => {
                let size = kind.size().expect("texts and arrays are handled above");
                let bytes = cursor.take(size, "a metadata value")?;
                scalar(kind, bytes).ok_or_else(|| cursor.damaged(format!("a flag holds {}", bytes[0])))
            }
        }
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, EngineError> {
        let kind = Kind::read(cursor)?;
        let len = cursor.u64("an array length")?;
        if len > limits::ARRAY_LEN_MAX {
            return Err(cursor.damaged(format!("an array claims {len} values, {} are allowed", limits::ARRAY_LEN_MAX)));
        }
        match kind {
            Kind::Array => Err(cursor.damaged("an array of arrays")),
            Kind::Text => Self::read_texts(cursor, len),
            _ => {
                let size = kind.size().expect("texts and arrays are handled above");
                let start = cursor.at();
                cursor.take(len * size, "an array")?;
                Ok(Array::Numbers { kind, start, len: len as usize })
            }
        }
    }

    fn read_texts(cursor: &mut Cursor<'_>, len: u64) -> Result<Self, EngineError> {
        // Each text takes at least the eight bytes of its length: a claim that the file cannot hold is refused here,
        // before anything grows.
        if len > cursor.remaining() / 8 {
            return Err(cursor.damaged(format!("an array claims {len} texts, more than the file can hold")));
        }
        let mut ranges = Vec::with_capacity(len as usize);
        for _ in 0..len {
            let (start, end) = cursor.text_range(limits::TEXT_BYTES_MAX, "a text of an array")?;
            ranges.push((start as u32, (end - start) as u32));
        }
        Ok(Array::Texts(ranges))
    }
}

fn scalar(kind: Kind, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Value::Unsigned(kind, little_endian(bytes)),
        Kind::I8 => Value::Signed(kind, i64::from(bytes[0] as i8)),
        Kind::I16 => Value::Signed(kind, i64::from(little_endian(bytes) as i16)),
        Kind::I32 => Value::Signed(kind, i64::from(little_endian(bytes) as i32)),
        Kind::I64 => Value::Signed(kind, little_endian(bytes) as i64),
        Kind::F32 => Value::Float(kind, f64::from(f32::from_bits(little_endian(bytes) as u32))),
        Kind::F64 => Value::Float(kind, f64::from_bits(little_endian(bytes))),
        Kind::Flag => Value::Flag(match bytes[0] {
            0 => false,
            1 => true,
            _ => return None,
        }),
        Kind::Text | Kind::Array => return None,
    })
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// The values of a numeric array; `None` when one cannot be read.
fn numbers(kind: Kind, bytes: &[u8], start: usize, len: usize) -> impl Iterator<Item = Option<Value>> + '_ {
    let size = kind.size().expect("numeric arrays hold values of fixed size") as usize;
    bytes[start..start + len * size].chunks_exact(size).map(move |chunk| scalar(kind, chunk))
}

pub(super) fn unsigned_list(kind: Kind, bytes: &[u8], start: usize, len: usize) -> Option<Vec<u64>> {
    numbers(kind, bytes, start, len).map(|value| value.and_then(|v| v.as_unsigned())).collect()
}

pub(super) fn flag_list(kind: Kind, bytes: &[u8], start: usize, len: usize) -> Option<Vec<bool>> {
    let flag = |value: Value| match value {
        Value::Flag(flag) => Some(flag),
        other => other.as_unsigned().filter(|&number| number <= 1).map(|number| number == 1),
    };
    numbers(kind, bytes, start, len).map(|value| value.and_then(flag)).collect()
}

pub(super) fn f32_list(kind: Kind, bytes: &[u8], start: usize, len: usize) -> Option<Vec<f32>> {
    numbers(kind, bytes, start, len).map(|value| value.and_then(|v| v.as_f64()).map(|n| n as f32)).collect()
}

/// A list of texts of the file.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) ranges: &'a [(u32, u32)],
}

impl<'a> Strings<'a> {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The text at a place, as bytes.
    pub fn get(&self, idx: usize) -> Option<&'a [u8]> {
        let &(start, len) = self.ranges.get(idx)?;
        Some(&self.bytes[start as usize..start as usize + len as usize])
    }

    /// All texts in order, as bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |&(start, len)| &bytes[start as usize..start as usize + len as usize])
    }
}
