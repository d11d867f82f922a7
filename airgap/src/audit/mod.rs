//! The append-only log of what was done.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::keys::{InstallationKey, PublicKey};
use crate::{AirgapError, Hash};

/// Gives the present time as RFC 3339 in UTC.
pub type Clock = Arc<dyn Fn() -> String + Send + Sync>;

/// What is to be logged.
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
    /// Everything else, as a JSON value.
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
    /// When, by the clock of the machine (RFC 3339 UTC). `seq` is what carries the order.
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

/// Which records to list. `Default` is the oldest hundred.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Newest first instead of oldest first.
    pub newest_first: bool,
    /// Only records beyond this number in the order of the listing.
    pub after: Option<u64>,
    /// Not before this time (RFC 3339).
    pub from: Option<String>,
    /// Not after this time (RFC 3339).
    pub to: Option<String>,
    /// Exactly this action, or every action that begins with what stands before a final `*`.
    pub action: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// At most so many records; 0 means 100, and never more than 1,000.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The records.
    pub records: Vec<Record>,
    /// Pass as `after` to go on; `None` at the end.
    pub next: Option<u64>,
    /// Hash of the newest record of the log.
    pub head: Hash,
}

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One canonical record a line, then a signed trailer. Authoritative.
    JsonLines,
    /// For spreadsheets, derived from the records, with a signed trailer comment.
    Csv,
}

/// The outcome of a verification that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Number of records checked.
    pub records: u64,
    /// First record checked.
    pub first: Option<u64>,
    /// Last record checked.
    pub last: Option<u64>,
    /// Hash of the last record checked.
    pub head: Hash,
    /// Identity of the installation that wrote the log.
    pub origin: String,
    /// Fingerprint of the key that signed.
    pub signed_by: String,
}

/// The audit log of one installation.
pub struct AuditLog {}

impl AuditLog {
    /// Opens the log in `dir`, or begins it.
    pub fn open(_dir: &Path, _key: InstallationKey, _clock: Clock, _boot: &str) -> Result<Self, AirgapError> {
        Err(unavailable())
    }

    /// Writes one record; durable when this returns.
    pub fn append(&self, _event: &Event) -> Result<Receipt, AirgapError> {
        Err(unavailable())
    }

    /// Lists records.
    pub fn list(&self, _filter: &Filter) -> Result<Listing, AirgapError> {
        Err(unavailable())
    }

    /// One record by its number.
    pub fn record(&self, _seq: u64) -> Result<Option<Record>, AirgapError> {
        Err(unavailable())
    }

    /// Writes an export with its signed trailer.
    pub fn export(
        &self,
        _format: Format,
        _from: Option<&str>,
        _to: Option<&str>,
        _out: &mut dyn Write,
    ) -> Result<Verdict, AirgapError> {
        Err(unavailable())
    }

    /// Checks the whole log.
    pub fn verify(&self) -> Result<Verdict, AirgapError> {
        Err(unavailable())
    }
}

/// Checks an export by itself, with the public key of the installation that it should come from.
pub fn verify_export(_input: &mut dyn BufRead, _key: &PublicKey) -> Result<Verdict, AirgapError> {
    Err(unavailable())
}

fn unavailable() -> AirgapError {
    AirgapError::AuditUnavailable { action: "be used", why: "this build has no audit log".to_owned() }
}
