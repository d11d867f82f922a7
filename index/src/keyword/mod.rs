//! The keyword index: tantivy over passages, derived from the catalogue.
//!
//! The commit payload names the catalogue and the edition that the index was built from. What is broken is told apart from what the
//! environment refuses: only the former is rebuilt.

mod analysis;
mod maintain;
mod query;

use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::{DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Score, SegmentReader, TantivyDocument, Term};

pub(crate) use maintain::OpenFailure;
pub(crate) use query::{Filter, Phrases};

use crate::IndexError;

/// Memory that the writer may fill before it writes a segment.
const WRITER_BYTES: usize = 48 * 1024 * 1024;

/// The fields of the index.
#[derive(Clone, Debug)]
struct Fields {
    passage: Field,
    version: Field,
    document: Field,
    collection: Field,
    text: Field,
    exact: Field,
    heading: Field,
    name: Field,
}

/// A passage to be indexed.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) passage: i64,
    pub(crate) version: i64,
    pub(crate) document: i64,
    pub(crate) collection: i64,
    pub(crate) text: String,
    pub(crate) heading_path: Vec<String>,
    pub(crate) name: String,
    pub(crate) title: Option<String>,
}

/// The open index.
pub(crate) struct Keyword {
    directory: PathBuf,
    store: String,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    writer: Mutex<Option<IndexWriter>>,
}

impl std::fmt::Debug for Keyword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyword").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let row = NumericOptions::default().set_indexed();
    let text = |analyzer: &str, option: IndexRecordOption| {
        let indexing = TextFieldIndexing::default().set_tokenizer(analyzer).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let fields = Fields {
        passage: builder.add_u64_field("passage", NumericOptions::default().set_fast()),
        version: builder.add_u64_field("version", row.clone()),
        document: builder.add_u64_field("document", row.clone()),
        collection: builder.add_u64_field("collection", row),
        text: builder.add_text_field("text", text(analysis::ENGLISH, IndexRecordOption::WithFreqs)),
        exact: builder.add_text_field("exact", text(analysis::EXACT, IndexRecordOption::WithFreqsAndPositions)),
        heading: builder.add_text_field("heading", text(analysis::ENGLISH, IndexRecordOption::WithFreqs)),
        name: builder.add_text_field("name", text(analysis::ENGLISH, IndexRecordOption::WithFreqs)),
    };
    (builder.build(), fields)
}

/// Turns an error of tantivy into one of ours, for running operations.
fn failed(attempt: &'static str) -> impl Fn(tantivy::TantivyError) -> IndexError {
    move |error| match maintain::io_error(&error) {
        Some(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            IndexError::StorageFull { path: PathBuf::from("keyword") }
        }
        _ => IndexError::Keyword { attempt, detail: error.to_string() },
    }
}

/// Runs `work`; a panic inside tantivy becomes an error, because the index is derived and can be rebuilt.
fn guarded<T>(attempt: &'static str, work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default();
        Err(IndexError::Keyword { attempt, detail: format!("it panicked: {text}") })
    })
}

impl Keyword {
    /// Makes an empty index in `directory`, which must not hold one.
    pub(crate) fn create(directory: &Path, store: &str) -> Result<Self, IndexError> {
        std::fs::create_dir_all(directory).map_err(|e| IndexError::io("make directory", directory, e))?;
        let (schema, _) = schema();
        let index = Index::create_in_dir(directory, schema).map_err(failed("make an index"))?;
        Self::over(index, directory, store).map_err(failed("make an index"))
    }

