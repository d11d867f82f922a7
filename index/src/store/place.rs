//! Names, versions and duplicates: what becomes of an upload.

use rusqlite::{OptionalExtension, Transaction};

use super::{Store, collections::need};
use crate::{BlobRef, CollectionId, DocumentId, Duplicates, IndexError, JobId, Level, Placed, Visible};

/// Characters of a document's name.
const NAME_MAX: usize = 1_000;

/// What one upload works with.
pub(super) struct Placing<'a> {
    pub(super) store: &'a Store,
    pub(super) tx: &'a Transaction<'a>,
    pub(super) collection: i64,
    pub(super) blob: &'a BlobRef,
    /// The document that carries the bytes, where they are an attachment.
    pub(super) parent: Option<i64>,
    pub(super) now: String,
}

/// The newest version of a document.
pub(super) struct Newest {
    document: i64,
    id: DocumentId,
    current: Option<i64>,
    version: i64,
    number: u32,
    sha256: String,
    bytes: i64,
}

impl Newest {
    pub(super) fn is(&self, blob: &BlobRef) -> bool {
        self.sha256 == blob.sha256
    }
}

pub(super) fn check_name(name: &str) -> Result<(), IndexError> {
    let detail = if name.is_empty() {
        "it is empty"
    } else if name.chars().count() > NAME_MAX {
        "it is longer than 1,000 characters"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    Err(IndexError::Invalid { what: "the document name", detail: detail.to_owned() })
}

impl Store {
    /// Enters an upload in the catalogue, with a job where there is something to read. Needs write.
    ///
    /// The same bytes under the same name are unchanged (or tried again, where they could not be read before); other bytes under
    /// the same name are a new version; the same bytes under another name of the collection are a duplicate, kept as a further
    /// name of the first document unless `duplicates` says otherwise. A further name that gets bytes of its own becomes a document of its
    /// own; when the first name moves on to other bytes, its further names become a document with the old bytes.
    pub fn place(
        &self,
        visible: &Visible,
        collection: &CollectionId,
        name: &str,
        blob: &BlobRef,
        duplicates: Duplicates,
    ) -> Result<Placed, IndexError> {
        check_name(name)?;
        self.catalogue.write("enter an upload", |tx| {
            let collection = need(tx, visible, collection, Level::Write)?;
            let placing = Placing { store: self, tx, collection, blob, parent: None, now: self.clock.now() };
            placing.place(name, duplicates)
        })
    }
}

impl Placing<'_> {
    fn place(&self, name: &str, duplicates: Duplicates) -> Result<Placed, IndexError> {
        let Some((document, position)) = self.named(name)? else {
            return self.new_name(name, duplicates);
        };
        let newest = self.newest(document)?;
        if newest.is(self.blob) {
            return self.same_bytes(&newest);
        }
        if position == 0 {
            return self.new_version(&newest);
        }
        self.free(name)?;
        Ok(match self.new_name(name, duplicates)? {
            Placed::Added { document, version, job } => Placed::Updated { document, version, job },
            other => other,
        })
    }

    /// Takes a further name away from its document.
    pub(super) fn free(&self, name: &str) -> Result<(), IndexError> {
        self.tx
            .prepare_cached("DELETE FROM names WHERE collection = ?1 AND name = ?2")?
            .execute((self.collection, name))?;
        Ok(())
    }

    pub(super) fn named(&self, name: &str) -> Result<Option<(i64, i64)>, IndexError> {
        let mut statement =
            self.tx.prepare_cached("SELECT document, position FROM names WHERE collection = ?1 AND name = ?2")?;
        Ok(statement.query_row((self.collection, name), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    pub(super) fn newest(&self, document: i64) -> Result<Newest, IndexError> {
        let mut statement = self.tx.prepare_cached(
            "SELECT documents.id, current, versions.row, number, sha256, bytes FROM documents
             JOIN versions ON versions.row = newest WHERE documents.row = ?1",
        )?;
        Ok(statement.query_row([document], |row| {
            Ok(Newest {
                document,
                id: DocumentId::trusted(row.get(0)?),
                current: row.get(1)?,
                version: row.get(2)?,
                number: row.get(3)?,
                sha256: row.get(4)?,
                bytes: row.get(5)?,
            })
        })?)
    }

    pub(super) fn new_name(&self, name: &str, duplicates: Duplicates) -> Result<Placed, IndexError> {
        if duplicates == Duplicates::Alias
            && let Some(first) = self.holder()?
        {
            return self.alias(name, &first);
        }
        let (document, id) = self.add_document(self.parent)?;
        self.add_name(document, name, 0)?;
        let version = self.add_version(document, 1, &self.blob.sha256, self.blob.bytes as i64)?;
        let job = add_job(self.store, self.tx, version, &self.now)?;
        Ok(Placed::Added { document: id, version: 1, job })
    }

    /// The oldest document of the collection whose newest version has these bytes; attachments go with their parent and
    /// therefore stand in for nothing else.
    fn holder(&self) -> Result<Option<Newest>, IndexError> {
        let mut statement = self.tx.prepare_cached(
            "SELECT documents.row FROM versions JOIN documents ON documents.newest = versions.row
             WHERE sha256 = ?1 AND collection = ?2 AND parent IS NULL ORDER BY documents.row LIMIT 1",
        )?;
        let row: Option<i64> =
            statement.query_row((&self.blob.sha256, self.collection), |row| row.get(0)).optional()?;
        row.map(|row| self.newest(row)).transpose()
    }

    fn alias(&self, name: &str, first: &Newest) -> Result<Placed, IndexError> {
        let position: i64 = self
            .tx
            .prepare_cached("SELECT max(position) + 1 FROM names WHERE document = ?1")?
            .query_row([first.document], |row| row.get(0))?;
        self.add_name(first.document, name, position)?;
        let first_name: String = self
            .tx
            .prepare_cached("SELECT name FROM names WHERE document = ?1 ORDER BY position LIMIT 1")?
            .query_row([first.document], |row| row.get(0))?;
        let job = unfinished_job(self.tx, first.version)?;
        Ok(Placed::Duplicate { of: first.id.clone(), name: first_name, job })
    }

    pub(super) fn same_bytes(&self, newest: &Newest) -> Result<Placed, IndexError> {
        let job = unfinished_job(self.tx, newest.version)?;
        let whole = newest.current == Some(newest.version);
        if job.is_none() && whole && super::attached::lacks(self.tx, newest.document, newest.version)? {
            let job = again(self.store, self.tx, newest.document, &self.now)?;
            return Ok(Placed::Updated { document: newest.id.clone(), version: newest.number + 1, job });
        }
        if job.is_some() || whole {
            return Ok(Placed::Unchanged { document: newest.id.clone(), job });
        }
        self.tx.prepare_cached("DELETE FROM pages WHERE version = ?1")?.execute([newest.version])?;
        let job = add_job(self.store, self.tx, newest.version, &self.now)?;
        let (document, version) = (newest.id.clone(), newest.number);
        Ok(if newest.current.is_none() {
            Placed::Added { document, version, job }
        } else {
            Placed::Updated { document, version, job }
        })
    }

    pub(super) fn new_version(&self, newest: &Newest) -> Result<Placed, IndexError> {
        self.split_further_names(newest)?;
        self.tx
            .prepare_cached(
                "UPDATE jobs SET stage = 'cancelled', updated = ?2 WHERE stage NOT IN ('done', 'failed', 'cancelled')
                 AND version IN (SELECT row FROM versions WHERE document = ?1 AND committed IS NULL)",
            )?
            .execute((newest.document, &self.now))?;
        self.tx
            .prepare_cached(
                "DELETE FROM pages WHERE version IN (SELECT row FROM versions WHERE document = ?1 AND committed IS NULL)",
            )?
            .execute([newest.document])?;
        let number = newest.number + 1;
        let version = self.add_version(newest.document, number, &self.blob.sha256, self.blob.bytes as i64)?;
        let job = add_job(self.store, self.tx, version, &self.now)?;
        Ok(Placed::Updated { document: newest.id.clone(), version: number, job })
    }

    /// Further names keep the bytes that they were uploaded with.
    pub(super) fn split_further_names(&self, newest: &Newest) -> Result<(), IndexError> {
        let further: i64 = self
            .tx
            .prepare_cached("SELECT count(*) FROM names WHERE document = ?1 AND position > 0")?
            .query_row([newest.document], |row| row.get(0))?;
        if further == 0 {
            return Ok(());
        }
        let (document, _) = self.add_document(None)?;
        self.tx
            .prepare_cached(
                "UPDATE names SET document = ?2, position = position - 1 WHERE document = ?1 AND position > 0",
            )?
            .execute((newest.document, document))?;
        let lowest: i64 = self
            .tx
            .prepare_cached("SELECT min(position) FROM names WHERE document = ?1")?
            .query_row([document], |row| row.get(0))?;
        // Positions may have gaps where a further name left; the first must be 0, because it is the document's name.
        self.tx
            .prepare_cached("UPDATE names SET position = 0 WHERE document = ?1 AND position = ?2")?
            .execute((document, lowest))?;
        let version = self.add_version(document, 1, &newest.sha256, newest.bytes)?;
        add_job(self.store, self.tx, version, &self.now)?;
        Ok(())
    }

    fn add_document(&self, parent: Option<i64>) -> Result<(i64, DocumentId), IndexError> {
        let id = DocumentId::new(&self.store.random);
        self.tx
            .prepare_cached("INSERT INTO documents(id, collection, added, parent) VALUES(?1, ?2, ?3, ?4)")?
            .execute((id.as_str(), self.collection, &self.now, parent))?;
        Ok((self.tx.last_insert_rowid(), id))
    }

    fn add_name(&self, document: i64, name: &str, position: i64) -> Result<(), IndexError> {
        self.tx
            .prepare_cached("INSERT INTO names(collection, name, document, position) VALUES(?1, ?2, ?3, ?4)")?
            .execute((self.collection, name, document, position))?;
        Ok(())
    }

    fn add_version(&self, document: i64, number: u32, sha256: &str, bytes: i64) -> Result<i64, IndexError> {
        self.tx
            .prepare_cached("INSERT INTO versions(document, number, sha256, bytes, added) VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute((document, number, sha256, bytes, &self.now))?;
        let version = self.tx.last_insert_rowid();
        self.tx.prepare_cached("UPDATE documents SET newest = ?2 WHERE row = ?1")?.execute((document, version))?;
        Ok(version)
    }
}

/// Queues a job for a version.
pub(super) fn add_job(store: &Store, tx: &Transaction<'_>, version: i64, now: &str) -> Result<JobId, IndexError> {
    let id = JobId::new(&store.random);
    tx.prepare_cached("INSERT INTO jobs(id, version, stage, created, updated) VALUES(?1, ?2, 'queued', ?3, ?3)")?
        .execute((id.as_str(), version, now))?;
    Ok(id)
}

/// The job of a version that has not ended.
pub(super) fn unfinished_job(tx: &rusqlite::Connection, version: i64) -> Result<Option<JobId>, IndexError> {
    let mut statement = tx.prepare_cached(
        "SELECT id FROM jobs WHERE version = ?1 AND stage NOT IN ('done', 'failed', 'cancelled') ORDER BY row DESC LIMIT 1",
    )?;
    Ok(statement.query_row([version], |row| row.get(0).map(JobId::trusted)).optional()?)
}

/// Queues the bytes of a document's newest version as a version of its own, so that readers keep what they have meanwhile.
pub(super) fn again(store: &Store, tx: &Transaction<'_>, document: i64, now: &str) -> Result<JobId, IndexError> {
    tx.prepare_cached(
        "INSERT INTO versions(document, number, sha256, bytes, added)
         SELECT document, number + 1, sha256, bytes, ?2 FROM versions
         WHERE row = (SELECT newest FROM documents WHERE row = ?1)",
    )?
    .execute((document, now))?;
    let version = tx.last_insert_rowid();
    tx.prepare_cached("UPDATE documents SET newest = ?2 WHERE row = ?1")?.execute((document, version))?;
    add_job(store, tx, version, now)
}
