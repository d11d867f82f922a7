//! An unchanging view of all rows, and which of them a search may find.

use std::sync::Arc;

use super::segment::{Owner, Segment};

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Near {
    /// Number of the row in the snapshot.
    pub(super) row: usize,
    /// Its passage.
    pub(super) passage: i64,
    /// Larger is nearer.
    pub(super) score: f32,
}

/// The best `limit`, best first; equal scores in the order of their passages.
pub(super) fn best(mut found: Vec<Near>, limit: usize) -> Vec<Near> {
    let order = |a: &Near, b: &Near| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage));
    if limit == 0 {
        return Vec::new();
    }
    if found.len() > limit {
        found.select_nth_unstable_by(limit - 1, order);
        found.truncate(limit);
    }
    found.sort_unstable_by(order);
    found
}

/// The files of one edition with the rows that are left out of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) edition: u64,
    stride: usize,
    segments: Vec<Arc<Segment>>,
    /// A set bit = the row lives.
    live: Vec<Arc<Vec<u64>>>,
    bases: Vec<usize>,
}

impl Snapshot {
    /// A view over files, of which these rows are left out.
    pub(super) fn new(edition: u64, stride: usize, files: Vec<(Arc<Segment>, Arc<Vec<u64>>)>) -> Self {
        let (segments, live): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let mut bases = Vec::with_capacity(segments.len());
        let mut base = 0;
        for segment in &segments {
            bases.push(base);
            base += segment.len();
        }
        Self { edition, stride, segments, live, bases }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn live(&self, segment: usize) -> &Arc<Vec<u64>> {
        &self.live[segment]
    }

    /// Number of the first row of each file.
    pub(super) fn bases(&self) -> &[usize] {
        &self.bases
    }

    /// Rows that live.
    pub(super) fn count(&self) -> usize {
        self.live.iter().map(|words| ones(words)).sum()
    }

    /// Owners of the rows that live.
    pub(super) fn owners(&self) -> impl Iterator<Item = Owner> {
        self.segments.iter().zip(&self.live).flat_map(|(segment, live)| {
            let lives = |at: &usize| live[at / 64] >> (at % 64) & 1 == 1;
            (0..segment.len()).filter(lives).map(|at| segment.owners[at])
        })
    }

    /// The rows that live and whose owner passes `test`.
    pub(super) fn allowed(&self, test: impl Fn(&Owner) -> bool) -> Allowed {
        let mut words = Vec::with_capacity(self.segments.len());
        for (segment, live) in self.segments.iter().zip(&self.live) {
            let mut set = Vec::with_capacity(live.len());
            for (lives, owners) in live.iter().zip(segment.owners.chunks(64)) {
                let bits =
                    owners.iter().enumerate().fold(0_u64, |bits, (at, owner)| bits | u64::from(test(owner)) << at);
                set.push(bits & lives);
            }
            words.push(set);
        }
        let count = words.iter().map(|words| ones(words)).sum();
        Allowed { words, count }
    }
}

/// Bits that are set.
pub(super) fn ones(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// All rows of a file alive.
pub(super) fn all_live(rows: usize) -> Vec<u64> {
    let mut words = vec![u64::MAX; rows.div_ceil(64)];
    if let (Some(last), rest @ 1..) = (words.last_mut(), rows % 64) {
        *last = (1 << rest) - 1;
    }
    words
}

/// The rows that a search may find: what the asker may see of what lives.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// A bit a row, a list of words a file.
    pub(super) words: Vec<Vec<u64>>,
    /// Bits that are set.
    pub(super) count: usize,
}

impl Allowed {
    /// Whether a row of a file may be found.
    pub(super) fn holds(&self, segment: usize, row: usize) -> bool {
        self.words[segment][row / 64] >> (row % 64) & 1 == 1
    }
}
