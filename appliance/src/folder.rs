//! The data directory as a folder: whether it is one, and that nobody but its owner reads it.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::{Error, Result};

/// What a data directory holds at its top.
const ENTRIES: [&str; 6] = ["store", "audit", "keys", "model-hashes.json", "cloister.sock", "cloister.address"];

/// Files of which a data directory has at least one from its first moment on: the names above are common words, and a folder of
/// somebody else's must not be taken for one.
const PROOFS: [&str; 3] = ["keys/installation.key", "audit/audit.sqlite", "store/catalogue.sqlite"];

/// Rights of group and others.
const OTHERS: u32 = 0o077;

/// What stands where a data directory is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFolder {
    /// Nothing.
    Missing,
    /// A folder with nothing in it.
    Empty,
    /// A data directory.
    Made,
    /// A folder with other things in it.
    Other,
}

impl DataFolder {
    /// Looks at `dir`.
    ///
    /// # Errors
    /// When the folder is there and cannot be listed.
    pub fn at(dir: &Path) -> Result<Self> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            entries => entries.map_err(|error| Error::io("list", dir, &error))?,
        };
        if is_data(dir) {
            return Ok(Self::Made);
        }
        Ok(if entries.flatten().next().is_none() { Self::Empty } else { Self::Other })
    }
}

fn is_data(dir: &Path) -> bool {
    PROOFS.iter().any(|proof| dir.join(proof).is_file())
}

/// What [`make_private`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tightened {
    /// Files and folders whose rights were taken from group and others.
    pub changed: usize,
    /// Those that stayed as they were, because they belong to somebody else.
    pub left: usize,
}

/// Takes from group and others the rights to a data directory that an older run has made readable. The folder itself is left alone
/// when it holds other things too; what is Cloister's in it never is. A folder that is no data directory yet stays as it is.
pub(crate) fn make_private(dir: &Path) -> io::Result<Tightened> {
    let mut done = Tightened::default();
    if !is_data(dir) {
        return Ok(done);
    }
    let mut is_all_ours = true;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !is_ours(&entry.file_name()) {
            is_all_ours = false;
        } else if is_loose_within(&entry.path(), &entry.metadata()?) {
            tighten(&entry.path(), &entry.metadata()?, &mut done);
        }
    }
    if is_all_ours {
        tighten_one(dir, &fs::metadata(dir)?, &mut done);
    }
    Ok(done)
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    ENTRIES.iter().any(|known| name == *known)
}

fn is_loose(meta: &Metadata) -> bool {
    meta.permissions().mode() & OTHERS != 0
}

/// Whether a file, a folder or a folder in it lets others in. Files within a folder that lets nobody in are not looked at.
fn is_loose_within(path: &Path, meta: &Metadata) -> bool {
    let folders = |path: &Path| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.metadata().ok().filter(Metadata::is_dir).map(|meta| (entry.path(), meta)))
    };
    is_loose(meta) || (meta.is_dir() && folders(path).any(|(path, meta)| is_loose_within(&path, &meta)))
}

fn tighten(path: &Path, meta: &Metadata, done: &mut Tightened) {
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            // What is gone again needs no closing.
            if let Ok(meta) = entry.metadata() {
                tighten(&entry.path(), &meta, done);
            }
        }
    }
    tighten_one(path, meta, done);
}

fn tighten_one(path: &Path, meta: &Metadata, done: &mut Tightened) {
    if !is_loose(meta) || !(meta.is_file() || meta.is_dir()) {
        return;
    }
    // By the open file, so that a link put in its place meanwhile changes nothing elsewhere.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened: io::Result<File> = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let mode = meta.permissions().mode() & !OTHERS & 0o7777;
    match opened.and_then(|file| file.set_permissions(Permissions::from_mode(mode))) {
        Ok(()) => done.changed += 1,
        Err(_) => done.left += 1,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn open_wide(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn proof(path: &Path) {
        fs::write(path, "").unwrap();
        open_wide(path, 0o600);
    }

    #[test]
    fn what_an_older_run_left_readable_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let (blobs, file) = (dir.path().join("store/blobs"), dir.path().join("store/blobs/ab"));
        fs::create_dir_all(&blobs).unwrap();
        fs::write(&file, "secret").unwrap();
        proof(&dir.path().join("store/catalogue.sqlite"));
        for (path, mode) in [(dir.path(), 0o755), (&dir.path().join("store"), 0o700), (&blobs, 0o755), (&file, 0o644)] {
            open_wide(path, mode);
        }
        assert_eq!(make_private(dir.path()).unwrap(), Tightened { changed: 3, left: 0 });
        assert_eq!((mode(dir.path()), mode(&blobs), mode(&file)), (0o700, 0o700, 0o600));
        assert_eq!(make_private(dir.path()).unwrap(), Tightened::default());
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (other, keys) = (dir.path().join("letter.txt"), dir.path().join("keys"));
        assert_eq!(DataFolder::at(dir.path()).unwrap(), DataFolder::Empty);
        fs::write(&other, "mine").unwrap();
        assert_eq!(DataFolder::at(dir.path()).unwrap(), DataFolder::Other);
        fs::create_dir(&keys).unwrap();
        open_wide(&keys, 0o755);
        assert_eq!(make_private(dir.path()).unwrap(), Tightened::default(), "keys of somebody else");
        assert_eq!((DataFolder::at(dir.path()).unwrap(), mode(&keys)), (DataFolder::Other, 0o755));
        proof(&keys.join("installation.key"));
        std::os::unix::fs::symlink(&other, keys.join("link")).unwrap();
        for (path, mode) in [(dir.path(), 0o755), (&other, 0o644), (&keys, 0o755)] {
            open_wide(path, mode);
        }
        assert_eq!(make_private(dir.path()).unwrap().changed, 1);
        assert_eq!((mode(dir.path()), mode(&other), mode(&keys)), (0o755, 0o644, 0o700));
        assert_eq!(DataFolder::at(dir.path()).unwrap(), DataFolder::Made);
        assert_eq!(DataFolder::at(&dir.path().join("nowhere")).unwrap(), DataFolder::Missing);
    }
}
