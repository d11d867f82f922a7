//! The catalogue: one SQLite file, the truth of the store.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use crate::IndexError;

/// How long a statement waits for a lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Reader connections kept open; more are opened under load and closed afterwards.
const READERS_KEPT: usize = 8;
/// Statements that each connection keeps compiled.
const STATEMENTS_KEPT: usize = 128;

/// One writer connection and a pool of readers over `catalogue.sqlite`.
#[derive(Debug)]
pub(crate) struct Catalogue {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// What opening the catalogue found.
#[derive(Debug, Default)]
pub(crate) struct CatalogueOpened {
    /// Schema numbers before and after a migration of an older file.
    pub(crate) migrated: Option<(i64, i64)>,
}

impl From<rusqlite::Error> for IndexError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Catalogue { attempt: "", source }
    }
}

impl Catalogue {
    /// Opens or makes the file and brings its schema up to date. With `check`, the file's pages are examined first.
    pub(crate) fn open(path: &Path, check: bool) -> Result<(Self, CatalogueOpened), IndexError> {
        let found = path.exists();
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(|e| opening(path, e))?;
        schema::refuse_newer(&writer).map_err(|e| opening(path, e))?;
        if check && found {
            quick_check(&writer).map_err(|e| opening(path, e))?;
        }
        let migrated = schema::migrate(&mut writer).map_err(|e| opening(path, e))?;
        let catalogue = Self { path: path.to_path_buf(), writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) };
        Ok((catalogue, CatalogueOpened { migrated: migrated.filter(|_| found) }))
    }

    /// Runs `work` on one unchanging view of the catalogue.
    pub(crate) fn read<T>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let result = (|| {
            let connection = match pooled {
                Some(connection) => connection,
                None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
                    connection.pragma_update(None, "query_only", true)?;
                    Ok(connection)
                })?,
            };
            let view = connection.unchecked_transaction()?;
            let result = work(&view);
            drop(view);
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS_KEPT {
                readers.push(connection);
            }
            result
        })();
        result.map_err(|e| self.named(attempt, e))
    }

    /// Runs `work` as one durable transaction; an error undoes all of it.
    pub(crate) fn write<T>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        transact(&mut self.writer(), work).map_err(|e| self.named(attempt, e))
    }

    /// Like [`Catalogue::write`] for what a worker notes on its way: it survives a kill of the process at once, and a power cut from
    /// the next durable transaction on. Until then a power cut costs that note and those after it, never the order.
    pub(crate) fn write_on_the_way<T>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let mut writer = self.writer();
        let result = (|| {
            writer.pragma_update(None, "synchronous", "NORMAL")?;
            let result = transact(&mut writer, work);
            writer.pragma_update(None, "synchronous", "FULL")?;
            result
        })();
        result.map_err(|e| self.named(attempt, e))
    }

    /// Moves the write-ahead log into the file and empties it, so that what was deleted is in neither.
    pub(crate) fn checkpoint(&self) -> Result<bool, IndexError> {
        // Idle readers hold no view of the file; closing them returns their caches too.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let busy: i64 = self
            .writer()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|e| self.named("empty the write-ahead log", e.into()))?;
        Ok(busy == 0)
    }

    /// Reads every page of the file and every index; gives the first problems.
    pub(crate) fn integrity(&self) -> Result<Vec<String>, IndexError> {
        self.read("check the file", |view| {
            let mut problems = pragma_lines(view, "PRAGMA integrity_check(20)")?;
            problems.retain(|line| line != "ok");
            let mut statement = view.prepare("PRAGMA foreign_key_check")?;
            let broken = statement.query_map([], |row| row.get::<_, String>(0))?;
            for table in broken.take(20) {
                problems.push(format!("a row of {} refers to nothing", table?));
            }
            Ok(problems)
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while the writer was held rolled its transaction back when it unwound.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, attempt: &'static str, error: IndexError) -> IndexError {
        match error {
            IndexError::Catalogue { attempt: "", source } => name_error(&self.path, attempt, source),
            other => other,
        }
    }
}

fn transact<T>(
    writer: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, IndexError>,
) -> Result<T, IndexError> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn name_error(path: &Path, attempt: &'static str, source: rusqlite::Error) -> IndexError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => IndexError::StorageFull { path: path.to_path_buf() },
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            IndexError::Damaged { what: "the catalogue".to_owned(), detail: format!("{attempt}: {source}") }
        }
        _ => IndexError::Catalogue { attempt, source },
    }
}

