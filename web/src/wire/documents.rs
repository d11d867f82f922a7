//! Documents, uploads, jobs.

use cloister_appliance as appliance;
use serde::Serialize;
use utoipa::ToSchema;

/// A failure with a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// encrypted, damaged, unsupported, empty, limit, crashed, or the code of a problem.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl From<appliance::Fault> for Fault {
    fn from(fault: appliance::Fault) -> Self {
        Self { code: fault.code, message: fault.message }
    }
}

/// A page that is not in the text, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// Page from 1.
    pub page: u32,
    /// Reason.
    pub reason: String,
}

impl From<appliance::Gap> for Gap {
    fn from(gap: appliance::Gap) -> Self {
        Self { page: gap.page, reason: gap.reason }
    }
}

fn gaps(gaps: Vec<appliance::Gap>) -> Vec<Gap> {
    gaps.into_iter().map(Gap::from).collect()
}

/// A document in lists.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Document {
    /// Id.
    pub id: String,
    /// Name, unique in its collection.
    pub name: String,
    /// Id of its collection.
    pub collection: String,
    /// queued, reading, indexing, ready, partial (ready with gaps) or failed.
    pub status: String,
    /// Size of the original.
    pub bytes: u64,
    /// Pages.
    pub pages: u32,
    /// Passages in the index.
    pub passages: u32,
    /// Format, such as `pdf`.
    pub format: String,
    /// Title, where the file has one.
    pub title: Option<String>,
    /// Version in force, from 1.
    pub version: u32,
    /// When that version was added (RFC 3339).
    pub added: String,
    /// Pages that could not be read.
    pub gaps: Vec<Gap>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Its unfinished job.
    pub job: Option<String>,
}

impl From<appliance::DocumentInfo> for Document {
    fn from(document: appliance::DocumentInfo) -> Self {
        Self {
            id: document.id,
            name: document.name,
            collection: document.collection,
            status: document.status.as_str().to_owned(),
            bytes: document.bytes,
            pages: document.pages,
            passages: document.passages,
            format: document.format,
            title: document.title,
            version: document.version,
            added: document.added,
            gaps: gaps(document.gaps),
            error: document.error.map(Fault::from),
            job: document.job,
        }
    }
}

/// A slice of the documents of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Documents {
    /// By name.
    pub documents: Vec<Document>,
    /// To pass as `after` for the next slice; null at the end.
    pub next: Option<String>,
}

/// A row of the page ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerRow {
    /// Page from 1.
    pub page: u32,
    /// text, ocr, empty, partial (read in part), failed or skipped.
    pub outcome: String,
    /// Why, when it is a gap.
    pub reason: Option<String>,
    /// Words on the page.
    pub words: u32,
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Version {
    /// From 1.
    pub version: u32,
    /// Hash of the bytes, lower-case hexadecimal.
    pub sha256: String,
    /// When it was added (RFC 3339).
    pub added: String,
    /// When it became the one that is searched (RFC 3339); null if it never was.
    pub since: Option<String>,
    /// Format as read, such as `pdf`.
    pub format: String,
    /// Pages.
    pub pages: u32,
}

/// All about a document.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DocumentDetail {
    /// As in lists.
    #[serde(flatten)]
    pub document: Document,
    /// What became of each page.
    pub ledger: Vec<LedgerRow>,
    /// Newest last.
    pub versions: Vec<Version>,
    /// All names of its bytes in the collection.
    pub names: Vec<String>,
}

impl From<appliance::DocumentDetail> for DocumentDetail {
    fn from(detail: appliance::DocumentDetail) -> Self {
        let ledger = detail.ledger.into_iter().map(|row| LedgerRow {
            page: row.page,
            outcome: row.outcome,
            reason: row.reason,
            words: row.words,
        });
        let versions = detail.versions.into_iter().map(|version| Version {
            version: version.version,
            sha256: version.sha256,
            added: version.added,
            since: version.since,
            format: version.format,
            pages: version.pages,
        });
        Self {
            document: detail.info.into(),
            ledger: ledger.collect(),
            versions: versions.collect(),
            names: detail.names,
        }
    }
}

/// A block of a page, offsets within the page's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Block {
    /// heading, paragraph, list_item, table, …
    pub kind: String,
    /// Depth of a heading or list item.
    pub level: u8,
    /// First character.
    pub start: u32,
    /// After the last character.
    pub end: u32,
}

