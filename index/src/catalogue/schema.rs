//! Numbered migrations. A migration that was released is never changed; a new one is added below it.

use rusqlite::{Connection, TransactionBehavior};

use crate::IndexError;

/// Marks the file as a Cloister catalogue ("CLOI").
const APPLICATION_ID: i64 = 0x434c_4f49;

/// The text of each migration; its number is its place, from 1.
const MIGRATIONS: [&str; 3] = [FIRST, GAPS, ATTACHMENTS];

const FIRST: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE users(
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL, password_hash TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL) STRICT;
CREATE TABLE sessions(
    token_hash TEXT PRIMARY KEY, user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    csrf TEXT NOT NULL, created TEXT NOT NULL, expires TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions(user);
CREATE TABLE keys(
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    label TEXT NOT NULL, key_hash TEXT NOT NULL UNIQUE, created TEXT NOT NULL, last_used TEXT,
    revoked INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX keys_user ON keys(user);

CREATE TABLE collections(
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, created TEXT NOT NULL) STRICT;
CREATE TABLE grants(
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    level TEXT NOT NULL, PRIMARY KEY(collection, user)) STRICT, WITHOUT ROWID;
CREATE INDEX grants_user ON grants(user);

CREATE TABLE documents(
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    current INTEGER, newest INTEGER, added TEXT NOT NULL) STRICT;
CREATE INDEX documents_collection ON documents(collection);
CREATE INDEX documents_current ON documents(current);
CREATE TABLE names(
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE, name TEXT NOT NULL,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE, position INTEGER NOT NULL,
    PRIMARY KEY(collection, name)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX names_document ON names(document, position);
CREATE TABLE versions(
    row INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    number INTEGER NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, format TEXT, title TEXT,
    added TEXT NOT NULL, committed TEXT, UNIQUE(document, number)) STRICT;
CREATE INDEX versions_sha256 ON versions(sha256);

CREATE TABLE pages(
    version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE, number INTEGER NOT NULL,
    place TEXT, width REAL NOT NULL, height REAL NOT NULL, text TEXT NOT NULL, checksum INTEGER NOT NULL,
    chars INTEGER NOT NULL, start INTEGER NOT NULL DEFAULT 0, word_count INTEGER NOT NULL, words BLOB NOT NULL,
    blocks TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, problems TEXT NOT NULL,
    PRIMARY KEY(version, number)) STRICT;
CREATE TABLE passages(
    row INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, page INTEGER NOT NULL, place TEXT,
    heading_path TEXT NOT NULL, text TEXT NOT NULL, checksum INTEGER NOT NULL, UNIQUE(version, ordinal)) STRICT;
CREATE TABLE embedders(
    row INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, dimension INTEGER NOT NULL, UNIQUE(sha256, dimension)) STRICT;
CREATE TABLE vectors(
    passage INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
    embedder INTEGER NOT NULL REFERENCES embedders, data BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;

CREATE TABLE jobs(
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL REFERENCES versions ON DELETE CASCADE, stage TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, progress INTEGER NOT NULL DEFAULT 0,
    pages_total INTEGER, error_code TEXT, error_message TEXT, created TEXT NOT NULL, updated TEXT NOT NULL) STRICT;
CREATE INDEX jobs_version ON jobs(version);
CREATE INDEX jobs_stage ON jobs(stage);

CREATE TABLE outbox(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, edition INTEGER NOT NULL, operation TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
CREATE INDEX outbox_edition ON outbox(edition);
";

/// Gaps are counted for every document of a scope, so that they must not be looked for among all pages.
const GAPS: &str = "
CREATE INDEX pages_gaps ON pages(version, number) WHERE outcome IN ('partial', 'failed', 'skipped');
";

/// Attachments live and die with the document that carried them. Those of older catalogues are known by their names alone
/// (`parent/attachment`); one that has further names stays on its own. `attachments` counts what a version carries.
const ATTACHMENTS: &str = "
ALTER TABLE documents ADD COLUMN parent INTEGER REFERENCES documents ON DELETE CASCADE;
ALTER TABLE versions ADD COLUMN attachments INTEGER;
CREATE INDEX documents_parent ON documents(parent);
UPDATE documents SET parent = (
    SELECT above.document FROM names AS own
    JOIN names AS above ON above.collection = own.collection
        AND above.name = rtrim(rtrim(own.name, replace(own.name, '/', '')), '/')
    WHERE own.document = documents.row AND own.position = 0 AND above.document <> documents.row)
WHERE NOT EXISTS (SELECT 1 FROM names WHERE document = documents.row AND position > 0);
";

/// The schema number that this program writes.
pub(super) const SUPPORTED: i64 = MIGRATIONS.len() as i64;

fn version(connection: &Connection) -> Result<i64, IndexError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Refuses a file of a newer program or of another kind, before anything is written to it.
pub(super) fn refuse_newer(connection: &Connection) -> Result<(), IndexError> {
    let found = version(connection)?;
    if found > SUPPORTED {
        return Err(IndexError::SchemaNewer { found, supported: SUPPORTED });
    }
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        return Ok(());
    }
    Err(IndexError::Damaged {
        what: "the catalogue".to_owned(),
        detail: "it is a database of another program".to_owned(),
    })
}

/// Runs what is missing, each migration in a transaction of its own. Gives the numbers before and after when any ran.
pub(super) fn migrate(connection: &mut Connection) -> Result<Option<(i64, i64)>, IndexError> {
    let found = version(connection)?;
    for (index, text) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(text)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", index as i64 + 1)?;
        tx.commit()?;
    }
    Ok((found < SUPPORTED).then_some((found, SUPPORTED)))
}
