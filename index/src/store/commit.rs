//! Making a document visible.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{
    Store,
    jobs::{Running, running},
    pages::{SEPARATOR_CHARS, canonical_text},
};
use crate::{
    EmbedderId, IndexError, JobId, NewPassage, Unembedded,
    catalogue::{Change, Operation, next_edition},
    packing::{checksum, pack_strings, pack_vector, unpack_strings},
};

/// Passages of one document.
const PASSAGES_MAX: usize = 1_000_000;
/// Headings above one passage.
const HEADINGS_MAX: usize = 64;

impl Store {
    /// Makes a document visible in one transaction, in place of its version before; then brings the derived stores to it.
    ///
    /// `vectors` has one row a passage, of the store's embedder, or is empty. The text of each passage must be the canonical text at its
    /// offsets. Gives the edition. When the derived stores cannot follow (a full disk), the error says so, nothing is lost, and
    /// the next commit or open goes on from there.
    pub fn commit_document(
        &self,
        id: &JobId,
        passages: &[NewPassage],
        vectors: &[Vec<f32>],
    ) -> Result<u64, IndexError> {
        let embedder = self.embedder()?;
        check(passages, vectors, embedder.as_ref())?;
        let now = self.clock.now();
        let edition = self.catalogue.write("commit a document", |tx| {
            let at = running(tx, id)?;
            if let Some(done) = committed_before(tx, at)? {
                return Ok(done);
            }
            let (document, before) = newest_only(tx, at)?;
            set_page_starts(tx, at.version)?;
            insert_passages(tx, at.version, passages)?;
            insert_vectors(tx, at.version, vectors, embedder.as_ref())?;
            let mut changes = vec![Change { operation: Operation::Add, version: at.version }];
            if let Some(old) = before {
                tx.prepare_cached("DELETE FROM passages WHERE version = ?1")?.execute([old])?;
                changes.insert(0, Change { operation: Operation::Drop, version: old });
            }
            tx.prepare_cached("UPDATE documents SET current = ?2 WHERE row = ?1")?.execute((document, at.version))?;
            tx.prepare_cached("UPDATE versions SET committed = ?2 WHERE row = ?1")?.execute((at.version, &now))?;
            tx.prepare_cached("UPDATE jobs SET stage = 'indexing', updated = ?2 WHERE row = ?1")?
                .execute((at.row, &now))?;
            next_edition(tx, &changes)
        })?;
        super::failpoint("committed");
        self.catch_up()?;
        Ok(edition)
    }

    /// Passages that have no vector of the present embedder, lowest rows first.
    pub fn passages_without_vector(&self, limit: usize) -> Result<Vec<Unembedded>, IndexError> {
        let Some(embedder) = self.embedder()? else { return Ok(Vec::new()) };
        self.catalogue.read("look for passages without a vector", |view| {
            let mut statement = view.prepare_cached(
                "SELECT passages.row, heading_path, passages.text FROM passages LEFT JOIN vectors ON vectors.passage = passages.row
                    AND vectors.embedder = (SELECT row FROM embedders WHERE sha256 = ?1 AND dimension = ?2)
                 WHERE vectors.passage IS NULL ORDER BY passages.row LIMIT ?3",
            )?;
            let mut rows = statement.query((&embedder.sha256, embedder.dimension as i64, limit as i64))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let heading_path = unpack_strings(&row.get::<_, String>(1)?)?;
                found.push(Unembedded { passage: row.get(0)?, heading_path, text: row.get(2)? });
            }
            Ok(found)
        })
    }

    /// Keeps vectors of passages that had none; passages that have gone meanwhile are passed over. Gives the edition.
    pub fn save_vectors(&self, vectors: &[(i64, Vec<f32>)]) -> Result<u64, IndexError> {
        let embedder = self.embedder()?;
        for (_, vector) in vectors {
            check_vector(vector, embedder.as_ref())?;
        }
        let edition = self.catalogue.write("keep vectors", |tx| {
            let embedder = embedder_row(tx, embedder.as_ref())?;
            let mut versions = Vec::new();
            for (passage, vector) in vectors {
                let version: Option<i64> = tx
                    .prepare_cached("SELECT version FROM passages WHERE row = ?1")?
                    .query_row([passage], |row| row.get(0))
                    .optional()?;
                let Some(version) = version else { continue };
                insert_vector(tx, *passage, embedder, vector)?;
                versions.push(version);
            }
            versions.sort_unstable();
            versions.dedup();
            let changes: Vec<Change> =
                versions.into_iter().map(|version| Change { operation: Operation::Add, version }).collect();
            next_edition(tx, &changes)
        })?;
        self.catch_up()?;
        Ok(edition)
    }
}

fn check(passages: &[NewPassage], vectors: &[Vec<f32>], embedder: Option<&EmbedderId>) -> Result<(), IndexError> {
    if passages.len() > PASSAGES_MAX {
        return Err(IndexError::Limit {
            what: "the number of passages of a document",
            value: passages.len() as u64,
            max: PASSAGES_MAX as u64,
        });
    }
    if !vectors.is_empty() && vectors.len() != passages.len() {
        let detail = format!("{} vectors for {} passages", vectors.len(), passages.len());
        return Err(IndexError::Invalid { what: "the commit", detail });
    }
    if passages.iter().any(|p| p.heading_path.len() > HEADINGS_MAX) {
        return Err(IndexError::Invalid { what: "a heading path", detail: "it has more than 64 headings".to_owned() });
    }
    vectors.iter().try_for_each(|vector| check_vector(vector, embedder))
}

