//! Hashes of model files, computed once and remembered by size, time and inode.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::accounts::hexadecimal;
use crate::{Error, Result};

/// Files remembered at most.
const ENTRIES_MAX: usize = 1_000;

/// Largest memory file that is read back.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    modified_ns: i128,
    inode: u64,
    sha256: String,
}

/// Remembers hashes in a file of the data directory. A damaged or missing file means that hashes are computed again.
pub(crate) struct Hashes {
    path: PathBuf,
    known: Mutex<BTreeMap<String, Entry>>,
}

impl Hashes {
    pub(crate) fn new(path: PathBuf) -> Self {
        let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= FILE_BYTES_MAX);
        let text = if small { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        Self { known: Mutex::new(serde_json::from_str(&text).unwrap_or_default()), path }
    }

    /// The SHA-256 of a file, lower-case hexadecimal.
    pub(crate) fn sha256(&self, file: &Path) -> Result<String> {
        let meta = std::fs::metadata(file).map_err(|error| Error::io("open", file, &error))?;
        let key = file.display().to_string();
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(&key)
            && (entry.bytes, entry.modified_ns, entry.inode) == (meta.len(), modified_ns, meta.ino())
        {
            return Ok(entry.sha256.clone());
        }
        let sha256 = hash_file(file)?;
        if known.len() >= ENTRIES_MAX {
            known.clear();
        }
        known.insert(key, Entry { bytes: meta.len(), modified_ns, inode: meta.ino(), sha256: sha256.clone() });
        self.keep(&known);
        Ok(sha256)
    }

    /// Best effort: a hash that is not remembered is computed again.
    fn keep(&self, known: &BTreeMap<String, Entry>) {
        let (Ok(text), Some(dir)) = (serde_json::to_string_pretty(known), self.path.parent()) else { return };
        let kept = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            file.persist(&self.path).map_err(|error| error.error)
        });
        drop(kept);
    }
}

fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| Error::io("open", path, &error))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hexadecimal(&hash.finalize())),
            Ok(read) => hash.update(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_hashed_again_and_a_known_one_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let (file, memory) = (dir.path().join("model"), dir.path().join("hashes.json"));
        std::fs::write(&file, "one").expect("files can be written");
        let first = Hashes::new(memory.clone()).sha256(&file).expect("the file is there");
        assert_eq!(first, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
        let text = std::fs::read_to_string(&memory).expect("the memory was kept").replace(&first, &"0".repeat(64));
        std::fs::write(&memory, text).expect("files can be written");
        assert_eq!(Hashes::new(memory.clone()).sha256(&file).expect("known"), "0".repeat(64), "taken from memory");
        std::fs::write(&file, "three").expect("files can be written");
        let third = Hashes::new(memory.clone()).sha256(&file).expect("the file is there");
        assert_ne!(third, "0".repeat(64));
        std::fs::write(&memory, "damaged").expect("files can be written");
        assert_eq!(Hashes::new(memory).sha256(&file).expect("the file is there"), third);
    }
}
