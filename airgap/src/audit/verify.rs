//! Verification of a whole log and of an export by itself.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use rusqlite::Connection;

use super::chain::Chain;
use super::export::{CSV_MARK, Format, Trailer};
use super::record::LINE_BYTES_MAX;
use super::{Record, Verdict, database, log, note};
use crate::keys::{self, PublicKey};
use crate::{AirgapError, Hash, Hasher};

/// Longest line of an export that is read: a record's, with room for a spreadsheet's doubled quotes.
const EXPORT_LINE_BYTES_MAX: u64 = 4 * LINE_BYTES_MAX as u64;

/// Walks the whole log: every record, every kept checkpoint, the signed end, and the checkpoints from outside.
/// `each` sees every record with its line, in order, before the verdict is known.
pub(super) fn walk(
    connection: &Connection,
    key: &PublicKey,
    outside: &[&str],
    each: &mut dyn FnMut(&Record, &str) -> Result<(), AirgapError>,
) -> Result<Chain, AirgapError> {
    let head = database::head(connection, key)?.ok_or_else(log::no_end)?;
    let mut roots = Roots::collect(connection, key, outside)?;
    let mut chain = Chain::from_start();
    let walked = database::each_line(connection, &mut |line| {
        let record = chain.take(line)?;
        if record.seq == 0 {
            check_first(&record, key)?;
        }
        if record.seq >= head.tree.size() {
            return Err(AirgapError::broken(Some(record.seq), "it stands behind the signed end of the log"));
        }
        roots.check(&chain);
        each(&record, line)?;
        Ok(record)
    });
    roots.prefer_nearer(walked.and_then(|()| check_end(&chain, &head)))?;
    if chain.tree != head.tree {
        return Err(roots.rewritten(head.tree.size()));
    }
    roots.finish(chain.tree.size())?;
    Ok(chain)
}

fn check_end(chain: &Chain, head: &database::Head) -> Result<(), AirgapError> {
    if chain.tree.size() < head.tree.size() {
        return Err(AirgapError::broken(
            Some(chain.tree.size()),
            "it is missing: the log was signed when it was longer",
        ));
    }
    chain.finish(&head.last)
}

/// The verdict over a whole log.
pub(super) fn database(connection: &Connection, key: &PublicKey, outside: &[&str]) -> Result<Verdict, AirgapError> {
    let snapshot = connection.unchecked_transaction().map_err(|e| database::failure("be read", &e))?;
    let chain = walk(&snapshot, key, outside, &mut |_, _| Ok(()))?;
    database::check_file(&snapshot)?;
    Ok(verdict(&chain, Hash::ZERO, key))
}

/// What is said of a chain that was found whole; `before` stands for the head of an empty one.
pub(super) fn verdict(chain: &Chain, before: Hash, key: &PublicKey) -> Verdict {
    Verdict {
        records: chain.records(),
        first: chain.first().map(|link| link.seq),
        last: chain.last().map(|link| link.seq),
        head: chain.last().map_or(before, |link| link.hash),
        origin: note::origin(key),
        signed_by: keys::fingerprint(key),
    }
}

fn check_first(record: &Record, key: &PublicKey) -> Result<(), AirgapError> {
    let is_ours = record.previous == Hash::ZERO
        && record.event.action == "log.created"
        && record.event.object == note::origin(key)
        && record.event.detail["key"] == key.to_line();
    if is_ours { Ok(()) } else { Err(AirgapError::broken(Some(0), "it does not begin a log of this installation")) }
}

/// The tree roots that were signed at some sizes.
struct Roots {
    expected: BTreeMap<u64, Vec<Hash>>,
    good: u64,
    bad: Option<u64>,
}

impl Roots {
    fn collect(connection: &Connection, key: &PublicKey, outside: &[&str]) -> Result<Self, AirgapError> {
        let mut expected: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
        for (size, text) in database::checkpoints(connection)? {
            let checkpoint = note::open(&text, key)?;
            if checkpoint.size != size {
                return Err(AirgapError::broken(
                    None,
                    format!("the checkpoint kept for {size} records is for {}", checkpoint.size),
                ));
            }
            expected.entry(size).or_default().push(checkpoint.root);
        }
        for text in outside {
            let checkpoint = note::open(text, key)?;
            expected.entry(checkpoint.size).or_default().push(checkpoint.root);
        }
        Ok(Self { expected, good: 0, bad: None })
    }

    fn check(&mut self, chain: &Chain) {
        let size = chain.tree.size();
        let Some(roots) = self.expected.get(&size).filter(|_| self.bad.is_none()) else { return };
        let root = chain.tree.root();
        if roots.iter().all(|expected| *expected == root) {
            self.good = size;
        } else {
            self.bad = Some(size);
        }
    }

    /// A checkpoint names a range, a link names a record. A link that does not fit is the better answer, unless it
    /// belongs to records behind the range.
    fn prefer_nearer(&self, found: Result<(), AirgapError>) -> Result<(), AirgapError> {
        match (self.bad, &found) {
            (Some(size), Err(AirgapError::AuditBroken { seq: Some(seq), .. })) if *seq > size => {
                Err(self.rewritten(size))
            }
            (Some(size), Ok(())) => Err(self.rewritten(size)),
            _ => found,
        }
    }

    fn rewritten(&self, size: u64) -> AirgapError {
        let why = format!(
            "records {} to {} are not those that were signed: one or more were written anew",
            self.good,
            size.saturating_sub(1)
        );
        AirgapError::broken(Some(self.good), why)
    }

