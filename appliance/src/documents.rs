//! Listing, viewing and removing documents.

use std::fs::File;

use cloister_index::{
    Document, DocumentId, DocumentStatus as StoredStatus, DocumentVersion, IndexError, Level, Visible,
};
use serde_json::json;

use crate::appliance::named;
use crate::caller::Caller;
use crate::{Appliance, Error, Result};

/// How far a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentStatus {
    /// Waits for its turn.
    Queued,
    /// The reader is at it.
    Reading,
    /// Passages are being embedded and indexed.
    Indexing,
    /// All pages read and searchable.
    Ready,
    /// Searchable, with pages that could not be read.
    Partial,
    /// Not readable at all.
    Failed,
}

impl DocumentStatus {
    /// Word for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Reading => "reading",
            Self::Indexing => "indexing",
            Self::Ready => "ready",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// A failure with the contract's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// encrypted, damaged, unsupported, empty, limit, crashed, or an [`crate::Error::code`].
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

/// A page that is not in the text, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Page from 1.
    pub page: u32,
    /// Reason.
    pub reason: String,
}

/// A document in lists.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentInfo {
    /// Id.
    pub id: String,
    /// Name, unique in its collection.
    pub name: String,
    /// Id of its collection.
    pub collection: String,
    /// How far it is.
    pub status: DocumentStatus,
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

/// A slice of a list of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentsPage {
    /// The documents, by name.
    pub documents: Vec<DocumentInfo>,
    /// To pass as `after` for the next slice.
    pub next: Option<String>,
}

/// A row of the page ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// From 1.
    pub version: u32,
    /// Hash of the bytes, lower-case hexadecimal.
    pub sha256: String,
    /// When it was added (RFC 3339).
    pub added: String,
    /// When it became the one that is searched (RFC 3339); `None` if it never was.
    pub since: Option<String>,
    /// Format as read, such as `pdf`.
    pub format: String,
    /// Pages.
    pub pages: u32,
}

/// All about a document.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentDetail {
    /// As in lists.
    pub info: DocumentInfo,
    /// What became of each page.
    pub ledger: Vec<LedgerRow>,
    /// Its versions, newest last.
    pub versions: Vec<VersionInfo>,
    /// All names of its bytes in the collection.
    pub names: Vec<String>,
}

/// A word with its box, offsets within the page's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageWord {
    /// First character.
    pub start: u32,
    /// After the last character.
    pub end: u32,
    /// x0, y0, x1, y1 in PDF points from the page's top left corner.
    pub bounds: [f32; 4],
}

/// A block, offsets within the page's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageBlock {
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
#[derive(Debug, Clone, PartialEq)]
pub struct PageView {
    /// From 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// Points.
    pub width: f32,
    /// Points.
    pub height: f32,
    /// The page's text.
    pub text: String,
    /// Its offset in the canonical text.
    pub start: u32,
    /// Words with boxes.
    pub words: Vec<PageWord>,
    /// Blocks.
    pub blocks: Vec<PageBlock>,
}

/// `[page, x0, y0, x1, y1]`, PDF points from the page's top left corner.
pub type PageBox = [f32; 5];

/// The bytes a document came from.
#[derive(Debug)]
pub struct Original {
    /// The open file.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// Name of the document.
    pub name: String,
    /// Format as read, such as `pdf`.
    pub format: String,
    /// Hash, lower-case hexadecimal.
    pub sha256: String,
}

/// What a removal took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedInfo {
    /// Name of the document.
    pub name: String,
    /// Passages removed from the index.
    pub passages: u64,
    /// Bytes removed from the disk (0 while another document has the same bytes).
    pub bytes: u64,
    /// Hits left after the removal, as found by a probe; always 0.
    pub probe_hits: u64,
    /// Number of the audit record.
    pub audit: u64,
}

/// Documents in one slice of a list at most.
const SLICE_MAX: usize = 1_000;

