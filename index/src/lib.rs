//! Catalogue, keyword index, vectors, search and rights.
//!
//! One [`Store`] over a data directory. SQLite (`catalogue.sqlite`) is the truth; the keyword index (`keyword/`) and the
//! vectors (`vectors/`) are derived from it, carry the edition that they were built from, and are caught up or rebuilt when the
//! store is opened. Originals lie in `blobs/` under their SHA-256.
//!
//! What it does not do: it parses no files, runs no models, knows no HTTP, prints nothing, and takes time and randomness
//! from its caller.
//!
//! Threads: every method takes `&self`, blocks, and may be called from any thread. Writers queue behind one connection; readers
//! have a pool of their own.
//!
//! Rights: nothing of a collection can be listed, read or searched without a [`Visible`], which only [`Store::visible`] makes. What
//! is not granted answers exactly like what does not exist.
//!
//! ```no_run
//! use cloister_index::{Actor, Clock, Mode, OpenOptions, Random, SearchRequest, Store};
//! # fn main() -> Result<(), cloister_index::IndexError> {
//! let options = OpenOptions {
//!     clock: Clock::new(|| "2026-01-02T03:04:05.678Z".to_owned()),
//!     random: Random::new(|bytes| bytes.fill(7)),
//!     embedder: None,
//! };
//! let store = Store::open(std::path::Path::new("data"), options)?;
//! let visible = store.visible(&Actor::Operator)?;
//! let found = store.search(&visible, &SearchRequest {
//!     collection: None,
//!     documents: Vec::new(),
//!     text: "notice period".to_owned(),
//!     vector: None,
//!     mode: Mode::Keyword,
//!     limit: 10,
//! })?;
//! # let _ = found;
//! # Ok(())
//! # }
//! ```

mod blobs;
mod catalogue;
mod error;
mod ids;
mod keyword;
mod lock;
mod outside;
mod packing;
mod rights;
mod store;
mod types;
mod vectors;

pub use blobs::{BlobRef, BlobWriter, Blobs};
pub use error::IndexError;
pub use ids::{CollectionId, DocumentId, ID_LENGTH, JobId, KeyId, UserId};
pub use outside::{Clock, EmbedderId, OpenOptions, Random};
pub use rights::{Actor, Visible};
pub use store::Store;
pub use types::{
    ApiKey, Collection, CollectionSummary, Coverage, Derived, Document, DocumentList, DocumentStatus, DocumentVersion,
    Duplicates, Fault, Found, Gap, Grant, Hit, Job, JobFilter, LedgerPage, Level, Mode, NewPassage, NewSession,
    NewUser, OpenReport, PageBlock, PageInput, PageOutcome, PageWord, Placed, ReadingStart, Removed, Role,
    SearchRequest, Session, Stage, StoreCheck, StoreFigures, StoredPage, Unembedded, Unread, User,
};

#[doc(hidden)]
pub use vectors::Field;

/// Hits that one search may ask for.
pub const LIMIT_HITS: usize = 1_000;
