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
const NO_VERSION: IndexError = IndexError::NotFound { what: "version" };

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

    /// The version that was read: the current one, or the one of that number.
    pub(super) fn read(&self, view: &Connection, number: Option<u32>) -> Result<i64, IndexError> {
        let Some(number) = number else { return self.current.ok_or(NO_DOCUMENT) };
        let mut statement = view
            .prepare_cached("SELECT row FROM versions WHERE document = ?1 AND number = ?2 AND committed IS NOT NULL")?;
        statement.query_row((self.row, number), |row| row.get(0)).optional()?.ok_or(NO_VERSION)
    }

    /// The version whose bytes are wanted: the one shown, or the one of that number.
    fn stored(&self, view: &Connection, number: Option<u32>) -> Result<i64, IndexError> {
        let Some(number) = number else { return Ok(self.shown()) };
        let mut statement = view.prepare_cached("SELECT row FROM versions WHERE document = ?1 AND number = ?2")?;
        statement.query_row((self.row, number), |row| row.get(0)).optional()?.ok_or(NO_VERSION)
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

const GAPS: &str = "
SELECT number, coalesce(reason, outcome) FROM pages
WHERE version = ?1 AND outcome IN ('partial', 'failed', 'skipped') ORDER BY number";

fn gaps(view: &Connection, version: i64) -> Result<Vec<Gap>, IndexError> {
    let mut statement = view.prepare_cached(GAPS)?;
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
                "SELECT number, sha256, bytes, added, (SELECT count(*) FROM pages WHERE version = versions.row), row,
                    committed, format
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
                    committed: row.get(6)?,
                    format: row.get(7)?,
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
        self.original_at(visible, document, None)
    }

    /// The bytes of a version, and their number; `None` is the version shown.
    pub fn original_at(
        &self,
        visible: &Visible,
        document: &DocumentId,
        version: Option<u32>,
    ) -> Result<(std::fs::File, u64), IndexError> {
        let (sha256, bytes) = self.catalogue.read("look an original up", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let mut statement = view.prepare_cached("SELECT sha256, bytes FROM versions WHERE row = ?1")?;
            let pair: (String, i64) =
                statement.query_row([at.stored(view, version)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(pair)
        })?;
        Ok((self.blobs.open_file(&sha256)?, bytes as u64))
    }

    /// What a scope holds and what of it could not be read. Empty `documents` = all of the scope.
    ///
    /// A document whose newest version is not (yet) the one that is searched has a line for page 0 that says so.
    pub fn coverage(
        &self,
        visible: &Visible,
        collection: Option<&CollectionId>,
        documents: &[DocumentId],
    ) -> Result<Coverage, IndexError> {
        self.catalogue.read("sum a scope up", |view| {
            let mut coverage = Coverage::default();
            let mut unread = Vec::new();
            for part in parts(view, visible, collection, documents)? {
                add_part(view, &part, &mut coverage, &mut unread)?;
            }
            unread.sort_by_key(|(document, line)| (*document, line.page));
            unread.truncate(UNREAD_MAX);
            coverage.unread = unread.into_iter().map(|(_, line)| line).collect();
            Ok(coverage)
        })
    }
}

/// What the coverage of a scope is summed up from: whole collections, or documents.
struct Part {
    /// Compares the part's row, `?1`, with a column.
    rows: &'static str,
    row: i64,
}

const WHOLE: &str = "documents.collection = ?1";
const ONE: &str = "documents.row = ?1";

/// The parts of a scope; what is not visible is not there.
fn parts(
    view: &Connection,
    visible: &Visible,
    collection: Option<&CollectionId>,
    documents: &[DocumentId],
) -> Result<Vec<Part>, IndexError> {
    let only = collection.map(|id| need(view, visible, id, Level::Read)).transpose()?;
    let mut still = still_visible(view, visible)?;
    still.retain(|row, _| only.is_none_or(|only| only == *row));
    if documents.is_empty() {
        return Ok(still.into_keys().map(|row| Part { rows: WHOLE, row }).collect());
    }
    let mut statement = view.prepare_cached("SELECT row, collection FROM documents WHERE id = ?1")?;
    let mut rows = std::collections::BTreeSet::new();
    for id in documents {
        let found: Option<(i64, i64)> =
            statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        rows.extend(found.filter(|(_, collection)| still.contains_key(collection)).map(|(row, _)| row));
    }
    Ok(rows.into_iter().map(|row| Part { rows: ONE, row }).collect())
}

/// Documents and pages of a part that can be searched.
fn sizes_sql(rows: &str) -> String {
    format!(
        "SELECT count(current), coalesce(sum((SELECT count(*) FROM pages WHERE version = documents.current)
            - (SELECT count(*) FROM pages WHERE version = documents.current
                AND outcome IN ('partial', 'failed', 'skipped') AND outcome <> 'partial')), 0)
         FROM documents WHERE {rows}"
    )
}

