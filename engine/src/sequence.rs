//! The state of one sequence of tokens.

use std::sync::Arc;

use crate::kv::{KvCache, KvShape};
use crate::{Adapter, TokenId};

/// The keys and values of one sequence, and the logits after its last token.
///
/// A clone shares what was computed so far and goes its own way from there, at the price of copying the last page.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logits: Vec<f32>,
    pub(crate) cache: KvCache,
    pub(crate) adapter: Option<Arc<Adapter>>,
}

impl Sequence {
    pub(crate) fn new(shape: KvShape, adapter: Option<Arc<Adapter>>) -> Self {
        Self { tokens: Vec::new(), logits: Vec::new(), cache: KvCache::new(shape), adapter }
    }

    /// The tokens computed so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Number of tokens computed so far.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing has been computed yet.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Keeps the first `length` tokens with their keys and values and forgets the rest, the logits included.
    pub fn truncate(&mut self, length: usize) {
        if length < self.tokens.len() {
            self.tokens.truncate(length);
            self.cache.truncate(length);
            self.logits.clear();
        }
    }
}
