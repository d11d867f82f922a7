//! Documents coming in.

use std::io::Read;
use std::path::PathBuf;

use crate::caller::Caller;
use crate::cancel::CancelFlag;
use crate::documents::{Fault, Gap};
use crate::jobs::JobInfo;
use crate::{Appliance, Result};

/// What to do with an upload.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// Keep the same bytes under another name as a document of its own instead of a further name.
    pub keep_duplicates: bool,
}

/// What became of a name and its bytes when they were placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStatus {
    /// New document, queued for reading.
    Queued,
    /// Name known with other bytes: a new version, queued.
    Updated,
    /// Same name, same bytes.
    Unchanged,
    /// Same bytes under another name.
    Duplicate,
}

impl UploadStatus {
    /// Word for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
        }
    }
}

/// An upload that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Name as placed.
    pub name: String,
    /// What became of it.
    pub status: UploadStatus,
    /// The document (of a duplicate: the one that has the bytes).
    pub document: String,
    /// The job that reads it.
    pub job: Option<String>,
    /// Name of the document that has the same bytes.
    pub duplicate_of: Option<String>,
}

/// Result of one file of [`Appliance::ingest_paths`], in the contract's words.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestResult {
    /// The path as given or found.
    pub file: PathBuf,
    /// Name in the collection.
    pub name: String,
    /// Document, when one was made or found.
    pub document: Option<String>,
    /// added, unchanged, updated, duplicate, partial or failed.
    pub status: &'static str,
    /// Pages.
    pub pages: u32,
    /// Passages.
    pub passages: u32,
    /// Wall time of this file.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Pages that could not be read.
    pub gaps: Vec<Gap>,
}

/// What [`Appliance::ingest_paths`] tells while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum IngestEvent {
    /// The files were counted.
    Found {
        /// Files to take in.
        files: usize,
    },
    /// A file is under way.
    Progress(JobInfo),
    /// A file is done.
    File(IngestResult),
}

/// Sums over one call of [`Appliance::ingest_paths`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngestTotal {
    /// Files taken in or tried.
    pub files: usize,
    /// New documents.
    pub added: usize,
    /// Same name, same bytes.
    pub unchanged: usize,
    /// New versions.
    pub updated: usize,
    /// Same bytes under another name.
    pub duplicate: usize,
    /// Read with gaps.
    pub partial: usize,
    /// Not read at all.
    pub failed: usize,
    /// Pages read.
    pub pages: u64,
    /// Passages indexed.
    pub passages: u64,
    /// Wall time.
    pub seconds: f64,
}

impl Appliance {
    /// Streams an upload to the disk, gives it its name and queues it; answers before it is read.
    pub fn upload(
        &self,
        caller: &Caller,
        collection: &str,
        name: &str,
        bytes: &mut dyn Read,
        options: &UploadOptions,
    ) -> Result<Uploaded> {
        let _ = (caller, collection, name, bytes, options);
        self.unfinished()
    }

    /// Takes in files and folders and waits until each is read and indexed; the collection is made if it is not there.
    ///
    /// A file that fails is told by its event and disturbs no other. Needs no workers: this call works the jobs off
    /// itself (beside workers that run).
    pub fn ingest_paths(
        &self,
        caller: &Caller,
        collection: &str,
        paths: &[PathBuf],
        options: &UploadOptions,
        cancel: &CancelFlag,
        on_event: &mut dyn FnMut(IngestEvent),
    ) -> Result<IngestTotal> {
        let _ = (caller, collection, paths, options, cancel, on_event);
        self.unfinished()
    }
}
