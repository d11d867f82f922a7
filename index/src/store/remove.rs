//! Removal that is real, and the proof of it.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{Store, collections::need, documents::locate, failpoint};
use crate::{
    CollectionId, DocumentId, IndexError, Level, Removed, Visible,
    catalogue::{Change, Operation, next_edition},
};

/// What a removal has to take away outside the catalogue.
#[derive(Debug, Default)]
struct Traces {
    removed: Removed,
    documents: Vec<i64>,
    versions: Vec<i64>,
    originals: Vec<(String, u64)>,
}

impl Store {
    /// Removes a document and its attachments: rows, text, postings, vectors, and the original where nothing else holds it. Needs write.
    ///
    /// When this returns, a search of the files of the data directory for words of the document finds nothing; `probe_hits` counts what
    /// the stores themselves still find. A kill in between loses nothing: the next open goes on.
    pub fn remove_document(&self, visible: &Visible, document: &DocumentId) -> Result<Removed, IndexError> {
        let traces = self.catalogue.write("remove a document", |tx| {
            let at = locate(tx, visible, document, Level::Write)?;
            let mut traces = Traces::default();
            erase_rows(tx, at.row, &mut traces)?;
            note(tx, &traces)?;
            Ok(traces)
        })?;
        self.erase(traces)
    }

    /// Removes a collection with all that it holds. Needs manage.
    pub fn remove_collection(&self, visible: &Visible, collection: &CollectionId) -> Result<Removed, IndexError> {
        let traces = self.catalogue.write("remove a collection", |tx| {
            let row = need(tx, visible, collection, Level::Manage)?;
            let mut statement =
                tx.prepare("SELECT row FROM documents WHERE collection = ?1 AND parent IS NULL ORDER BY row")?;
            let documents: Vec<i64> = statement.query_map([row], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut traces = Traces::default();
            for document in documents {
                erase_rows(tx, document, &mut traces)?;
            }
            tx.execute("DELETE FROM collections WHERE row = ?1", [row])?;
            note(tx, &traces)?;
            Ok(traces)
        })?;
        self.erase(traces)
    }

    /// Takes away what the catalogue no longer names, then looks whether anything is left.
    fn erase(&self, traces: Traces) -> Result<Removed, IndexError> {
        failpoint("removed");
        self.catch_up()?;
        self.remove_aside()?;
        let mut removed = traces.removed.clone();
        for (sha256, bytes) in &traces.originals {
            if self.remove_blob(sha256)? {
                removed.bytes += bytes;
            }
        }
        failpoint("blobs-removed");
        // Deleted rows are overwritten in the file; the log that still holds them is emptied.
        let emptied = self.catalogue.checkpoint()?;
        removed.probe_hits = self.probe(&traces)? + u64::from(!emptied);
        Ok(removed)
    }

    /// Rows, postings and vectors of removed documents that can still be found.
    fn probe(&self, traces: &Traces) -> Result<u64, IndexError> {
        let rows = self.catalogue.read("look for what was removed", |view| {
            let mut found = 0;
            for document in &traces.documents {
                found += count(view, "SELECT count(*) FROM documents WHERE row = ?1", *document)?;
                found += count(view, "SELECT count(*) FROM names WHERE document = ?1", *document)?;
                found += count(view, "SELECT count(*) FROM versions WHERE document = ?1", *document)?;
            }
            for version in &traces.versions {
                found += count(view, "SELECT count(*) FROM pages WHERE version = ?1", *version)?;
                found += count(view, "SELECT count(*) FROM passages WHERE version = ?1", *version)?;
                found += count(view, "SELECT count(*) FROM jobs WHERE version = ?1", *version)?;
            }
            found +=
                count(view, "SELECT count(*) FROM vectors WHERE passage NOT IN (SELECT row FROM passages) AND ?1", 1)?;
            Ok(found)
        })?;
        let postings = self.keyword.count_of(&traces.versions)? + self.keyword.postings_of(&traces.versions)?;
        let vectors = self.vectors().map_or(0, |vectors| vectors.rows_of(&traces.versions));
        Ok(rows + postings + vectors)
    }

    /// Removes an original that no version names. The writer is held meanwhile, so that no upload can come to name it.
    fn remove_blob(&self, sha256: &str) -> Result<bool, IndexError> {
        self.catalogue
            .write("remove an original", |tx| if named(tx, sha256)? { Ok(false) } else { self.blobs.remove(sha256) })
    }

    /// Removes originals that no version names: uploads that a kill interrupted, and removals that it cut short.
    pub(super) fn remove_unreferenced_blobs(&self) -> Result<u64, IndexError> {
        let mut removed = 0;
        for sha256 in self.blobs.list()? {
            let is_named = self.catalogue.read("look an original up", |view| named(view, &sha256))?;
            if !is_named && self.remove_blob(&sha256)? {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

pub(super) fn named(view: &Connection, sha256: &str) -> Result<bool, IndexError> {
    let mut statement = view.prepare_cached("SELECT EXISTS(SELECT 1 FROM versions WHERE sha256 = ?1)")?;
    Ok(statement.query_row([sha256], |row| row.get(0))?)
}

fn count(view: &Connection, sql: &str, row: i64) -> Result<u64, IndexError> {
    Ok(view.prepare_cached(sql)?.query_row([row], |row| row.get::<_, i64>(0))? as u64)
}

/// Deletes the rows of a document and of what it carried, and notes what else there is of them.
fn erase_rows(tx: &Transaction<'_>, document: i64, traces: &mut Traces) -> Result<(), IndexError> {
    let mut open = vec![document];
    let mut all = Vec::new();
    while let Some(next) = open.pop() {
        open.extend(super::attached::carried(tx, next)?);
        all.push(next);
    }
    for document in &all {
        note_traces(tx, *document, traces)?;
    }
    // What is carried goes first, so that nothing is deleted by a rule of the schema alone.
    for document in all.iter().rev() {
        tx.prepare_cached("DELETE FROM documents WHERE row = ?1")?.execute([document])?;
    }
    Ok(())
}

fn note_traces(tx: &Transaction<'_>, document: i64, traces: &mut Traces) -> Result<(), IndexError> {
    let mut statement = tx.prepare_cached("SELECT name FROM names WHERE document = ?1 ORDER BY position")?;
    for name in statement.query_map([document], |row| row.get(0))? {
        traces.removed.names.push(name?);
    }
    let mut statement = tx.prepare_cached("SELECT row, sha256, bytes FROM versions WHERE document = ?1")?;
    let mut rows = statement.query([document])?;
    while let Some(row) = rows.next()? {
        let original = (row.get(1)?, row.get::<_, i64>(2)? as u64);
        traces.versions.push(row.get(0)?);
        if !traces.originals.contains(&original) {
            traces.originals.push(original);
        }
    }
    let passages: Option<i64> = tx
        .prepare_cached(
            "SELECT count(*) FROM passages WHERE version IN (SELECT row FROM versions WHERE document = ?1)",
        )?
        .query_row([document], |row| row.get(0))
        .optional()?;
    traces.removed.passages += passages.unwrap_or(0) as u64;
    traces.removed.documents += 1;
    traces.documents.push(document);
    Ok(())
}

fn note(tx: &Transaction<'_>, traces: &Traces) -> Result<(), IndexError> {
    let changes: Vec<Change> =
        traces.versions.iter().map(|version| Change { operation: Operation::Erase, version: *version }).collect();
    next_edition(tx, &changes)?;
    Ok(())
}
