//! Originals, stored under the SHA-256 of their bytes as `blobs/ab/cdef…`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::{IndexError, Random};

const TEMPORARY: &str = "incoming";
const WRITE_BYTES: usize = 64 * 1024;

/// The blob directory.
#[derive(Debug)]
pub struct Blobs {
    directory: PathBuf,
    random: Random,
    pins: Arc<Pins>,
}

/// Blobs that were handed out and are not yet in the catalogue, with how often.
#[derive(Debug, Default)]
struct Pins(Mutex<HashMap<String, usize>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a blob from being removed between its upload and its entry in the catalogue.
#[derive(Debug)]
struct Pin {
    pins: Arc<Pins>,
    sha256: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.sha256);
            }
        }
    }
}

/// A stored blob. While it lives, the blob is not removed.
#[derive(Clone, Debug)]
pub struct BlobRef {
    /// SHA-256 of the bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    _pin: Arc<Pin>,
}

impl Blobs {
    /// Opens the directory, makes it where it is missing, and removes what interrupted uploads left. Gives the number of files removed.
    pub(crate) fn open(directory: &Path, random: Random) -> Result<(Self, u64), IndexError> {
        let incoming = directory.join(TEMPORARY);
        fs::create_dir_all(&incoming).map_err(|e| IndexError::io("make directory", &incoming, e))?;
        let mut removed = 0;
        for entry in fs::read_dir(&incoming).map_err(|e| IndexError::io("list", &incoming, e))? {
            let path = entry.map_err(|e| IndexError::io("list", &incoming, e))?.path();
            fs::remove_file(&path).map_err(|e| IndexError::io("remove", &path, e))?;
            removed += 1;
        }
        let blobs = Self { directory: directory.to_path_buf(), random, pins: Arc::default() };
        Ok((blobs, removed))
    }

    /// Starts an upload. Nothing can be seen of it until [`BlobWriter::finish`].
    pub fn begin(&self) -> Result<BlobWriter<'_>, IndexError> {
        let mut name = [0_u8; 16];
        self.random.fill(&mut name);
        let path = self.directory.join(TEMPORARY).join(hex(&name));
        let file =
            File::options().write(true).create_new(true).open(&path).map_err(|e| IndexError::io("create", &path, e))?;
        let file = io::BufWriter::with_capacity(WRITE_BYTES, file);
        Ok(BlobWriter { blobs: self, path, file: Some(file), hash: Sha256::new(), bytes: 0 })
    }

    /// Opens the blob with this SHA-256.
    pub fn open_file(&self, sha256: &str) -> Result<File, IndexError> {
        let path = self.path(sha256)?;
        File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => IndexError::NotFound { what: "original" },
            _ => IndexError::io("open", &path, e),
        })
    }

    /// Whether the blob is there.
    pub fn exists(&self, sha256: &str) -> bool {
        self.path(sha256).is_ok_and(|path| path.is_file())
    }

    /// Where the blob with this SHA-256 lies.
    pub fn path(&self, sha256: &str) -> Result<PathBuf, IndexError> {
        if !is_sha256(sha256) {
            return Err(IndexError::Invalid {
                what: "SHA-256",
                detail: "not 64 lower-case hexadecimal digits".to_owned(),
            });
        }
        Ok(self.directory.join(&sha256[..2]).join(&sha256[2..]))
    }

    fn pin(&self, sha256: &str) -> Arc<Pin> {
        *self.pins.lock().entry(sha256.to_owned()).or_default() += 1;
        Arc::new(Pin { pins: Arc::clone(&self.pins), sha256: sha256.to_owned() })
    }

    /// Removes the blob unless an upload holds it. The caller knows that the catalogue does not name it.
    pub(crate) fn remove(&self, sha256: &str) -> Result<bool, IndexError> {
        let path = self.path(sha256)?;
        let pins = self.pins.lock();
        if pins.contains_key(sha256) {
            return Ok(false);
        }
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(IndexError::io("remove", &path, e)),
        }
        drop(pins);
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
        Ok(true)
    }

    /// Whether an upload holds the blob.
    pub(crate) fn is_pinned(&self, sha256: &str) -> bool {
        self.pins.lock().contains_key(sha256)
    }

    /// SHA-256 of every blob on the disk.
    pub(crate) fn list(&self) -> Result<Vec<String>, IndexError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|e| IndexError::io("list", &self.directory, e))? {
            let entry = entry.map_err(|e| IndexError::io("list", &self.directory, e))?;
            let Some(prefix) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if prefix.len() != 2 || !entry.path().is_dir() {
                continue;
            }
            for file in fs::read_dir(entry.path()).map_err(|e| IndexError::io("list", &entry.path(), e))? {
                let file = file.map_err(|e| IndexError::io("list", &entry.path(), e))?;
                let sha256 = format!("{prefix}{}", file.file_name().to_string_lossy());
                if is_sha256(&sha256) {
                    found.push(sha256);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// An upload under way: hashes while it writes. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    blobs: &'a Blobs,
    path: PathBuf,
    file: Option<io::BufWriter<File>>,
    hash: Sha256,
    bytes: u64,
}

impl BlobWriter<'_> {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        let file = self.file.as_mut().expect("the file is taken by finish alone, which takes the writer too");
        file.write_all(bytes).map_err(|e| IndexError::io("write", &self.path, e))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.bytes
    }

    /// Makes the blob durable under its SHA-256.
    pub fn finish(mut self) -> Result<BlobRef, IndexError> {
        let file = self.file.take().expect("the file is taken by finish alone, which takes the writer too");
        let file = file.into_inner().map_err(|e| IndexError::io("write", &self.path, e.into_error()))?;
        file.sync_all().map_err(|e| IndexError::io("sync", &self.path, e))?;
        drop(file);
        let sha256 = hex(&std::mem::take(&mut self.hash).finalize());
        let pin = self.blobs.pin(&sha256);
        let target = self.blobs.path(&sha256)?;
        let parent = target.parent().expect("a blob path has a directory above it").to_path_buf();
        if !parent.is_dir() {
            fs::create_dir_all(&parent).map_err(|e| IndexError::io("make directory", &parent, e))?;
            sync_directory(&self.blobs.directory)?;
        }
        // The rename replaces a file of the same name, which heals a blob that was damaged.
        fs::rename(&self.path, &target).map_err(|e| IndexError::io("rename", &self.path, e))?;
        sync_directory(&parent)?;
        Ok(BlobRef { sha256, bytes: self.bytes, _pin: pin })
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        self.file = None;
        // After finish the file is gone from here; an error leaves a file that the next open removes.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes renames and removals in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), IndexError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(|e| IndexError::io("sync", directory, e))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// Whether `text` is 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
