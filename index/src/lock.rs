//! One process at a time has the data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::IndexError;

const NAME: &str = "cloister.lock";
const OPEN: &[u8] = b"open  \n";
const CLOSED: &[u8] = b"closed\n";

/// Tries before the directory is called in use, and the pause between them: two seconds in all. A holder that was killed may leave
/// the lock for a moment to a child that it was just starting.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// The lock on a data directory. It also remembers whether the last holder closed the store.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// Takes the lock. Gives it with whether the last holder left without closing.
    pub(crate) fn take(directory: &Path) -> Result<(Self, bool), IndexError> {
        let path = directory.join(NAME);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| IndexError::io("open", &path, e))?;
        lock_with_patience(&file).map_err(|e| match e {
            TryLockError::WouldBlock => IndexError::AlreadyInUse { dir: directory.to_path_buf() },
            TryLockError::Error(e) => IndexError::io("lock", &path, e),
        })?;
        let mut last = Vec::new();
        (&mut file).take(64).read_to_end(&mut last).map_err(|e| IndexError::io("read", &path, e))?;
        let mut lock = Self { file, path };
        lock.write(OPEN)?;
        Ok((lock, last == OPEN))
    }

    /// Notes that everything was closed.
    pub(crate) fn closed(&mut self) -> Result<(), IndexError> {
        self.write(CLOSED)
    }

    fn write(&mut self, text: &[u8]) -> Result<(), IndexError> {
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(text))
            .and_then(|()| self.file.sync_all())
            .map_err(|e| IndexError::io("write", &self.path, e))
    }
}

fn lock_with_patience(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(PAUSE),
            settled => return settled,
        }
    }
    file.try_lock()
}
