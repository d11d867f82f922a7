//! Listing, viewing and removing documents.

use std::fs::File;

use crate::caller::Caller;
use crate::{Appliance, Result};

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
    /// text, empty, needs_ocr, failed or skipped.
    pub outcome: String,
    /// Why, when it is not text.
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

impl Appliance {
    /// Documents of a collection by name, after the one named `after`.
    pub fn documents(
        &self,
        caller: &Caller,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentsPage> {
        let _ = (caller, collection, after, limit);
        self.unfinished()
    }

    /// A document by id, or by name (then the collection must be named unless the name is unique to the caller).
    pub fn document(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<DocumentDetail> {
        let _ = (caller, name_or_id, collection);
        self.unfinished()
    }

    /// The canonical text.
    pub fn document_text(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<String> {
        let _ = (caller, name_or_id, collection);
        self.unfinished()
    }

    /// One page.
    pub fn document_page(&self, caller: &Caller, document: &str, page: u32) -> Result<PageView> {
        let _ = (caller, document, page);
        self.unfinished()
    }

    /// Boxes of the words between two offsets of the canonical text.
    pub fn document_boxes(&self, caller: &Caller, document: &str, start: u32, end: u32) -> Result<Vec<PageBox>> {
        let _ = (caller, document, start, end);
        self.unfinished()
    }

    /// The original bytes.
    pub fn document_original(&self, caller: &Caller, document: &str) -> Result<Original> {
        let _ = (caller, document);
        self.unfinished()
    }

    /// Removes a document: bytes, text, postings, vectors; proves it by searching.
    pub fn remove_document(&self, caller: &Caller, name_or_id: &str, collection: Option<&str>) -> Result<RemovedInfo> {
        let _ = (caller, name_or_id, collection);
        self.unfinished()
    }
}
