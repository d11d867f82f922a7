//! Derived stores follow the catalogue: changes first, the watermark last, each step safe to do twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;

use rusqlite::{CachedStatement, Connection, Rows};

use super::{Store, failpoint};
use crate::{
    Derived, EmbedderId, IndexError, OpenReport,
    blobs::sync_directory,
    catalogue::{self, Catalogue, Operation},
    keyword::{self, Entry, Keyword},
    packing::{checked_text, unpack_strings, unpack_vector},
    vectors::{self, Erase, Owner, Vectors},
};

/// Where broken derived stores are kept until something is removed or the next one breaks.
const ASIDE: &str = "aside";

/// How far the keyword index has come. The vectors know it themselves.
#[derive(Debug)]
pub(super) struct Followed {
    keyword: u64,
}

impl Followed {
    pub(super) fn of(keyword: &Keyword) -> Result<Self, IndexError> {
        Ok(Self { keyword: keyword.edition()? })
    }
}

/// By how many editions the derived stores lagged.
#[derive(Debug, Default)]
pub(super) struct Lag {
    pub(super) keyword: u64,
    pub(super) vectors: u64,
}

/// Changes since an edition, summed up.
struct Work {
    edition: u64,
    /// Versions that changed, in order.
    touched: Vec<i64>,
    /// Versions that are to be found afterwards.
    added: Vec<i64>,
    erase: Erase,
}

/// What has to be done after `followed`; none when the changes are no longer known one by one.
fn work(view: &Connection, followed: u64) -> Result<Option<Work>, IndexError> {
    let edition = catalogue::edition(view)?;
    if followed > edition {
        return Ok(None);
    }
    let Some(changes) = catalogue::changes_after(view, followed)? else { return Ok(None) };
    let erase = if changes.iter().any(|c| c.operation == Operation::Erase) { Erase::Now } else { Erase::Later };
    let last: BTreeMap<i64, Operation> = changes.iter().map(|c| (c.version, c.operation)).collect();
    let added = last.iter().filter(|(_, operation)| **operation == Operation::Add).map(|(v, _)| *v).collect();
    Ok(Some(Work { edition, touched: last.into_keys().collect(), added, erase }))
}

const ENTRY: &str = "
SELECT passages.row, passages.version, documents.row, documents.collection, passages.text, passages.checksum, heading_path,
    (SELECT name FROM names WHERE names.document = documents.row AND position = 0), title
FROM versions JOIN documents ON documents.current = versions.row JOIN passages ON passages.version = versions.row";
const VECTOR: &str = "
SELECT passages.row, passages.version, documents.row, documents.collection, vectors.data, vectors.checksum
FROM versions JOIN documents ON documents.current = versions.row JOIN passages ON passages.version = versions.row
JOIN vectors ON vectors.passage = passages.row JOIN embedders ON embedders.row = vectors.embedder
WHERE embedders.sha256 = ?1 AND embedders.dimension = ?2";

fn entry(row: &rusqlite::Row<'_>) -> Result<Entry, IndexError> {
    let heading_path: String = row.get(6)?;
    Ok(Entry {
        passage: row.get(0)?,
        version: row.get(1)?,
        document: row.get(2)?,
        collection: row.get(3)?,
        text: checked_text("the text of a passage", row.get(4)?, row.get(5)?)?,
        heading_path: unpack_strings(&heading_path)?,
        name: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        title: row.get(8)?,
    })
}

fn vector(row: &rusqlite::Row<'_>) -> Result<(Owner, Vec<f32>), IndexError> {
    let owner = Owner { passage: row.get(0)?, version: row.get(1)?, document: row.get(2)?, collection: row.get(3)? };
    let data = unpack_vector(row.get_ref(4)?.as_blob().unwrap_or_default(), row.get(5)?)?;
    Ok((owner, data))
}

/// Rows of a statement, one at a time.
struct Stream<'a, T> {
    rows: Rows<'a>,
    read: fn(&rusqlite::Row<'_>) -> Result<T, IndexError>,
}

