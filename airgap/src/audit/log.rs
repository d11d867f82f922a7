//! The log of one installation: append, list, export, verify.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::json;

use super::{AUDIT_FILE, Clock, Event, Filter, Format, Listing, Receipt, Record, Verdict};
use super::{database, export, note, record, tree::Tree, verify};
use crate::keys::{self, InstallationKey};
use crate::{AirgapError, Hash, PublicKey, files};

/// The audit log of one installation. Shared between threads; several processes may append to the same log.
pub struct AuditLog {
    path: PathBuf,
    key: InstallationKey,
    clock: Clock,
    boot: String,
    writer: Mutex<Connection>,
}

impl AuditLog {
    /// Opens the log in `dir`, or begins it with a first record that names its origin and key.
    ///
    /// `boot` names this run of the program in every record that it writes.
    ///
    /// # Errors
    /// `AuditUnavailable` when the database cannot be used, `AuditBroken` when its end is not signed with `key`.
    pub fn open(dir: &Path, key: InstallationKey, clock: Clock, boot: &str) -> Result<Self, AirgapError> {
        let log = Self::open_as_it_is(dir, key, clock, boot)?;
        database::head(&log.lock(), &log.key.public())?.ok_or_else(no_end)?;
        Ok(log)
    }

    /// As [`AuditLog::open`], but a log whose end is broken is opened too, so that it can be listed and verified. It
    /// takes no record.
    pub fn open_as_it_is(dir: &Path, key: InstallationKey, clock: Clock, boot: &str) -> Result<Self, AirgapError> {
        files::create_dirs(dir)?;
        let path = dir.join(AUDIT_FILE);
        let (connection, is_new) = database::open_writer(&path)?;
        let log = Self { path, key, clock, boot: boot.to_owned(), writer: Mutex::new(connection) };
        if is_new {
            match log.begin() {
                Err(AirgapError::AuditBroken { .. }) => {}
                begun => begun?,
            }
            files::sync_dir(dir)?;
        }
        Ok(log)
    }

