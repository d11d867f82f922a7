//! One source at a time: files of this machine, wheels, a server of the customer's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::assemble::{self, Origin};
use super::catalogue::{Entry, ModelFile, Wheel};
use super::child::{self, Tools};
use super::pull::{Source, Staging, Trouble};
use crate::{Hash, files};

/// What curl answers when the server cannot go on in the middle of a file.
const CURL_NO_RANGE: [i32; 2] = [33, 36];

/// Gathers every file that is still wanted from one source.
pub(super) fn fetch(staging: &mut Staging<'_>, tools: &Tools, entry: &Entry, source: &Source) -> Result<(), Trouble> {
    match source {
        Source::Path(path) => from_path(staging, entry, path),
        Source::Wheels => {
            if entry.wheels.is_empty() {
                return Err(Trouble::Source("no wheels are known for this model".to_owned()));
            }
            let mut download = |staging: &mut Staging<'_>, wheel: &Wheel| download(staging, tools, wheel);
            assemble::assemble(staging, entry, Origin::Ours, &mut download)
        }
        Source::Url(url) => from_url(staging, tools, entry, url),
    }
}

fn from_path(staging: &mut Staging<'_>, entry: &Entry, path: &Path) -> Result<(), Trouble> {
    if path.is_file() && path.extension().is_none_or(|extension| extension != "whl") {
        let [file] = &entry.files[..] else {
            return Err(Trouble::Source(format!("it is one file, the model has {}; give a folder", entry.files.len())));
        };
        return if staging.wanted().is_empty() { Ok(()) } else { staging.copy(path, file) };
    }
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new(".")) } else { path };
    let mut missing = String::new();
    for place in [folder.join(&entry.id), folder.to_owned()] {
        match entry.files.iter().find(|file| !place.join(&file.path).is_file()) {
            Some(file) => missing.clone_from(&file.path),
            None => return staging.wanted().iter().try_for_each(|file| staging.copy(&place.join(&file.path), file)),
        }
    }
    match entry.wheels.iter().find(|wheel| !folder.join(&wheel.file).is_file()) {
        None if !entry.wheels.is_empty() => {
            assemble::assemble(staging, entry, Origin::Theirs, &mut |_, wheel| Ok(folder.join(&wheel.file)))
        }
        Some(wheel) => Err(Trouble::Source(format!("it holds neither {missing} nor {}", wheel.file))),
        None => Err(Trouble::Source(format!("it does not hold {missing}"))),
    }
}

/// Fetches a wheel by pip, or takes the one that an earlier try has left whole.
fn download(staging: &mut Staging<'_>, tools: &Tools, wheel: &Wheel) -> Result<PathBuf, Trouble> {
    let folder = staging.dir.join("wheels");
    let path = folder.join(&wheel.file);
    if Hash::of_file(&path).is_ok_and(|(hash, _)| hash.to_string() == wheel.sha256) {
        return Ok(path);
    }
    let scratch = staging.dir.join("scratch");
    for dir in [&folder, &scratch] {
        files::remove_tree(dir)?;
        files::create_dirs(dir)?;
    }
    let mut command = Command::new(&tools.python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input"])
        .args(["--only-binary", ":all:", "--progress-bar", "off", "--quiet", "--dest"])
        .arg(&folder)
        .arg(format!("{}=={}", wheel.package, wheel.version))
        .env("TMPDIR", &scratch)
        // Nothing is installed: that root does it is no reason for a warning. Older pips do not know the option, but pass over this.
        .env("PIP_ROOT_USER_ACTION", "ignore");
    staging.begin(format!("fetching {} {} from PyPI", wheel.package, wheel.version));
    let log = staging.dir.join("pip.log");
    let ended = child::run(command, &log, &mut || {
        let arrived = child::bytes_below(&folder).max(child::bytes_below(&scratch));
        staging.tell(arrived.min(wheel.bytes))
    })?;
    files::remove_tree(&scratch)?;
    match ended {
        Ok(()) if path.is_file() => Ok(path),
        Ok(()) => Err(Trouble::Source(format!("pip did not deliver {}", wheel.file))),
        Err(ended) => Err(Trouble::Source(format!(
            "pip could not fetch {} {}: {}; check python3, pip and the way to PyPI or its mirror, or give a file or folder",
            wheel.package, wheel.version, ended.said
        ))),
    }
}

fn from_url(staging: &mut Staging<'_>, tools: &Tools, entry: &Entry, url: &str) -> Result<(), Trouble> {
    let is_allowed = ["https://", "http://", "file://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_allowed || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Trouble::Source("not an address that begins with https://, http:// or file://".to_owned()));
    }
    for file in staging.wanted() {
        let address = match &entry.files[..] {
            [_] if !url.ends_with('/') => url.to_owned(),
            _ => format!("{}/{}", url.trim_end_matches('/'), file.path),
        };
        download_url(staging, tools, &file, &address)?;
        staging.settle(&file)?;
    }
    Ok(())
}

fn download_url(staging: &mut Staging<'_>, tools: &Tools, file: &ModelFile, address: &str) -> Result<(), Trouble> {
    let part = staging.part(file);
    // Pieces of a file from wheels and from an address do not mix.
    assemble::forget(staging)?;
    let mut may_go_on = true;
    loop {
        if part.metadata().is_ok_and(|meta| meta.len() == file.bytes) {
            return Ok(());
        }
        if !may_go_on || part.metadata().is_ok_and(|meta| meta.len() > file.bytes) {
            let _ = fs::remove_file(&part);
        }
        let mut command = Command::new(&tools.curl);
        command
            .args(["--fail", "--location", "--silent", "--show-error", "--globoff", "--proto", "=https,http,file"])
            .args(["--proto-redir", "=https,http", "--retry", "3", "--speed-limit", "1", "--speed-time", "120"])
            .args(["--max-filesize", &file.bytes.to_string(), "--continue-at", "-", "--output"])
            .arg(&part)
            .args(["--", address]);
        staging.begin(format!("fetching {address}"));
        let log = staging.dir.join("curl.log");
        match child::run(command, &log, &mut || staging.tell(0))? {
            Ok(()) => return Ok(()),
            Err(ended) if may_go_on && ended.code.is_some_and(|code| CURL_NO_RANGE.contains(&code)) => {
                may_go_on = false;
            }
            Err(ended) => {
                return Err(Trouble::Source(format!(
                    "curl could not fetch {address}: {}; check the address",
                    ended.said
                )));
            }
        }
    }
}
