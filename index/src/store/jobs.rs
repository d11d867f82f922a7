//! Jobs: what is to be read, kept so that a kill loses nothing.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{Store, collections::still_visible, documents::locate, pages::pages_of, place};
use crate::{
    CollectionId, DocumentId, Fault, IndexError, Job, JobFilter, JobId, Level, PageInput, PageOutcome, ReadingStart,
    Stage, Visible,
    packing::{WORDS_MAX, checksum, pack_blocks, pack_strings, pack_words},
};

/// Times that a job may end the process without getting further.
const ATTEMPTS_MAX: u32 = 10;
/// From so many on, a job is suspected of ending the process: it runs alone, after all others, and not at once.
const ATTEMPTS_SUSPECT: u32 = 3;
/// Seconds that the process must have been up for a suspect, for each attempt from then on.
const SUSPECT_SECONDS: u32 = 10;
/// Pages of one document.
const PAGES_MAX: u32 = 100_000;
/// Bytes of text of one page.
const PAGE_TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Jobs that one list gives.
const JOBS_MAX: i64 = 10_000;
const NO_JOB: IndexError = IndexError::NotFound { what: "job" };

const JOB: &str = "
SELECT jobs.id, documents.id, collections.id, number, sha256, bytes,
    (SELECT name FROM names WHERE names.document = documents.row AND position = 0),
    stage, attempts, (SELECT count(*) FROM pages WHERE pages.version = versions.row), pages_total,
    (SELECT count(*) FROM pages WHERE pages.version = versions.row AND outcome IN ('partial', 'failed', 'skipped')),
    error_code, error_message, jobs.created, jobs.updated
FROM jobs JOIN versions ON versions.row = jobs.version JOIN documents ON documents.row = versions.document
JOIN collections ON collections.row = documents.collection";

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let stage: String = row.get(7)?;
    let code: Option<String> = row.get(12)?;
    let message: Option<String> = row.get(13)?;
    Ok(Job {
        id: JobId::trusted(row.get(0)?),
        document: DocumentId::trusted(row.get(1)?),
        collection: CollectionId::trusted(row.get(2)?),
        version: row.get(3)?,
        sha256: row.get(4)?,
        bytes: row.get::<_, i64>(5)? as u64,
        name: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        stage: Stage::from_word(&stage).unwrap_or(Stage::Failed),
        attempts: row.get(8)?,
        pages_done: row.get(9)?,
        pages_total: row.get(10)?,
        gaps: row.get(11)?,
        error: code.map(|code| Fault { code, message: message.unwrap_or_default() }),
        created: row.get(14)?,
        updated: row.get(15)?,
    })
}

/// A job under way: its row and the row of its version. Ended ones are cancelled for whoever still works on them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) row: i64,
    pub(super) version: i64,
}

pub(super) fn running(view: &Connection, id: &JobId) -> Result<Running, IndexError> {
    let mut statement = view.prepare_cached("SELECT row, version, stage FROM jobs WHERE id = ?1")?;
    let found: Option<(i64, i64, String)> =
        statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    match found {
        Some((row, version, stage)) if !matches!(stage.as_str(), "done" | "failed" | "cancelled") => {
            Ok(Running { row, version })
        }
        _ => Err(IndexError::Cancelled),
    }
}

/// Puts jobs that a killed process left back in the queue; gives up those that ended it too often. Gives (resumed, given up).
pub(super) fn recover(tx: &Transaction<'_>, now: &str) -> Result<(u64, u64), IndexError> {
    let crashed = tx.execute(
        "UPDATE jobs SET stage = 'failed', taken = 0, error_code = 'crashed', updated = ?2,
            error_message = 'reading it ended the program ' || attempts || ' times'
         WHERE taken = 1 AND attempts >= ?1 AND stage NOT IN ('done', 'failed', 'cancelled')
            AND (SELECT committed FROM versions WHERE row = jobs.version) IS NULL",
        (ATTEMPTS_MAX, now),
    )?;
    let resumed = tx.execute(
        "UPDATE jobs SET stage = 'queued', taken = 0, updated = ?1
         WHERE taken = 1 AND stage NOT IN ('done', 'failed', 'cancelled')
            AND (SELECT committed FROM versions WHERE row = jobs.version) IS NULL",
        [now],
    )?;
    Ok((resumed as u64, crashed as u64))
}