impl<T> Iterator for Stream<'_, T> {
    type Item = Result<T, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.next() {
            Ok(row) => row.map(self.read),
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// Passages of all current versions.
fn all_entries(view: &Connection) -> Result<CachedStatement<'_>, IndexError> {
    Ok(view.prepare_cached(&format!("{ENTRY} ORDER BY passages.row"))?)
}

/// The passages of some versions, as far as these are current.
fn entries_of(view: &Connection, versions: &[i64]) -> Result<Vec<Entry>, IndexError> {
    let mut statement = view.prepare_cached(&format!("{ENTRY} WHERE versions.row = ?1 ORDER BY passages.row"))?;
    let mut found = Vec::new();
    for version in versions {
        let stream = Stream { rows: statement.query([version])?, read: entry };
        for one in stream {
            found.push(one?);
        }
    }
    Ok(found)
}

fn vectors_of(
    view: &Connection,
    versions: &[i64],
    embedder: &EmbedderId,
) -> Result<Vec<(Owner, Vec<f32>)>, IndexError> {
    let mut statement = view.prepare_cached(&format!("{VECTOR} AND versions.row = ?3 ORDER BY passages.row"))?;
    let mut found = Vec::new();
    for version in versions {
        let rows = statement.query((&embedder.sha256, embedder.dimension as i64, version))?;
        for one in (Stream { rows, read: vector }) {
            found.push(one?);
        }
    }
    Ok(found)
}

/// Opens the keyword index, or moves a broken one aside and rebuilds it from the catalogue.
pub(super) fn open_keyword(
    directory: &Path,
    id: &str,
    catalogue: &Catalogue,
    report: &mut OpenReport,
) -> Result<Keyword, IndexError> {
    let path = directory.join("keyword");
    let reason = match Keyword::open(&path, id) {
        Ok((keyword, edition, removed)) => {
            let known = catalogue.read("compare editions", |view| work(view, edition))?;
            if known.is_some() {
                report.files_removed += removed;
                return Ok(keyword);
            }
            drop(keyword);
            format!("the changes since its edition {edition} are not known one by one")
        }
        Err(keyword::OpenFailure::Environment(error)) => return Err(error),
        Err(keyword::OpenFailure::Rebuild(reason)) => reason,
    };
    move_aside(directory, "keyword")?;
    let keyword = Keyword::create(&path, id)?;
    let edition = catalogue.read("rebuild the keyword index", |view| {
        let edition = catalogue::edition(view)?;
        let mut statement = all_entries(view)?;
        let mut stream = Stream { rows: statement.query([])?, read: entry };
        keyword.apply(&[], &mut stream, edition)?;
        Ok(edition)
    })?;
    if edition > 0 {
        report.keyword = Derived::Rebuilt(reason);
    }
    Ok(keyword)
}

/// Moves a derived store out of the way, in place of the one that was moved before.
fn move_aside(directory: &Path, name: &str) -> Result<(), IndexError> {
    let from = directory.join(name);
    if !from.exists() {
        return Ok(());
    }
    let aside = directory.join(ASIDE);
    let to = aside.join(name);
    std::fs::create_dir_all(&aside).map_err(|e| IndexError::io("make directory", &aside, e))?;
    remove_tree(&to)?;
    std::fs::rename(&from, &to).map_err(|e| IndexError::io("move aside", &from, e))?;
    sync_directory(directory)
}

/// Removes a directory with all that it holds; nothing happens where there is none.
fn remove_tree(path: &Path) -> Result<(), IndexError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(IndexError::io("remove", path, e)),
        _ => Ok(()),
    }
}

