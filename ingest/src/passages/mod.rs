//! Pages to passages: pieces of about 300 tokens along headings, clauses, list items and tables.

use crate::page::{Page, page_starts};

/// How long passages are to be, in tokens of the model that will read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOptions {
    /// Length aimed at.
    pub tokens_target: usize,
    /// Length kept, except where a single word is longer.
    pub tokens_max: usize,
    /// Pieces shorter than this are joined with a neighbour where they may be.
    pub tokens_min: usize,
}

impl Default for CutOptions {
    fn default() -> Self {
        CutOptions { tokens_target: 300, tokens_max: 350, tokens_min: 60 }
    }
}

/// A piece of a document that is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// First character in the canonical text.
    pub start: u32,
    /// After its last character in the canonical text.
    pub end: u32,
    /// Page on which it begins, counted from 1.
    pub page: u32,
    /// What more there is to say about the place.
    pub place: Option<String>,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// The canonical text from `start` to `end`.
    pub text: String,
}

/// Cuts a document into passages, in order. `pages` must be in ascending order of their numbers.
pub fn cut(pages: &[Page], options: &CutOptions, count_tokens: &dyn Fn(&str) -> usize) -> Vec<Passage> {
    let starts = page_starts(pages);
    let mut passages = Vec::new();
    for (page, offset) in pages.iter().zip(starts) {
        let mut words: Vec<(usize, usize)> = Vec::new();
        let mut flush = |words: &mut Vec<(usize, usize)>| {
            let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
            let text = &page.text[first.0..last.1];
            let start = offset + page.text[..first.0].chars().count() as u32;
            passages.push(Passage {
                start,
                end: start + text.chars().count() as u32,
                page: page.number,
                place: page.place.clone(),
                heading_path: Vec::new(),
                text: text.to_owned(),
            });
            words.clear();
        };
        let base = page.text.as_ptr() as usize;
        for word in page.text.split_whitespace() {
            let start = word.as_ptr() as usize - base;
            if let Some(first) = words.first()
                && count_tokens(&page.text[first.0..start + word.len()]) > options.tokens_max
            {
                flush(&mut words);
            }
            words.push((start, start + word.len()));
        }
        flush(&mut words);
    }
    passages
}
