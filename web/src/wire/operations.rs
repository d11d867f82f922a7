//! Audit log, models, health.

use cloister_appliance as appliance;
use serde::Serialize;
use utoipa::ToSchema;

/// A record of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
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
    /// ok, denied or failed.
    pub outcome: String,
    /// The particulars.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Hash of the record, lower-case hexadecimal.
    pub hash: String,
}

impl From<appliance::AuditRecord> for AuditRecord {
    fn from(record: appliance::AuditRecord) -> Self {
        Self {
            seq: record.seq,
            time: record.time,
            actor: record.actor,
            action: record.action,
            object: record.object,
            outcome: record.outcome,
            detail: record.detail,
            hash: record.hash,
        }
    }
}

/// A slice of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub records: Vec<AuditRecord>,
    /// To pass as `after` for the next slice; null at the end.
    pub next: Option<u64>,
    /// Hash of the newest record.
    pub head: String,
}

impl From<appliance::AuditPage> for AuditPage {
    fn from(page: appliance::AuditPage) -> Self {
        let records = page.records.into_iter().map(AuditRecord::from).collect();
        Self { records, next: page.next, head: page.head }
    }
}

/// First record that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditFault {
    /// Its number, when one can be named.
    pub seq: Option<u64>,
    /// What is wrong.
    pub why: String,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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

impl From<appliance::AuditVerdict> for AuditVerdict {
    fn from(verdict: appliance::AuditVerdict) -> Self {
        Self {
            ok: verdict.ok,
            records: verdict.records,
            first: verdict.first,
            last: verdict.last,
            head: verdict.head,
            signed_by: verdict.signed_by,
            bad: verdict.bad.map(|bad| AuditFault { seq: bad.seq, why: bad.why }),
        }
    }
}

/// A model of the catalogue or of the models directory.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// Catalogue id.
    pub id: String,
    /// generate, embed or rerank.
    pub role: String,
    /// Architecture, such as `qwen2`.
    pub architecture: String,
    /// Quantisation, such as `Q4_K_M`.
    pub quantisation: String,
    /// Licence.
    pub licence: String,
    /// Context length in tokens.
    pub context: u32,
    /// Parameters.
    pub parameters: u64,
    /// Bytes on disk (expected, when absent).
    pub bytes: u64,
    /// Whether it is in the models directory.
    pub present: bool,
    /// Whether it is the configured generator or embedder.
    pub active: bool,
    /// Memory at the configured context length.
    pub memory_bytes: Option<u64>,
    /// Whether that fits; null when unknown.
    pub fits: Option<bool>,
}

impl From<appliance::ModelEntry> for Model {
    fn from(model: appliance::ModelEntry) -> Self {
        Self {
            id: model.id,
            role: model.role,
            architecture: model.architecture,
            quantisation: model.quantisation,
            licence: model.licence,
            context: model.context,
            parameters: model.parameters,
            bytes: model.bytes,
            present: model.present,
            active: model.active,
            memory_bytes: model.memory_bytes,
            fits: model.fits,
        }
    }
}

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub struct Models {
    /// The catalogue's and those that were added.
    pub models: Vec<Model>,
}

/// A model in use and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelStatus {
    /// Catalogue id or path.
    pub id: String,
    /// ready, loading, present (not loaded yet), missing or failed.
    pub state: String,
    /// What is wrong and what to do, when not ready.
    pub detail: Option<String>,
}

impl From<appliance::ModelStatus> for ModelStatus {
    fn from(model: appliance::ModelStatus) -> Self {
        Self { id: model.id, state: model.state.as_str().to_owned(), detail: model.detail }
    }
}

/// A question to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Example {
    /// Name of the collection.
    pub collection: String,
    /// The question.
    pub question: String,
}

/// The appliance at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The answering model.
    pub generator: ModelStatus,
    /// The embedding model.
    pub embedder: ModelStatus,
    /// Documents visible to the caller.
    pub documents: u64,
    /// Passages in the index.
    pub passages: u64,
    /// Edition of the index.
    pub edition: u64,
    /// Free bytes on the disk of the data directory.
    pub disk_free_bytes: Option<u64>,
    /// Collections visible to the caller.
    pub collections: u64,
    /// Questions to try.
    pub examples: Vec<Example>,
}

impl From<appliance::Status> for Status {
    fn from(status: appliance::Status) -> Self {
        let examples = status
            .examples
            .into_iter()
            .map(|example| Example { collection: example.collection, question: example.question });
        Self {
            version: crate::VERSION.to_owned(),
            generator: status.generator.into(),
            embedder: status.embedder.into(),
            documents: status.documents,
            passages: status.passages,
            edition: status.edition,
            disk_free_bytes: status.disk_free_bytes,
            collections: status.collections,
            examples: examples.collect(),
        }
    }
}

/// Alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
    /// Version of the program.
    pub version: &'static str,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// Short stable name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Whether questions can be answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether all checks hold.
    pub ready: bool,
    /// The checks.
    pub checks: Vec<Check>,
}
