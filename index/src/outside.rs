//! What comes in from outside: time and randomness.

use std::fmt;
use std::sync::Arc;

/// Gives the time as RFC 3339 in UTC.
///
/// All texts must have one width (for instance `2026-01-02T03:04:05.678Z`), so that they sort as text.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> String + Send + Sync>);

impl Clock {
    /// Wraps a function that gives the present time.
    pub fn new(now: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present time.
    pub fn now(&self) -> String {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Fills byte slices with unpredictable bytes.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// Wraps a function that fills a slice.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

/// Which model made the vectors: vectors of different models are never compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderId {
    /// SHA-256 of the model's weights, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Numbers in one vector, 1 to 4,096.
    pub dimension: usize,
}

/// What [`crate::Store::open`] needs besides the directory.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The time.
    pub clock: Clock,
    /// Randomness for ids.
    pub random: Random,
    /// The model that makes the vectors, where it is known already; else [`crate::Store::set_embedder`] later.
    pub embedder: Option<EmbedderId>,
}