    fn over(index: Index, directory: &Path, store: &str) -> tantivy::Result<Self> {
        let (_, fields) = schema();
        index.tokenizers().register(analysis::ENGLISH, analysis::english());
        index.tokenizers().register(analysis::EXACT, analysis::exact());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self {
            directory: directory.to_path_buf(),
            store: store.to_owned(),
            index,
            fields,
            reader,
            writer: Mutex::new(None),
        })
    }

    /// Passages that can be found.
    pub(crate) fn count(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Applies changes and commits them as `edition`: leaves `dropped` versions out, takes `entries` in (their versions being
    /// among the dropped, so that doing it twice changes nothing).
    pub(crate) fn apply(
        &self,
        dropped: &[i64],
        entries: &mut dyn Iterator<Item = Result<Entry, IndexError>>,
        edition: u64,
    ) -> Result<(), IndexError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = guarded("commit", || self.apply_with(&mut slot, dropped, entries, edition));
        if result.is_err() {
            // What the writer holds is not trusted after an error; the next one starts from the last commit.
            *slot = None;
        }
        result
    }

    fn apply_with(
        &self,
        slot: &mut Option<IndexWriter>,
        dropped: &[i64],
        entries: &mut dyn Iterator<Item = Result<Entry, IndexError>>,
        edition: u64,
    ) -> Result<(), IndexError> {
        let writer = self.writer(slot)?;
        for version in dropped {
            writer.delete_term(Term::from_field_u64(self.fields.version, *version as u64));
        }
        let before: u64 = self.count_without(dropped)?;
        let mut added = 0_u64;
        for entry in entries {
            writer.add_document(self.document(entry?)).map_err(failed("add a passage"))?;
            added += 1;
        }
        let mut prepared = writer.prepare_commit().map_err(failed("prepare a commit"))?;
        prepared.set_payload(&maintain::payload(&self.store, edition, before + added));
        prepared.commit().map_err(failed("commit"))?;
        self.merge_tiers(writer)?;
        self.reader.reload().map_err(failed("reopen the reader"))
    }

    /// The writer, opened where it is not.
    fn writer<'a>(&self, slot: &'a mut Option<IndexWriter>) -> Result<&'a mut IndexWriter, IndexError> {
        if slot.is_none() {
            let writer = self.index.writer_with_num_threads(1, WRITER_BYTES).map_err(failed("open a writer"))?;
            // Merges are our own, inside the commit, so that the state of the index follows from its history alone.
            writer.set_merge_policy(Box::new(NoMergePolicy));
            *slot = Some(writer);
        }
        Ok(slot.as_mut().expect("it was filled above"))
    }

    fn document(&self, entry: Entry) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.passage, entry.passage as u64);
        document.add_u64(self.fields.version, entry.version as u64);
        document.add_u64(self.fields.document, entry.document as u64);
        document.add_u64(self.fields.collection, entry.collection as u64);
        document.add_text(self.fields.exact, &entry.text);
        document.add_text(self.fields.text, entry.text);
        document.add_text(self.fields.heading, entry.heading_path.join("\n"));
        document.add_text(self.fields.name, entry.name);
        if let Some(title) = entry.title {
            document.add_text(self.fields.name, title);
        }
        document
    }

    /// The best `limit` passages, best first; equal scores in the order of their rows.
    pub(crate) fn search(
        &self,
        text: &str,
        phrases: Phrases,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<(i64, f32)>, IndexError> {
        let Some(query) = query::build(&self.fields, text, phrases, filter) else { return Ok(Vec::new()) };
        guarded("search", || self.reader.searcher().search(&*query, &Best { limit }).map_err(failed("search")))
    }
}

/// Collects the best passages with a fixed order among equals.
struct Best {
    limit: usize,
}

/// A passage with its score; the greater one is the worse one, so that a heap gives the worst first.
#[derive(Clone, Copy, PartialEq)]
struct Ranked(Score, i64);

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct BestOfSegment {
    limit: usize,
    passages: Column<u64>,
    heap: BinaryHeap<Ranked>,
}

impl Collector for Best {
    type Fruit = Vec<(i64, f32)>;
    type Child = BestOfSegment;

    fn for_segment(&self, _: u32, segment: &SegmentReader) -> tantivy::Result<BestOfSegment> {
        let passages = segment.fast_fields().u64("passage")?;
        Ok(BestOfSegment { limit: self.limit, passages, heap: BinaryHeap::new() })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, fruits: Vec<Vec<Ranked>>) -> tantivy::Result<Vec<(i64, f32)>> {
        let mut all: Vec<Ranked> = fruits.into_iter().flatten().collect();
        all.sort_unstable();
        all.truncate(self.limit);
        Ok(all.into_iter().map(|Ranked(score, passage)| (passage, score)).collect())
    }
}

impl SegmentCollector for BestOfSegment {
    type Fruit = Vec<Ranked>;

    fn collect(&mut self, doc: DocId, score: Score) {
        let Some(passage) = self.passages.first(doc) else { return };
        self.heap.push(Ranked(score, passage as i64));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    fn harvest(self) -> Vec<Ranked> {
        self.heap.into_vec()
    }
}
