//! The normalisation that SentencePiece compiles into a model: a trie of byte sequences, each with its replacement.
//!
//! The trie is a double array of 32-bit units (Darts-clone): bits 0 to 7 and 31 hold the label, bit 8 says that a
//! value hangs below, bits 10 to 30 the offset to the children, shifted by 8 where bit 9 is set. A value is the place
//! of a text that ends with NUL in the run of texts behind the array.

use crate::EngineError;

/// Largest map, in bytes.
const BYTES_MAX: usize = 16 << 20;
/// Longest replacement, in bytes.
const REPLACEMENT_BYTES_MAX: usize = 1024;

/// Replacements of byte sequences.
#[derive(Debug, Default)]
pub(super) struct CharsMap {
    units: Vec<u32>,
    texts: String,
}

impl CharsMap {
    /// Reads a compiled map; of no bytes at all, the map that changes nothing.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, EngineError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let damaged = |what: &str| EngineError::damaged("precompiled_charsmap", 0, what.to_owned());
        if bytes.len() > BYTES_MAX {
            return Err(damaged("larger than 16 MiB"));
        }
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("no size of the trie"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() || !size.is_multiple_of(4) {
            return Err(damaged("the trie ends beyond the map"));
        }
        let (trie, texts) = rest.split_at(size);
        let units = trie.chunks_exact(4).map(|unit| u32::from_le_bytes(unit.try_into().expect("chunks of four")));
        let texts = String::from_utf8(texts.to_vec()).map_err(|_| damaged("a replacement is no UTF-8"))?;
        if texts.split('\0').any(|text| text.len() > REPLACEMENT_BYTES_MAX) {
            return Err(damaged("a replacement of more than 1,024 bytes"));
        }
        Ok(Self { units: units.collect(), texts })
    }

    /// The longest sequence at the beginning of `bytes` that has a replacement: its length, and the replacement.
    pub(super) fn longest(&self, bytes: &[u8]) -> Option<(usize, &str)> {
        let mut found = None;
        let mut node = offset(*self.units.first()?);
        for (at, &byte) in bytes.iter().enumerate().take_while(|&(_, &byte)| byte != 0) {
            node ^= u32::from(byte) as usize;
            let Some(&unit) = self.units.get(node) else { break };
            if unit & 0x8000_00ff != u32::from(byte) {
                break;
            }
            node ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let value = self.units.get(node).map(|unit| unit & 0x7fff_ffff);
                found = value.map(|value| (at + 1, value as usize)).or(found);
            }
        }
        let (length, start) = found?;
        let text = self.texts.get(start..)?;
        Some((length, text.split('\0').next().unwrap_or(text)))
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}
