//! Passages a model has read, kept in memory: the same passage is not read again for the next question.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloister_engine::Sequence;

/// Bytes of keys and values kept at most.
const BYTES_MAX: u64 = 768 << 20;

struct Kept {
    sequence: Sequence,
    bytes: u64,
    used: u64,
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<String, Kept>,
    bytes: u64,
    clock: u64,
}

/// The least recently used goes first. A kept sequence gives the same bits as reading anew.
#[derive(Default)]
pub(crate) struct Readings {
    shelf: Mutex<Shelf>,
}

impl Readings {
    /// A copy of what is kept under a key.
    pub(crate) fn get(&self, key: &str) -> Option<Sequence> {
        let mut shelf = self.lock();
        shelf.clock += 1;
        let now = shelf.clock;
        let kept = shelf.kept.get_mut(key)?;
        kept.used = now;
        Some(kept.sequence.clone())
    }

    /// Keeps a sequence that takes `bytes`.
    pub(crate) fn keep(&self, key: String, sequence: Sequence, bytes: u64) {
        let mut shelf = self.lock();
        shelf.clock += 1;
        let used = shelf.clock;
        if let Some(old) = shelf.kept.insert(key, Kept { sequence, bytes, used }) {
            shelf.bytes -= old.bytes;
        }
        shelf.bytes += bytes;
        while shelf.bytes > BYTES_MAX {
            let Some(oldest) = shelf.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(gone) = shelf.kept.remove(&oldest) {
                shelf.bytes -= gone.bytes;
            }
        }
    }

    /// Forgets everything: documents were removed.
    pub(crate) fn clear(&self) {
        *self.lock() = Shelf::default();
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
