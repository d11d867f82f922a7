//! Opening, merging, purging and proving the keyword index.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use tantivy::collector::{Count, DocSetCollector};
use tantivy::directory::error::{OpenDirectoryError, OpenReadError, OpenWriteError};
use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::query::{AllQuery, TermSetQuery};
use tantivy::{Index, IndexWriter, TantivyError, Term};

use super::{Keyword, failed, guarded, schema};
use crate::IndexError;

/// Number of the analysis and of the fields; another number means that the index is rebuilt.
const FORMAT: u32 = 1;
/// Segments of about one size that are merged to one.
const TIER_SEGMENTS: usize = 8;
/// Passages up to which segments are of the lowest tier.
const TIER_BASE: u32 = 64;
/// A segment is rewritten when more than one in this many of its passages has been left out.
const DEAD_SHARE: u32 = 10;

/// Files that every segment has; a missing one reads as an empty one, which nobody would notice.
const PARTS: [&str; 6] = ["idx", "pos", "term", "fast", "fieldnorm", "store"];

/// Why an index could not be opened.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// It is missing or broken, and is to be rebuilt.
    Rebuild(String),
    /// The environment refused; nothing may be changed.
    Environment(IndexError),
}

/// What the commit payload says.
#[derive(Serialize, Deserialize)]
struct Payload {
    format: u32,
    store: String,
    edition: u64,
    passages: u64,
    checksum: u32,
}

impl Payload {
    fn sum(&self) -> u32 {
        crc32fast::hash(format!("{} {} {} {}", self.format, self.store, self.edition, self.passages).as_bytes())
    }
}

/// The commit payload for an edition with this many passages.
pub(super) fn payload(store: &str, edition: u64, passages: u64) -> String {
    let mut payload = Payload { format: FORMAT, store: store.to_owned(), edition, passages, checksum: 0 };
    payload.checksum = payload.sum();
    serde_json::to_string(&payload).expect("numbers and a string always have a JSON form")
}

/// The operating system's error inside one of tantivy's.
pub(super) fn io_error(error: &TantivyError) -> Option<&io::Error> {
    match error {
        TantivyError::IoError(io)
        | TantivyError::OpenReadError(OpenReadError::IoError { io_error: io, .. })
        | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: io, .. })
        | TantivyError::OpenDirectoryError(
            OpenDirectoryError::IoError { io_error: io, .. } | OpenDirectoryError::FailedToCreateTempDir(io),
        ) => Some(io),
        _ => None,
    }
}

/// Tells a broken index from a refusing environment. Only what is recognised as broken is rebuilt.
fn classify(error: TantivyError) -> OpenFailure {
    let broken = match &error {
        TantivyError::DataCorruption(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::SchemaError(_)
        | TantivyError::FieldNotFound(_)
        | TantivyError::InternalError(_)
        | TantivyError::InvalidArgument(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(_) | OpenReadError::IncompatibleIndex(_))
        | TantivyError::OpenDirectoryError(OpenDirectoryError::DoesNotExist(_)) => true,
        other => io_error(other).is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            )
        }),
    };
    if broken { OpenFailure::Rebuild(error.to_string()) } else { OpenFailure::Environment(failed("open")(error)) }
}

fn rebuild<T>(reason: &str) -> Result<T, OpenFailure> {
    Err(OpenFailure::Rebuild(reason.to_owned()))
}

impl Keyword {
    /// Opens the index in `directory`. Gives it with the edition that it was built from and the number of orphan files removed.
    pub(crate) fn open(directory: &Path, store: &str) -> Result<(Self, u64, u64), OpenFailure> {
        let opened = guarded("open", || Ok(Self::open_unguarded(directory, store)));
        match opened {
            Ok(result) => result,
            Err(panic) => rebuild(&panic.to_string()),
        }
    }

