//! Exports: records that leave the machine with a signed trailer.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::chain::Chain;
use super::{Verdict, csv, database, note, verify};
use crate::{AirgapError, Hash, Hasher, PublicKey, SecretKey, canonical};

/// How the last line of a CSV export begins, inside its only cell.
pub(super) const CSV_MARK: &str = "\"# cloister-audit-export ";
const FORM: &str = "cloister-audit-export-1";
/// Binds a signature to exports: no signature made for something else fits a trailer.
const SIGNATURE_DOMAIN: &str = "cloister audit export, form 1\n";

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One canonical record a line, then the trailer. Authoritative: the chain is checked record by record.
    JsonLines,
    /// For spreadsheets. Derived from the records, signed as a whole.
    Csv,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// What the trailer of an export states, once its signature has been found good.
pub(super) struct Trailer {
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) records: u64,
    pub(super) before: Hash,
    pub(super) head: Hash,
    sha256: Hash,
}

impl Trailer {
    /// Whether a line of a JSON Lines export is a trailer and no record.
    pub(super) fn is_line(line: &str) -> bool {
        line.starts_with("{\"before\":")
    }

    /// Reads a trailer line and checks its signature.
    pub(super) fn open(line: &str, key: &PublicKey, format: Format) -> Result<Self, AirgapError> {
        let damaged = || AirgapError::broken(None, "the signed trailer of the export is damaged");
        let mut value: Value = serde_json::from_str(line).map_err(|_| damaged())?;
        if format!("{}\n", canonical::to_string(&value)) != line {
            return Err(damaged());
        }
        if value["key"] != key.to_line() {
            return Err(AirgapError::broken(
                None,
                "the export is signed with another key than the one it is checked with",
            ));
        }
        let signature = value.as_object_mut().and_then(|fields| fields.remove("signature")).ok_or_else(damaged)?;
        let signature =
            BASE64.decode(signature.as_str().unwrap_or_default()).ok().and_then(|bytes| bytes.try_into().ok());
        let signature: [u8; 64] = signature.ok_or_else(damaged)?;
        if !key.verifies(&signed_bytes(&value), &signature) {
            return Err(AirgapError::broken(None, "the trailer of the export is not what was signed"));
        }
        Self::from_value(&value, format).ok_or_else(damaged)
    }

    fn from_value(value: &Value, format: Format) -> Option<Self> {
        if value["trailer"] != FORM || value["format"] != format.name() {
            return None;
        }
        let hash = |name: &str| Hash::parse(value[name].as_str()?);
        Some(Self {
            first: value["first"].as_u64(),
            last: value["last"].as_u64(),
            records: value["records"].as_u64()?,
            before: hash("before")?,
            head: hash("head")?,
            sha256: hash("sha256")?,
        })
    }

    /// Demands that the bytes before the trailer are those that were signed.
    pub(super) fn check_bytes(&self, found: Hash) -> Result<(), AirgapError> {
        if self.sha256 == found {
            return Ok(());
        }
        Err(AirgapError::broken(None, "the export was changed: its bytes are not those that were signed"))
    }
}

fn signed_bytes(unsigned: &Value) -> Vec<u8> {
    format!("{SIGNATURE_DOMAIN}{}", canonical::to_string(unsigned)).into_bytes()
}

/// Writes an export of the records within `bounds` and returns what a verification of it will say.
pub(super) fn write(
    connection: &Connection,
    key: &SecretKey,
    format: Format,
    bounds: (Option<&str>, Option<&str>),
    time: &str,
    out: &mut dyn Write,
) -> Result<Verdict, AirgapError> {
    let bounds = (database::time_bound(bounds.0)?, database::time_bound(bounds.1)?);
    let snapshot = connection.unchecked_transaction().map_err(|e| database::failure("be read", &e))?;
    let range = database::range(&snapshot, bounds.0, bounds.1)?;
    let mut sink = Sink { out, hasher: Hasher::default() };
    let mut exported = Chain::from_anywhere();
    let mut before = Hash::ZERO;
    if format == Format::Csv {
        sink.write(csv::HEADER)?;
    }
    let whole = verify::walk(&snapshot, &key.public(), &[], &mut |record, line| {
        if range.is_none_or(|(first, _)| record.seq < first) {
            before = record.hash;
        }
        if range.is_some_and(|(first, last)| (first..=last).contains(&record.seq)) {
            exported.take(line)?;
            match format {
                Format::JsonLines => sink.write(&format!("{line}\n"))?,
                Format::Csv => sink.write(&csv::row(record))?,
            }
        }
        Ok(())
    })?;
    let verdict = verify::verdict(&exported, before, &key.public());
    let trailer = trailer(&verdict, before, &sink.hash(), format, &note::sign(&whole.tree, key), time, key);
    match format {
        Format::JsonLines => sink.write(&format!("{trailer}\n"))?,
        Format::Csv => sink.write(&format!("{CSV_MARK}{}\"\r\n", trailer.replace('"', "\"\"")))?,
    }
    sink.out.flush().map_err(|e| unwritten(&e))?;
    Ok(verdict)
}

fn trailer(
    verdict: &Verdict,
    before: Hash,
    sha256: &Hash,
    format: Format,
    checkpoint: &str,
    time: &str,
    key: &SecretKey,
) -> String {
    let mut value = json!({
        "trailer": FORM,
        "format": format.name(),
        "origin": verdict.origin,
        "first": verdict.first,
        "last": verdict.last,
        "records": verdict.records,
        "before": before.to_string(),
        "head": verdict.head.to_string(),
        "sha256": sha256.to_string(),
        "exported": time,
        "checkpoint": checkpoint,
        "key": key.public().to_line(),
    });
    value["signature"] = BASE64.encode(key.sign(&signed_bytes(&value))).into();
    canonical::to_string(&value)
}

/// Writes and hashes.
struct Sink<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
}

impl Sink<'_> {
    fn write(&mut self, text: &str) -> Result<(), AirgapError> {
        self.hasher.update(text.as_bytes());
        self.out.write_all(text.as_bytes()).map_err(|e| unwritten(&e))
    }

    fn hash(&self) -> Hash {
        self.hasher.clone().finish().0
    }
}

fn unwritten(error: &std::io::Error) -> AirgapError {
    AirgapError::AuditUnavailable { action: "write the export", why: error.to_string() }
}
