//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// What went wrong in the store. Each variant says what the caller should do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Another process holds the data directory. Talk to that process or stop it.
    #[error("the data directory {} is in use by another process", dir.display())]
    AlreadyInUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The catalogue was written by a newer program. Run that program; nothing was changed.
    #[error("the catalogue has schema {found}, this program knows schemas up to {supported}")]
    SchemaNewer {
        /// Schema number in the file.
        found: i64,
        /// Highest schema number this program knows.
        supported: i64,
    },
    /// The truth itself is damaged. Restore it from a backup; nothing was changed.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// Which file or record.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The environment refused a file operation. Mend the cause and try again.
    #[error("could not {attempt} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The disk is full. Free space and try again; nothing was left behind.
    #[error("no space left on the disk of {}", path.display())]
    StorageFull {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// The catalogue refused a statement. A bug or a failing disk; the private part goes to the log.
    #[error("could not {attempt} in the catalogue: {source}")]
    Catalogue {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The keyword index refused an operation. It is derived and will be rebuilt at the next open.
    #[error("could not {attempt} in the keyword index: {detail}")]
    Keyword {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        detail: String,
    },
    /// There is no such thing, or it is not granted: the two are told apart nowhere.
    #[error("no such {what}")]
    NotFound {
        /// The noun: document, collection, page, user, key, job.
        what: &'static str,
    },
    /// A name is taken. Choose another.
    #[error("there is already a {what} named {name:?}")]
    Exists {
        /// The noun: collection, user.
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// The caller may see the thing, but may not do this to it.
    #[error("the right to {needed} is missing")]
    Refused {
        /// The level that is needed: read, write, manage.
        needed: &'static str,
    },
    /// The request makes no sense. The caller's fault.
    #[error("{what} cannot be used: {detail}")]
    Invalid {
        /// What was given.
        what: &'static str,
        /// Why it cannot be used.
        detail: String,
    },
    /// A named limit was crossed.
    #[error("{what} is {value}, the limit is {max}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What was given.
        value: u64,
        /// What is allowed.
        max: u64,
    },
    /// The job was cancelled, overtaken by a newer version or removed with its document. Drop the work.
    #[error("the job was cancelled")]
    Cancelled,
}

impl IndexError {
    /// Wraps a file error; a full disk gets its own variant.
    pub(crate) fn io(attempt: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::StorageFull { path: path.to_path_buf() };
        }
        Self::Io { attempt, path: path.to_path_buf(), source }
    }

    /// True when the disk is full, wherever it was noticed.
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::StorageFull { .. } => true,
            Self::Catalogue { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }
}
