//! The index of vectors against a naive one.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::graph::Graph;
use super::kernels::Kernel;
use super::scan::ExactScan;
use super::*;

const DIMENSION: usize = 40;

struct Lot(u64);

impl Lot {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
    }

    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..dimension).map(|_| self.unit()).collect();
        let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        raw.iter().map(|v| v / norm).collect()
    }
}

fn embedder(dimension: usize) -> EmbedderId {
    EmbedderId { sha256: "ab".repeat(32), dimension }
}

fn owner(passage: i64, version: i64) -> Owner {
    Owner { passage, version, document: version * 10, collection: version % 3 }
}

fn fill(vectors: &Vectors, version: i64, rows: &[(i64, Vec<f32>)], edition: u64) {
    let mut entries = rows.iter().map(|(passage, vector)| Ok((owner(*passage, version), vector.clone())));
    vectors.apply(&[version], &mut entries, edition, Erase::Later).unwrap();
}

/// The product as the scan computes it, row by row and without any of its cleverness.
fn naive(rows: &[(i64, i64, Vec<f32>)], query: &[f32], test: impl Fn(&Owner) -> bool, limit: usize) -> Vec<(i64, f32)> {
    let stride = query.len().next_multiple_of(64);
    let (scale, asked) = segment::quantise(query, stride);
    let mut found: Vec<(i64, f32)> = rows
        .iter()
        .filter(|(passage, version, _)| test(&owner(*passage, *version)))
        .map(|(passage, _, vector)| {
            let (row_scale, row) = segment::quantise(vector, stride);
            let dot: i32 = row.iter().zip(&asked).map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8)).sum();
            (*passage, dot as f32 * (scale * row_scale))
        })
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(limit);
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_scan_finds_what_a_naive_one_finds(seed in any::<u64>(), sizes in prop::collection::vec(0_usize..90, 1..14), limit in 1_usize..40) {
        let dir = tempfile::tempdir().unwrap();
        let mut lot = Lot(seed);
        let vectors = Vectors::create(dir.path(), &embedder(DIMENSION), "store").unwrap();
        let mut all: Vec<(i64, i64, Vec<f32>)> = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let version = index as i64 + 1;
            // Every third vector is the one before again, so that there are equal scores to order.
            let mut rows: Vec<(i64, Vec<f32>)> = Vec::new();
            for n in 0..*size {
                let vector = if n % 3 == 2 { rows[n - 1].1.clone() } else { lot.vector(DIMENSION) };
                rows.push((version * 1_000 + n as i64, vector));
            }
            fill(&vectors, version, &rows, version as u64);
            all.extend(rows.into_iter().map(|(passage, vector)| (passage, version, vector)));
        }
        // Some versions go, once leaving their rows behind and once for good.
        let last = sizes.len() as u64;
        vectors.apply(&[2, 5], &mut std::iter::empty(), last + 1, Erase::Later).unwrap();
        all.retain(|(_, version, _)| ![2, 5].contains(version));
        vectors.apply(&[3], &mut std::iter::empty(), last + 2, Erase::Now).unwrap();
        all.retain(|(_, version, _)| *version != 3);
        prop_assert_eq!(vectors.rows_of(&[2, 3, 5]), 0);
        let query = lot.vector(DIMENSION);
        for collection in [None, Some(0), Some(2)] {
            let test = |owner: &Owner| collection.is_none_or(|wanted| owner.collection == wanted);
            prop_assert_eq!(vectors.nearest(&query, test, limit), naive(&all, &query, test, limit));
        }
        drop(vectors);
        let (again, removed) = Vectors::open(dir.path(), &embedder(DIMENSION), "store").unwrap();
        prop_assert_eq!((removed, again.edition()), (0, last + 2));
        prop_assert_eq!(again.nearest(&query, |_| true, limit), naive(&all, &query, |_| true, limit));
    }
}