    /// Writes one record. When this returns the record is on disk; when it fails nothing was written, and the action
    /// that was to be logged must not happen.
    pub fn append(&self, event: &Event) -> Result<Receipt, AirgapError> {
        let mut connection = self.lock();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|e| database::failure("be written", &e))?;
        let (tree, previous) = self.end(&transaction)?;
        self.write(transaction, tree, previous, event)
    }

    /// Lists records.
    pub fn list(&self, filter: &Filter) -> Result<Listing, AirgapError> {
        let reader = self.reader()?;
        let (records, more) = database::list(&reader, filter)?;
        let next = records.last().filter(|_| more).map(|record| record.seq);
        Ok(Listing { records, next, head: database::newest_hash(&reader)? })
    }

    /// One record by its number.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, AirgapError> {
        database::record(&self.reader()?, seq)
    }

    /// Writes the records from the first not before `from` to the last not after `to` (RFC 3339, both optional), then
    /// a signed trailer. The whole log is verified on the way; a broken one gets no trailer.
    pub fn export(
        &self,
        format: Format,
        from: Option<&str>,
        to: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<Verdict, AirgapError> {
        let reader = self.reader()?;
        let time = self.now()?;
        export::write(&reader, &self.key, format, (from, to), &time, out)
    }

    /// Checks every record of the log, every checkpoint and the database file.
    pub fn verify(&self) -> Result<Verdict, AirgapError> {
        self.verify_against(&[])
    }

    /// As [`AuditLog::verify`], and that the log still begins as it did when these checkpoints were taken. This is
    /// what shows a log that was cut back, replaced by an older copy or written anew.
    pub fn verify_against(&self, checkpoints: &[&str]) -> Result<Verdict, AirgapError> {
        verify::database(&self.reader()?, &self.key.public(), checkpoints)
    }

    /// The signed state of the log (a C2SP checkpoint), to be kept outside the machine. It is kept in the log too.
    pub fn checkpoint(&self) -> Result<String, AirgapError> {
        let connection = self.lock();
        let head = database::head(&connection, &self.key.public())?.ok_or_else(no_end)?;
        database::keep_checkpoint(&connection, head.tree.size(), &head.note)
            .map_err(|e| database::failure("be written", &e))?;
        Ok(head.note)
    }

    /// The key that verifies this log.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// The name of this log.
    pub fn origin(&self) -> String {
        note::origin(&self.key.public())
    }

    fn first_event(&self) -> Event {
        let key = self.key.public();
        Event {
            actor: "system".to_owned(),
            action: "log.created".to_owned(),
            object: self.origin(),
            outcome: "ok".to_owned(),
            detail: json!({"key": key.to_line(), "fingerprint": keys::fingerprint(&key)}),
        }
    }

    /// Writes the first record of a new log, unless another process has just done so.
    fn begin(&self) -> Result<(), AirgapError> {
        let writing = |e| database::failure("be begun", &e);
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(writing)?;
        if database::head(&transaction, &self.key.public())?.is_some() {
            return Ok(());
        }
        if database::last_seq(&transaction)?.is_some() {
            return Err(no_end());
        }
        self.write(transaction, Tree::default(), Hash::ZERO, &self.first_event()).map(|_| ())
    }

    /// Writes a record behind the given end of the log and commits.
    fn write(
        &self,
        transaction: Transaction<'_>,
        mut tree: Tree,
        previous: Hash,
        event: &Event,
    ) -> Result<Receipt, AirgapError> {
        let writing = |e| database::failure("be written", &e);
        let seq = tree.size();
        let line = record::line(event, seq, &self.now()?, &self.boot, &previous)?;
        let record = record::parse(&line).expect("a line that was just made is a record");
        let link = record.link().expect("the time was made by this program");
        tree.push(line.as_bytes());
        database::insert(&transaction, &record, &link, &line, &tree, &self.key).map_err(writing)?;
        transaction.commit().map_err(writing)?;
        Ok(Receipt { seq, hash: link.hash })
    }

    /// Where the log ends: its signed tree and the hash of its last record.
    fn end(&self, transaction: &Transaction<'_>) -> Result<(Tree, Hash), AirgapError> {
        let head = database::head(transaction, &self.key.public())?.ok_or_else(no_end)?;
        let last = head.tree.size().checked_sub(1);
        if database::last_seq(transaction)? != last {
            return Err(AirgapError::broken(last.map(|last| last + 1), "the log does not end where it was signed"));
        }
        if database::newest_hash(transaction)? != head.last {
            return Err(AirgapError::broken(last, "it is not the record that was signed as the last one"));
        }
        Ok((head.tree, head.last))
    }

    fn now(&self) -> Result<String, AirgapError> {
        let time = (self.clock)();
        record::normal_time(&time).ok_or_else(|| AirgapError::AuditUnavailable {
            action: "tell the time",
            why: format!("the clock gave {time:?}"),
        })
    }

    fn reader(&self) -> Result<Connection, AirgapError> {
        database::open_reader(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in another thread has rolled its transaction back: the connection is as good as before.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn no_end() -> AirgapError {
    AirgapError::broken(None, "the log has no signed end")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::SecretKey;

    fn open(dir: &Path) -> AuditLog {
        let clock: Clock = Arc::new(|| "2026-03-01T09:00:00Z".to_owned());
        AuditLog::open(dir, SecretKey::from_seed(&[9; 32]), clock, "boot-1").unwrap()
    }

    fn event(text: &str) -> Event {
        Event {
            actor: "anna".to_owned(),
            action: "question.asked".to_owned(),
            object: "Samples".to_owned(),
            outcome: "ok".to_owned(),
            detail: json!({"question": text}),
        }
    }

    /// Appends until it fails, mends the log, appends again: the chain has no gap and holds just what was acknowledged.
    fn check_refusal(hinder: &str, mend: &str) {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        log.lock().execute_batch(hinder).unwrap();
        let mut written = 1;
        let refusal = loop {
            match log.append(&event(&"x".repeat(9000))) {
                Ok(receipt) => written = receipt.seq + 1,
                Err(error) => break error,
            }
            assert!(written < 1000, "{hinder} did not hinder");
        };
        assert!(matches!(refusal, AirgapError::AuditUnavailable { .. }), "{refusal:?}");
        assert_eq!(log.verify().unwrap().records, written);
        log.lock().execute_batch(mend).unwrap();
        assert_eq!(log.append(&event("after")).unwrap().seq, written);
        assert_eq!(log.verify().unwrap().records, written + 1);
    }

    #[test]
    fn a_full_disk_refuses_the_event_and_nothing_else() {
        check_refusal("PRAGMA max_page_count = 40", "PRAGMA max_page_count = 100000");
    }

    #[test]
    fn a_read_only_database_refuses_the_event_and_nothing_else() {
        check_refusal("PRAGMA query_only = on", "PRAGMA query_only = off");
    }

    #[test]
    fn a_panic_while_the_log_is_held_does_not_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _connection = log.lock();
            panic!("a bug elsewhere");
        }));
        assert!(held.is_err());
        assert_eq!(log.append(&event("still here")).unwrap().seq, 1);
    }

    #[test]
    fn writes_are_synced_in_full() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let level: i64 = log.lock().pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(level, 2);
    }
}
