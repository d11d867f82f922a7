//! Small file operations that must survive a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::AirgapError;

/// Writes a whole file so that a reader sees the old bytes or the new ones: temporary name, fsync, rename, fsync of the folder.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AirgapError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().map_err(|e| AirgapError::io("write", path, e))?;
    sync_parent(path)
}

/// Writes a whole file where none may be yet: temporary name, fsync, a link under the right name (which replaces
/// nothing), fsync of the folder. What a kill leaves under the temporary name is never read.
pub(crate) fn write_once(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AirgapError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let staged = path.with_file_name(name);
    let write = || {
        match fs::remove_file(&staged) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::hard_link(&staged, path)
    };
    let written = write();
    drop(fs::remove_file(&staged));
    written.map_err(|e| AirgapError::io("create", path, e))?;
    sync_parent(path)
}

/// Makes the entry of `path` in its folder durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), AirgapError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), AirgapError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|e| AirgapError::io("make durable", dir, e))
}

/// Makes a folder and its missing parents.
pub(crate) fn create_dirs(dir: &Path) -> Result<(), AirgapError> {
    fs::create_dir_all(dir).map_err(|e| AirgapError::io("create", dir, e))
}

/// Reads a small UTF-8 file; larger than `bytes_max` is an error.
pub(crate) fn read_text_limited(path: &Path, bytes_max: u64) -> Result<String, AirgapError> {
    let read = || {
        let mut text = String::new();
        let count = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
        if count as u64 > bytes_max {
            return Err(std::io::Error::other(format!("larger than the {bytes_max} bytes that such a file may have")));
        }
        Ok(text)
    };
    read().map_err(|e| AirgapError::io("read", path, e))
}

/// Removes a folder and all in it; nothing there is fine.
pub(crate) fn remove_tree(dir: &Path) -> Result<(), AirgapError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(AirgapError::io("remove", dir, e)),
        _ => Ok(()),
    }
}

/// Bytes that an unprivileged process may still write on the file system of `dir`.
pub(crate) fn available_bytes(dir: &Path) -> Result<u64, AirgapError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| AirgapError::io("ask for the free space of", dir, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