    fn open_unguarded(directory: &Path, store: &str) -> Result<(Self, u64, u64), OpenFailure> {
        if !directory.join("meta.json").exists() {
            return rebuild("it is missing");
        }
        let index = Index::open_in_dir(directory).map_err(classify)?;
        if index.schema() != schema().0 {
            return rebuild("its fields are those of another version");
        }
        let meta = index.load_metas().map_err(classify)?;
        let payload: Option<Payload> = meta.payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let Some(payload) = payload.filter(|p| p.checksum == p.sum()) else {
            return rebuild("its last commit does not say what it holds");
        };
        if payload.format != FORMAT || payload.store != store {
            return rebuild("it belongs to another version or another catalogue");
        }
        let removed = remove_orphans(directory, &meta.segments).map_err(OpenFailure::Environment)?;
        if let Some(file) = damaged_files(&index, directory, &meta.segments)?.first() {
            return rebuild(&format!("{file} is missing or damaged"));
        }
        let keyword = Self::over(index, directory, store).map_err(classify)?;
        if keyword.count() != payload.passages {
            return rebuild(&format!("it holds {} passages instead of {}", keyword.count(), payload.passages));
        }
        Ok((keyword, payload.edition, removed))
    }

    /// The edition of the last commit.
    pub(crate) fn edition(&self) -> Result<u64, IndexError> {
        let meta = self.index.load_metas().map_err(failed("read the last commit"))?;
        let payload: Option<Payload> = meta.payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
        payload.map(|p| p.edition).ok_or_else(|| IndexError::Keyword {
            attempt: "read the last commit",
            detail: "it does not say what it holds".to_owned(),
        })
    }

    /// Passages that can be found and are not of these versions.
    pub(super) fn count_without(&self, versions: &[i64]) -> Result<u64, IndexError> {
        Ok(self.count() - self.count_of(versions)?)
    }

    /// Passages of these versions that can be found.
    pub(crate) fn count_of(&self, versions: &[i64]) -> Result<u64, IndexError> {
        let terms: Vec<Term> = versions.iter().map(|v| Term::from_field_u64(self.fields.version, *v as u64)).collect();
        let searcher = self.reader.searcher();
        let found = searcher.search(&TermSetQuery::new(terms), &Count).map_err(failed("count"))?;
        Ok(found as u64)
    }

    /// Postings of these versions that are still on the disk, left out or not.
    pub(crate) fn postings_of(&self, versions: &[i64]) -> Result<u64, IndexError> {
        let searcher = self.reader.searcher();
        versions.iter().try_fold(0, |sum, version| {
            let term = Term::from_field_u64(self.fields.version, *version as u64);
            Ok(sum + searcher.doc_freq(&term).map_err(failed("count postings"))?)
        })
    }

    /// Rows of all passages that can be found, in order.
    pub(crate) fn passages(&self) -> Result<Vec<i64>, IndexError> {
        guarded("list the passages", || {
            let searcher = self.reader.searcher();
            let found = searcher.search(&AllQuery, &DocSetCollector).map_err(failed("list the passages"))?;
            let mut rows = Vec::with_capacity(found.len());
            for address in found {
                let segment = searcher.segment_reader(address.segment_ord);
                let column = segment.fast_fields().u64("passage").map_err(failed("list the passages"))?;
                rows.extend(column.first(address.doc_id).map(|row| row as i64));
            }
            rows.sort_unstable();
            Ok(rows)
        })
    }

    /// Files whose bytes are not what was written.
    pub(crate) fn damaged_files(&self) -> Result<Vec<String>, IndexError> {
        guarded("check the files", || {
            damaged_files(&self.index, &self.directory, &self.segments()?).map_err(|failure| match failure {
                OpenFailure::Rebuild(detail) => IndexError::Keyword { attempt: "check the files", detail },
                OpenFailure::Environment(error) => error,
            })
        })
    }