/// Refuses vectors that could not be compared with the others.
pub(super) fn check_vector(vector: &[f32], embedder: Option<&EmbedderId>) -> Result<(), IndexError> {
    let Some(embedder) = embedder else {
        let detail = "the store was not told which model makes them".to_owned();
        return Err(IndexError::Invalid { what: "the vectors", detail });
    };
    if vector.len() != embedder.dimension {
        let detail = format!("it has {} numbers, the model gives {}", vector.len(), embedder.dimension);
        return Err(IndexError::Invalid { what: "a vector", detail });
    }
    if !vector.iter().all(|v| v.is_finite()) {
        return Err(IndexError::Invalid { what: "a vector", detail: "it holds a number that is none".to_owned() });
    }
    Ok(())
}

/// The edition of an earlier commit of the same job, whose derived stores did not follow.
fn committed_before(tx: &Connection, at: Running) -> Result<Option<u64>, IndexError> {
    let committed: Option<String> = tx
        .prepare_cached("SELECT committed FROM versions WHERE row = ?1")?
        .query_row([at.version], |row| row.get(0))?;
    committed.map(|_| crate::catalogue::edition(tx)).transpose()
}

/// The document and the version that is current; a version that is no longer the newest is not committed.
fn newest_only(tx: &Connection, at: Running) -> Result<(i64, Option<i64>), IndexError> {
    let mut statement = tx.prepare_cached(
        "SELECT documents.row, current, newest FROM documents JOIN versions ON versions.document = documents.row
         WHERE versions.row = ?1",
    )?;
    let (document, current, newest): (i64, Option<i64>, i64) =
        statement.query_row([at.version], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if newest == at.version { Ok((document, current)) } else { Err(IndexError::Cancelled) }
}

/// Gives each page its offset in the canonical text; numbers that are missing count as empty pages.
fn set_page_starts(tx: &Transaction<'_>, version: i64) -> Result<(), IndexError> {
    let mut statement = tx.prepare_cached("SELECT number, chars FROM pages WHERE version = ?1 ORDER BY number")?;
    let pages: Vec<(u32, u32)> =
        statement.query_map([version], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut update = tx.prepare_cached("UPDATE pages SET start = ?3 WHERE version = ?1 AND number = ?2")?;
    let (mut start, mut last) = (0_u32, 1_u32);
    for (number, chars) in pages {
        start += (number - last) * SEPARATOR_CHARS;
        update.execute((version, number, start))?;
        (start, last) = (start + chars, number);
    }
    Ok(())
}

fn insert_passages(tx: &Transaction<'_>, version: i64, passages: &[NewPassage]) -> Result<(), IndexError> {
    let text = canonical_text(tx, version)?;
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut insert = tx.prepare_cached(
        "INSERT INTO passages(version, ordinal, start, end, page, place, heading_path, text, checksum)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (ordinal, passage) in passages.iter().enumerate() {
        let (start, end) = (passage.start as usize, passage.end as usize);
        let inside = start < end && end < starts.len();
        if !inside || text[starts[start]..starts[end]] != passage.text {
            let detail = format!("{start}..{end} does not hold its text in a text of {} characters", starts.len() - 1);
            return Err(IndexError::Invalid { what: "a passage", detail });
        }
        insert.execute((
            version,
            ordinal as i64,
            passage.start,
            passage.end,
            passage.page,
            &passage.place,
            pack_strings(&passage.heading_path),
            &passage.text,
            checksum(passage.text.as_bytes()),
        ))?;
    }
    Ok(())
}

fn insert_vectors(
    tx: &Transaction<'_>,
    version: i64,
    vectors: &[Vec<f32>],
    embedder: Option<&EmbedderId>,
) -> Result<(), IndexError> {
    if vectors.is_empty() {
        return Ok(());
    }
    let embedder = embedder_row(tx, embedder)?;
    let mut statement = tx.prepare_cached("SELECT row FROM passages WHERE version = ?1 ORDER BY ordinal")?;
    let rows: Vec<i64> = statement.query_map([version], |row| row.get(0))?.collect::<Result<_, _>>()?;
    rows.iter().zip(vectors).try_for_each(|(row, vector)| insert_vector(tx, *row, embedder, vector))
}

fn insert_vector(tx: &Transaction<'_>, passage: i64, embedder: i64, vector: &[f32]) -> Result<(), IndexError> {
    let data = pack_vector(vector);
    let sum = checksum(&data);
    tx.prepare_cached("INSERT OR REPLACE INTO vectors(passage, embedder, data, checksum) VALUES(?1, ?2, ?3, ?4)")?
        .execute((passage, embedder, data, sum))?;
    Ok(())
}

/// The row of the embedder, made where it is new.
fn embedder_row(tx: &Transaction<'_>, embedder: Option<&EmbedderId>) -> Result<i64, IndexError> {
    let embedder = embedder.ok_or_else(|| IndexError::Invalid {
        what: "the vectors",
        detail: "the store was not told which model makes them".to_owned(),
    })?;
    tx.prepare_cached("INSERT OR IGNORE INTO embedders(sha256, dimension) VALUES(?1, ?2)")?
        .execute((&embedder.sha256, embedder.dimension as i64))?;
    Ok(tx
        .prepare_cached("SELECT row FROM embedders WHERE sha256 = ?1 AND dimension = ?2")?
        .query_row((&embedder.sha256, embedder.dimension as i64), |row| row.get(0))?)
}
