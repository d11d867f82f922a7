//! Reading, exporting and verifying the audit log.

use std::io::{BufRead, Write};
use std::path::Path;

use crate::caller::Caller;
use crate::{Appliance, Result};

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only records after this number.
    pub after: Option<u64>,
    /// At most so many; 0 means 100.
    pub limit: usize,
    /// Only this action.
    pub action: Option<String>,
    /// Only this actor.
    pub actor: Option<String>,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Number, dense.
    pub seq: u64,
    /// When (RFC 3339).
    pub time: String,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// On what.
    pub object: String,
    /// ok, denied, failed.
    pub outcome: String,
    /// The particulars.
    pub detail: serde_json::Value,
    /// Hash of the record, lower-case hexadecimal.
    pub hash: String,
}

/// A slice of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The records, oldest first.
    pub records: Vec<AuditRecord>,
    /// To pass as `after` for the next slice.
    pub next: Option<u64>,
    /// Hash of the newest record.
    pub head: String,
}

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFormat {
    /// JSON Lines with a signed trailer; the form that can be verified.
    Jsonl,
    /// Comma-separated values.
    Csv,
}

/// First record that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// Its number, when one can be named.
    pub seq: Option<u64>,
    /// What is wrong.
    pub why: String,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Whether all holds.
    pub ok: bool,
    /// Records looked at.
    pub records: u64,
    /// Number of the first.
    pub first: Option<u64>,
    /// Number of the last.
    pub last: Option<u64>,
    /// Hash of the last.
    pub head: String,
    /// Fingerprint of the key that signed.
    pub signed_by: String,
    /// First record that does not hold.
    pub bad: Option<AuditFault>,
}

impl Appliance {
    /// Lists records.
    pub fn audit_records(&self, caller: &Caller, filter: &AuditFilter) -> Result<AuditPage> {
        let _ = (caller, filter);
        self.unfinished()
    }

    /// Writes records between two times (RFC 3339) to `out`; returns their number. The export itself is recorded first.
    pub fn audit_export(
        &self,
        caller: &Caller,
        format: AuditFormat,
        from: Option<&str>,
        to: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<u64> {
        let _ = (caller, format, from, to, out);
        self.unfinished()
    }

    /// Verifies the whole log on the spot.
    pub fn audit_verify(&self, caller: &Caller) -> Result<AuditVerdict> {
        let _ = caller;
        self.unfinished()
    }

    /// Verifies an export against a public key file, or this installation's key.
    pub fn audit_verify_export(
        &self,
        caller: &Caller,
        export: &mut dyn BufRead,
        public_key: Option<&Path>,
    ) -> Result<AuditVerdict> {
        let _ = (caller, export, public_key);
        self.unfinished()
    }
}

/// Verifies an export against a public key file, without an installation.
pub fn verify_export(export: &mut dyn BufRead, public_key: &Path) -> Result<AuditVerdict> {
    let _ = (export, public_key);
    Err(crate::Error::Bug("not built yet".to_owned()))
}