fn clustered(rows: usize, dimension: usize) -> Vec<(i64, Vec<f32>)> {
    let mut lot = Lot(9);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| lot.vector(dimension)).collect();
    (0..rows)
        .map(|n| {
            let centre = &centres[n % centres.len()];
            let noise = lot.vector(dimension);
            let raw: Vec<f32> = centre.iter().zip(&noise).map(|(c, v)| c + 0.6 * v).collect();
            let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
            (n as i64, raw.iter().map(|v| v / norm).collect())
        })
        .collect()
}

#[test]
fn the_graph_finds_what_the_scan_finds_and_respects_rights() {
    let dir = tempfile::tempdir().unwrap();
    let mut vectors = Vectors::create(dir.path(), &embedder(64), "store").unwrap();
    vectors.graph_rows_min = 100;
    let rows = clustered(3_000, 64);
    for (index, part) in rows.chunks(1_000).enumerate() {
        fill(&vectors, index as i64, part, index as u64 + 1);
    }
    vectors.refresh_graph();
    vectors.graph.wait();
    vectors.refresh_graph();
    vectors.graph.wait();
    let snapshot = vectors.snapshot();
    let exact = ExactScan { snapshot: &snapshot, kernel: vectors.kernel };
    assert!(vectors.graph.get().is_some_and(|g| g.over(&snapshot, &exact).is_some()), "the graph is used");
    // Rows that come after the graph was built are found, too.
    fill(&vectors, 77, &[(9_999, rows[5].1.clone())], 9);
    let (mut same, mut all) = (0, 0);
    for (_, query) in rows.iter().step_by(100) {
        for collection in [None, Some(1)] {
            let test = |owner: &Owner| collection.is_none_or(|wanted| owner.collection == wanted);
            let found = vectors.nearest(query, test, 10);
            let snapshot = vectors.snapshot();
            let exact = ExactScan { snapshot: &snapshot, kernel: vectors.kernel };
            let expected: Vec<i64> =
                exact.nearest(query, &snapshot.allowed(test), 10).into_iter().map(|near| near.passage).collect();
            if collection == Some(1) {
                assert!(found.iter().all(|(passage, _)| (1_000..2_000).contains(passage)), "no hit leaks");
            }
            same += found.iter().filter(|(passage, _)| expected.contains(passage)).count();
            all += expected.len();
        }
    }
    assert!(same * 100 >= all * 98, "the graph found {same} of {all}");
    assert!(vectors.nearest(&rows[5].1, |_| true, 3).iter().any(|(passage, _)| *passage == 9_999));
}

#[test]
fn every_row_of_the_graph_is_reached_or_known_to_be_stray() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = Vectors::create(dir.path(), &embedder(64), "store").unwrap();
    fill(&vectors, 1, &clustered(2_000, 64), 1);
    let snapshot = vectors.snapshot();
    let graph = Arc::new(Graph::build(&snapshot, Kernel::best(), &AtomicBool::new(false)).unwrap());
    assert!(graph.stray() * 50 < 2_000, "{} stray rows", graph.stray());
    assert!(Graph::build(&snapshot, Kernel::best(), &AtomicBool::new(true)).is_none(), "it stops when told to");
}

#[test]
fn files_are_joined_so_that_few_remain() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = Vectors::create(dir.path(), &embedder(DIMENSION), "store").unwrap();
    let mut lot = Lot(3);
    for version in 1..=100_i64 {
        fill(&vectors, version, &[(version, lot.vector(DIMENSION))], version as u64);
    }
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 2 * TIER_FILES, "{files} files");
    assert_eq!(vectors.passages(), (1..=100).collect::<Vec<i64>>());
}

#[test]
fn a_vector_of_zeros_and_an_empty_index_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = Vectors::create(dir.path(), &embedder(DIMENSION), "store").unwrap();
    assert!(vectors.nearest(&[0.1; DIMENSION], |_| true, 5).is_empty());
    fill(&vectors, 1, &[(2, vec![0.0; DIMENSION]), (1, vec![0.0; DIMENSION])], 1);
    assert_eq!(vectors.nearest(&[0.0; DIMENSION], |_| true, 5), vec![(1, 0.0), (2, 0.0)]);
}
