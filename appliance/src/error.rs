//! What can go wrong, told apart by who has to act.

use thiserror::Error;

/// Why a use case could not be carried out.
///
/// [`Error::kind`] says who has to act, [`Error::code`] is stable for programs, [`Error::public`] may be shown to
/// the caller; the full `Display` text belongs into the log.
#[derive(Debug, Error)]
pub enum Error {
    /// The request itself is wrong; say what and let the caller correct it.
    #[error("{what}: {why}")]
    Invalid {
        /// The field or argument.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The thing named does not exist or is not visible to the caller; the two are not told apart.
    #[error("no such {what}{}", after_colon(.name))]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// As the caller named it.
        name: String,
    },
    /// A thing of that name is there already.
    #[error("{what} {name} exists already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// As the caller named it.
        name: String,
    },
    /// The document has no text yet, or could not be read; the text says which. Wait for its job, or retry it.
    #[error("{0}")]
    NotRead(String),
    /// A document was changed while it was read; repeat the request.
    #[error("{name} changed while it was read: ask again")]
    Changed {
        /// Name of the document.
        name: String,
    },
    /// No valid session, key or password.
    #[error("not signed in: {0}")]
    Unauthenticated(&'static str),
    /// The caller is known but lacks the right.
    #[error("not allowed: {0}")]
    Denied(&'static str),
    /// Too many failed logins; try again after the time given.
    #[error("too many attempts, try again in {seconds} s")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// The upload is larger than configured.
    #[error("{name} is larger than {bytes_max} bytes")]
    TooLarge {
        /// The upload's name.
        name: String,
        /// The limit.
        bytes_max: u64,
    },
    /// No room on the data directory's disk; free some and repeat.
    #[error("the disk of the data directory is full: {0}")]
    DiskFull(String),
    /// The data directory is held by another process.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// A model is missing, damaged or does not fit; the text says which and what to do.
    #[error("model {id}: {why}")]
    Model {
        /// Catalogue id or path.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// A file cannot be read; the code is one of the contract's.
    #[error("{message}")]
    Unreadable {
        /// encrypted, damaged, unsupported, empty, limit or crashed.
        code: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The audit log could not be written, so nothing was done.
    #[error("the audit log could not be written: {0}")]
    Audit(String),
    /// Something was done, but the record that says so could not be written; do not repeat it.
    #[error("{done}, but the audit log could not be written: {why}")]
    AuditAfter {
        /// What was done.
        done: String,
        /// Why the log could not be written.
        why: String,
    },
    /// Stopped at the caller's wish or because the appliance shuts down.
    #[error("cancelled")]
    Cancelled,
    /// Stored data are damaged; run `doctor`.
    #[error("stored data are damaged: {0}")]
    Damaged(String),
    /// The environment failed: disk, process, operating system.
    #[error("{what}: {why}")]
    Environment {
        /// What was attempted.
        what: String,
        /// The cause.
        why: String,
    },
    /// A defect of this program; report it.
    #[error("internal error: {0}")]
    Bug(String),
}

/// Who has to act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    Invalid,
    /// Named thing not there or not visible.
    NotFound,
    /// Conflict with what is there.
    Conflict,
    /// Sign in first.
    Unauthenticated,
    /// Right is lacking.
    Denied,
    /// Wait.
    Throttled,
    /// Over a size limit.
    TooLarge,
    /// Disk full.
    DiskFull,
    /// Something needed is not there now (model, audit log, lock).
    Unavailable,
    /// Stopped at wish.
    Cancelled,
    /// Damage, environment or defect.
    Internal,
}

impl Error {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Unreadable { .. } => ErrorKind::Invalid,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::NotRead(_) | Self::Changed { .. } => ErrorKind::Conflict,
            Self::Unauthenticated(_) => ErrorKind::Unauthenticated,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Throttled { .. } => ErrorKind::Throttled,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::DiskFull(_) => ErrorKind::DiskFull,
            Self::InUse(_) | Self::Model { .. } | Self::Audit(_) => ErrorKind::Unavailable,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::AuditAfter { .. } | Self::Damaged(_) | Self::Environment { .. } | Self::Bug(_) => ErrorKind::Internal,
        }
    }

    /// Stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::Exists { .. } => "exists",
            Self::NotRead(_) => "not_read",
            Self::Changed { .. } => "changed",
            Self::Unauthenticated("bad credentials") => "bad_credentials",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Denied(_) => "denied",
            Self::Throttled { .. } => "too_many_attempts",
            Self::TooLarge { .. } => "too_large",
            Self::DiskFull(_) => "disk_full",
            Self::InUse(_) => "in_use",
            Self::Model { .. } => "model_unavailable",
            Self::Unreadable { code, .. } => code,
            Self::Audit(_) => "audit_unavailable",
            Self::AuditAfter { .. } => "audit_incomplete",
            Self::Cancelled => "cancelled",
            Self::Damaged(_) => "damaged",
            Self::Environment { .. } => "environment",
            Self::Bug(_) => "internal",
        }
    }

    /// Text that may be shown to the caller: without paths and causes for what is not the caller's fault.
    pub fn public(&self) -> String {
        match self {
            Self::Damaged(_) => "stored data are damaged; the operator can run doctor".to_owned(),
            Self::Environment { .. } => "the machine refused an operation; the log says which".to_owned(),
            Self::Bug(_) => "an internal error; the log has the details".to_owned(),
            Self::Audit(_) => "the audit log could not be written, so nothing was done".to_owned(),
            Self::AuditAfter { done, .. } => {
                format!("{done}, but the audit log could not be written: tell the operator, do not repeat it")
            }
            Self::DiskFull(_) => "the disk of the appliance is full".to_owned(),
            Self::InUse(_) => "the data directory is in use by another process".to_owned(),
            other => other.to_string(),
        }
    }

    /// An [`Error::Environment`] or [`Error::DiskFull`] of a file operation.
    pub(crate) fn io(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull(path.display().to_string());
        }
        Self::Environment { what: format!("could not {verb} {}", path.display()), why: error.to_string() }
    }

    /// An error of the engine with the model it is about.
    pub(crate) fn model(id: &str, error: cloister_engine::EngineError) -> Self {
        match error {
            cloister_engine::EngineError::Cancelled => Self::Cancelled,
            other => Self::Model { id: id.to_owned(), why: other.to_string() },
        }
    }

    /// The same of a record that was to follow what was done.
    pub(crate) fn after(self, done: String) -> Self {
        match self {
            Self::Audit(why) => Self::AuditAfter { done, why },
            other => other,
        }
    }

    /// An [`Error::Invalid`].
    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// An [`Error::NotFound`].
    pub(crate) fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }
}

