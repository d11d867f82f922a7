//! Reading, exporting and verifying the audit log.
//!
//! Changes are recorded before they are made: a record with outcome `ok` says that the change was begun by someone with
//! the right to it; should it then fail, a second record with outcome `failed` names the first by `of`. Views, searches
//! and answers are recorded before they are shown. Refusals have outcome `denied`. Who failed to prove a name is the actor
//! `unknown`, and the name that was claimed is the object; attempts that come too soon leave one record a wait.
//!
//! | actions | when |
//! | --- | --- |
//! | `system.open` | the data directory was opened |
//! | `setup`, `login`, `logout`, `key.use` | someone proved, or failed to prove, who they are |
//! | `user.add`, `user.disable`, `user.password`, `user.list`, `key.add`, `key.revoke` | accounts |
//! | `collection.add`, `.remove`, `.removed`, `.grant`, `.revoke`, `.grants` | collections and rights |
//! | `document.upload`, `.ingest`, `.retry`, `.view`, `.remove`, `.removed`, `job.cancel` | documents |
//! | `search`, `question`, `answer`, `answer.view` | finding and answering; `answer` is the receipt |
//! | `audit.list`, `.export`, `.verify`, `examples.set` | the rest; listing is recorded when it is refused |

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloister_airgap::AirgapError;
use cloister_airgap::audit::{AuditLog, Event, Filter, Format, Record, Verdict};
use cloister_airgap::keys::{self, INSTALLATION_PUBLIC_FILE, InstallationKey, PublicKey};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::{Appliance, Config, Error, Result};

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Newest first instead of oldest first.
    pub newest_first: bool,
    /// Only records beyond this number in the order of the listing.
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
    /// The records.
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

/// Folder of the log below the data directory.
const AUDIT_FOLDER: &str = "audit";

/// Folder of the installation key below the data directory.
pub(crate) const KEYS_FOLDER: &str = "keys";

/// The log and the key that signs it.
pub(crate) struct Journal {
    log: AuditLog,
    public: PublicKey,
}

type OpenLog =
    fn(&Path, InstallationKey, cloister_airgap::audit::Clock, &str) -> std::result::Result<AuditLog, AirgapError>;

impl Journal {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        Self::open_by(config, AuditLog::open)
    }

    /// As [`Journal::open`], a broken log too.
    pub(crate) fn open_as_it_is(config: &Config) -> Result<Self> {
        Self::open_by(config, AuditLog::open_as_it_is)
    }

    fn open_by(config: &Config, open: OpenLog) -> Result<Self> {
        let random = config.random.clone();
        let mut fill = move |bytes: &mut [u8]| {
            random(bytes);
            Ok(())
        };
        let (keys, audit) = (config.data_dir.join(KEYS_FOLDER), config.data_dir.join(AUDIT_FOLDER));
        crate::appliance::make_private_dir(&keys)?;
        crate::appliance::make_private_dir(&audit)?;
        let key = InstallationKey::load_or_create(&keys, &mut fill).map_err(broken)?;
        let public = key.public();
        let clock = config.clock.clone();
        let clock = Arc::new(move || crate::time::text(clock()));
        let log = open(&audit, key, clock, &config.boot_id).map_err(broken)?;
        Ok(Self { log, public })
    }

    /// Writes a record; it is durable when this returns its number.
    pub(crate) fn append(&self, actor: &str, action: &str, object: &str, outcome: &str, detail: Value) -> Result<u64> {
        let event = Event {
            actor: actor.to_owned(),
            action: action.to_owned(),
            object: object.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        self.log.append(&event).map(|receipt| receipt.seq).map_err(|error| Error::Audit(error.to_string()))
    }

    /// One record by its number.
    pub(crate) fn record(&self, seq: u64) -> Result<Option<Record>> {
        self.log.record(seq).map_err(broken)
    }

    /// Checks the whole log.
    pub(crate) fn verify(&self) -> Result<AuditVerdict> {
        judged(self.log.verify(), &self.public)
    }
}

impl Appliance {
    /// Lists records.
    pub fn audit_records(&self, caller: &Caller, filter: &AuditFilter) -> Result<AuditPage> {
        self.need_auditor(caller, "audit.list")?;
        let wanted = Filter {
            newest_first: filter.newest_first,
            after: filter.after,
            limit: filter.limit,
            action: filter.action.clone(),
            actor: filter.actor.clone(),
            ..Filter::default()
        };
        let listing = self.journal.log.list(&wanted).map_err(broken)?;
        let records = listing.records.into_iter().map(|record| AuditRecord {
            seq: record.seq,
            time: record.time,
            actor: record.event.actor,
            action: record.event.action,
            object: record.event.object,
            outcome: record.event.outcome,
            detail: record.event.detail,
            hash: record.hash.to_string(),
        });
        Ok(AuditPage { records: records.collect(), next: listing.next, head: listing.head.to_string() })
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
        self.need_auditor(caller, "audit.export")?;
        let (word, format) = match format {
            AuditFormat::Jsonl => ("jsonl", Format::JsonLines),
            AuditFormat::Csv => ("csv", Format::Csv),
        };
        let detail = json!({"format": word, "from": from, "to": to});
        let exported = self.recorded(caller, "audit.export", "audit log", detail, || {
            Ok(self.journal.log.export(format, from, to, out).map_err(broken)?.records)
        });
        exported.map_err(|error| self.why_unwritable(error))
    }

