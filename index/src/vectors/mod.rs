//! The vectors: our own files of signed bytes, derived from the catalogue, searched by an exact scan or a graph.
//!
//! A file is written once and never changed; a commit adds a file and a new manifest, which carries the edition. Rows that
//! were left out are marked in the manifest until files are joined; an erasure rewrites their files at once.

mod field;
mod graph;
mod kernels;
mod manifest;
mod map;
mod rows;
mod scan;
mod segment;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use graph::GraphHolder;
use kernels::Kernel;
use manifest::{Entry as FileEntry, Manifest};
use rows::{Allowed, Near, Snapshot, all_live, best, ones};
use segment::{DIMENSION_MAX, Kind, Rows, Segment, SegmentFault};

pub use field::Field;
pub(crate) use segment::Owner;

use crate::{EmbedderId, IndexError};

/// Files of about one size that are joined to one.
const TIER_FILES: usize = 8;
/// Rows up to which files are of the lowest tier.
const TIER_BASE: usize = 64;
/// A file is rewritten when more than one in this many of its rows has been left out.
const DEAD_SHARE: usize = 10;
/// Rows from which the graph answers, when at least as many are allowed. See docs/decisions/0003-vectors.md for the measurement.
pub(crate) const GRAPH_ROWS_MIN: usize = 2_000_000;

/// A file with a bit for each of its rows that lives.
type File = (Arc<Segment>, Arc<Vec<u64>>);

/// One way to find the nearest rows.
trait VectorIndex {
    /// The nearest allowed rows to `vector`, best first, equal scores in the order of their passages.
    fn nearest(&self, vector: &[f32], allowed: &Allowed, limit: usize) -> Vec<Near>;
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Vectors {
    directory: PathBuf,
    kind: Kind,
    kernel: Kernel,
    graph_rows_min: usize,
    snapshot: RwLock<Arc<Snapshot>>,
    manifest: Mutex<Manifest>,
    graph: GraphHolder,
}

/// Why the index could not be opened.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// It is missing or broken, and is to be rebuilt.
    Rebuild(String),
    /// The environment refused; nothing may be changed.
    Environment(IndexError),
}

/// The embedder and the catalogue in the form that files carry.
fn kind(embedder: &EmbedderId, store: &str) -> Result<Kind, IndexError> {
    let invalid = |detail: &str| IndexError::Invalid { what: "the embedder", detail: detail.to_owned() };
    if !(1..=DIMENSION_MAX).contains(&embedder.dimension) {
        return Err(invalid("its vectors have no numbers or more than 4,096"));
    }
    let mut sha256 = [0_u8; 32];
    let digits = embedder.sha256.as_bytes();
    if digits.len() != 64 {
        return Err(invalid("its SHA-256 is not 64 hexadecimal digits"));
    }
    for (byte, pair) in sha256.iter_mut().zip(digits.as_chunks::<2>().0) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).map_err(|_| invalid("its SHA-256 is not 64 hexadecimal digits"))?;
    }
    let mut id = [0_u8; 16];
    for (to, from) in id.iter_mut().zip(store.bytes()) {
        *to = from;
    }
    Ok(Kind { dimension: embedder.dimension, embedder: sha256, store: id })
}

impl Vectors {
    /// Refuses an embedder whose vectors could not be kept.
    pub(crate) fn check(embedder: &EmbedderId, store: &str) -> Result<(), IndexError> {
        kind(embedder, store).map(|_| ())
    }

    /// Makes an empty index in `directory`.
    pub(crate) fn create(directory: &Path, embedder: &EmbedderId, store: &str) -> Result<Self, IndexError> {
        std::fs::create_dir_all(directory).map_err(|e| IndexError::io("make directory", directory, e))?;
        let kind = kind(embedder, store)?;
        let manifest = Manifest::new(&kind, 0, 1, Vec::new());
        manifest.write(directory)?;
        Ok(Self::over(directory, kind, manifest, Vec::new()))
    }

    fn over(directory: &Path, kind: Kind, manifest: Manifest, files: Vec<File>) -> Self {
        let snapshot = Snapshot::new(manifest.edition, kind.stride(), files);
        Self {
            directory: directory.to_path_buf(),
            kind,
            kernel: Kernel::best(),
            graph_rows_min: GRAPH_ROWS_MIN,
            snapshot: RwLock::new(Arc::new(snapshot)),
            manifest: Mutex::new(manifest),
            graph: GraphHolder::default(),
        }
    }