impl Appliance {
    /// Documents of a collection by name, after the one named `after`.
    pub fn documents(
        &self,
        caller: &Caller,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentsPage> {
        let visible = self.visible(caller)?;
        let collection = self.find_collection(&visible, collection)?;
        let limit = if limit == 0 { 100 } else { limit.min(SLICE_MAX) };
        let list = self.store.list_documents(&visible, &collection.id, after, limit)?;
        Ok(DocumentsPage { documents: list.documents.into_iter().map(info).collect(), next: list.next })
    }

    /// A document by id, or by name (then the collection must be named unless the name is unique to the caller).
    pub fn document(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<DocumentDetail> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, name_or_id, collection)?;
        let ledger = self.store.ledger(&visible, &found.id)?;
        let versions = self.store.versions(&visible, &found.id)?;
        self.record_view(caller, &found, &found.sha256, json!({"part": "detail"}))?;
        let ledger = ledger.into_iter().map(|row| LedgerRow {
            page: row.page,
            outcome: row.outcome.as_str().to_owned(),
            reason: row.reason,
            words: row.words,
        });
        let mut versions: Vec<VersionInfo> = versions.into_iter().map(version_info).collect();
        versions.sort_by_key(|row| row.version);
        let names = found.names.clone();
        Ok(DocumentDetail { info: info(found), ledger: ledger.collect(), versions, names })
    }

    /// The canonical text.
    pub fn document_text(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<String> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, name_or_id, collection)?;
        let text = self.store.text(&visible, &found.id).map_err(|error| not_read(&found, None, error))?;
        self.record_view(caller, &found, &found.sha256, json!({"part": "text"}))?;
        Ok(text)
    }

    /// The canonical text of a version; `None` is the current one.
    pub fn document_text_at(&self, caller: &Caller, document: &str, version: Option<u32>) -> Result<String> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, document, None)?;
        let text = self.store.text_at(&visible, &found.id, version);
        let text = text.map_err(|error| not_read(&found, version, error))?;
        let shown = self.version_shown(&visible, &found, version)?;
        self.record_view(caller, &found, &shown.sha256, json!({"part": "text", "version": shown.version}))?;
        Ok(text)
    }

    /// One page of a version; `None` is the current one.
    pub fn document_page(&self, caller: &Caller, document: &str, page: u32, version: Option<u32>) -> Result<PageView> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, document, None)?;
        let stored = self.store.page_at(&visible, &found.id, page, version).map_err(|error| match error {
            IndexError::NotFound { what: "page" } => Error::not_found("page", page.to_string()),
            other => not_read(&found, version, other),
        })?;
        let shown = self.version_shown(&visible, &found, version)?;
        let detail = json!({"part": "page", "page": page, "version": shown.version});
        self.record_view(caller, &found, &shown.sha256, detail)?;
        let page = stored.page;
        let words =
            page.words.iter().map(|w| PageWord { start: w.start, end: w.end, bounds: [w.x0, w.y0, w.x1, w.y1] });
        let blocks =
            page.blocks.into_iter().map(|b| PageBlock { kind: b.kind, level: b.level, start: b.start, end: b.end });
        Ok(PageView {
            page: page.number,
            place: page.place,
            width: page.width,
            height: page.height,
            start: stored.start,
            words: words.collect(),
            blocks: blocks.collect(),
            text: page.text,
        })
    }

    /// Boxes of the words between two offsets of the canonical text of a version; `None` is the current one.
    pub fn document_boxes(
        &self,
        caller: &Caller,
        document: &str,
        start: u32,
        end: u32,
        version: Option<u32>,
    ) -> Result<Vec<PageBox>> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, document, None)?;
        let boxes = self.store.boxes_at(&visible, &found.id, start, end, version);
        boxes.map_err(|error| not_read(&found, version, error))
    }

    /// The original bytes of a version; `None` is the current one.
    pub fn document_original(&self, caller: &Caller, document: &str, version: Option<u32>) -> Result<Original> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, document, None)?;
        let shown = self.version_shown(&visible, &found, version)?;
        let (file, bytes) = self.store.original_at(&visible, &found.id, Some(shown.version))?;
        let detail = json!({"part": "original", "bytes": bytes, "version": shown.version});
        self.record_view(caller, &found, &shown.sha256, detail)?;
        let format = shown.format.unwrap_or_default();
        Ok(Original { file, bytes, name: found.name, format, sha256: shown.sha256 })
    }

    /// The version of that number, or the one that readers see.
    fn version_shown(&self, visible: &Visible, found: &Document, number: Option<u32>) -> Result<DocumentVersion> {
        let number = number.unwrap_or(found.version);
        let stored = self.store.versions(visible, &found.id)?.into_iter().find(|stored| stored.version == number);
        stored.ok_or_else(|| no_version(found, number))
    }

    /// Removes a document: bytes, text, postings, vectors; proves it by searching.
    pub fn remove_document(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<RemovedInfo> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, name_or_id, collection)?;
        if !visible.may(&found.collection, Level::Write) {
            let error = Error::Denied("the right to this collection does not reach so far");
            self.record_failure(caller, "document.remove", &found.name, None, &error);
            return Err(error);
        }
        let detail = json!({"document": found.id.as_str(), "sha256": found.sha256});
        let removed = self.recorded(caller, "document.remove", &found.name, detail, || {
            Ok(self.store.remove_document(&visible, &found.id)?)
        })?;
        self.shelf.forget_readings();
        let certificate = json!({
            "document": found.id.as_str(), "sha256": found.sha256, "names": removed.names, "passages": removed.passages,
            "bytes": removed.bytes, "probe_hits": removed.probe_hits,
        });
        let audit = self
            .record(caller, "document.removed", &found.name, certificate)
            .map_err(|error| error.after(format!("{} was removed", found.name)))?;
        let (passages, bytes, probe_hits) = (removed.passages, removed.bytes, removed.probe_hits);
        Ok(RemovedInfo { name: found.name, passages, bytes, probe_hits, audit })
    }

    fn record_view(
        &self,
        caller: &Caller,
        found: &Document,
        sha256: &str,
        mut detail: serde_json::Value,
    ) -> Result<()> {
        detail["document"] = found.id.as_str().into();
        detail["sha256"] = sha256.into();
        self.record(caller, "document.view", &found.name, detail).map(drop)
    }

    /// A visible document by id or name, within a collection where one is named.
    pub(crate) fn find_document(
        &self,
        visible: &Visible,
        name_or_id: &str,
        collection: Option<&str>,
    ) -> Result<Document> {
        let within = collection.map(|name| self.find_collection(visible, name)).transpose()?;
        self.store
            .document(visible, name_or_id, within.as_ref().map(|found| &found.id))
            .map_err(|error| named(error, name_or_id))
    }

    /// Ids of the documents a scope names.
    pub(crate) fn find_documents(
        &self,
        visible: &Visible,
        names: &[String],
        collection: Option<&str>,
    ) -> Result<Vec<DocumentId>> {
        names.iter().map(|name| self.find_document(visible, name, collection).map(|found| found.id)).collect()
    }
}

