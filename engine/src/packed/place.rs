//! Where files of packed weights lie, and how they come there: whole or not at all, one writer at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::KeepPacked;

/// Bytes of the disk that must stay free when a file is written.
pub const DISK_RESERVE_BYTES: u64 = 1 << 30;
/// What the names of files end with.
const SUFFIX: &str = ".packed";
/// What is added to the name of a file that is not whole yet.
const PARTIAL: &str = ".partial";

/// The places for a model's packed weights, in the order in which they are tried.
pub(super) fn places(model: &Path, keep: &KeepPacked) -> Vec<PathBuf> {
    // Through links, so that a model has one file however it is reached.
    let Ok(model) = std::fs::canonicalize(model) else { return Vec::new() };
    let Some(name) = model.file_name() else { return Vec::new() };
    let named = |middle: &str| {
        let mut name = name.to_owned();
        name.push(middle);
        name.push(SUFFIX);
        name
    };
    let beside = model.with_file_name(named(""));
    match keep {
        KeepPacked::Nowhere => Vec::new(),
        KeepPacked::BesideModel => vec![beside],
        KeepPacked::BesideModelOr(folder) => {
            // Models of the same name from several folders must not take one another's place.
            let hash = Sha256::digest(model.as_os_str().as_bytes());
            let hash = hash.iter().take(8).fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
            vec![beside, folder.join(named(&format!("-{hash:016x}")))]
        }
    }
}

/// The files that a model may have left in these places, those that are not whole among them.
pub(super) fn leavings(model: &Path, keep: &KeepPacked) -> Vec<PathBuf> {
    places(model, keep).into_iter().flat_map(|place| [partial(&place), place]).collect()
}

fn partial(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(PARTIAL);
    name.into()
}

/// Opens a file of packed weights, if there is one; never waits and never follows a link.
pub(super) fn open(place: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(place)
}

/// A file on its way to its place.
///
/// It grows under another name, locked, and gets its own when it is whole. What a process that ended early has left under the
/// other name is written over by the next one.
pub(super) struct Draft {
    file: File,
    partial: PathBuf,
    place: PathBuf,
    is_settled: bool,
}

impl Draft {
    /// Begins a file that will take about `bytes`.
    ///
    /// # Errors
    /// When the folder cannot be written, the disk would be left with less than [`DISK_RESERVE_BYTES`], or another process is
    /// writing this very file.
    pub(super) fn begin(place: &Path, bytes: u64) -> io::Result<Self> {
        let partial = partial(place);
        if let Some(folder) = place.parent().filter(|folder| !folder.exists()) {
            std::fs::create_dir(folder)?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&partial)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process is writing it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (own, named) = (file.metadata()?, std::fs::symlink_metadata(&partial)?);
        if !own.is_file() || (own.dev(), own.ino()) != (named.dev(), named.ino()) {
            // Between opening and locking the other process has finished, and what was opened has its place by now.
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has just written it"));
        }
        let draft = Self { file, partial, place: place.to_owned(), is_settled: false };
        draft.file.set_len(0)?;
        draft.need_room(bytes)?;
        // Room is taken now, not found missing later; where a file system cannot do that, a write fails instead.
        #[cfg(target_os = "linux")]
        if let Err(rustix::io::Errno::NOSPC) =
            rustix::fs::fallocate(&draft.file, rustix::fs::FallocateFlags::empty(), 0, bytes)
        {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        Ok(draft)
    }

    fn need_room(&self, bytes: u64) -> io::Result<()> {
        let disk = rustix::fs::fstatvfs(&self.file)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // What stood in the place before is free only after it has gone.
        if free < bytes.saturating_add(DISK_RESERVE_BYTES) {
            let what =
                format!("{free} bytes of the disk are free, {bytes} are wanted and {DISK_RESERVE_BYTES} stay free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        Ok(())
    }

    /// Writes bytes to their place in the file.
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Gives the file its length and its name, once all of it is on the disk, and opens it for reading.
    pub(super) fn settle(mut self, length: u64) -> io::Result<File> {
        self.file.set_len(length)?;
        self.file.sync_all()?;
        let file = open(&self.partial)?;
        std::fs::rename(&self.partial, &self.place)?;
        self.is_settled = true;
        if let Some(folder) = self.place.parent() {
            // The name reaches the disk sooner so; a file that is missing after a power failure is written again.
            drop(File::open(folder).and_then(|folder| folder.sync_all()));
        }
        Ok(file)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_settled {
            // Still locked, so that no other process has begun on it.
            drop(std::fs::remove_file(&self.partial));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_never_filled() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let place = folder.path().join("model.packed");
        for bytes in [1 << 60, u64::MAX] {
            let error = Draft::begin(&place, bytes).err().expect("no disk is so large");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
            assert!(error.to_string().contains(&DISK_RESERVE_BYTES.to_string()), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_draft_takes_its_place_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let place = folder.path().join("deeper").join("model.packed");
        drop(Draft::begin(&place, 10).expect("it can be begun"));
        assert!(!place.exists() && !partial(&place).exists());
        let draft = Draft::begin(&place, 10).expect("it can be begun");
        draft.write_at(b"whole", 0).expect("it can be written");
        assert!(!place.exists());
        draft.settle(5).expect("it can be settled");
        assert_eq!(std::fs::read(&place).expect("it is there"), b"whole");
        assert!(!partial(&place).exists());
    }
}
