//! A reading position that cannot leave the file.

use super::limits;
use crate::EngineError;

/// Reads little-endian values forward, never past the end nor past the metadata limit.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    label: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], label: &'a str) -> Self {
        Self { bytes, label, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> EngineError {
        EngineError::damaged(self.label, self.at as u64, what)
    }

    /// Bytes that may still be read.
    pub(super) fn remaining(&self) -> u64 {
        let end = (self.bytes.len() as u64).min(limits::METADATA_BYTES_MAX);
        end.saturating_sub(self.at as u64)
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8], EngineError> {
        if len > self.remaining() {
            return Err(self.damaged(self.shortage(len, what)));
        }
        let slice = &self.bytes[self.at..self.at + len as usize];
        self.at += len as usize;
        Ok(slice)
    }

    fn shortage(&self, len: u64, what: &str) -> String {
        let left = self.remaining();
        if (self.bytes.len() - self.at) as u64 > left {
            format!("the header is longer than {} bytes ({what})", limits::METADATA_BYTES_MAX)
        } else {
            format!("the file ends within {what}: {len} bytes wanted, {left} left")
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], EngineError> {
        let slice = self.take(N as u64, what)?;
        Ok(slice.try_into().expect("take returns as many bytes as asked"))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, EngineError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, EngineError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length-prefixed text of at most `max` bytes, as a range of the file.
    pub(super) fn text_range(&mut self, max: u64, what: &str) -> Result<(usize, usize), EngineError> {
        let len = self.u64(what)?;
        if len > max {
            return Err(self.damaged(format!("{what} claims {len} bytes, {max} are allowed")));
        }
        self.take(len, what)?;
        Ok((self.at - len as usize, self.at))
    }

    /// A length-prefixed text that must be UTF-8.
    pub(super) fn utf8(&mut self, max: u64, what: &str) -> Result<&'a str, EngineError> {
        let (start, end) = self.text_range(max, what)?;
        std::str::from_utf8(&self.bytes[start..end]).map_err(|_| self.damaged(format!("{what} is not UTF-8")))
    }
}