/// A document that was found has no text: says whether to wait or to look at its fault.
fn not_read(found: &Document, version: Option<u32>, error: IndexError) -> Error {
    match (error, found.status, &found.error) {
        (IndexError::NotFound { what: "version" }, ..) => no_version(found, version.unwrap_or(found.version)),
        (IndexError::NotFound { what: "document" }, StoredStatus::Failed, Some(fault)) => {
            Error::NotRead(format!("{} could not be read: {}: {}", found.name, fault.code, fault.message))
        }
        (IndexError::NotFound { what: "document" }, ..) => Error::NotRead(format!("{} is not read yet", found.name)),
        (other, ..) => named(other, &found.name),
    }
}

fn no_version(found: &Document, version: u32) -> Error {
    Error::not_found("version", format!("{version} of {}", found.name))
}

fn version_info(row: DocumentVersion) -> VersionInfo {
    VersionInfo {
        version: row.version,
        sha256: row.sha256,
        added: row.added,
        since: row.committed,
        format: row.format.unwrap_or_default(),
        pages: row.pages,
    }
}

pub(crate) fn fault(fault: cloister_index::Fault) -> Fault {
    Fault { code: fault.code, message: fault.message }
}

pub(crate) fn gaps(gaps: Vec<cloister_index::Gap>) -> Vec<Gap> {
    gaps.into_iter().map(|gap| Gap { page: gap.page, reason: gap.reason }).collect()
}

fn info(found: Document) -> DocumentInfo {
    let status = match found.status {
        StoredStatus::Queued => DocumentStatus::Queued,
        StoredStatus::Reading => DocumentStatus::Reading,
        StoredStatus::Indexing => DocumentStatus::Indexing,
        StoredStatus::Ready => DocumentStatus::Ready,
        StoredStatus::Partial => DocumentStatus::Partial,
        StoredStatus::Failed => DocumentStatus::Failed,
    };
    DocumentInfo {
        id: found.id.to_string(),
        name: found.name,
        collection: found.collection.to_string(),
        status,
        bytes: found.bytes,
        pages: found.pages,
        passages: found.passages,
        format: found.format.unwrap_or_default(),
        title: found.title,
        version: found.version,
        added: found.added,
        gaps: gaps(found.gaps),
        error: found.error.map(fault),
        job: found.job.map(|job| job.to_string()),
    }
}
