//! A graph over the rows (HNSW), for sizes at which the exact scan takes too long.
//!
//! It is built in memory from our own files, in a thread of its own, and never written or read by the library: its loader
//! ends the process on damaged files. Rows that the graph does not reach from themselves, and rows that came after it was built, are
//! compared one by one.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hnsw_rs::prelude::{Distance, FilterT, Hnsw};

use super::VectorIndex;
use super::kernels::Kernel;
use super::rows::{Allowed, Near, Snapshot, best};
use super::scan::ExactScan;
use super::segment::{Segment, quantise};

/// Neighbours of a row; the library ends the process above 256.
const NEIGHBOURS: usize = 24;
const LAYERS: usize = 16;
/// Candidates looked at while building and while searching.
const BUILD_WIDTH: usize = 200;
const SEARCH_WIDTH: usize = 128;
/// The graph is built again when less than this share of the rows is in it.
const COVERED_SHARE: f64 = 0.8;

/// One minus the cosine of two rows; each row carries its scale in its last four bytes.
#[derive(Clone, Copy, Debug)]
struct RowDistance(Kernel);

impl Distance<u8> for RowDistance {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        let ((a, scale_a), (b, scale_b)) = (unpack(a), unpack(b));
        (1.0 - self.0.dot(a, b) as f32 * (scale_a * scale_b)).max(0.0)
    }
}

fn pack(row: &[u8], scale: f32) -> Vec<u8> {
    let mut packed = Vec::with_capacity(row.len() + 4);
    packed.extend_from_slice(row);
    packed.extend_from_slice(&scale.to_le_bytes());
    packed
}

fn unpack(packed: &[u8]) -> (&[u8], f32) {
    let (row, scale) = packed.split_last_chunk::<4>().expect("every row was packed with its scale");
    (row, f32::from_le_bytes(*scale))
}

/// A graph over the files of one snapshot.
pub(super) struct Graph {
    hnsw: Hnsw<'static, u8, RowDistance>,
    segments: Vec<Arc<Segment>>,
    bases: Vec<usize>,
    /// Rows that the graph does not reach from themselves.
    stray: Vec<usize>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("files", &self.segments.len())
            .field("stray", &self.stray.len())
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Builds the graph, row after row so that it comes out the same each time; `None` when told to stop.
    pub(super) fn build(snapshot: &Snapshot, kernel: Kernel, stop: &AtomicBool) -> Option<Self> {
        let rows: usize = snapshot.segments().iter().map(|s| s.len()).sum();
        let hnsw = Hnsw::new(NEIGHBOURS, rows.max(1), LAYERS, BUILD_WIDTH, RowDistance(kernel));
        let segments = snapshot.segments().to_vec();
        let bases = snapshot.bases().to_vec();
        for (segment, base) in segments.iter().zip(&bases) {
            for row in 0..segment.len() {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                hnsw.insert_slice((&pack(segment.row(row), segment.scales[row]), base + row));
            }
        }
        let mut graph = Self { hnsw, segments, bases, stray: Vec::new() };
        graph.stray = graph.audit(stop)?;
        Some(graph)
    }

    /// Rows that a search for themselves does not find.
    fn audit(&self, stop: &AtomicBool) -> Option<Vec<usize>> {
        let mut stray = Vec::new();
        for (segment, base) in self.segments.iter().zip(&self.bases) {
            for row in 0..segment.len() {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                let packed = pack(segment.row(row), segment.scales[row]);
                let found = self.hnsw.search(&packed, 1, SEARCH_WIDTH);
                let itself = self.hnsw.get_distance().eval(&packed, &packed);
                let reached = found.iter().any(|n| n.d_id == base + row || n.distance <= itself);
                if !reached {
                    stray.push(base + row);
                }
            }
        }
        Some(stray)
    }

    /// Rows that the graph does not reach from themselves.
    pub(super) fn stray(&self) -> usize {
        self.stray.len()
    }

    /// The graph as an index over a later snapshot, if most of its rows are in the graph.
    pub(super) fn over<'a>(
        self: Arc<Self>,
        snapshot: &'a Snapshot,
        exact: &'a ExactScan<'a>,
    ) -> Option<GraphIndex<'a>> {
        let place = |segment: &Arc<Segment>| self.segments.iter().position(|known| Arc::ptr_eq(known, segment));
        let places: Vec<Option<usize>> = snapshot.segments().iter().map(place).collect();
        let rows = |known: bool| -> usize {
            let pairs = snapshot.segments().iter().zip(&places);
            pairs.filter(|(_, p)| p.is_some() == known).map(|(s, _)| s.len()).sum()
        };
        let (inside, outside) = (rows(true) as f64, rows(false) as f64);
        (inside >= COVERED_SHARE * (inside + outside)).then_some(GraphIndex { graph: self, places, snapshot, exact })
    }
}

