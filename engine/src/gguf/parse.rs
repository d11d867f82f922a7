//! The header of a GGUF file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::cursor::Cursor;
use super::limits;
use super::value::Value;
use super::{Header, TensorInfo, TensorType};
use crate::EngineError;

const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";

/// A tensor as the file lists it, before its place is known.
struct Listed {
    name: String,
    dims: Vec<u64>,
    kind: TensorType,
    bytes: u64,
    offset: u64,
}

/// Reads and checks everything before the tensor data, and the place of each tensor.
pub(super) fn header(bytes: &[u8], label: &str) -> Result<Header, EngineError> {
    let mut cursor = Cursor::new(bytes, label);
    let version = version(&mut cursor)?;
    let tensor_count = count(&mut cursor, "tensors", limits::TENSORS_MAX)?;
    let key_count = count(&mut cursor, "metadata entries", limits::KEYS_MAX)?;
    let metadata = metadata(&mut cursor, key_count)?;
    let alignment = alignment(&cursor, &metadata)?;
    let listed = tensor_list(&mut cursor, tensor_count)?;
    let data_start = (cursor.at() as u64).next_multiple_of(alignment);
    let tensors = place(&cursor, listed, data_start, alignment, bytes.len() as u64)?;
    let by_name = tensors.iter().enumerate().map(|(idx, info)| (info.name.clone(), idx)).collect();
    Ok(Header { version, metadata, tensors, by_name, data_start })
}

fn version(cursor: &mut Cursor<'_>) -> Result<u32, EngineError> {
    if cursor.take(4, "the magic")? != MAGIC {
        return Err(cursor.damaged("not a GGUF file: it does not begin with GGUF"));
    }
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        swapped if matches!(swapped.swap_bytes(), 1..=3) => {
            Err(EngineError::unsupported("GGUF file", "big-endian; only little-endian files can be read"))
        }
        other => Err(EngineError::unsupported("GGUF file", format!("version {other}; versions 2 and 3 can be read"))),
    }
}

fn count(cursor: &mut Cursor<'_>, what: &str, max: u64) -> Result<u64, EngineError> {
    let count = cursor.u64("a count")?;
    if count > max {
        return Err(cursor.damaged(format!("the file claims {count} {what}, {max} are allowed")));
    }
    Ok(count)
}

fn metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<HashMap<String, Value>, EngineError> {
    let mut metadata = HashMap::new();
    for _ in 0..count {
        let key = cursor.utf8(limits::KEY_BYTES_MAX, "a metadata key")?;
        match metadata.entry(key.to_owned()) {
            Entry::Occupied(_) => return Err(cursor.damaged(format!("metadata key {key:?} occurs twice"))),
            Entry::Vacant(entry) => entry.insert(Value::read(cursor)?),
        };
    }
    Ok(metadata)
}

fn alignment(cursor: &Cursor<'_>, metadata: &HashMap<String, Value>) -> Result<u64, EngineError> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else { return Ok(limits::ALIGNMENT_DEFAULT) };
    match value.as_unsigned() {
        Some(number) if number.is_power_of_two() && number <= limits::ALIGNMENT_MAX => Ok(number),
        _ => Err(cursor.damaged(format!(
            "{ALIGNMENT_KEY} must be a power of two up to {}, and is {value:?}",
            limits::ALIGNMENT_MAX
        ))),
    }
}

fn tensor_list(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Listed>, EngineError> {
    let mut names = std::collections::HashSet::new();
    let mut listed = Vec::new();
    for _ in 0..count {
        let tensor = tensor(cursor)?;
        if !names.insert(tensor.name.clone()) {
            return Err(cursor.damaged(format!("tensor name {:?} occurs twice", tensor.name)));
        }
        listed.push(tensor);
    }
    Ok(listed)
}

fn tensor(cursor: &mut Cursor<'_>) -> Result<Listed, EngineError> {
    let name = cursor.utf8(limits::NAME_BYTES_MAX, "a tensor name")?.to_owned();
    let dim_count = cursor.u32("a number of dimensions")?;
    if dim_count == 0 || dim_count > limits::DIMS_MAX {
        return Err(cursor.damaged(format!("tensor {name:?} has {dim_count} dimensions; 1 to 4 are allowed")));
    }
    let mut dims = Vec::with_capacity(dim_count as usize);
    for _ in 0..dim_count {
        dims.push(cursor.u64("a dimension")?);
    }
    let id = cursor.u32("a tensor type")?;
    let kind = TensorType::from_id(id)
        .ok_or_else(|| EngineError::unsupported("tensor type", format!("number {id} of tensor {name:?}")))?;
    let offset = cursor.u64("a tensor offset")?;
    let bytes = size_bytes(&dims, kind).ok_or_else(|| {
        cursor.damaged(format!("tensor {name:?} of type {} has impossible dimensions {dims:?}", kind.name()))
    })?;
    Ok(Listed { name, dims, kind, bytes, offset })
}

/// Bytes that a tensor takes; `None` when a size is zero, is no multiple of the block, or leaves 63 bits.
fn size_bytes(dims: &[u64], kind: TensorType) -> Option<u64> {
    if dims.contains(&0) || !dims[0].is_multiple_of(kind.block_values() as u64) {
        return None;
    }
    let elements = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))?;
    let bytes = (elements / kind.block_values() as u64).checked_mul(kind.block_bytes() as u64)?;
    (i64::try_from(bytes).is_ok() && i64::try_from(elements).is_ok()).then_some(bytes)
}

/// Gives each tensor its range of the file: aligned, inside the file, and apart from every other.
fn place(
    cursor: &Cursor<'_>,
    listed: Vec<Listed>,
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<Vec<TensorInfo>, EngineError> {
    let mut tensors = Vec::with_capacity(listed.len());
    for tensor in listed {
        let Listed { name, dims, kind, bytes, offset } = tensor;
        if !offset.is_multiple_of(alignment) {
            return Err(cursor.damaged(format!("tensor {name:?} at offset {offset} is not aligned to {alignment}")));
        }
        let start = data_start.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(bytes)).filter(|&end| end <= file_bytes);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(cursor.damaged(format!(
                "tensor {name:?} ({bytes} bytes at offset {offset}) reaches beyond the file's {file_bytes} bytes"
            )));
        };
        tensors.push(TensorInfo { name, dims, kind, start: start as usize, end: end as usize });
    }
    no_overlap(cursor, &tensors)?;
    Ok(tensors)
}

fn no_overlap(cursor: &Cursor<'_>, tensors: &[TensorInfo]) -> Result<(), EngineError> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|info| info.start);
    for pair in order.windows(2) {
        if pair[0].end > pair[1].start {
            return Err(cursor.damaged(format!("tensors {:?} and {:?} overlap", pair[0].name, pair[1].name)));
        }
    }
    Ok(())
}