impl Store {
    /// Takes the next job: those that ended the process before come last, then the oldest first.
    ///
    /// Each taking counts as an attempt until a page more is kept; after ten the next open gives the job up. From the third on
    /// the job has to wait: until no other is queued or taken, and until the process has been up (`uptime`) for ten seconds
    /// more with each attempt. So a document that brings the program down does so ever more rarely, and one that was only
    /// under way when the machine was switched off again and again is not taken for such a one.
    pub fn next_job(&self, uptime: Duration) -> Result<Option<Job>, IndexError> {
        let waiting = self.catalogue.read("look for a job", |view| {
            let mut statement =
                view.prepare_cached("SELECT EXISTS(SELECT 1 FROM jobs WHERE stage = 'queued' AND taken = 0)")?;
            Ok(statement.query_row([], |row| row.get::<_, bool>(0))?)
        })?;
        if !waiting {
            return Ok(None);
        }
        self.catalogue.write_on_the_way("take a job", |tx| {
            let next: Option<(i64, i64)> = tx
                .prepare_cached(
                    "SELECT row, version FROM jobs WHERE stage = 'queued' AND taken = 0 AND (attempts < ?1
                        OR (attempts - ?1 + 1) * ?2 <= ?3 AND NOT EXISTS(SELECT 1 FROM jobs WHERE taken = 1))
                     ORDER BY attempts, row LIMIT 1",
                )?
                .query_row((ATTEMPTS_SUSPECT, SUSPECT_SECONDS, i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX)), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((row, version)) = next else { return Ok(None) };
            tx.prepare_cached(
                "UPDATE jobs SET stage = 'reading', taken = 1, updated = ?2,
                    attempts = 1 + CASE WHEN (SELECT count(*) FROM pages WHERE version = ?3) > progress THEN 0 ELSE attempts END,
                    progress = (SELECT count(*) FROM pages WHERE version = ?3)
                 WHERE row = ?1",
            )?
            .execute((row, self.clock.now(), version))?;
            let sql = format!("{JOB} WHERE jobs.row = ?1");
            Ok(Some(tx.prepare_cached(&sql)?.query_row([row], job)?))
        })
    }

    /// A job.
    pub fn job(&self, id: &JobId) -> Result<Job, IndexError> {
        self.catalogue.read("look a job up", |view| {
            let sql = format!("{JOB} WHERE jobs.id = ?1");
            view.prepare_cached(&sql)?.query_row([id.as_str()], job).optional()?.ok_or(NO_JOB)
        })
    }

    /// Jobs of visible collections, oldest first; of these the newest, as many as the filter wants and at most 10,000.
    pub fn jobs(&self, visible: &Visible, filter: &JobFilter) -> Result<Vec<Job>, IndexError> {
        self.catalogue.read("list the jobs", |view| {
            let still = still_visible(view, visible)?;
            let sql = format!(
                "{JOB} WHERE (?1 IS NULL OR collections.id = ?1) AND (?2 IS NULL OR documents.id = ?2)
                 AND (NOT ?3 OR stage NOT IN ('done', 'failed', 'cancelled'))
                 AND collections.row IN (SELECT value FROM json_each(?4)) ORDER BY jobs.row DESC LIMIT ?5"
            );
            let mut statement = view.prepare_cached(&sql)?;
            let collection = filter.collection.as_ref().map(CollectionId::as_str);
            let document = filter.document.as_ref().map(DocumentId::as_str);
            let rows: Vec<i64> = still.into_keys().collect();
            let (rows, limit) =
                (format!("{rows:?}"), filter.limit.map_or(JOBS_MAX, |limit| JOBS_MAX.min(limit as i64)));
            let found = statement.query_map((collection, document, filter.unfinished, rows, limit), job)?;
            let mut found: Vec<Job> = found.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }

    /// Notes what is known when reading starts.
    pub fn start_reading(&self, id: &JobId, start: &ReadingStart) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.catalogue.write_on_the_way("note the start of reading", |tx| {
            let at = running(tx, id)?;
            tx.prepare_cached("UPDATE jobs SET stage = 'reading', pages_total = ?2, updated = ?3 WHERE row = ?1")?
                .execute((at.row, start.pages, &now))?;
            tx.prepare_cached("UPDATE versions SET format = ?2, title = ?3 WHERE row = ?1")?.execute((
                at.version,
                &start.format,
                &start.title,
            ))?;
            Ok(())
        })
    }

    /// Notes where a job stands: reading, embedding or indexing.
    pub fn set_stage(&self, id: &JobId, stage: Stage) -> Result<(), IndexError> {
        if !matches!(stage, Stage::Reading | Stage::Embedding | Stage::Indexing) {
            let detail = format!("{} is reached in another way", stage.as_str());
            return Err(IndexError::Invalid { what: "the stage", detail });
        }
        let now = self.clock.now();
        self.catalogue.write_on_the_way("note the stage of a job", |tx| {
            let at = running(tx, id)?;
            tx.prepare_cached("UPDATE jobs SET stage = ?2, updated = ?3 WHERE row = ?1")?.execute((
                at.row,
                stage.as_str(),
                &now,
            ))?;
            Ok(())
        })
    }

    /// Keeps a page, unseen until the commit. A page saved again replaces the first.
    pub fn save_page(&self, id: &JobId, page: &PageInput) -> Result<(), IndexError> {
        check_page(page)?;
        let now = self.clock.now();
        self.catalogue.write_on_the_way("keep a page", |tx| {
            let at = running(tx, id)?;
            insert_page(tx, at.version, page)?;
            tx.prepare_cached("UPDATE jobs SET updated = ?2 WHERE row = ?1")?.execute((at.row, &now))?;
            Ok(())
        })
    }

    /// Enters a page that could not be read in the ledger.
    pub fn save_page_failure(&self, id: &JobId, page: u32, code: &str, message: &str) -> Result<(), IndexError> {
        let failed = PageInput {
            number: page,
            place: None,
            width: 0.0,
            height: 0.0,
            text: String::new(),
            blocks: Vec::new(),
            words: Vec::new(),
            outcome: PageOutcome::Failed,
            reason: Some(format!("{code}: {message}")),
            problems: Vec::new(),
        };
        self.save_page(id, &failed)
    }

    /// The pages kept so far, by number.
    pub fn saved_pages(&self, id: &JobId) -> Result<Vec<PageInput>, IndexError> {
        self.catalogue.read("read the pages kept", |view| {
            let at = running(view, id)?;
            Ok(pages_of(view, at.version)?.into_iter().map(|stored| stored.page).collect())
        })
    }

    /// Gives a job up. What an earlier version holds stays as it is; nothing happens to a job that is committed or has ended.
    pub fn fail_job(&self, id: &JobId, code: &str, message: &str) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.catalogue.write("give a job up", |tx| {
            tx.prepare_cached(
                "UPDATE jobs SET stage = 'failed', taken = 0, error_code = ?2, error_message = ?3, updated = ?4
                 WHERE id = ?1 AND stage NOT IN ('done', 'failed', 'cancelled')
                    AND (SELECT committed FROM versions WHERE row = jobs.version) IS NULL",
            )?
            .execute((id.as_str(), code, message, &now))?;
            Ok(())
        })
    }

    /// Puts a job back unharmed, for an orderly shutdown.
    pub fn release_job(&self, id: &JobId) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.catalogue.write("put a job back", |tx| {
            tx.prepare_cached(
                "UPDATE jobs SET stage = 'queued', taken = 0, attempts = max(attempts - 1, 0), updated = ?2
                 WHERE id = ?1 AND taken = 1 AND stage NOT IN ('done', 'failed', 'cancelled')
                    AND (SELECT committed FROM versions WHERE row = jobs.version) IS NULL",
            )?
            .execute((id.as_str(), &now))?;
            Ok(())
        })
    }

    /// Stops a job; nothing happens to one that is committed or has ended. Needs write.
    pub fn cancel_job(&self, visible: &Visible, id: &JobId) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.catalogue.write("cancel a job", |tx| {
            let sql = format!("{JOB} WHERE jobs.id = ?1");
            let found = tx.prepare_cached(&sql)?.query_row([id.as_str()], job).optional()?.ok_or(NO_JOB)?;
            locate(tx, visible, &found.document, Level::Write).map_err(|e| match e {
                IndexError::NotFound { .. } => NO_JOB,
                other => other,
            })?;
            tx.prepare_cached(
                "UPDATE jobs SET stage = 'cancelled', taken = 0, updated = ?2
                 WHERE id = ?1 AND stage NOT IN ('done', 'failed', 'cancelled')
                    AND (SELECT committed FROM versions WHERE row = jobs.version) IS NULL",
            )?
            .execute((id.as_str(), &now))?;
            Ok(())
        })
    }

    /// Queues the newest version of a document again, from its first page. Needs write.
    pub fn retry(&self, visible: &Visible, document: &DocumentId) -> Result<JobId, IndexError> {
        let now = self.clock.now();
        self.catalogue.write("queue a document again", |tx| {
            let at = locate(tx, visible, document, Level::Write)?;
            if let Some(job) = place::unfinished_job(tx, at.newest)? {
                return Ok(job);
            }
            if at.current != Some(at.newest) {
                tx.prepare_cached("DELETE FROM pages WHERE version = ?1")?.execute([at.newest])?;
                return place::add_job(self, tx, at.newest, &now);
            }
            place::again(self, tx, at.row, &now)
        })
    }
}