/// Pages of a part that are not in the index.
fn gaps_sql(rows: &str) -> String {
    format!(
        "SELECT documents.row, documents.id, names.name, pages.number, coalesce(pages.reason, pages.outcome)
         FROM documents CROSS JOIN pages ON pages.version = documents.current AND outcome IN ('partial', 'failed', 'skipped')
         JOIN names ON names.document = documents.row AND position = 0
         WHERE {rows} ORDER BY documents.row, pages.number LIMIT {UNREAD_MAX}"
    )
}

/// Documents of a part whose newest version is not the one that is searched; those that hold nothing to read are no gap.
fn behind_sql(rows: &str) -> String {
    format!(
        "SELECT documents.row, documents.id, names.name, newest, fresh.number, shown.number
         FROM documents JOIN names ON names.document = documents.row AND position = 0
         JOIN versions AS fresh ON fresh.row = newest LEFT JOIN versions AS shown ON shown.row = current
         WHERE {rows} AND newest IS NOT current
            AND NOT (current IS NULL AND 'empty' IS (
                    SELECT CASE stage WHEN 'failed' THEN error_code END FROM jobs
                    WHERE jobs.version = newest ORDER BY jobs.row DESC LIMIT 1)
                AND NOT EXISTS(SELECT 1 FROM pages WHERE version = newest AND outcome IN ('partial', 'failed', 'skipped')))
         ORDER BY documents.row LIMIT {UNREAD_MAX}"
    )
}

/// Adds what a part holds; `unread` are lines with the row of their document.
fn add_part(
    view: &Connection,
    part: &Part,
    coverage: &mut Coverage,
    unread: &mut Vec<(i64, Unread)>,
) -> Result<(), IndexError> {
    let (documents, pages): (i64, i64) =
        view.prepare_cached(&sizes_sql(part.rows))?.query_row([part.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    coverage.documents += documents as u64;
    coverage.pages += pages as u64;
    let line = |row: &Row<'_>, page: u32, reason: String| {
        let document = DocumentId::trusted(row.get(1)?);
        Ok::<_, rusqlite::Error>((row.get(0)?, Unread { document, name: row.get(2)?, page, reason }))
    };
    let mut statement = view.prepare_cached(&behind_sql(part.rows))?;
    let mut rows = statement.query([part.row])?;
    while let Some(row) = rows.next()? {
        let why = match fault(view, row.get(3)?)? {
            Some(fault) => format!("{}: {}", fault.code, fault.message),
            None => "not read yet".to_owned(),
        };
        let reason = match row.get::<_, Option<u32>>(5)? {
            Some(shown) => format!("version {}: {why}; version {shown} is searched", row.get::<_, u32>(4)?),
            None => why,
        };
        unread.push(line(row, 0, reason)?);
    }
    let mut statement = view.prepare_cached(&gaps_sql(part.rows))?;
    let mut rows = statement.query([part.row])?;
    while let Some(row) = rows.next()? {
        unread.push(line(row, row.get(3)?, row.get(4)?)?);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn plan(view: &Connection, sql: &str) -> String {
        let mut statement = view.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = statement.query_map([1], |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn gaps_are_found_by_their_index() {
        let dir = tempfile::tempdir().unwrap();
        let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.sqlite"), false).unwrap();
        catalogue
            .read("explain", |view| {
                for sql in [GAPS.to_owned(), gaps_sql(WHOLE), gaps_sql(ONE)] {
                    let plan = plan(view, &sql);
                    assert!(plan.contains("pages_gaps (version=?"), "{sql}: {plan}");
                }
                for sql in [sizes_sql(WHOLE), gaps_sql(WHOLE), behind_sql(WHOLE)] {
                    let plan = plan(view, &sql);
                    assert!(plan.contains("documents_collection (collection=?"), "{sql}: {plan}");
                }
                for sql in [sizes_sql(WHOLE), sizes_sql(ONE)] {
                    let plan = plan(view, &sql);
                    assert!(plan.contains("pages USING COVERING INDEX"), "{sql}: {plan}");
                }
                Ok(())
            })
            .unwrap();
    }
}
