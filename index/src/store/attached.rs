//! Attachments: documents that another document carried, and that live and die with it.

use rusqlite::Connection;

use super::{
    Store,
    documents::locate,
    jobs::running,
    place::{Placing, check_name},
};
use crate::{BlobRef, DocumentId, Duplicates, IndexError, JobId, Level, Placed, Visible};

impl Store {
    /// Enters a file that a document carried as a document of its own below it, whatever else has the same bytes. Needs write.
    ///
    /// It is removed with its parent, and no upload is ever taken for a duplicate of it.
    pub fn place_attachment(
        &self,
        visible: &Visible,
        parent: &DocumentId,
        name: &str,
        blob: &BlobRef,
    ) -> Result<Placed, IndexError> {
        check_name(name)?;
        self.catalogue.write("enter an attachment", |tx| {
            let at = locate(tx, visible, parent, Level::Write)?;
            let (collection, now) = (at.collection, self.clock.now());
            Placing { store: self, tx, collection, blob, parent: Some(at.row), now }.attach(name, at.row)
        })
    }

    /// Notes how many attachments the version of a job carries, so that a lack of one is seen when it is placed again.
    pub fn note_attachments(&self, id: &JobId, count: usize) -> Result<(), IndexError> {
        self.catalogue.write_on_the_way("note the attachments", |tx| {
            let at = running(tx, id)?;
            tx.prepare_cached("UPDATE versions SET attachments = ?2 WHERE row = ?1")?
                .execute((at.version, count as i64))?;
            Ok(())
        })
    }

    /// The documents that a document carried, by name.
    pub fn attachments(&self, visible: &Visible, document: &DocumentId) -> Result<Vec<DocumentId>, IndexError> {
        self.catalogue.read("list the attachments", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let mut statement = view.prepare_cached(
                "SELECT documents.id FROM documents JOIN names ON names.document = documents.row AND position = 0
                 WHERE parent = ?1 ORDER BY names.name",
            )?;
            let ids = statement.query_map([at.row], |row| row.get(0).map(DocumentId::trusted))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }
}

impl Placing<'_> {
    fn attach(&self, name: &str, parent: i64) -> Result<Placed, IndexError> {
        let Some((document, position)) = self.named(name)? else {
            return self.new_name(name, Duplicates::Keep);
        };
        if position > 0 || document == parent {
            self.free(name)?;
            return self.new_name(name, Duplicates::Keep);
        }
        let newest = self.newest(document)?;
        // Who was taken for a duplicate of it must not go with the parent.
        self.split_further_names(&newest)?;
        self.tx.prepare_cached("UPDATE documents SET parent = ?2 WHERE row = ?1")?.execute((document, parent))?;
        if newest.is(self.blob) { self.same_bytes(&newest) } else { self.new_version(&newest) }
    }
}

/// Whether attachments of a version are not there: fewer than it carries are, not counting those whose reading was cancelled.
/// One that cannot be read is there, with its reason. What was read by a program that did not count them has to be read
/// again once, where its format can carry any.
pub(super) fn lacks(view: &Connection, document: i64, version: i64) -> Result<bool, IndexError> {
    let mut statement = view.prepare_cached(
        "SELECT coalesce(attachments, CASE WHEN format = 'mail' THEN 1000000000 ELSE 0 END) > (
            SELECT count(*) FROM documents AS own WHERE own.parent = ?1 AND (own.current = own.newest OR NOT EXISTS(
                SELECT 1 FROM jobs WHERE jobs.version = own.newest AND stage = 'cancelled')))
         FROM versions WHERE row = ?2",
    )?;
    Ok(statement.query_row([document, version], |row| row.get(0))?)
}

/// The documents that a document carried, by their rows.
pub(super) fn carried(view: &Connection, document: i64) -> Result<Vec<i64>, IndexError> {
    let mut statement = view.prepare_cached("SELECT row FROM documents WHERE parent = ?1 ORDER BY row")?;
    Ok(statement.query_map([document], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
