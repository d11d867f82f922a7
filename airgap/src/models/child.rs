//! `pip` and `curl` as child processes: the only way in which models come from a network.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::AirgapError;

/// How often a child's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much of the end of what a child said is read.
const SAID_BYTES: u64 = 4096;

/// The programs that fetch models.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) python: PathBuf,
    pub(super) curl: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Self { python: "python3".into(), curl: "curl".into() }
    }
}

/// How a child ended that did not do its work.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; `None` when it could not be started or was killed.
    pub(super) code: Option<i32>,
    /// What it said last, or why it could not be started.
    pub(super) said: String,
}

/// Runs a child to its end. `look` is called several times a second and may stop it with an error.
///
/// What the child says goes to `log`; the inner result says how it ended.
pub(super) fn run(
    mut command: Command,
    log: &Path,
    look: &mut dyn FnMut() -> Result<(), AirgapError>,
) -> Result<Result<(), Ended>, AirgapError> {
    let mut said = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(log)
        .map_err(|e| AirgapError::io("create", log, e))?;
    let stderr = said.try_clone().map_err(|e| AirgapError::io("open", log, e))?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => {
            return Ok(Err(Ended {
                code: None,
                said: format!("{} cannot be started: {e}", command.get_program().display()),
            }));
        }
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(e) => return Err(AirgapError::io("wait for a child that writes", log, e)),
        }
        if let Err(stop) = look() {
            // It may have ended by itself meanwhile; either way it is waited for, so that none is left behind.
            let _ = child.kill();
            let _ = child.wait();
            return Err(stop);
        }
        std::thread::sleep(LOOK_EVERY);
    };
    if status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(Ended { code: status.code(), said: last_line(&mut said).unwrap_or_else(|| status.to_string()) }))
}

fn last_line(said: &mut File) -> Option<String> {
    let length = said.metadata().ok()?.len();
    said.seek(SeekFrom::Start(length.saturating_sub(SAID_BYTES))).ok()?;
    let mut bytes = Vec::new();
    said.take(SAID_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // pip ends with hints; the line that says what is wrong begins with ERROR.
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .rfind(|line| line.starts_with("ERROR"))
        .or_else(|| lines().next_back())
        .map(|line| line.chars().take(300).collect())
}

/// Bytes of all files below a folder, two levels deep, as far as they can be seen.
pub(super) fn bytes_below(dir: &Path) -> u64 {
    fn below(dir: &Path, depth: usize) -> u64 {
        let Ok(entries) = fs::read_dir(dir) else { return 0 };
        let sizes = entries.take(10_000).filter_map(Result::ok).map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => below(&entry.path(), depth - 1),
            Ok(meta) if meta.is_file() => meta.len(),
            _ => 0,
        });
        sizes.sum()
    }
    below(dir, 2)
}
