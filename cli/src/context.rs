//! What a command is given: where to write, from where to read, who asks.

use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::models::catalogue;
use cloister_appliance::{Caller, CancelFlag};
use serde::Serialize;

/// How a command ended, short of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it was done.
    Done,
    /// Part of it failed; the rest was finished.
    PartFailed,
}

impl Outcome {
    /// `PartFailed` when something failed.
    pub(crate) fn of(failed: bool) -> Self {
        if failed { Self::PartFailed } else { Self::Done }
    }
}

/// A mistake in how the command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Whoever read our output has gone, as `head` does: no reason to complain. Made only where our own output is written, so that no
/// other broken pipe is taken for it.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct ReaderGone;

/// The outcome of writing to our own output.
pub(crate) fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => other.context("cannot write the output"),
    }
}

/// The error of work that was given up because nobody reads what it says: then [`ReaderGone`] is no longer silent.
pub(crate) fn given_up(error: anyhow::Error) -> anyhow::Error {
    if error.is::<ReaderGone>() { anyhow::anyhow!("cancelled, the rest was not done: {ReaderGone}") } else { error }
}

/// The surroundings of a command, at a terminal or behind the socket of a server.
pub(crate) struct Context<'a> {
    /// Where results go.
    pub(crate) stdout: &'a mut dyn Write,
    /// Where everything else goes.
    pub(crate) stderr: &'a mut dyn Write,
    /// What the caller sends in.
    pub(crate) stdin: Box<dyn Read + 'a>,
    /// Where relative paths start.
    pub(crate) cwd: PathBuf,
    /// One JSON object a line.
    pub(crate) json: bool,
    /// A person looks on: progress is shown.
    pub(crate) terminal: bool,
    /// Rights that the caller takes from files which he makes.
    pub(crate) umask: u32,
    /// Threads where work is parallel.
    pub(crate) threads: usize,
    /// Set when the caller is gone.
    pub(crate) cancel: CancelFlag,
    /// The operator on this machine.
    pub(crate) caller: Caller,
}

impl Context<'_> {
    /// A path of the caller's, made absolute.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }

    /// Makes a file at a place of the caller's own, with the rights that he gives his files.
    pub(crate) fn create(&self, path: &Path) -> Result<File> {
        let is_new = !path.exists();
        let create = || -> io::Result<File> {
            let file = File::create(path)?;
            if is_new {
                file.set_permissions(Permissions::from_mode(0o666 & !self.umask))?;
            }
            Ok(file)
        };
        create().with_context(|| format!("cannot create {}", path.display()))
    }

    /// Writes to the results, as it is.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        written(self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()))
    }

    /// Writes one JSON line of results.
    pub(crate) fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.put(&text)
    }

    /// Writes a line for people to the results.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) -> Result<()> {
        self.put(format!("{}\n", printable(text.as_ref())).as_bytes())
    }

    /// Writes a line beside the results.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        // Notes are a courtesy: nobody listening is no reason to stop.
        let _ = writeln!(self.stderr, "{}", printable(text.as_ref()));
    }

    /// The value as JSON, or the text for people.
    pub(crate) fn give(&mut self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.line(value) } else { self.say(text()) }
    }

    /// A model as the caller names it: a path is made absolute, an id stays.
    pub(crate) fn model(&self, named: &str) -> String {
        let path = self.path(Path::new(named));
        let is_id = catalogue().iter().any(|entry| entry.id == named);
        if !is_id && path.exists() { path.to_string_lossy().into_owned() } else { named.to_owned() }
    }

    /// The first line of standard input.
    pub(crate) fn password(&mut self) -> Result<String> {
        let mut line = String::new();
        BufReader::new(&mut *self.stdin).take(4096).read_line(&mut line)?;
        let password = line.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(Usage("no password on standard input".to_owned()).into());
        }
        Ok(password)
    }
}

/// An error with its causes on one line, each once: many errors say their cause themselves.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// So many of a thing, in words: `1 page`, `2 pages`.
pub(crate) fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The text without control characters that could play tricks on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read x: no such file").context("bundle");
        assert_eq!(with_causes(&error), "bundle: cannot read x: no such file");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([count(0_u64, "page", "pages"), count(1_u64, "page", "pages")], ["0 pages", "1 page"]);
    }
}
