//! Looking documents up.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Store,
    collections::{need, still_visible},
    place::unfinished_job,
};
use crate::{
    CollectionId, Coverage, Document, DocumentId, DocumentList, DocumentStatus, DocumentVersion, Fault, Gap,
    IndexError, LedgerPage, Level, PageOutcome, Unread, Visible, ids::is_id,
};

/// Documents in one stretch of a list.
const STRETCH_MAX: usize = 1_000;
/// Lines of unread pages that a coverage names.
const UNREAD_MAX: usize = 10_000;
pub(super) const NO_DOCUMENT: IndexError = IndexError::NotFound { what: "document" };

/// Where a document stands in the catalogue.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) row: i64,
    pub(super) collection: i64,
    pub(super) current: Option<i64>,
    pub(super) newest: i64,
}

impl Located {
    /// The version that its readers see.
    pub(super) fn shown(&self) -> i64 {
        self.current.unwrap_or(self.newest)
    }
}

fn located(row: &Row<'_>) -> rusqlite::Result<Located> {
    Ok(Located { row: row.get(0)?, collection: row.get(1)?, current: row.get(2)?, newest: row.get(3)? })
}

/// A document in whose collection the actor may do `needed`.
pub(super) fn locate(
    view: &Connection,
    visible: &Visible,
    id: &DocumentId,
    needed: Level,
) -> Result<Located, IndexError> {
    let mut statement = view.prepare_cached("SELECT row, collection, current, newest FROM documents WHERE id = ?1")?;
    let found = statement.query_row([id.as_str()], located).optional()?.ok_or(NO_DOCUMENT)?;
    let still = still_visible(view, visible)?;
    let (_, level) = still.get(&found.collection).ok_or(NO_DOCUMENT)?;
    if *level < needed {
        return Err(IndexError::Refused { needed: needed.as_str() });
    }
    Ok(found)
}

/// A document by one of its names: in one collection, or in all visible ones where only one has it.
fn locate_name(
    view: &Connection,
    visible: &Visible,
    name: &str,
    collection: Option<&CollectionId>,
) -> Result<Located, IndexError> {
    let still = still_visible(view, visible)?;
    let mut statement = view.prepare_cached(
        "SELECT documents.row, documents.collection, current, newest FROM names
         JOIN documents ON documents.row = names.document WHERE names.name = ?1 ORDER BY documents.row",
    )?;
    let mut found = Vec::new();
    for row in statement.query_map([name], located)? {
        let row = row?;
        let Some((id, _)) = still.get(&row.collection) else { continue };
        if collection.is_none_or(|wanted| wanted == id) {
            found.push(row);
        }
    }
    match found.len() {
        0 => Err(NO_DOCUMENT),
        1 => Ok(found.remove(0)),
        several => Err(IndexError::Invalid {
            what: "the document name",
            detail: format!("{several} collections have a document of this name; name the collection or the id"),
        }),
    }
}

