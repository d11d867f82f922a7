//! What can go wrong in this crate.

use std::path::{Path, PathBuf};

/// Every failure of keys, audit log, bundles and model store.
///
/// Messages are lower case without a final stop and name what was attempted and on what. Variants tell apart the
/// user's mistakes, damaged or hostile data, and the environment (disk, rights, missing tools).
#[derive(Debug, thiserror::Error)]
pub enum AirgapError {
    /// The operating system refused a file operation. Free space, mend rights or the path, then try again.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The reason given by the operating system.
        source: std::io::Error,
    },
    /// A key file is missing its form or was made for something else. Use another file.
    #[error("key {}: {why}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The audit log could not be read or written. The action that was to be logged must not happen.
    #[error("audit log: cannot {action}: {why}")]
    AuditUnavailable {
        /// What was attempted.
        action: &'static str,
        /// The reason given by the database or the operating system.
        why: String,
    },
    /// An event is larger than a record may be. The caller must log less or refuse the action.
    #[error("audit log: an event of {bytes} bytes is over the limit of {limit} bytes")]
    AuditTooLarge {
        /// Size of the event's canonical form.
        bytes: usize,
        /// The limit that it crosses.
        limit: usize,
    },
    /// An audit log or an export of one is not what was written. `seq` is the first bad record where one can be named.
    #[error("audit log: {}: {why}", seq.map_or_else(|| "not tied to one record".to_owned(), |seq| format!("first bad record {seq}")))]
    AuditBroken {
        /// Number of the first bad record, if the fault belongs to one.
        seq: Option<u64>,
        /// What was found.
        why: String,
    },
    /// A question put to the audit log makes no sense (a time that is none, a range that is empty by construction).
    #[error("audit log: {why}")]
    AuditRequest {
        /// What is wrong with the request.
        why: String,
    },
    /// A bundle is refused. `member` names the part that is at fault.
    #[error("bundle refused: {member}: {why}")]
    BundleRefused {
        /// The member, or `bundle` for the file as a whole.
        member: String,
        /// What was found.
        why: String,
    },
    /// A bundle cannot be built or installed as asked. Change the plan or the prefix.
    #[error("bundle: {what}: {why}")]
    BundlePlan {
        /// The member, version or path concerned.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A disk has too little room. Nothing was changed.
    #[error("not enough space under {}: {needed_bytes} bytes needed, {available_bytes} available", path.display())]
    NoSpace {
        /// Folder on the file system in question.
        path: PathBuf,
        /// Bytes that the work needs.
        needed_bytes: u64,
        /// Bytes that the file system offers.
        available_bytes: u64,
    },
    /// Another process does the same work in the same place. Wait for it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// No model of this name is known.
    #[error("model {id}: {why}; {mend}")]
    Model {
        /// The name or path that was asked for.
        id: String,
        /// What is wrong.
        why: String,
        /// What to do about it.
        mend: String,
    },
    /// None of the sources of a model could deliver it. `tried` says why, source by source.
    #[error("model {id}: no source could deliver it: {}", tried.join("; "))]
    ModelSources {
        /// The model.
        id: String,
        /// A line for each source: its name, what happened and what to do.
        tried: Vec<String>,
    },
    /// Bytes do not have the hash that they must have. They were not used.
    #[error("{what}: SHA-256 is {found}, expected {expected}")]
    HashMismatch {
        /// The file or member.
        what: String,
        /// The hash that the catalogue or manifest demands.
        expected: String,
        /// The hash of the bytes at hand.
        found: String,
    },
    /// The caller asked to stop. What was fetched so far is kept for the next try.
    #[error("cancelled")]
    Cancelled,
}

impl AirgapError {
    /// Wraps an operating system error with what was attempted and where.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A refusal of one member of a bundle.
    pub(crate) fn refused(member: impl Into<String>, why: impl Into<String>) -> Self {
        Self::BundleRefused { member: member.into(), why: why.into() }
    }

    /// A broken audit log or export.
    pub(crate) fn broken(seq: Option<u64>, why: impl Into<String>) -> Self {
        Self::AuditBroken { seq, why: why.into() }
    }
}
