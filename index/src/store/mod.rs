//! The store: one value, every use.

mod attached;
mod collections;
mod commit;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod crash_tests;
mod documents;
mod follow;
mod jobs;
mod pages;
mod people;
mod place;
mod remove;
mod search;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::{
    Blobs, Clock, EmbedderId, IndexError, JobId, OpenOptions, OpenReport, Random, StoreFigures,
    catalogue::{self, Catalogue},
    keyword::Keyword,
    lock::DirectoryLock,
    vectors::Vectors,
};

/// The store over one data directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    clock: Clock,
    random: Random,
    report: OpenReport,
    /// Id of this catalogue, carried by what is derived from it.
    id: String,
    catalogue: Catalogue,
    blobs: Blobs,
    keyword: Keyword,
    vectors: RwLock<Option<Arc<Vectors>>>,
    /// Held while derived stores follow the catalogue; remembers how far the keyword index has come.
    following: Mutex<follow::Followed>,
    lock: DirectoryLock,
    /// Set when opening has done all that it had to do; else the next open does it.
    complete: bool,
}

impl Store {
    /// Opens the store in `dir`, and makes it where there is none.
    ///
    /// Refuses a directory that another process holds and a catalogue of a newer program. After a kill the catalogue is checked, jobs are
    /// queued again, leftovers are removed, and derived stores are caught up or, where they are broken, moved aside and rebuilt;
    /// [`Store::report`] says what was done.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, IndexError> {
        std::fs::create_dir_all(dir).map_err(|e| IndexError::io("make directory", dir, e))?;
        let (lock, unclean) = DirectoryLock::take(dir)?;
        let (catalogue, opened) = Catalogue::open(&dir.join("catalogue.sqlite"), unclean)?;
        let id = own_id(&catalogue, &options.random)?;
        let (blobs, leftovers) = Blobs::open(&dir.join("blobs"), options.random.clone())?;
        let (jobs_resumed, jobs_crashed) =
            catalogue.write("queue interrupted jobs again", |tx| jobs::recover(tx, &options.clock.now()))?;
        let mut report = OpenReport {
            unclean,
            migrated: opened.migrated,
            jobs_resumed,
            jobs_crashed,
            files_removed: leftovers,
            ..OpenReport::default()
        };
        let keyword = follow::open_keyword(dir, &id, &catalogue, &mut report)?;
        let store = Self {
            directory: dir.to_path_buf(),
            clock: options.clock,
            random: options.random,
            report,
            id,
            catalogue,
            blobs,
            following: Mutex::new(follow::Followed::of(&keyword)?),
            keyword,
            vectors: RwLock::new(None),
            lock,
            complete: false,
        };
        store.opened(options.embedder)
    }

    /// The rest of opening, which needs the store itself.
    fn opened(mut self, embedder: Option<EmbedderId>) -> Result<Self, IndexError> {
        if let Some(embedder) = embedder {
            self.note_embedder(&embedder)?;
        }
        if let Some(embedder) = self.embedder()? {
            let (vectors, done, removed) = self.open_vectors(&embedder)?;
            self.report.vectors = done;
            self.report.files_removed += removed;
            self.vectors = RwLock::new(Some(Arc::new(vectors)));
        }
        let lag = self.catch_up()?;
        if lag.keyword > 0 && self.report.keyword == crate::Derived::Current {
            self.report.keyword = crate::Derived::CaughtUp(lag.keyword);
        }
        if lag.vectors > 0 && self.report.vectors == crate::Derived::Current {
            self.report.vectors = crate::Derived::CaughtUp(lag.vectors);
        }
        if self.report.unclean {
            self.keyword.purge()?;
        }
        self.report.files_removed += self.remove_unreferenced_blobs()?;
        self.catalogue.checkpoint()?;
        self.complete = true;
        Ok(self)
    }

    /// What opening had to do.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The originals.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Names the model that makes the vectors from now on. Vectors of another model stay in the catalogue but are not searched;
    /// [`Store::passages_without_vector`] tells what has to be embedded anew.
    pub fn set_embedder(&self, embedder: &EmbedderId) -> Result<(), IndexError> {
        if self.embedder()?.as_ref() == Some(embedder) {
            return Ok(());
        }
        // Nobody may follow the catalogue meanwhile: he would write one model's vectors into the files of the other.
        let following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slot = self.vectors.write().unwrap_or_else(PoisonError::into_inner);
        self.note_embedder(embedder)?;
        let (vectors, ..) = self.open_vectors(embedder)?;
        *slot = Some(Arc::new(vectors));
        drop((slot, following));
        self.catch_up()?;
        Ok(())
    }

    fn note_embedder(&self, embedder: &EmbedderId) -> Result<(), IndexError> {
        Vectors::check(embedder, &self.id)?;
        self.catalogue.write("note the embedder", |tx| {
            catalogue::set_meta(tx, "embedder", &format!("{} {}", embedder.dimension, embedder.sha256))
        })
    }

    /// The model that makes the vectors.
    pub fn embedder(&self) -> Result<Option<EmbedderId>, IndexError> {
        let text = self.catalogue.read("read the embedder", |view| catalogue::meta(view, "embedder"))?;
        Ok(text.as_deref().and_then(|text| text.split_once(' ')).and_then(|(dimension, sha256)| {
            Some(EmbedderId { dimension: dimension.parse().ok()?, sha256: sha256.to_owned() })
        }))
    }

    fn vectors(&self) -> Option<Arc<Vectors>> {
        self.vectors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Edition of the catalogue: the number of the last change that searches can see.
    pub fn edition(&self) -> Result<u64, IndexError> {
        self.catalogue.read("read the edition", catalogue::edition)
    }

    /// Sizes.
    pub fn figures(&self) -> Result<StoreFigures, IndexError> {
        let embedder = self.embedder()?;
        self.catalogue.read("count", |view| {
            let count = |sql: &str| -> Result<u64, IndexError> {
                Ok(view.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))? as u64)
            };
            let passages = count("SELECT count(*) FROM passages")?;
            let (sha256, dimension) = embedder.map_or((String::new(), 0), |e| (e.sha256, e.dimension as i64));
            let with_vector: i64 = view
                .prepare_cached(
                    "SELECT count(*) FROM vectors JOIN embedders ON embedders.row = vectors.embedder
                     WHERE sha256 = ?1 AND dimension = ?2",
                )?
                .query_row((sha256, dimension), |row| row.get(0))?;
            Ok(StoreFigures {
                collections: count("SELECT count(*) FROM collections")?,
                documents: count("SELECT count(*) FROM documents")?,
                passages,
                passages_without_vector: passages - with_vector as u64,
                edition: catalogue::edition(view)?,
            })
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Without the mark the next open takes the longer way: it checks the catalogue first.
        if self.complete && self.catalogue.checkpoint().is_ok() {
            let _ = self.lock.closed();
        }
    }
}

/// The id of the catalogue, drawn when it is made.
fn own_id(catalogue: &Catalogue, random: &Random) -> Result<String, IndexError> {
    let known = catalogue.read("read the catalogue's id", |view| catalogue::meta(view, "store"))?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = JobId::new(random).as_str().to_owned();
    catalogue.write("note the catalogue's id", |tx| catalogue::set_meta(tx, "store", &id))?;
    Ok(id)
}

/// A named step between two durable writes. Tests stop here and look at what a kill would leave; otherwise nothing happens.
#[cfg(not(test))]
#[inline]
pub(crate) fn failpoint(_step: &'static str) {}

/// A named step between two durable writes.
#[cfg(test)]
pub(crate) fn failpoint(step: &'static str) {
    crash_tests::reached(step);
}
