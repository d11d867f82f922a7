//! A file mapped for reading.
#![expect(unsafe_code, reason = "a memory map is a promise about the file that only its owner can make")]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::IndexError;

/// The bytes of a file that is never changed after it got its name.
#[derive(Debug)]
pub(super) struct Map(Mmap);

impl Map {
    /// Maps a vector file of the data directory.
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(|e| IndexError::io("open", path, e))?;
        // SAFETY: vector files are written under a temporary name, synced and renamed; after that this program only
        // reads and unlinks them, and the lock of the data directory keeps other copies of it out, so that the mapped
        // bytes neither change nor go away while the map lives (an unlinked file lives on while it is mapped).
        let map = unsafe { Mmap::map(&file) }.map_err(|e| IndexError::io("map", path, e))?;
        Ok(Self(map))
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