fn names(view: &Connection, document: i64) -> Result<Vec<String>, IndexError> {
    let mut statement = view.prepare_cached("SELECT name FROM names WHERE document = ?1 ORDER BY position")?;
    let names = statement.query_map([document], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

fn gaps(view: &Connection, version: i64) -> Result<Vec<Gap>, IndexError> {
    let mut statement = view.prepare_cached(
        "SELECT number, coalesce(reason, outcome) FROM pages
         WHERE version = ?1 AND outcome IN ('partial', 'failed', 'skipped') ORDER BY number",
    )?;
    let gaps = statement
        .query_map([version], |row| Ok(Gap { page: row.get(0)?, reason: row.get(1)? }))?
        .collect::<Result<_, _>>()?;
    Ok(gaps)
}

/// Why the newest attempt on a version failed.
fn fault(view: &Connection, version: i64) -> Result<Option<Fault>, IndexError> {
    let mut statement = view.prepare_cached(
        "SELECT stage, coalesce(error_code, 'failed'), coalesce(error_message, '') FROM jobs
         WHERE version = ?1 ORDER BY row DESC LIMIT 1",
    )?;
    let last: Option<(String, String, String)> =
        statement.query_row([version], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    Ok(match last {
        Some((stage, code, message)) if stage == "failed" => Some(Fault { code, message }),
        Some((stage, ..)) if stage == "cancelled" => {
            Some(Fault { code: "cancelled".to_owned(), message: "the job was cancelled".to_owned() })
        }
        _ => None,
    })
}

const DOCUMENT: &str = "
SELECT documents.id, collections.id, collections.name, documents.added, number, sha256, bytes, format, title,
    (SELECT count(*) FROM pages WHERE version = versions.row),
    (SELECT count(*) FROM passages WHERE version = documents.current),
    (SELECT stage FROM jobs WHERE version = documents.newest ORDER BY row DESC LIMIT 1)
FROM documents JOIN collections ON collections.row = documents.collection
JOIN versions ON versions.row = coalesce(documents.current, documents.newest) WHERE documents.row = ?1";

/// The whole description of a document.
fn describe(view: &Connection, at: &Located) -> Result<Document, IndexError> {
    let gaps = gaps(view, at.shown())?;
    let names = names(view, at.row)?;
    let error = fault(view, at.newest)?;
    let job = unfinished_job(view, at.newest)?;
    let mut statement = view.prepare_cached(DOCUMENT)?;
    let document = statement.query_row([at.row], |row| {
        let stage: Option<String> = row.get(11)?;
        Ok(Document {
            id: DocumentId::trusted(row.get(0)?),
            collection: CollectionId::trusted(row.get(1)?),
            collection_name: row.get(2)?,
            name: names.first().cloned().unwrap_or_default(),
            status: status(at, stage.as_deref(), !gaps.is_empty()),
            title: row.get(8)?,
            format: row.get(7)?,
            version: row.get(4)?,
            sha256: row.get(5)?,
            bytes: row.get::<_, i64>(6)? as u64,
            pages: row.get(9)?,
            passages: row.get(10)?,
            added: row.get(3)?,
            names,
            gaps,
            error,
            job,
        })
    })?;
    Ok(document)
}

fn status(at: &Located, stage: Option<&str>, gaps: bool) -> DocumentStatus {
    let committing = at.current == Some(at.newest) && stage == Some("indexing");
    if at.current.is_some() && !committing {
        return if gaps { DocumentStatus::Partial } else { DocumentStatus::Ready };
    }
    match stage {
        Some("queued") => DocumentStatus::Queued,
        Some("reading") => DocumentStatus::Reading,
        Some("embedding" | "indexing") => DocumentStatus::Indexing,
        _ => DocumentStatus::Failed,
    }
}

impl Store {
    /// A document by id, or by one of its names (in a collection, or in all that are visible where only one has it).
    pub fn document(
        &self,
        visible: &Visible,
        name_or_id: &str,
        collection: Option<&CollectionId>,
    ) -> Result<Document, IndexError> {
        self.catalogue.read("look a document up", |view| {
            if is_id(name_or_id) {
                match locate(view, visible, &DocumentId::parse(name_or_id)?, Level::Read) {
                    Ok(at) => {
                        let found = describe(view, &at)?;
                        if collection.is_none_or(|wanted| *wanted == found.collection) {
                            return Ok(found);
                        }
                    }
                    Err(IndexError::NotFound { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            describe(view, &locate_name(view, visible, name_or_id, collection)?)
        })
    }

    /// Documents of a collection by name, from behind the name `after`, at most `limit` (and at most 1,000).
    pub fn list_documents(
        &self,
        visible: &Visible,
        collection: &CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentList, IndexError> {
        let limit = limit.clamp(1, STRETCH_MAX);
        self.catalogue.read("list the documents", |view| {
            let row = need(view, visible, collection, Level::Read)?;
            let mut statement = view.prepare_cached(
                "SELECT documents.row, documents.collection, current, newest FROM names
                 JOIN documents ON documents.row = names.document
                 WHERE names.collection = ?1 AND position = 0 AND (?2 IS NULL OR names.name > ?2)
                 ORDER BY names.name LIMIT ?3",
            )?;
            let found: Vec<Located> =
                statement.query_map((row, after, limit as i64 + 1), located)?.collect::<Result<_, _>>()?;
            let documents: Vec<Document> =
                found.iter().take(limit).map(|at| describe(view, at)).collect::<Result<_, _>>()?;
            let next = (found.len() > limit).then(|| documents.last().map(|d| d.name.clone())).flatten();
            Ok(DocumentList { documents, next })
        })
    }

    /// The versions of a document, newest first.
    pub fn versions(&self, visible: &Visible, document: &DocumentId) -> Result<Vec<DocumentVersion>, IndexError> {
        self.catalogue.read("list the versions", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let mut statement = view.prepare_cached(
                "SELECT number, sha256, bytes, added, (SELECT count(*) FROM pages WHERE version = versions.row), row
                 FROM versions WHERE document = ?1 ORDER BY number DESC",
            )?;
            let version = |row: &Row<'_>| {
                Ok(DocumentVersion {
                    version: row.get(0)?,
                    sha256: row.get(1)?,
                    bytes: row.get::<_, i64>(2)? as u64,
                    added: row.get(3)?,
                    pages: row.get(4)?,
                    current: at.current == Some(row.get(5)?),
                })
            };
            let versions = statement.query_map([at.row], version)?.collect::<Result<_, _>>()?;
            Ok(versions)
        })
    }

    /// The page ledger of the version shown.
    pub fn ledger(&self, visible: &Visible, document: &DocumentId) -> Result<Vec<LedgerPage>, IndexError> {
        self.catalogue.read("read the page ledger", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let mut statement = view.prepare_cached(
                "SELECT number, outcome, reason, word_count FROM pages WHERE version = ?1 ORDER BY number",
            )?;
            let line = |row: &Row<'_>| {
                let outcome: String = row.get(1)?;
                Ok(LedgerPage {
                    page: row.get(0)?,
                    outcome: PageOutcome::from_word(&outcome).unwrap_or(PageOutcome::Failed),
                    reason: row.get(2)?,
                    words: row.get(3)?,
                })
            };
            let ledger = statement.query_map([at.shown()], line)?.collect::<Result<_, _>>()?;
            Ok(ledger)
        })
    }

    /// The bytes of the version shown, and their number.
    pub fn original(&self, visible: &Visible, document: &DocumentId) -> Result<(std::fs::File, u64), IndexError> {
        let (sha256, bytes) = self.catalogue.read("look an original up", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let mut statement = view.prepare_cached("SELECT sha256, bytes FROM versions WHERE row = ?1")?;
            let pair: (String, i64) = statement.query_row([at.shown()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(pair)
        })?;
        Ok((self.blobs.open_file(&sha256)?, bytes as u64))
    }

    /// What a scope holds and what of it could not be read. Empty `documents` = all of the scope.
    pub fn coverage(
        &self,
        visible: &Visible,
        collection: Option<&CollectionId>,
        documents: &[DocumentId],
    ) -> Result<Coverage, IndexError> {
        self.catalogue.read("sum a scope up", |view| {
            let scope = scope(view, visible, collection, documents)?;
            let mut coverage = Coverage::default();
            for at in scope {
                add_coverage(view, &at, &mut coverage)?;
            }
            Ok(coverage)
        })
    }
}

/// The documents of a scope; what is not visible is not there.
fn scope(
    view: &Connection,
    visible: &Visible,
    collection: Option<&CollectionId>,
    documents: &[DocumentId],
) -> Result<Vec<Located>, IndexError> {
    let only = collection.map(|id| need(view, visible, id, Level::Read)).transpose()?;
    let still = still_visible(view, visible)?;
    let inside = |at: &Located| still.contains_key(&at.collection) && only.is_none_or(|row| row == at.collection);
    let mut found = Vec::new();
    if documents.is_empty() {
        let mut statement =
            view.prepare_cached("SELECT row, collection, current, newest FROM documents ORDER BY row")?;
        for at in statement.query_map([], located)? {
            found.push(at?);
        }
    }
    for id in documents {
        let mut statement =
            view.prepare_cached("SELECT row, collection, current, newest FROM documents WHERE id = ?1")?;
        found.extend(statement.query_row([id.as_str()], located).optional()?);
    }
    found.retain(inside);
    found.sort_unstable_by_key(|at| at.row);
    found.dedup_by_key(|at| at.row);
    Ok(found)
}

fn add_coverage(view: &Connection, at: &Located, coverage: &mut Coverage) -> Result<(), IndexError> {
    coverage.documents += 1;
    let mut statement = view.prepare_cached(
        "SELECT documents.id, name FROM documents JOIN names ON names.document = documents.row AND position = 0
         WHERE documents.row = ?1",
    )?;
    let (id, name): (String, String) = statement.query_row([at.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut note = |page, reason| {
        if coverage.unread.len() < UNREAD_MAX {
            coverage.unread.push(Unread {
                document: DocumentId::trusted(id.clone()),
                name: name.clone(),
                page,
                reason,
            });
        }
    };
    let Some(current) = at.current else {
        let reason = match fault(view, at.newest)? {
            Some(fault) => format!("{}: {}", fault.code, fault.message),
            None => "not read yet".to_owned(),
        };
        note(0, reason);
        return Ok(());
    };
    for gap in gaps(view, current)? {
        note(gap.page, gap.reason);
    }
    let pages: i64 =
        view.prepare_cached("SELECT count(*) FROM pages WHERE version = ?1")?.query_row([current], |row| row.get(0))?;
    coverage.pages += pages as u64;
    Ok(())
}
