//! Lets a model write nothing but a piece of a given text.

use std::collections::HashMap;
use std::ops::Range;

use cloister_engine::{TokenId, TokenMask, Tokenizer};

/// Longest token that is looked for, in bytes.
const TOKEN_BYTES_MAX: usize = 24;

/// The tokens of a vocabulary by their bytes.
pub(crate) struct Spans {
    by_bytes: HashMap<Vec<u8>, TokenId>,
}

impl Spans {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Self {
        let mut by_bytes = HashMap::new();
        for id in 0..tokenizer.vocabulary() as TokenId {
            let bytes = tokenizer.token_bytes(id);
            if !tokenizer.is_control(id) && !bytes.is_empty() && bytes.len() <= TOKEN_BYTES_MAX {
                by_bytes.entry(bytes.to_vec()).or_insert(id);
            }
        }
        Self { by_bytes }
    }
}

/// Admits only tokens that continue a piece of the text which begins at one of the given places.
pub(crate) struct SpanMask<'a> {
    spans: &'a Spans,
    tokenizer: &'a Tokenizer,
    text: &'a [u8],
    /// Where the pieces that are still possible begin.
    starts: Vec<usize>,
    /// Bytes written so far.
    written: usize,
    /// Tokens that `written` is about.
    seen: usize,
}

impl<'a> SpanMask<'a> {
    /// `starts` are bytes of the text.
    pub(crate) fn new(spans: &'a Spans, tokenizer: &'a Tokenizer, text: &'a str, starts: Vec<usize>) -> Self {
        Self { spans, tokenizer, text: text.as_bytes(), starts, written: 0, seen: 0 }
    }

    fn follow(&mut self, generated: &[TokenId]) {
        for id in &generated[self.seen.min(generated.len())..] {
            let bytes = self.tokenizer.token_bytes(*id);
            let (text, at) = (self.text, self.written);
            self.starts.retain(|start| text.get(start + at..start + at + bytes.len()) == Some(bytes));
            self.written += bytes.len();
        }
        self.seen = generated.len();
    }

    /// The piece that was written, in bytes of the text; the first of several that are alike.
    pub(crate) fn place(&mut self, generated: &[TokenId]) -> Option<Range<usize>> {
        self.follow(generated);
        let start = *self.starts.first()?;
        (self.written > 0).then(|| start..(start + self.written).min(self.text.len()))
    }

    /// Ids that continue one of the pieces.
    fn admitted(&self) -> Vec<TokenId> {
        let mut ids = Vec::new();
        for start in &self.starts {
            let rest = &self.text[(start + self.written).min(self.text.len())..];
            for length in 1..=rest.len().min(TOKEN_BYTES_MAX) {
                ids.extend(self.spans.by_bytes.get(&rest[..length]).copied());
            }
        }
        ids
    }
}

impl TokenMask for SpanMask<'_> {
    fn admit(&mut self, generated: &[TokenId], logits: &mut [f32]) {
        self.follow(generated);
        let kept: Vec<(usize, f32)> = self
            .admitted()
            .into_iter()
            .filter_map(|id| logits.get(id as usize).map(|logit| (id as usize, *logit)))
            .collect();
        logits.fill(f32::NEG_INFINITY);
        for (id, logit) in kept {
            logits[id] = logit;
        }
    }
}
