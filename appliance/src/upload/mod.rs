//! Documents coming in.

mod name;
mod paths;

use std::io::Read;
use std::path::PathBuf;

use cloister_index::{BlobRef, Collection, Duplicates, Level, Placed, Visible};
use serde_json::json;

use crate::caller::Caller;
use crate::documents::{Fault, Gap};
use crate::jobs::JobInfo;
use crate::{Appliance, Error, Result};

pub(crate) use name::unused_name;

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
    /// There was no collection of this name, it was made.
    CollectionMade {
        /// Its name.
        name: String,
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

/// Bytes read from an upload at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// The free space is looked at again after so many bytes of an upload.
const LOOK_BYTES: u64 = 16 << 20;

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
        let visible = self.visible(caller)?;
        let refused = |error: &Error| self.record_failure(caller, "document.upload", name, None, error);
        let collection = self.collection_for(&visible, collection, Level::Write).inspect_err(refused)?;
        let name = name::tidy(name)?;
        let blob = self.stage(&name, bytes)?;
        self.place(caller, &visible, &collection, &name, &blob, options)
    }

    fn stage(&self, name: &str, bytes: &mut dyn Read) -> Result<BlobRef> {
        self.need_room()?;
        let mut looked = 0;
        let mut blob = self.store.blobs().begin()?;
        let mut piece = vec![0_u8; PIECE_BYTES];
        loop {
            let read = match bytes.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::Environment { what: format!("could not read {name}"), why: error.to_string() });
                }
            };
            blob.write(&piece[..read])?;
            if blob.written() > self.config.upload_bytes_max {
                return Err(Error::TooLarge { name: name.to_owned(), bytes_max: self.config.upload_bytes_max });
            }
            if blob.written() - looked >= LOOK_BYTES {
                looked = blob.written();
                self.need_room()?;
            }
        }
        Ok(blob.finish()?)
    }

    /// Refuses uploads while little is free: a deletion writes before it frees, and nothing goes without the audit log.
    fn need_room(&self) -> Result<()> {
        let reserve = self.config.disk_reserve_bytes;
        match crate::doctor::disk_free_bytes(&self.config.data_dir) {
            Some(free) if free < reserve => Err(Error::DiskFull(format!(
                "{} MiB are free, and {} MiB are kept for deletions and the audit log",
                free >> 20,
                reserve >> 20
            ))),
            _ => Ok(()),
        }
    }

    fn place(
        &self,
        caller: &Caller,
        visible: &Visible,
        collection: &Collection,
        name: &str,
        blob: &BlobRef,
        options: &UploadOptions,
    ) -> Result<Uploaded> {
        let duplicates = if options.keep_duplicates { Duplicates::Keep } else { Duplicates::Alias };
        let detail = json!({
            "collection": collection.id.as_str(), "collection_name": collection.name, "sha256": blob.sha256, "bytes": blob.bytes,
        });
        let placed = self.recorded(caller, "document.upload", name, detail, || {
            Ok(self.store.place(visible, &collection.id, name, blob, duplicates)?)
        })?;
        let (status, document, job, duplicate_of) = match placed {
            Placed::Added { document, job, .. } => (UploadStatus::Queued, document, Some(job), None),
            Placed::Updated { document, job, .. } => (UploadStatus::Updated, document, Some(job), None),
            Placed::Unchanged { document, job } => (UploadStatus::Unchanged, document, job, None),
            Placed::Duplicate { of, name, job } => (UploadStatus::Duplicate, of, job, Some(name)),
        };
        if let Some(job) = &job {
            self.tell(job);
            self.hub.ring();
        }
        let (document, job) = (document.to_string(), job.map(|job| job.to_string()));
        Ok(Uploaded { name: name.to_owned(), status, document, job, duplicate_of })
    }
}
