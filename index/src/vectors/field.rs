//! Vectors drawn by a seed, for measuring the exact scan against the graph. Not part of the interface.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::graph::Graph;
use super::scan::ExactScan;
use super::{Erase, Owner, VectorIndex, Vectors, best};
use crate::{EmbedderId, IndexError};

/// Rows of one collection in ten thousand.
const COLLECTION_ROWS: i64 = 100;

/// An index filled with clustered vectors.
#[derive(Debug)]
pub struct Field {
    vectors: Vectors,
    graph: Option<Arc<Graph>>,
    state: u64,
    centres: Vec<Vec<f32>>,
    dimension: usize,
}

impl Field {
    /// Fills an index in `directory`: rows around 200 centres, each with noise of about its own length.
    pub fn new(directory: &Path, rows: usize, dimension: usize, seed: u64) -> Result<Self, IndexError> {
        let embedder = EmbedderId { sha256: "0".repeat(64), dimension };
        let vectors = Vectors::create(directory, &embedder, "measure")?;
        let mut field = Self { vectors, graph: None, state: seed, centres: Vec::new(), dimension };
        field.centres = (0..200).map(|_| field.noise()).collect();
        let drawn: Vec<Vec<f32>> = (0..rows).map(|_| field.vector()).collect();
        let mut entries = drawn.into_iter().enumerate().map(|(row, vector)| {
            let row = row as i64;
            Ok((Owner { passage: row, version: row, document: row, collection: row / COLLECTION_ROWS }, vector))
        });
        field.vectors.apply(&[], &mut entries, 1, Erase::Later)?;
        Ok(field)
    }

    fn noise(&mut self) -> Vec<f32> {
        (0..self.dimension)
            .map(|_| {
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.state >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
            })
            .collect()
    }

    /// A vector of the same kind as the rows, for questions.
    pub fn vector(&mut self) -> Vec<f32> {
        let noise = self.noise();
        let centre = &self.centres[(self.state >> 33) as usize % self.centres.len()];
        let raw: Vec<f32> = centre.iter().zip(&noise).map(|(c, n)| c + 0.8 * n).collect();
        let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        raw.iter().map(|v| v / norm).collect()
    }

    /// Builds the graph; gives the number of rows that it does not reach.
    pub fn build_graph(&mut self) -> usize {
        let snapshot = self.vectors.snapshot();
        let graph = Graph::build(&snapshot, self.vectors.kernel, &AtomicBool::new(false))
            .expect("it is built to the end unless it is told to stop");
        let stray = graph.stray();
        self.graph = Some(Arc::new(graph));
        stray
    }

    /// The nearest rows by the exact scan, among the first `collections` collections.
    pub fn scan(&self, vector: &[f32], collections: i64, limit: usize) -> Vec<i64> {
        let found = self.vectors.nearest(vector, |owner| owner.collection < collections, limit);
        found.into_iter().map(|(passage, _)| passage).collect()
    }

    /// The nearest rows by the graph, among the first `collections` collections.
    pub fn walk(&self, vector: &[f32], collections: i64, limit: usize) -> Vec<i64> {
        let snapshot = self.vectors.snapshot();
        let exact = ExactScan { snapshot: &snapshot, kernel: self.vectors.kernel };
        let allowed = snapshot.allowed(|owner| owner.collection < collections);
        let graph = self.graph.clone().and_then(|graph| graph.over(&snapshot, &exact));
        let found = graph.map(|graph| graph.nearest(vector, &allowed, limit)).unwrap_or_default();
        best(found, limit).into_iter().map(|near| near.passage).collect()
    }
}