fn opening(path: &Path, error: IndexError) -> IndexError {
    match error {
        IndexError::Catalogue { source, .. } => name_error(path, "open", source),
        other => other,
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, IndexError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(IndexError::Invalid {
            what: "the disk of the data directory",
            detail: format!("SQLite cannot keep a write-ahead log there (journal mode {mode})"),
        });
    }
    connection.execute_batch(
        "PRAGMA synchronous=FULL;
         PRAGMA foreign_keys=ON;
         PRAGMA secure_delete=ON;
         PRAGMA temp_store=MEMORY;
         PRAGMA cache_size=-16000;
         PRAGMA trusted_schema=OFF;
         PRAGMA cell_size_check=ON;
         PRAGMA journal_size_limit=67108864;",
    )?;
    Ok(connection)
}

fn pragma_lines(connection: &Connection, pragma: &str) -> Result<Vec<String>, IndexError> {
    let mut statement = connection.prepare(pragma)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<_, _>>()?;
    Ok(lines)
}

fn quick_check(connection: &Connection) -> Result<(), IndexError> {
    let lines = pragma_lines(connection, "PRAGMA quick_check(5)")?;
    if lines.iter().all(|line| line == "ok") {
        return Ok(());
    }
    Err(IndexError::Damaged { what: "the catalogue".to_owned(), detail: lines.join("; ") })
}

/// A value of the `meta` table.
pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Sets a value of the `meta` table.
pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), IndexError> {
    connection
        .prepare_cached("INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2")?
        .execute([key, value])?;
    Ok(())
}

/// The number of the last change that derived stores have to follow.
pub(crate) fn edition(connection: &Connection) -> Result<u64, IndexError> {
    let text = meta(connection, "edition")?.unwrap_or_else(|| "0".to_owned());
    text.parse().map_err(|_| IndexError::Damaged { what: "the edition".to_owned(), detail: text })
}

/// What a derived store has to do with one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Take the version's passages in, whatever was there before.
    Add,
    /// Leave them out: a newer version replaced them.
    Drop,
    /// Leave them out, so that nothing of them stays on the disk.
    Erase,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Drop => "drop",
            Self::Erase => "erase",
        }
    }
}

/// One change, in the order in which it happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// What.
    pub(crate) operation: Operation,
    /// Row of the version.
    pub(crate) version: i64,
}

/// Begins the next edition with these changes.
pub(crate) fn next_edition(tx: &Transaction<'_>, changes: &[Change]) -> Result<u64, IndexError> {
    let edition = edition(tx)? + 1;
    set_meta(tx, "edition", &edition.to_string())?;
    let mut statement = tx.prepare_cached("INSERT INTO outbox(edition, operation, version) VALUES(?1, ?2, ?3)")?;
    for change in changes {
        statement.execute((edition as i64, change.operation.as_str(), change.version))?;
    }
    Ok(edition)
}

/// The changes after `edition`; none when the outbox does not reach back that far.
pub(crate) fn changes_after(connection: &Connection, after: u64) -> Result<Option<Vec<Change>>, IndexError> {
    let kept_from: u64 = meta(connection, "outbox_from")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    if after < kept_from {
        return Ok(None);
    }
    let mut statement =
        connection.prepare_cached("SELECT operation, version FROM outbox WHERE edition > ?1 ORDER BY seq")?;
    let mut rows = statement.query([after as i64])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let operation = match row.get_ref(0)?.as_str().unwrap_or_default() {
            "add" => Operation::Add,
            "drop" => Operation::Drop,
            _ => Operation::Erase,
        };
        changes.push(Change { operation, version: row.get(1)? });
    }
    Ok(Some(changes))
}

/// Forgets changes that every derived store has followed.
pub(crate) fn prune_outbox(tx: &Transaction<'_>, followed: u64) -> Result<(), IndexError> {
    tx.prepare_cached("DELETE FROM outbox WHERE edition <= ?1")?.execute([followed as i64])?;
    set_meta(tx, "outbox_from", &followed.to_string())
}
