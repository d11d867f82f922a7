//! The exact scan: every allowed row is compared.

use rayon::prelude::*;

use super::VectorIndex;
use super::kernels::Kernel;
use super::rows::{Allowed, Near, Snapshot, best};
use super::segment::{Segment, quantise};

/// Rows that one thread takes at a time.
const PART_ROWS: usize = 16_384;
/// Below this many rows one thread is faster.
const PARALLEL_ROWS: usize = 32_768;

/// The exact scan over a snapshot.
#[derive(Debug)]
pub(super) struct ExactScan<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) kernel: Kernel,
}

/// A stretch of one file, for one thread.
struct Part<'a> {
    segment: &'a Segment,
    allowed: &'a [u64],
    first: usize,
    base: usize,
}

impl VectorIndex for ExactScan<'_> {
    fn nearest(&self, vector: &[f32], allowed: &Allowed, limit: usize) -> Vec<Near> {
        let (scale, query) = quantise(vector, self.snapshot.stride());
        let mut parts = Vec::new();
        for (index, segment) in self.snapshot.segments().iter().enumerate() {
            for first in (0..segment.len()).step_by(PART_ROWS) {
                let words = &allowed.words[index][first / 64..segment.len().min(first + PART_ROWS).div_ceil(64)];
                if words.iter().any(|word| *word != 0) {
                    parts.push(Part { segment, allowed: words, first, base: self.snapshot.bases()[index] });
                }
            }
        }
        let scan = |part: &Part<'_>| self.scan(part, &query, scale, limit);
        let found: Vec<Near> = if allowed.count < PARALLEL_ROWS {
            parts.iter().flat_map(scan).collect()
        } else {
            parts.par_iter().flat_map_iter(scan).collect()
        };
        best(found, limit)
    }
}

impl ExactScan<'_> {
    fn scan(&self, part: &Part<'_>, query: &[u8], scale: f32, limit: usize) -> Vec<Near> {
        let mut found: Vec<Near> = Vec::with_capacity(limit * 2 + 64);
        let mut products = [0_i32; 64];
        let mut floor = f32::NEG_INFINITY;
        for (word, mask) in part.allowed.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            let first = part.first + word * 64;
            self.kernel.dots(query, part.segment.rows_from(first), *mask, &mut products);
            let mut rest = *mask;
            while rest != 0 {
                let at = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let row = first + at;
                let score = products[at] as f32 * (scale * part.segment.scales[row]);
                if score >= floor {
                    found.push(Near { row: part.base + row, passage: part.segment.owners[row].passage, score });
                }
            }
            if found.len() >= limit * 2 + 64 {
                found = best(found, limit);
                floor = found.last().map_or(floor, |near| near.score);
                found.reserve(limit + 64);
            }
        }
        best(found, limit)
    }
}
