//! Search.

use crate::caller::Caller;
use crate::documents::PageBox;
use crate::{Appliance, Result};

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchMode {
    /// Words and meaning together.
    #[default]
    Hybrid,
    /// Words alone.
    Keyword,
    /// Meaning alone.
    Vector,
}

impl SearchMode {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Keyword => "keyword",
            Self::Vector => "vector",
        }
    }

    /// The mode of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Hybrid, Self::Keyword, Self::Vector].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// What to search for and where.
#[derive(Debug, Clone, Default)]
pub struct SearchQuery {
    /// Name or id of the collection; `None` searches all that are visible.
    pub collection: Option<String>,
    /// Names or ids of documents to stay within; empty for all.
    pub documents: Vec<String>,
    /// The words.
    pub text: String,
    /// How.
    pub mode: SearchMode,
    /// Passages wanted; 0 means 10.
    pub limit: usize,
}

/// A passage found.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// From 1.
    pub rank: usize,
    /// Higher is better; comparable within one search only.
    pub score: f32,
    /// Document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// Id of its collection.
    pub collection: String,
    /// Page where it begins, from 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// Offset of the first character in the canonical text.
    pub start: u32,
    /// Offset after the last character.
    pub end: u32,
    /// The stored text at `start..end`.
    pub text: String,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Where it stands.
    pub boxes: Vec<PageBox>,
}

/// A page within the scope that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPage {
    /// Document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// Page from 1; 0 when the whole document could not be read.
    pub page: u32,
    /// Why.
    pub reason: String,
}

/// What a search or an answer could look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Documents in the scope.
    pub documents: u64,
    /// Pages in the scope.
    pub pages: u64,
    /// Those that could not be read.
    pub unread: Vec<UnreadPage>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// Best first.
    pub passages: Vec<Passage>,
    /// What was looked at.
    pub coverage: Coverage,
    /// Wall time of the search.
    pub milliseconds: f64,
    /// Edition of the index.
    pub edition: u64,
    /// Number of the audit record.
    pub audit: u64,
}

impl Appliance {
    /// Finds passages.
    pub fn search(&self, caller: &Caller, query: &SearchQuery) -> Result<SearchAnswer> {
        let _ = (caller, query);
        self.unfinished()
    }
}
