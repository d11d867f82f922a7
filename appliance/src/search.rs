//! Search.

use std::sync::atomic::Ordering;
use std::time::Instant;

use cloister_index::{CollectionId, DocumentId, Hit, Mode, SearchRequest, Visible};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::documents::PageBox;
use crate::{Appliance, Error, Result};

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
    /// The version of the document that was searched.
    pub version: u32,
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
    /// Documents in the scope that can be searched.
    pub documents: u64,
    /// Pages of theirs that were read, wholly or in part.
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

/// Passages wanted when nothing is said.
const LIMIT_DEFAULT: usize = 10;

/// Passages of one search at most.
const LIMIT_MAX: usize = 200;

/// Longest query or question, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 4_000;

/// Documents a scope may name at most.
const SCOPE_MAX: usize = 1_000;

/// Unread pages told at most.
const UNREAD_MAX: usize = 1_000;

/// What a search or a question may look at.
pub(crate) struct Scope {
    pub(crate) visible: Visible,
    pub(crate) collection: Option<CollectionId>,
    pub(crate) documents: Vec<DocumentId>,
}

impl Scope {
    /// The scope for the audit log.
    pub(crate) fn detail(&self) -> Value {
        let documents: Vec<&str> = self.documents.iter().map(DocumentId::as_str).collect();
        let rights: Vec<Value> = self
            .visible
            .collections()
            .map(|(id, level)| json!({"collection": id.as_str(), "level": level.as_str()}))
            .collect();
        json!({"collection": self.collection.as_ref().map(CollectionId::as_str), "documents": documents, "rights": rights})
    }
}

impl Appliance {
    /// Finds passages.
    pub fn search(&self, caller: &Caller, query: &SearchQuery) -> Result<SearchAnswer> {
        let begun = Instant::now();
        let scope = self.scope(caller, query.collection.as_deref(), &query.documents)?;
        let limit = if query.limit == 0 { LIMIT_DEFAULT } else { query.limit.min(LIMIT_MAX) };
        let Finding { passages, edition, way } = self.find(&scope, &query.text, query.mode, limit)?;
        let coverage = self.coverage_of(&scope)?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        let detail = json!({
            "query": query.text, "mode": query.mode.as_str(), "way": way.detail(), "scope": scope.detail(),
            "edition": edition, "passages": places(&passages),
        });
        let audit = self.record(caller, "search", "passages", detail)?;
        Ok(SearchAnswer { passages, coverage, milliseconds, edition, audit })
    }

    pub(crate) fn scope(&self, caller: &Caller, collection: Option<&str>, documents: &[String]) -> Result<Scope> {
        if documents.len() > SCOPE_MAX {
            return Err(Error::invalid("documents", format!("more than {SCOPE_MAX} are named")));
        }
        let visible = self.visible(caller)?;
        let found = collection.map(|name| self.find_collection(&visible, name)).transpose()?;
        let documents = self.find_documents(&visible, documents, found.as_ref().map(|found| found.id.as_str()))?;
        Ok(Scope { visible, collection: found.map(|found| found.id), documents })
    }

    /// Passages of a scope, best first.
    pub(crate) fn find(&self, scope: &Scope, text: &str, mode: SearchMode, limit: usize) -> Result<Finding> {
        let count = text.chars().count();
        if text.trim().is_empty() || count > TEXT_CHARS_MAX {
            return Err(Error::invalid("query", format!("needs 1 to {TEXT_CHARS_MAX} characters")));
        }
        let (vector, way) = match mode {
            SearchMode::Keyword => (None, Way { mode, fallback: None }),
            SearchMode::Vector => (Some(self.query_vector(text)?), Way { mode, fallback: None }),
            SearchMode::Hybrid => match self.query_vector(text) {
                Ok(vector) => (Some(vector), Way { mode, fallback: None }),
                Err(error) => (None, self.by_words_alone(&error)),
            },
        };
        // Without a vector a hybrid search goes by words, and still finds more for quoted ones than a keyword search.
        let mode = match mode {
            SearchMode::Hybrid => Mode::Hybrid,
            SearchMode::Keyword => Mode::Keyword,
            SearchMode::Vector => Mode::Vector,
        };
        let (collection, documents) = (scope.collection.clone(), scope.documents.clone());
        let request = SearchRequest { collection, documents, text: text.to_owned(), vector, mode, limit };
        let found = self.store.search(&scope.visible, &request)?;
        let passages = found.hits.into_iter().enumerate().map(|(index, hit)| passage(index + 1, hit)).collect();
        Ok(Finding { passages, edition: found.edition, way })
    }

    /// A hybrid search that goes on without vectors; the log is told once.
    fn by_words_alone(&self, error: &Error) -> Way {
        if !self.fallback_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "searches go by words alone until the embedding model can be used");
        }
        Way { mode: SearchMode::Keyword, fallback: Some(error.to_string()) }
    }

    fn query_vector(&self, text: &str) -> Result<Vec<f32>> {
        let loaded = self.encoder()?;
        let made = loaded.encoder.embed(&[text]).map_err(|error| Error::model(&loaded.id, error))?;
        made.into_iter().next().ok_or_else(|| Error::Bug("the embedder gave no vector".to_owned()))
    }

    pub(crate) fn coverage_of(&self, scope: &Scope) -> Result<Coverage> {
        let found = self.store.coverage(&scope.visible, scope.collection.as_ref(), &scope.documents)?;
        let unread = found.unread.into_iter().take(UNREAD_MAX).map(|row| UnreadPage {
            document: row.document.to_string(),
            name: row.name,
            page: row.page,
            reason: row.reason,
        });
        Ok(Coverage { documents: found.documents, pages: found.pages, unread: unread.collect() })
    }
}

/// How a search was done in the end.
pub(crate) struct Way {
    mode: SearchMode,
    /// Why it was not done as it was asked for.
    fallback: Option<String>,
}

impl Way {
    /// For the audit log.
    pub(crate) fn detail(&self) -> Value {
        match &self.fallback {
            Some(why) => json!({"mode": self.mode.as_str(), "why": why}),
            None => json!({"mode": self.mode.as_str()}),
        }
    }
}

/// What a search found.
pub(crate) struct Finding {
    pub(crate) passages: Vec<Passage>,
    /// The edition of the index they are from.
    pub(crate) edition: u64,
    pub(crate) way: Way,
}

/// Which passages, for the audit log: place and score, not the text.
pub(crate) fn places(passages: &[Passage]) -> Value {
    let place = |passage: &Passage| {
        json!({
            "document": passage.document, "name": passage.name, "version": passage.version, "page": passage.page,
            "start": passage.start, "end": passage.end, "score": passage.score,
        })
    };
    passages.iter().map(place).collect()
}

fn passage(rank: usize, hit: Hit) -> Passage {
    Passage {
        rank,
        score: hit.score,
        document: hit.document.to_string(),
        name: hit.name,
        collection: hit.collection.to_string(),
        version: hit.version,
        page: hit.page,
        place: hit.place,
        start: hit.start,
        end: hit.end,
        text: hit.text,
        heading_path: hit.heading_path,
        boxes: hit.boxes,
    }
}
