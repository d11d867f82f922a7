//! The SQL of the audit log.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};

use super::record::{self, Link};
use super::tree::Tree;
use super::{Filter, Record, note};
use crate::{AirgapError, Hash, PublicKey, SecretKey};

const SCHEMA_VERSION: i64 = 1;
const APPLICATION_ID: i64 = 0x434c_4155; // "CLAU"
const BUSY: Duration = Duration::from_secs(10);
/// A checkpoint is kept for good after so many records.
const CHECKPOINT_RECORDS: u64 = 256;
const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1000;

const SCHEMA: &str = "
CREATE TABLE records(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, line TEXT NOT NULL) STRICT;
CREATE INDEX records_at ON records(at_ms);
CREATE INDEX records_actor ON records(actor);
CREATE INDEX records_action ON records(action);
CREATE TABLE checkpoints(size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), note TEXT NOT NULL, peaks BLOB NOT NULL, last TEXT NOT NULL) STRICT;
CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER records_remain BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'audit records are never removed'); END;
";

/// The signed end of the log.
pub(super) struct Head {
    pub(super) tree: Tree,
    pub(super) note: String,
    /// Hash of the last record. Not signed by itself: it names a changed last record, the tree proves it.
    pub(super) last: Hash,
}

/// Opens the database for appending and makes its tables when it is new. `true`: it is new and holds no records yet.
pub(super) fn open_writer(path: &Path) -> Result<(Connection, bool), AirgapError> {
    if !path.exists() {
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|e| AirgapError::io("create", path, e))?;
    }
    let opening = |e| failure("be opened", &e);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(opening)?;
    connection.busy_timeout(BUSY).map_err(opening)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(opening)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(opening)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(opening)?;
    connection.pragma_update(None, "synchronous", "full").map_err(opening)?;
    let is_new = prepare(&connection, path)?;
    Ok((connection, is_new))
}

/// Makes the tables, or checks that those that are there are of a known form.
fn prepare(connection: &Connection, path: &Path) -> Result<bool, AirgapError> {
    let opening = |e| failure("be opened", &e);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(opening)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(opening)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(opening)?;
    if version == SCHEMA_VERSION {
        connection.execute_batch("COMMIT").map_err(opening)?;
        let records: i64 = connection.query_row("SELECT count(*) FROM head", [], |row| row.get(0)).map_err(opening)?;
        return Ok(records == 0);
    }
    if version != 0 || tables != 0 {
        let why = format!("{} has form {version}, this program knows {SCHEMA_VERSION}", path.display());
        return Err(AirgapError::AuditUnavailable { action: "be opened", why });
    }
    connection.execute_batch(SCHEMA).map_err(opening)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(opening)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(opening)?;
    connection.execute_batch("COMMIT").map_err(opening)?;
    Ok(true)
}

/// Opens the database for reading beside a writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, AirgapError> {
    let opening = |e| failure("be opened", &e);
    fs::metadata(path).map_err(|e| AirgapError::io("open", path, e))?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(opening)?;
    connection.busy_timeout(BUSY).map_err(opening)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(opening)?;
    connection.pragma_update(None, "query_only", true).map_err(opening)?;
    Ok(connection)
}

