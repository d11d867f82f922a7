//! The append-only log of what was done, and the means to prove that it is whole.
//!
//! A record is one line of canonical JSON (RFC 8785) with the fields `v`, `seq`, `time`, `boot`, `actor`, `action`,
//! `object`, `outcome`, `detail` and `prev`; `prev` is the SHA-256 of the line before (64 zeros for the first), so
//! `sha256sum` is enough to follow the chain by hand. The lines are the leaves of an RFC 6962 Merkle tree, and with
//! every record the tree's root is signed with the installation key as a C2SP checkpoint in the same transaction. The
//! first record names the key and the log's origin, which is derived from the key.
//!
//! What this shows: any record that was changed, removed from the middle, added, moved or taken from another
//! installation, by anyone without the key. What it cannot show by itself: that the newest records were cut off
//! together with their signature, or that somebody with the key wrote the whole log anew. For that a checkpoint or an
//! export must be kept elsewhere and given to [`AuditLog::verify_against`].

use std::sync::Arc;

use serde_json::Value;

use crate::Hash;

mod chain;
mod csv;
mod database;
mod export;
mod log;
mod note;
mod record;
mod tree;
mod verify;

pub use export::Format;
pub use log::AuditLog;
pub use verify::verify_export;

/// Name of the log's database in its folder.
pub const AUDIT_FILE: &str = "audit.sqlite";

/// Gives the present time as RFC 3339; any offset is turned into UTC.
pub type Clock = Arc<dyn Fn() -> String + Send + Sync>;

/// What is to be logged.
///
/// The four short texts may have 1,024 bytes and a string inside `detail` 16 KiB; of what is longer the start and the
/// SHA-256 are kept. An integer beyond 2^53 is kept as a string of its digits.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Who: a user's name, `key:LABEL`, `local:SYSTEM_USER` or `system`.
    pub actor: String,
    /// What was done, as `noun.verb`.
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// `ok`, `denied`, `failed` or another short word.
    pub outcome: String,
    /// Everything else.
    pub detail: Value,
}

/// Proof that an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the record, from 0 without gaps.
    pub seq: u64,
    /// SHA-256 of the record's line.
    pub hash: Hash,
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Number of the record, from 0 without gaps.
    pub seq: u64,
    /// When, by the clock of the machine (RFC 3339, UTC, milliseconds). The order is carried by `seq` alone.
    pub time: String,
    /// The run of the program that wrote it.
    pub boot: String,
    /// What was logged.
    pub event: Event,
    /// Hash of the record before.
    pub previous: Hash,
    /// SHA-256 of the record's line.
    pub hash: Hash,
}

/// Which records to list. `Default` gives the oldest hundred.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// By number downwards instead of upwards.
    pub newest_first: bool,
    /// Only records that come behind this number in that order.
    pub after: Option<u64>,
    /// Not before this time (RFC 3339).
    pub from: Option<String>,
    /// Not after this time (RFC 3339).
    pub to: Option<String>,
    /// Exactly this action, or with a final `*` every action that begins with what stands before it.
    pub action: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// At most so many records, never more than 1,000; 0 stands for 100.
    pub limit: usize,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The records.
    pub records: Vec<Record>,
    /// Pass as `after` to go on; `None` at the end.
    pub next: Option<u64>,
    /// Hash of the newest record of the log.
    pub head: Hash,
}

/// The outcome of a verification that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Number of records checked.
    pub records: u64,
    /// First record checked; `None` for an export of no records.
    pub first: Option<u64>,
    /// Last record checked.
    pub last: Option<u64>,
    /// Hash of the last record checked, or of the one before an empty range.
    pub head: Hash,
    /// Name of the log, derived from the key that signs it.
    pub origin: String,
    /// Fingerprint of that key.
    pub signed_by: String,
}