    /// Names the bad record where the log takes no record because it is broken.
    fn why_unwritable(&self, error: Error) -> Error {
        match (&error, self.journal.verify()) {
            (Error::Audit(_), Ok(AuditVerdict { bad: Some(AuditFault { seq, why }), .. })) => {
                let record = seq.map(|seq| format!("record {seq}: ")).unwrap_or_default();
                Error::Damaged(format!("the audit log is broken: {record}{why}"))
            }
            _ => error,
        }
    }

    /// Verifies the whole log on the spot. A bad verdict is given also when the log takes no record of it any more.
    pub fn audit_verify(&self, caller: &Caller) -> Result<AuditVerdict> {
        self.need_auditor(caller, "audit.verify")?;
        let verdict = self.journal.verify()?;
        match self.record_verdict(caller, "audit log", &verdict) {
            Err(error) if verdict.ok => Err(error),
            _ => Ok(verdict),
        }
    }

    /// Verifies an export against a public key file, or this installation's key.
    pub fn audit_verify_export(
        &self,
        caller: &Caller,
        export: &mut dyn BufRead,
        public_key: Option<&Path>,
    ) -> Result<AuditVerdict> {
        self.need_auditor(caller, "audit.verify")?;
        let key = public_key.map_or(Ok(self.journal.public), read_public)?;
        let verdict = judged(cloister_airgap::audit::verify_export(export, &key), &key)?;
        match self.record_verdict(caller, "export", &verdict) {
            Err(error) if verdict.ok => Err(self.why_unwritable(error)),
            _ => Ok(verdict),
        }
    }

    /// Where this installation's public key lies, to be handed to auditors.
    pub fn public_key_path(&self) -> PathBuf {
        self.config.data_dir.join(KEYS_FOLDER).join(INSTALLATION_PUBLIC_FILE)
    }

    fn record_verdict(&self, caller: &Caller, object: &str, verdict: &AuditVerdict) -> Result<()> {
        let detail = json!({"ok": verdict.ok, "records": verdict.records, "head": verdict.head});
        self.record(caller, "audit.verify", object, detail).map(drop)
    }

    fn need_auditor(&self, caller: &Caller, action: &str) -> Result<()> {
        if caller.may_audit() {
            return Ok(());
        }
        let error = Error::Denied("auditors and administrators only");
        self.record_failure(caller, action, "audit log", None, &error);
        Err(error)
    }
}

/// Verifies an export against a public key file, without an installation.
pub fn verify_export(export: &mut dyn BufRead, public_key: &Path) -> Result<AuditVerdict> {
    let key = read_public(public_key)?;
    judged(cloister_airgap::audit::verify_export(export, &key), &key)
}

fn read_public(path: &Path) -> Result<PublicKey> {
    keys::read_public(path).map_err(|error| Error::invalid("public key", error.to_string()))
}

/// A broken log is a verdict; only what kept the verification from being carried out is an error.
fn judged(verified: std::result::Result<Verdict, AirgapError>, key: &PublicKey) -> Result<AuditVerdict> {
    match verified {
        Ok(verdict) => Ok(AuditVerdict {
            ok: true,
            records: verdict.records,
            first: verdict.first,
            last: verdict.last,
            head: verdict.head.to_string(),
            signed_by: verdict.signed_by,
            bad: None,
        }),
        Err(AirgapError::AuditBroken { seq, why }) => Ok(AuditVerdict {
            ok: false,
            records: 0,
            first: None,
            last: None,
            head: String::new(),
            signed_by: keys::fingerprint(key),
            bad: Some(AuditFault { seq, why }),
        }),
        Err(error) => Err(broken(error)),
    }
}

pub(crate) fn broken(error: AirgapError) -> Error {
    match error {
        AirgapError::AuditRequest { why } => Error::invalid("range", why),
        AirgapError::AuditBroken { .. } => Error::Damaged(error.to_string()),
        AirgapError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Error::DiskFull(error.to_string())
        }
        AirgapError::NoSpace { .. } => Error::DiskFull(error.to_string()),
        AirgapError::InUse { path } => Error::InUse(path.display().to_string()),
        AirgapError::Model { id, why, mend } => Error::Model { id, why: format!("{why}; {mend}") },
        AirgapError::Cancelled => Error::Cancelled,
        other => Error::Environment { what: "trust store".to_owned(), why: other.to_string() },
    }
}

/// Time of the newest record.
pub(crate) fn newest_time(appliance: &Appliance) -> Option<String> {
    let newest = Filter { newest_first: true, limit: 1, ..Filter::default() };
    Some(appliance.journal.log.list(&newest).ok()?.records.first()?.time.clone())
}