impl Store {
    /// Opens the vectors of an embedder, or rebuilds them from the catalogue. Gives them with what was done and the files removed.
    pub(super) fn open_vectors(&self, embedder: &EmbedderId) -> Result<(Vectors, Derived, u64), IndexError> {
        let path = self.directory.join("vectors");
        let reason = match Vectors::open(&path, embedder, &self.id) {
            Ok((vectors, removed)) => {
                let edition = vectors.edition();
                let known = self.catalogue.read("compare editions", |view| work(view, edition))?;
                if known.is_some() {
                    return Ok((vectors, Derived::Current, removed));
                }
                format!("the changes since its edition {edition} are not known one by one")
            }
            Err(vectors::OpenFailure::Environment(error)) => return Err(error),
            Err(vectors::OpenFailure::Rebuild(reason)) => reason,
        };
        move_aside(&self.directory, "vectors")?;
        let vectors = Vectors::create(&path, embedder, &self.id)?;
        let edition = self.catalogue.read("rebuild the vectors", |view| {
            let edition = catalogue::edition(view)?;
            let mut statement = view.prepare_cached(&format!("{VECTOR} ORDER BY passages.row"))?;
            let rows = statement.query((&embedder.sha256, embedder.dimension as i64))?;
            vectors.apply(&[], &mut Stream { rows, read: vector }, edition, Erase::Later)?;
            Ok(edition)
        })?;
        let done = if edition > 0 { Derived::Rebuilt(reason) } else { Derived::Current };
        Ok((vectors, done, 0))
    }

    /// Brings the derived stores to the catalogue's present edition.
    pub(super) fn catch_up(&self) -> Result<Lag, IndexError> {
        let mut followed = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let vectors = self.vectors();
        let embedder = self.embedder()?;
        let mut lag = Lag::default();
        let edition = self.catalogue.read("read the changes", |view| {
            let edition = catalogue::edition(view)?;
            if followed.keyword < edition {
                lag.keyword = edition - followed.keyword;
                self.keyword_follows(view, followed.keyword)?;
                followed.keyword = edition;
                failpoint("keyword-followed");
            }
            if let (Some(vectors), Some(embedder)) = (&vectors, &embedder)
                && vectors.edition() < edition
            {
                lag.vectors = edition - vectors.edition();
                vectors_follow(view, vectors, embedder)?;
                failpoint("vectors-followed");
            }
            Ok(edition)
        })?;
        self.finish_following(edition)?;
        failpoint("finished");
        Ok(lag)
    }

    fn keyword_follows(&self, view: &Connection, from: u64) -> Result<(), IndexError> {
        let work = work(view, from)?.ok_or_else(|| not_known("the keyword index"))?;
        let entries = entries_of(view, &work.added)?;
        self.keyword.apply(&work.touched, &mut entries.into_iter().map(Ok), work.edition)?;
        failpoint("keyword-applied");
        if work.erase == Erase::Now {
            self.keyword.purge()?;
        }
        Ok(())
    }

    /// Ends jobs whose documents can be found now, and forgets changes that all have followed.
    fn finish_following(&self, edition: u64) -> Result<(), IndexError> {
        let pending = self.catalogue.read("look at the changes", |view| {
            let changes: bool = view
                .prepare_cached("SELECT EXISTS(SELECT 1 FROM outbox WHERE edition <= ?1)")?
                .query_row([edition as i64], |row| row.get(0))?;
            Ok(changes)
        })?;
        if !pending {
            return Ok(());
        }
        let now = self.clock.now();
        self.catalogue.write("end jobs", |tx| {
            tx.prepare_cached(
                "UPDATE jobs SET stage = 'done', taken = 0, updated = ?2 WHERE stage = 'indexing' AND version IN
                    (SELECT version FROM outbox WHERE edition <= ?1 AND operation = 'add')
                    AND (SELECT committed FROM versions WHERE row = jobs.version) IS NOT NULL",
            )?
            .execute((edition as i64, &now))?;
            catalogue::prune_outbox(tx, edition)
        })
    }

    /// Removes broken derived stores that were moved aside.
    pub(super) fn remove_aside(&self) -> Result<(), IndexError> {
        remove_tree(&self.directory.join(ASIDE))
    }
}

fn vectors_follow(view: &Connection, vectors: &Vectors, embedder: &EmbedderId) -> Result<(), IndexError> {
    let work = work(view, vectors.edition())?.ok_or_else(|| not_known("the vectors"))?;
    let added = vectors_of(view, &work.added, embedder)?;
    vectors.apply(&work.touched, &mut added.into_iter().map(Ok), work.edition, work.erase)
}

/// Cannot come up while one process has the store: opening compares the editions, and changes are forgotten only after all have followed.
fn not_known(what: &str) -> IndexError {
    let detail = "the changes since its edition are not known one by one; open the store anew".to_owned();
    IndexError::Damaged { what: what.to_owned(), detail }
}