    fn finish(&self, size: u64) -> Result<(), AirgapError> {
        match self.expected.last_key_value() {
            Some((longest, _)) if *longest > size => Err(AirgapError::broken(
                Some(size),
                format!("it is missing: a checkpoint was signed over {longest} records"),
            )),
            _ => Ok(()),
        }
    }
}

/// Checks an export by itself, JSON Lines or CSV, with the public key of the installation it should come from.
///
/// # Errors
/// `AuditBroken` with the first bad record, where one can be named: in CSV the file as a whole is signed.
pub fn verify_export(input: &mut dyn BufRead, key: &PublicKey) -> Result<Verdict, AirgapError> {
    let mut reader = ExportReader { input, hasher: Hasher::default() };
    match reader.line()? {
        Some(line) if line.starts_with('{') => json_lines(&mut reader, line, key),
        Some(line) if line.starts_with("seq,") => csv(&mut reader, line, key),
        Some(_) => Err(AirgapError::broken(None, "the file is not an export of an audit log")),
        None => Err(AirgapError::broken(None, "the file is empty")),
    }
}

fn json_lines(reader: &mut ExportReader<'_>, first: String, key: &PublicKey) -> Result<Verdict, AirgapError> {
    let mut chain = Chain::from_anywhere();
    let mut line = first;
    loop {
        if Trailer::is_line(&line) {
            let trailer = read_trailer(reader, &line, key, Format::JsonLines);
            // A changed record is the better answer where the chain can name one.
            let trailer = trailer.or_else(|error| chain.finish_without_head().and(Err(error)))?;
            check_ends(&chain, &trailer)?;
            trailer.check_bytes(reader.hash())?;
            return Ok(verdict(&chain, trailer.before, key));
        }
        let record = chain.take(line.strip_suffix('\n').unwrap_or(&line))?;
        if record.seq == 0 {
            check_first(&record, key)?;
        }
        reader.count(&line);
        line = reader.line()?.ok_or_else(|| cut(&chain))?;
    }
}

fn check_ends(chain: &Chain, trailer: &Trailer) -> Result<(), AirgapError> {
    chain.finish(&trailer.head)?;
    let (first, last) = (chain.first().map(|link| link.seq), chain.last().map(|link| link.seq));
    if first != trailer.first {
        return Err(AirgapError::broken(trailer.first, "it is missing: the export was signed with it as the first"));
    }
    if last != trailer.last || chain.records() != trailer.records {
        return Err(AirgapError::broken(
            last.map(|last| last + 1),
            "it is missing: the export was signed with more records",
        ));
    }
    match chain.first() {
        Some(first) if first.previous != trailer.before => {
            Err(AirgapError::broken(Some(first.seq), "it does not follow the record before the export"))
        }
        _ => Ok(()),
    }
}

fn cut(chain: &Chain) -> AirgapError {
    if let Err(error) = chain.finish_without_head() {
        return error;
    }
    AirgapError::broken(chain.last().map(|link| link.seq + 1), "the export ends before its signed trailer: it was cut")
}

fn csv(reader: &mut ExportReader<'_>, first: String, key: &PublicKey) -> Result<Verdict, AirgapError> {
    let mut line = first;
    while !line.starts_with(CSV_MARK) {
        reader.count(&line);
        line = reader
            .line()?
            .ok_or_else(|| AirgapError::broken(None, "the export ends before its signed trailer: it was cut"))?;
    }
    let cell = line.strip_suffix("\"\r\n").and_then(|line| line.strip_prefix(CSV_MARK)).unwrap_or_default();
    let json = format!("{}\n", cell.replace("\"\"", "\""));
    let trailer = read_trailer(reader, &json, key, Format::Csv)?;
    trailer.check_bytes(reader.hash())?;
    Ok(Verdict {
        records: trailer.records,
        first: trailer.first,
        last: trailer.last,
        head: trailer.head,
        origin: note::origin(key),
        signed_by: keys::fingerprint(key),
    })
}

fn read_trailer(
    reader: &mut ExportReader<'_>,
    line: &str,
    key: &PublicKey,
    format: Format,
) -> Result<Trailer, AirgapError> {
    let trailer = Trailer::open(line, key, format)?;
    match reader.line() {
        Ok(None) => Ok(trailer),
        _ => Err(AirgapError::broken(None, "something follows the signed trailer")),
    }
}

/// Reads an export line by line, with a limit, and hashes what stands before the trailer.
struct ExportReader<'a> {
    input: &'a mut dyn BufRead,
    hasher: Hasher,
}

impl ExportReader<'_> {
    /// The next line with its end; `None` after the last.
    fn line(&mut self) -> Result<Option<String>, AirgapError> {
        let mut bytes = Vec::new();
        let mut limited = (&mut *self.input).take(EXPORT_LINE_BYTES_MAX);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|e| AirgapError::AuditUnavailable { action: "read the export", why: e.to_string() })?;
        match bytes.last() {
            None => Ok(None),
            Some(b'\n') => String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| AirgapError::broken(None, "a line of the export is not UTF-8")),
            Some(_) => Err(AirgapError::broken(None, "a line of the export is cut or too long")),
        }
    }

    fn count(&mut self, line: &str) {
        self.hasher.update(line.as_bytes());
    }

    fn hash(&self) -> Hash {
        self.hasher.clone().finish().0
    }
}