/// A page as stored.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PageView {
    /// From 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// Width in points; 0 without a layout.
    pub width: f32,
    /// Height in points; 0 without a layout.
    pub height: f32,
    /// The page's text.
    pub text: String,
    /// Offset of the page's text in the canonical text.
    pub start: u32,
    /// `[start, end, x0, y0, x1, y1]`: a word's offsets within the page's text and its box.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub words: Vec<(u32, u32, f32, f32, f32, f32)>,
    /// Blocks.
    pub blocks: Vec<Block>,
}

impl From<appliance::PageView> for PageView {
    fn from(page: appliance::PageView) -> Self {
        let words = page.words.into_iter().map(|word| {
            let [x0, y0, x1, y1] = word.bounds;
            (word.start, word.end, x0, y0, x1, y1)
        });
        let blocks = page.blocks.into_iter().map(|block| Block {
            kind: block.kind,
            level: block.level,
            start: block.start,
            end: block.end,
        });
        Self {
            page: page.page,
            place: page.place,
            width: page.width,
            height: page.height,
            text: page.text,
            start: page.start,
            words: words.collect(),
            blocks: blocks.collect(),
        }
    }
}

/// Boxes of a stretch of text.
#[derive(Debug, Serialize, ToSchema)]
pub struct Boxes {
    /// `[page, x0, y0, x1, y1]` in PDF points from the page's top left corner, one a line.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub boxes: Vec<[f32; 5]>,
}

/// What a removal took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedDocument {
    /// Name of the document.
    pub name: String,
    /// Passages removed from the index.
    pub passages: u64,
    /// Bytes removed from the disk (0 while another document has the same bytes).
    pub bytes: u64,
}

/// Answer to a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Removed {
    /// What was taken away.
    pub removed: RemovedDocument,
    /// Number of the audit record.
    pub audit: u64,
}

impl From<appliance::RemovedInfo> for Removed {
    fn from(removed: appliance::RemovedInfo) -> Self {
        let audit = removed.audit;
        Self {
            removed: RemovedDocument { name: removed.name, passages: removed.passages, bytes: removed.bytes },
            audit,
        }
    }
}

/// What became of one file of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UploadItem {
    /// Name as placed.
    pub name: String,
    /// queued, unchanged, duplicate, updated or failed.
    pub status: String,
    /// The document (of a duplicate: the one that has the bytes).
    pub document: Option<String>,
    /// The job that reads it.
    pub job: Option<String>,
    /// Name of the document that has the same bytes.
    pub duplicate_of: Option<String>,
    /// Why it failed.
    pub error: Option<Fault>,
}

impl From<appliance::Uploaded> for UploadItem {
    fn from(uploaded: appliance::Uploaded) -> Self {
        Self {
            name: uploaded.name,
            status: uploaded.status.as_str().to_owned(),
            document: Some(uploaded.document),
            job: uploaded.job,
            duplicate_of: uploaded.duplicate_of,
            error: None,
        }
    }
}

impl UploadItem {
    /// A file that was not taken in.
    pub fn failed(name: String, code: &str, message: &str) -> Self {
        let error = Some(Fault { code: code.to_owned(), message: message.to_owned() });
        Self { name, status: "failed".to_owned(), document: None, job: None, duplicate_of: None, error }
    }
}

/// What became of an upload.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploads {
    /// One per file, in order.
    pub uploads: Vec<UploadItem>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// Id.
    pub id: String,
    /// Id of the document.
    pub document: String,
    /// Name of the document.
    pub name: String,
    /// Id of the collection.
    pub collection: String,
    /// queued, reading, embedding, indexing, ready, partial, failed, cancelled or duplicate.
    pub state: String,
    /// Pages read; passages embedded while `embedding`.
    pub page: u32,
    /// Pages in all (passages while `embedding`), when known.
    pub pages: Option<u32>,
    /// Seconds spent so far.
    pub seconds: f64,
    /// Seconds left, from the measured rate.
    pub seconds_left: Option<f64>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Pages that could not be read.
    pub gaps: Vec<Gap>,
}

impl From<appliance::JobInfo> for Job {
    fn from(job: appliance::JobInfo) -> Self {
        Self {
            id: job.id,
            document: job.document,
            name: job.name,
            collection: job.collection,
            state: job.state.as_str().to_owned(),
            page: job.page,
            pages: job.pages,
            seconds: job.seconds,
            seconds_left: job.seconds_left,
            error: job.error.map(Fault::from),
            gaps: gaps(job.gaps),
        }
    }
}

/// Jobs visible to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jobs {
    /// All unfinished ones and the last finished, newest first.
    pub jobs: Vec<Job>,
}

/// A document queued again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Retried {
    /// Id of the job.
    pub job: String,
}