/// A graph together with the rows that it does not hold.
pub(super) struct GraphIndex<'a> {
    graph: Arc<Graph>,
    /// For each file of the snapshot, its place in the graph.
    places: Vec<Option<usize>>,
    snapshot: &'a Snapshot,
    exact: &'a ExactScan<'a>,
}

/// Which rows of the graph may be found.
struct Filter<'a> {
    index: &'a GraphIndex<'a>,
    allowed: &'a Allowed,
}

impl FilterT for Filter<'_> {
    fn hnsw_filter(&self, id: &usize) -> bool {
        self.index.locate(*id).is_some_and(|(segment, row)| self.allowed.holds(segment, row))
    }
}

impl GraphIndex<'_> {
    /// File of the snapshot and row in it, for a row of the graph.
    fn locate(&self, id: usize) -> Option<(usize, usize)> {
        let place = self.graph.bases.partition_point(|base| *base <= id).checked_sub(1)?;
        let segment = self.places.iter().position(|p| *p == Some(place))?;
        Some((segment, id - self.graph.bases[place]))
    }

    fn near(&self, id: usize, query: &[u8], scale: f32) -> Option<Near> {
        let (index, row) = self.locate(id)?;
        let segment = &self.snapshot.segments()[index];
        let score = self.exact.kernel.dot(query, segment.row(row)) as f32 * (scale * segment.scales[row]);
        Some(Near { row: self.snapshot.bases()[index] + row, passage: segment.owners[row].passage, score })
    }

    /// The same rights, for the rows that the graph does not hold.
    fn outside(&self, allowed: &Allowed) -> Allowed {
        let words: Vec<Vec<u64>> = allowed
            .words
            .iter()
            .zip(&self.places)
            .map(|(words, place)| if place.is_some() { vec![0; words.len()] } else { words.clone() })
            .collect();
        let count = words.iter().map(|words| super::rows::ones(words)).sum();
        Allowed { words, count }
    }
}

impl VectorIndex for GraphIndex<'_> {
    fn nearest(&self, vector: &[f32], allowed: &Allowed, limit: usize) -> Vec<Near> {
        let (scale, query) = quantise(vector, self.snapshot.stride());
        let filter = Filter { index: self, allowed };
        let packed = pack(&query, scale);
        let width = SEARCH_WIDTH.max(limit);
        let walk = || self.graph.hnsw.search_filter(&packed, limit, width, Some(&filter));
        let Ok(neighbours) = catch_unwind(AssertUnwindSafe(walk)) else {
            return self.exact.nearest(vector, allowed, limit);
        };
        let stray = self.graph.stray.iter().copied().filter(|id| filter.hnsw_filter(id));
        let ids: HashSet<usize> = neighbours.into_iter().map(|n| n.d_id).chain(stray).collect();
        let mut found: Vec<Near> = ids.into_iter().filter_map(|id| self.near(id, &query, scale)).collect();
        found.extend(self.exact.nearest(vector, &self.outside(allowed), limit));
        best(found, limit)
    }
}

/// The graph, where there is one, and the thread that builds the next.
#[derive(Debug, Default)]
pub(super) struct GraphHolder {
    graph: Arc<Mutex<Option<Arc<Graph>>>>,
    builder: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
}

impl GraphHolder {
    /// The newest graph.
    pub(super) fn get(&self) -> Option<Arc<Graph>> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts building a graph when the rows are many and too few of them are in the present one.
    pub(super) fn refresh(&self, snapshot: &Arc<Snapshot>, kernel: Kernel, rows_min: usize) {
        if snapshot.count() < rows_min {
            return;
        }
        let exact = ExactScan { snapshot, kernel };
        if self.get().is_some_and(|graph| graph.over(snapshot, &exact).is_some()) {
            return;
        }
        let mut builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner);
        if builder.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (snapshot, slot, stop) = (Arc::clone(snapshot), Arc::clone(&self.graph), Arc::clone(&self.stop));
        let build = move || {
            // A panic inside the library leaves the exact scan in place.
            let built = catch_unwind(AssertUnwindSafe(|| Graph::build(&snapshot, kernel, &stop)));
            if let Ok(Some(graph)) = built {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(graph));
            }
        };
        *builder = std::thread::Builder::new().name("vector-graph".to_owned()).spawn(build).ok();
    }

    /// Waits for the thread that builds.
    #[cfg(test)]
    pub(super) fn wait(&self) {
        if let Some(thread) = self.builder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join().expect("panics of the builder are caught inside");
        }
    }
}

impl Drop for GraphHolder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.builder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It stops at the next row; its own panics are caught inside.
            let _ = thread.join();
        }
    }
}
