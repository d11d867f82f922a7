//! The manifest: which files make up the index, and which of their rows are left out.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::segment::{Kind, write_durably};
use crate::IndexError;
use crate::blobs::hex;

/// File name of the manifest.
pub(super) const NAME: &str = "manifest";
const FORMAT: u32 = 1;
const BYTES_MAX: u64 = 1 << 30;

/// What the manifest says.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Manifest {
    format: u32,
    store: String,
    embedder: String,
    dimension: usize,
    /// The edition that the files were built from.
    pub(super) edition: u64,
    /// Number that the next file gets.
    pub(super) next_file: u64,
    /// The files, oldest first.
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: String,
    /// Its rows.
    pub(super) rows: usize,
    /// Rows left out, in order.
    pub(super) dead: Vec<u32>,
}

impl Manifest {
    /// A manifest for these files.
    pub(super) fn new(kind: &Kind, edition: u64, next_file: u64, files: Vec<Entry>) -> Self {
        Self {
            format: FORMAT,
            store: hex(&kind.store),
            embedder: hex(&kind.embedder),
            dimension: kind.dimension,
            edition,
            next_file,
            files,
        }
    }

    /// Writes it durably in place of the one before.
    pub(super) fn write(&self, directory: &Path) -> Result<(), IndexError> {
        let text = serde_json::to_string(self).expect("numbers and strings always have a JSON form");
        let sum = format!("{:08x}\n", crc32fast::hash(text.as_bytes()));
        write_durably(directory, NAME, &[sum.as_bytes(), text.as_bytes()])
    }

    /// Reads it. `Ok(Err(reason))` = it is missing, damaged or of another index, and everything is to be rebuilt.
    pub(super) fn read(directory: &Path, kind: &Kind) -> Result<Result<Self, String>, IndexError> {
        let path = directory.join(NAME);
        let length = match std::fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Err("it is missing".to_owned())),
            Err(e) => return Err(IndexError::io("look at", &path, e)),
        };
        if length > BYTES_MAX {
            return Ok(Err("its manifest is too long".to_owned()));
        }
        let bytes = std::fs::read(&path).map_err(|e| IndexError::io("read", &path, e))?;
        Ok(Self::parse(&bytes, kind))
    }

    fn parse(bytes: &[u8], kind: &Kind) -> Result<Self, String> {
        let damaged = || "its manifest is damaged".to_owned();
        let (sum, text) = bytes.split_at_checked(9).ok_or_else(damaged)?;
        if sum != format!("{:08x}\n", crc32fast::hash(text)).as_bytes() {
            return Err(damaged());
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|_| damaged())?;
        let expected = Self::new(kind, manifest.edition, manifest.next_file, manifest.files.clone());
        if manifest != expected {
            return Err("it belongs to another model, version or catalogue".to_owned());
        }
        Ok(manifest)
    }
}
