//! What a command is given: where to write, from where to read, who asks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cloister_appliance::{Caller, CancelFlag};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that a line of an input file may have.
const LINE_BYTES_MAX: usize = 16 << 20;

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

/// The surroundings of a command, at a terminal or behind the socket of a server.
pub(crate) struct Context<'a> {
    /// Where results go.
    pub(crate) stdout: &'a mut dyn Write,
    /// Where everything else goes.
    pub(crate) stderr: &'a mut dyn Write,
    /// What the caller sends in.
    pub(crate) stdin: &'a mut dyn Read,
    /// Where relative paths start.
    pub(crate) cwd: PathBuf,
    /// One JSON object a line.
    pub(crate) json: bool,
    /// A person looks on: progress is shown.
    pub(crate) terminal: bool,
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

    /// Writes one JSON line of results.
    pub(crate) fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.stdout.write_all(&text)?;
        Ok(self.stdout.flush()?)
    }

    /// Writes a line for people to the results.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) -> Result<()> {
        writeln!(self.stdout, "{}", printable(text.as_ref()))?;
        Ok(self.stdout.flush()?)
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

    /// The lines of a JSON Lines file, each with its number; a line that cannot be read is an error of its own.
    pub(crate) fn lines<T: DeserializeOwned>(&self, path: &Path) -> Result<Vec<T>> {
        let path = self.path(path);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        parse_lines(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
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

/// Reads JSON lines; empty ones are passed over.
pub(crate) fn parse_lines<T: DeserializeOwned>(input: impl BufRead) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for (idx, line) in input.split(b'\n').enumerate() {
        let line = line?;
        if line.len() > LINE_BYTES_MAX {
            anyhow::bail!("line {} has more than {LINE_BYTES_MAX} bytes", idx + 1);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        values.push(serde_json::from_slice(&line).with_context(|| format!("line {} is not as it must be", idx + 1))?);
    }
    Ok(values)
}

/// The text without control characters that could play tricks on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}