    /// Rewrites every segment that holds left-out passages, so that nothing of them stays on the disk.
    pub(crate) fn purge(&self) -> Result<(), IndexError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = guarded("purge", || {
            let writer = self.writer(&mut slot)?;
            for segment in self.segments()? {
                if segment.num_deleted_docs() > 0 {
                    merge(writer, &[segment.id()])?;
                }
            }
            self.reader.reload().map_err(failed("reopen the reader"))?;
            writer.garbage_collect_files().wait().map_err(failed("remove old files"))?;
            Ok(())
        });
        if result.is_err() {
            *slot = None;
        }
        result
    }

    /// Merges segments of about one size, and rewrites those that are mostly left out. The outcome follows from the history of commits alone.
    pub(super) fn merge_tiers(&self, writer: &mut IndexWriter) -> Result<(), IndexError> {
        loop {
            let segments = self.segments()?;
            let dead = segments.iter().find(|s| s.num_deleted_docs() * DEAD_SHARE > s.max_doc());
            let group: Vec<SegmentId> = match dead {
                Some(segment) => vec![segment.id()],
                None => full_tier(&segments),
            };
            if group.is_empty() {
                return Ok(());
            }
            merge(writer, &group)?;
        }
    }

    fn segments(&self) -> Result<Vec<SegmentMeta>, IndexError> {
        let mut segments = self.index.searchable_segment_metas().map_err(failed("list the segments"))?;
        segments.sort_by_key(|s| (s.max_doc(), s.id()));
        Ok(segments)
    }
}

fn merge(writer: &mut IndexWriter, segments: &[SegmentId]) -> Result<(), IndexError> {
    writer.merge(segments).wait().map_err(failed("merge"))?;
    Ok(())
}

fn tier(segment: &SegmentMeta) -> u32 {
    (segment.num_docs() / TIER_BASE).max(1).ilog(TIER_SEGMENTS as u32)
}

/// The segments of the lowest tier that is full.
fn full_tier(segments: &[SegmentMeta]) -> Vec<SegmentId> {
    let mut tiers: Vec<u32> = segments.iter().map(tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for wanted in tiers {
        let group: Vec<SegmentId> = segments.iter().filter(|s| tier(s) == wanted).map(SegmentMeta::id).collect();
        if group.len() >= TIER_SEGMENTS {
            return group;
        }
    }
    Vec::new()
}

/// Files of living segments that are missing or whose checksum differs. Every file on the disk is read, whether tantivy's own list names it or not.
fn damaged_files(index: &Index, directory: &Path, segments: &[SegmentMeta]) -> Result<Vec<String>, OpenFailure> {
    let living: HashSet<String> = segments.iter().map(|s| s.id().uuid_string()).collect();
    let listing = |e| OpenFailure::Environment(IndexError::io("list", directory, e));
    let part = |segment: &String| PARTS.map(|extension| format!("{segment}.{extension}"));
    let mut damaged: Vec<String> = living.iter().flat_map(part).filter(|name| !directory.join(name).exists()).collect();
    for entry in std::fs::read_dir(directory).map_err(listing)? {
        let name = entry.map_err(listing)?.file_name().to_string_lossy().into_owned();
        if !name.split('.').next().is_some_and(|stem| living.contains(stem)) {
            continue;
        }
        let sound = index.directory().validate_checksum(Path::new(&name)).map_err(|e| classify(e.into()))?;
        if !sound {
            damaged.push(name);
        }
    }
    damaged.sort_unstable();
    Ok(damaged)
}

/// Removes files of segments that the last commit does not name: what a killed process left behind.
fn remove_orphans(directory: &Path, segments: &[SegmentMeta]) -> Result<u64, IndexError> {
    let living: HashSet<String> = segments.iter().map(|s| s.id().uuid_string()).collect();
    let mut removed = 0;
    for entry in std::fs::read_dir(directory).map_err(|e| IndexError::io("list", directory, e))? {
        let path = entry.map_err(|e| IndexError::io("list", directory, e))?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        let is_segment = stem.len() == 32 && stem.bytes().all(|b| b.is_ascii_hexdigit());
        let is_temporary = name.starts_with(".tmp");
        if (is_segment && !living.contains(stem)) || is_temporary {
            std::fs::remove_file(&path).map_err(|e| IndexError::io("remove", &path, e))?;
            removed += 1;
        }
    }
    Ok(removed)
}
