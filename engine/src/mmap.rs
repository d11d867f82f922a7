//! Read-only file bytes: a memory map of a file, or bytes already in memory.
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process may change it")]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::EngineError;

/// The bytes of one file, mapped or held.
#[derive(Debug)]
pub(crate) enum FileBytes {
    Mapped(memmap2::Mmap),
    Held(Vec<u8>),
}

impl FileBytes {
    /// Maps a file for reading. An empty file gives empty bytes.
    ///
    /// Model files belong to the appliance's model folder and are not written while they are in use; a process that
    /// cuts a mapped file short kills this one with SIGBUS, it cannot make it read other memory.
    pub(crate) fn map(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(|cause| EngineError::io("open", path, cause))?;
        let meta = file.metadata().map_err(|cause| EngineError::io("read", path, cause))?;
        if !meta.is_file() {
            let cause = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
            return Err(EngineError::io("read", path, cause));
        }
        if meta.len() == 0 {
            return Ok(Self::Held(Vec::new()));
        }
        if cfg!(miri) {
            // Miri cannot map files.
            return std::fs::read(path).map(Self::Held).map_err(|cause| EngineError::io("read", path, cause));
        }
        // SAFETY: the map is private and read-only, and the file is a regular one (checked above). No value is ever
        // read from it as anything but bytes that any content is valid for, so a change by another process can alter
        // numbers and nothing else.
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }
            .map_err(|cause| EngineError::io("map", path, cause))?;
        Ok(Self::Mapped(map))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}