/// A name behind what it names; some "not found" come from so far below that the name is not known any more.
fn after_colon(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(": {name}") }
}

impl From<cloister_index::IndexError> for Error {
    fn from(error: cloister_index::IndexError) -> Self {
        use cloister_index::IndexError as E;
        if error.is_storage_full() {
            return Self::DiskFull(error.to_string());
        }
        match error {
            E::AlreadyInUse { dir } => Self::InUse(dir.display().to_string()),
            E::NotFound { what } => Self::not_found(what, ""),
            E::Exists { what, name } => Self::Exists { what, name },
            E::Refused { .. } => Self::Denied("the right to this collection does not reach so far"),
            E::Invalid { what, detail } => Self::invalid(what, detail),
            E::Limit { what, value, max } => Self::invalid(what, format!("{value} is more than {max}")),
            E::Cancelled => Self::Cancelled,
            E::Damaged { .. } | E::SchemaNewer { .. } => Self::Damaged(error.to_string()),
            other => Self::Environment { what: "the store".to_owned(), why: other.to_string() },
        }
    }
}

/// Result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_leaves_no_colon() {
        let from_below = Error::from(cloister_index::IndexError::NotFound { what: "document" });
        assert_eq!(from_below.to_string(), "no such document");
        assert_eq!(Error::not_found("document", "a.txt").to_string(), "no such document: a.txt");
    }

    #[test]
    fn what_was_done_is_not_told_as_undone() {
        let error = Error::AuditAfter { done: "a.txt was removed".to_owned(), why: "/secret/path is full".to_owned() };
        assert!(error.public().starts_with("a.txt was removed"), "{}", error.public());
        assert!(!error.public().contains("/secret"), "causes stay here");
    }
}