/// The signed end of the log; `None` in a log that has just been made.
pub(super) fn head(connection: &Connection, key: &PublicKey) -> Result<Option<Head>, AirgapError> {
    let row = connection
        .query_row("SELECT note, peaks, last FROM head WHERE id = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .map_err(|e| failure("be read", &e))?;
    let Some((note, peaks, last)): Option<(String, Vec<u8>, String)> = row else { return Ok(None) };
    let checkpoint = note::open(&note, key)?;
    let tree = Tree::from_bytes(checkpoint.size, &peaks)?;
    if tree.root() != checkpoint.root {
        return Err(AirgapError::broken(None, "the stored tree is not the one that was signed"));
    }
    let last =
        Hash::parse(&last).ok_or_else(|| AirgapError::broken(None, "the hash kept for the last record is damaged"))?;
    Ok(Some(Head { tree, note, last }))
}

/// Number of records by their highest number, whatever is signed.
pub(super) fn last_seq(connection: &Connection) -> Result<Option<u64>, AirgapError> {
    connection
        .query_row("SELECT max(seq) FROM records", [], |row| row.get::<_, Option<i64>>(0))
        .map(|seq| seq.map(|seq| seq as u64))
        .map_err(|e| failure("be read", &e))
}

/// Adds a record, signs the tree that results, and keeps a checkpoint now and then. The caller commits.
pub(super) fn insert(
    connection: &Connection,
    record: &Record,
    link: &Link,
    line: &str,
    tree: &Tree,
    key: &SecretKey,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("INSERT INTO records(seq, at_ms, actor, action, line) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((link.seq as i64, link.at_ms, &record.event.actor, &record.event.action, line))?;
    let note = note::sign(tree, key);
    connection
        .prepare_cached("INSERT OR REPLACE INTO head(id, note, peaks, last) VALUES (1, ?1, ?2, ?3)")?
        .execute((&note, tree.to_bytes(), link.hash.to_string()))?;
    if tree.size().is_multiple_of(CHECKPOINT_RECORDS) {
        keep_checkpoint(connection, tree.size(), &note)?;
    }
    Ok(())
}

/// Keeps a checkpoint for good.
pub(super) fn keep_checkpoint(connection: &Connection, size: u64, note: &str) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO checkpoints(size, note) VALUES (?1, ?2)")?
        .execute((size as i64, note))
        .map(|_| ())
}

/// All kept checkpoints, smallest first.
pub(super) fn checkpoints(connection: &Connection) -> Result<Vec<(u64, String)>, AirgapError> {
    let read = || {
        let mut statement = connection.prepare("SELECT size, note FROM checkpoints ORDER BY size")?;
        statement.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()
    };
    read().map_err(|e| failure("be read", &e))
}

/// One record as it is stored.
pub(super) fn record(connection: &Connection, seq: u64) -> Result<Option<Record>, AirgapError> {
    let line: Option<String> = connection
        .query_row("SELECT line FROM records WHERE seq = ?1", [i64::try_from(seq).unwrap_or(i64::MAX)], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|e| failure("be read", &e))?;
    line.map(|line| parsed(seq, &line)).transpose()
}

fn parsed(seq: u64, line: &str) -> Result<Record, AirgapError> {
    record::parse(line).ok_or_else(|| AirgapError::broken(Some(seq), "its line is not a record"))
}

/// Gives every stored line in order, with a check that the columns beside it say what the line says.
pub(super) fn each_line(
    connection: &Connection,
    take: &mut dyn FnMut(&str) -> Result<Record, AirgapError>,
) -> Result<(), AirgapError> {
    let reading = |e| failure("be read", &e);
    let mut statement =
        connection.prepare("SELECT seq, at_ms, actor, action, line FROM records ORDER BY seq").map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let mut expected = 0;
    while let Some(row) = rows.next().map_err(reading)? {
        let (line, seq) = (text(row, 4), row.get::<_, i64>(0).ok());
        let line = line.ok_or_else(|| AirgapError::broken(Some(expected), "its line is not text"))?;
        let record = take(line)?;
        let agrees = seq == i64::try_from(record.seq).ok()
            && row.get::<_, i64>(1).ok() == record::milliseconds(&record.time)
            && text(row, 2) == Some(record.event.actor.as_str())
            && text(row, 3) == Some(record.event.action.as_str());
        if !agrees {
            return Err(AirgapError::broken(Some(record.seq), "the columns beside its line say something else"));
        }
        expected = record.seq + 1;
    }
    Ok(())
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a str> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// SQLite's own check of pages and indices.
pub(super) fn check_file(connection: &Connection) -> Result<(), AirgapError> {
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(|e| failure("be read", &e))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(AirgapError::broken(None, format!("the database file is damaged: {found}")))
    }
}

/// The numbers of the first record not before `from` and the last not after `to`.
pub(super) fn range(
    connection: &Connection,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Option<(u64, u64)>, AirgapError> {
    let ask = |sql: &str, bound: i64| connection.query_row(sql, [bound], |row| row.get::<_, Option<i64>>(0));
    let reading = |e| failure("be read", &e);
    let first = ask("SELECT min(seq) FROM records WHERE at_ms >= ?1", from.unwrap_or(i64::MIN)).map_err(reading)?;
    let last = ask("SELECT max(seq) FROM records WHERE at_ms <= ?1", to.unwrap_or(i64::MAX)).map_err(reading)?;
    Ok(first.zip(last).filter(|(first, last)| first <= last).map(|(first, last)| (first as u64, last as u64)))
}

/// The records that a filter asks for, one more than its limit when there are more.
pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<(Vec<Record>, bool), AirgapError> {
    let limit = if filter.limit == 0 { LIST_DEFAULT } else { filter.limit.min(LIST_MAX) };
    let (sql, values) = query(filter, limit + 1)?;
    let reading = |e| failure("be read", &e);
    let mut statement = connection.prepare(&sql).map_err(reading)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(reading)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(reading)? {
        if records.len() == limit {
            return Ok((records, true));
        }
        let seq: i64 = row.get(0).map_err(reading)?;
        let line = text(row, 1).ok_or_else(|| AirgapError::broken(Some(seq as u64), "its line is not text"))?;
        records.push(parsed(seq as u64, line)?);
    }
    Ok((records, false))
}

fn query(filter: &Filter, limit: usize) -> Result<(String, Vec<rusqlite::types::Value>), AirgapError> {
    let mut conditions = Vec::new();
    let mut values: Vec<rusqlite::types::Value> = Vec::new();
    let mut add = |condition: &'static str, value: rusqlite::types::Value| {
        conditions.push(condition);
        values.push(value);
    };
    let newest_first = filter.newest_first;
    if let Some(after) = filter.after {
        add(if newest_first { "seq < ?" } else { "seq > ?" }, i64::try_from(after).unwrap_or(i64::MAX).into());
    }
    if let Some(from) = time_bound(filter.from.as_deref())? {
        add("at_ms >= ?", from.into());
    }
    if let Some(to) = time_bound(filter.to.as_deref())? {
        add("at_ms <= ?", to.into());
    }
    if let Some(actor) = &filter.actor {
        add("actor = ?", actor.clone().into());
    }
    match filter.action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
        Some((_, Some(start))) => {
            add("action >= ?", start.to_owned().into());
            add("action < ?", format!("{start}\u{10ffff}").into());
        }
        Some((action, None)) => add("action = ?", action.to_owned().into()),
        None => {}
    }
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let order = if newest_first { "DESC" } else { "ASC" };
    Ok((format!("SELECT seq, line FROM records WHERE {condition} ORDER BY seq {order} LIMIT {limit}"), values))
}

/// Milliseconds of a bound that a caller gave.
pub(super) fn time_bound(time: Option<&str>) -> Result<Option<i64>, AirgapError> {
    time.map(|time| {
        record::milliseconds(time).ok_or_else(|| AirgapError::AuditRequest {
            why: format!("{time:?} is not a time; write it like 2026-01-31T12:00:00Z"),
        })
    })
    .transpose()
}

/// Hash of the newest record.
pub(super) fn newest_hash(connection: &Connection) -> Result<Hash, AirgapError> {
    let line: Option<String> = connection
        .query_row("SELECT line FROM records ORDER BY seq DESC LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(|e| failure("be read", &e))?;
    Ok(line.map_or(Hash::ZERO, |line| Hash::of(line.as_bytes())))
}

/// A failure of the database: damage is told apart from what the environment does.
pub(super) fn failure(action: &'static str, error: &rusqlite::Error) -> AirgapError {
    use rusqlite::Error as E;
    let is_damage = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..))
        || matches!(error, E::Utf8Error(..));
    if is_damage {
        return AirgapError::broken(None, format!("the database file is damaged: {error}"));
    }
    AirgapError::AuditUnavailable { action, why: error.to_string() }
}
