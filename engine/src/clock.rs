//! Where the time of forward passes goes.

use std::time::{Duration, Instant};

/// A step of a forward pass as the clock counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Looking the tokens up.
    Embedding,
    /// Norms, and rounding what matrices read to integers.
    Inputs,
    /// The matrices of queries, keys and values.
    QueriesKeysValues,
    /// Rotating keys and putting keys and values into the cache.
    Cache,
    /// Scores, their exponentials, and weighted values.
    Attention,
    /// The matrix behind attention.
    AttentionOutput,
    /// Both matrices of the gated unit, and the gate.
    GateUp,
    /// The last matrix of the gated unit.
    Down,
    /// The router and its experts.
    Experts,
    /// The last norm and the output matrix.
    Head,
}

impl Operation {
    /// All of them, in the order of a pass.
    pub const ALL: [Self; 10] = [
        Self::Embedding,
        Self::Inputs,
        Self::QueriesKeysValues,
        Self::Cache,
        Self::Attention,
        Self::AttentionOutput,
        Self::GateUp,
        Self::Down,
        Self::Experts,
        Self::Head,
    ];

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Inputs => "norms and rounding",
            Self::QueriesKeysValues => "queries, keys, values",
            Self::Cache => "key-value cache",
            Self::Attention => "attention",
            Self::AttentionOutput => "attention output",
            Self::GateUp => "gate and up",
            Self::Down => "down",
            Self::Experts => "experts",
            Self::Head => "head",
        }
    }
}

/// Adds up the time between one lap and the next; does nothing until it is started.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<Instant>,
    spent: [Duration; Operation::ALL.len()],
}

impl Clock {
    /// Starts from zero.
    pub(crate) fn start(&mut self) {
        *self = Self { last: Some(Instant::now()), ..Self::default() };
    }

    /// Stops, and tells what was spent on each operation.
    pub(crate) fn stop(&mut self) -> Vec<(Operation, Duration)> {
        self.last = None;
        Operation::ALL.into_iter().zip(self.spent).collect()
    }

    /// What comes now is counted from here.
    pub(crate) fn skip(&mut self) {
        self.last = self.last.map(|_| Instant::now());
    }

    /// Counts the time since the last lap for `operation`.
    pub(crate) fn lap(&mut self, operation: Operation) {
        if let Some(last) = self.last {
            let now = Instant::now();
            self.spent[operation as usize] += now - last;
            self.last = Some(now);
        }
    }
}