    /// Opens the index in `directory`, checks every byte of it and removes files that it does not name. Gives the number of files removed.
    pub(crate) fn open(directory: &Path, embedder: &EmbedderId, store: &str) -> Result<(Self, u64), OpenFailure> {
        let kind = kind(embedder, store).map_err(OpenFailure::Environment)?;
        let manifest =
            Manifest::read(directory, &kind).map_err(OpenFailure::Environment)?.map_err(OpenFailure::Rebuild)?;
        let mut files = Vec::with_capacity(manifest.files.len());
        for file in &manifest.files {
            let segment = Segment::open(directory, &file.name, &kind).map_err(|fault| match fault {
                SegmentFault::Damaged(reason) => OpenFailure::Rebuild(reason),
                SegmentFault::Environment(error) => OpenFailure::Environment(error),
            })?;
            let dead_inside = file.dead.iter().all(|row| (*row as usize) < segment.len());
            if segment.len() != file.rows || !dead_inside {
                return Err(OpenFailure::Rebuild(format!("{} is not the file that the manifest names", file.name)));
            }
            let mut live = all_live(segment.len());
            for row in &file.dead {
                live[*row as usize / 64] &= !(1 << (row % 64));
            }
            files.push((Arc::new(segment), Arc::new(live)));
        }
        let removed = remove_unnamed(directory, &manifest).map_err(OpenFailure::Environment)?;
        let vectors = Self::over(directory, kind, manifest, files);
        vectors.refresh_graph();
        Ok((vectors, removed))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The edition that the index was built from.
    pub(crate) fn edition(&self) -> u64 {
        self.snapshot().edition
    }

    /// Rows of the passages whose vectors can be found, in order.
    pub(crate) fn passages(&self) -> Vec<i64> {
        let mut rows: Vec<i64> = self.snapshot().owners().map(|owner| owner.passage).collect();
        rows.sort_unstable();
        rows
    }

    /// Rows on the disk that belong to these versions, left out or not.
    pub(crate) fn rows_of(&self, versions: &[i64]) -> u64 {
        let snapshot = self.snapshot();
        let owners = snapshot.segments().iter().flat_map(|segment| &segment.owners);
        owners.filter(|owner| versions.contains(&owner.version)).count() as u64
    }

    /// Reads every file again and checks it; gives what is wrong.
    pub(crate) fn damaged_files(&self) -> Result<Vec<String>, IndexError> {
        let mut damaged = Vec::new();
        for segment in self.snapshot().segments() {
            match Segment::open(&self.directory, &segment.name, &self.kind) {
                Ok(_) => {}
                Err(SegmentFault::Damaged(reason)) => damaged.push(reason),
                Err(SegmentFault::Environment(error)) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// Applies changes and commits them as `edition`: leaves `dropped` versions out, takes `added` in (their versions being among
    /// the dropped, so that doing it twice changes nothing). With `erase`, files with left-out rows are rewritten at once.
    pub(crate) fn apply(
        &self,
        dropped: &[i64],
        added: &mut dyn Iterator<Item = Result<(Owner, Vec<f32>), IndexError>>,
        edition: u64,
        erase: Erase,
    ) -> Result<(), IndexError> {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut build = Build::over(self, &manifest, edition);
        build.leave_out(dropped);
        build.take_in(added)?;
        build.join(erase)?;
        let (next, files) = build.finish();
        next.write(&self.directory)?;
        super::store::failpoint("vectors-manifest");
        *manifest = next;
        let snapshot = Snapshot::new(edition, self.kind.stride(), files);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        remove_unnamed(&self.directory, &manifest)?;
        drop(manifest);
        self.refresh_graph();
        Ok(())
    }

    /// The passages nearest to `vector` among those whose owner passes `test`: (passage, approximate score), best first.
    pub(crate) fn nearest(&self, vector: &[f32], test: impl Fn(&Owner) -> bool, limit: usize) -> Vec<(i64, f32)> {
        let snapshot = self.snapshot();
        let allowed = snapshot.allowed(test);
        if allowed.count == 0 {
            return Vec::new();
        }
        let exact = scan::ExactScan { snapshot: &snapshot, kernel: self.kernel };
        let graph = (allowed.count >= self.graph_rows_min).then(|| self.graph.get()).flatten();
        let found = graph
            .and_then(|graph| graph.over(&snapshot, &exact))
            .map_or_else(|| exact.nearest(vector, &allowed, limit), |graph| graph.nearest(vector, &allowed, limit));
        best(found, limit).into_iter().map(|near| (near.passage, near.score)).collect()
    }

    fn refresh_graph(&self) {
        self.graph.refresh(&self.snapshot(), self.kernel, self.graph_rows_min);
    }
}

/// Whether left-out rows may stay in their files for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    /// They may, until files are joined.
    Later,
    /// Their files are rewritten without them.
    Now,
}

/// The next edition of the index, being put together.
struct Build<'a> {
    vectors: &'a Vectors,
    edition: u64,
    next_file: u64,
    files: Vec<File>,
}

impl<'a> Build<'a> {
    fn over(vectors: &'a Vectors, manifest: &Manifest, edition: u64) -> Self {
        let snapshot = vectors.snapshot();
        let files = snapshot
            .segments()
            .iter()
            .enumerate()
            .map(|(index, segment)| (Arc::clone(segment), Arc::clone(snapshot.live(index))))
            .collect();
        Self { vectors, edition, next_file: manifest.next_file, files }
    }

    fn leave_out(&mut self, dropped: &[i64]) {
        for (segment, live) in &mut self.files {
            for (row, owner) in segment.owners.iter().enumerate() {
                if dropped.contains(&owner.version) {
                    Arc::make_mut(live)[row / 64] &= !(1 << (row % 64));
                }
            }
        }
    }

    fn take_in(
        &mut self,
        added: &mut dyn Iterator<Item = Result<(Owner, Vec<f32>), IndexError>>,
    ) -> Result<(), IndexError> {
        let mut rows = Rows::default();
        let kind = &self.vectors.kind;
        for entry in added {
            let (owner, vector) = entry?;
            if vector.len() != kind.dimension {
                let detail = format!("passage {} has {} numbers", owner.passage, vector.len());
                return Err(IndexError::Damaged { what: "a vector".to_owned(), detail });
            }
            rows.push(owner, &vector, kind.stride());
        }
        self.write(&rows)
    }

    fn write(&mut self, rows: &Rows) -> Result<(), IndexError> {
        if rows.owners.is_empty() {
            return Ok(());
        }
        let name = format!("{:012}.vectors", self.next_file);
        self.next_file += 1;
        let segment = segment::write(&self.vectors.directory, &name, &self.vectors.kind, rows, self.edition)?;
        let live = all_live(segment.len());
        self.files.push((Arc::new(segment), Arc::new(live)));
        super::store::failpoint("vectors-file");
        Ok(())
    }

    /// Joins files of about one size and rewrites those with (too many) left-out rows.
    fn join(&mut self, erase: Erase) -> Result<(), IndexError> {
        self.files.retain(|(_, live)| ones(live) > 0);
        loop {
            let dead = |(segment, live): &File| {
                let left_out = segment.len() - ones(live);
                left_out * DEAD_SHARE > segment.len() || (erase == Erase::Now && left_out > 0)
            };
            let group = match self.files.iter().position(dead) {
                Some(index) => vec![index],
                None => self.full_tier(),
            };
            if group.is_empty() {
                return Ok(());
            }
            let mut rows = Rows::default();
            for index in &group {
                copy_live(&self.files[*index], &mut rows);
            }
            for index in group.iter().rev() {
                self.files.remove(*index);
            }
            self.write(&rows)?;
        }
    }

    fn full_tier(&self) -> Vec<usize> {
        let tier = |live: &[u64]| (ones(live) / TIER_BASE).max(1).ilog(TIER_FILES);
        let mut tiers: Vec<u32> = self.files.iter().map(|(_, live)| tier(live)).collect();
        tiers.sort_unstable();
        tiers.dedup();
        let members = |wanted: u32| -> Vec<usize> {
            (0..self.files.len()).filter(|index| tier(&self.files[*index].1) == wanted).collect()
        };
        tiers.into_iter().map(members).find(|group| group.len() >= TIER_FILES).unwrap_or_default()
    }

    fn finish(self) -> (Manifest, Vec<File>) {
        let entry = |(segment, live): &File| FileEntry {
            name: segment.name.clone(),
            rows: segment.len(),
            dead: (0..segment.len()).filter(|at| live[at / 64] >> (at % 64) & 1 == 0).map(|at| at as u32).collect(),
        };
        let entries = self.files.iter().map(entry).collect();
        (Manifest::new(&self.vectors.kind, self.edition, self.next_file, entries), self.files)
    }
}

fn copy_live((segment, live): &File, rows: &mut Rows) {
    for row in (0..segment.len()).filter(|at| live[at / 64] >> (at % 64) & 1 == 1) {
        rows.owners.push(segment.owners[row]);
        rows.scales.push(segment.scales[row]);
        rows.bytes.extend_from_slice(segment.row(row));
    }
}

/// Removes files that the manifest does not name.
fn remove_unnamed(directory: &Path, manifest: &Manifest) -> Result<u64, IndexError> {
    let mut removed = 0;
    for entry in std::fs::read_dir(directory).map_err(|e| IndexError::io("list", directory, e))? {
        let path = entry.map_err(|e| IndexError::io("list", directory, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name != manifest::NAME && manifest.files.iter().all(|file| file.name != name) {
            std::fs::remove_file(&path).map_err(|e| IndexError::io("remove", &path, e))?;
            removed += 1;
        }
    }
    Ok(removed)
}