fn check_page(page: &PageInput) -> Result<(), IndexError> {
    let limits = [
        ("the page number", u64::from(page.number), u64::from(PAGES_MAX)),
        ("the text of a page, in bytes,", page.text.len() as u64, PAGE_TEXT_BYTES_MAX as u64),
        ("the number of words of a page", page.words.len() as u64, WORDS_MAX as u64),
        ("the number of blocks of a page", page.blocks.len() as u64, WORDS_MAX as u64),
    ];
    if let Some((what, value, max)) = limits.into_iter().find(|(_, value, max)| value > max) {
        return Err(IndexError::Limit { what, value, max });
    }
    if page.number == 0 {
        return Err(IndexError::Invalid { what: "the page number", detail: "pages count from 1".to_owned() });
    }
    let chars = page.text.chars().count() as u32;
    let outside = page.words.iter().any(|w| w.start > w.end || w.end > chars)
        || page.blocks.iter().any(|b| b.start > b.end || b.end > chars);
    if outside {
        let detail = format!("page {}: a word or block lies outside its {chars} characters", page.number);
        return Err(IndexError::Invalid { what: "the page", detail });
    }
    Ok(())
}

fn insert_page(tx: &Transaction<'_>, version: i64, page: &PageInput) -> Result<(), IndexError> {
    let words = page.text.split_whitespace().count() as i64;
    let finite = |v: f32| if v.is_finite() { v } else { 0.0 };
    tx.prepare_cached(
        "INSERT OR REPLACE INTO pages(version, number, place, width, height, text, checksum, chars, word_count, words,
            blocks, outcome, reason, problems) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute((
        version,
        page.number,
        &page.place,
        finite(page.width),
        finite(page.height),
        &page.text,
        checksum(page.text.as_bytes()),
        page.text.chars().count() as i64,
        words,
        pack_words(&page.words),
        pack_blocks(&page.blocks),
        page.outcome.as_str(),
        &page.reason,
        pack_strings(&page.problems),
    ))?;
    Ok(())
}
