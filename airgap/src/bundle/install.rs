//! Installing a bundle below a prefix, with nothing from anywhere else.
//!
//! ```text
//! PREFIX/versions/VERSION/   the members, as the manifest lists them, and the manifest itself
//! PREFIX/current             link to versions/VERSION, changed in one step
//! PREFIX/bin/cloister        link to the current program, which finds its own data and models
//! PREFIX/cloister.service    the systemd unit with this prefix in it
//! PREFIX/data/               for the unit's data, made when missing, never touched otherwise
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, RenameFlags};

use super::manifest::{Manifest, ManifestMember};
use super::{MANIFEST_PATH, PROGRAM_PATH, UNIT_PATH, verify};
use crate::{AirgapError, Hash, PublicKey, files};

/// Room that must be left beside the members: for the unit, the manifest and the file system's own needs.
const SPARE_BYTES: u64 = 64 << 20;

/// What an installation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallReport {
    /// The version installed.
    pub version: String,
    /// The folder of that version.
    pub folder: PathBuf,
    /// The program to start.
    pub program: PathBuf,
    /// The systemd unit, ready to be linked or copied.
    pub unit: PathBuf,
    /// True when this very version stood there already, complete and unchanged.
    pub already_there: bool,
}

/// Installs the bundle below `prefix`, which is made when missing.
///
/// The members are hashed while they are unpacked into a folder of their own on the same file system; only a complete and unchanged set is put
/// in place, and then `current` is switched in one step. Running it again does no harm. Nothing outside the prefix is written.
///
/// # Errors
/// `BundleRefused` names the member at fault, `NoSpace` and `InUse` say so before anything is written.
pub fn install(bundle: &Path, prefix: &Path, key: &PublicKey) -> Result<InstallReport, AirgapError> {
    check_prefix(prefix)?;
    // Before anything is made: a bundle that is refused leaves no empty folder behind.
    let (manifest, _) = verify::open(bundle, key)?;
    files::create_dirs(prefix)?;
    let prefix = prefix.canonicalize().map_err(|e| AirgapError::io("find", prefix, e))?;
    check_prefix(&prefix)?;
    let _lock = lock(&prefix)?;
    let versions = prefix.join("versions");
    files::create_dirs(&versions)?;
    let folder = versions.join(&manifest.version);
    let already_there = is_complete(&folder, &manifest);
    if already_there {
        verify::verify(bundle, key)?;
    } else {
        unpack(bundle, key, &versions, &folder)?;
    }
    let unit = write_unit(&prefix, &folder)?;
    make_data_folder(&prefix)?;
    switch_link(&prefix.join("current"), &Path::new("versions").join(&manifest.version))?;
    let program = link_program(&prefix)?;
    Ok(InstallReport { version: manifest.version, folder, program, unit, already_there })
}

/// A systemd unit, a shell and a person must be able to write the prefix as it is.
fn check_prefix(prefix: &Path) -> Result<(), AirgapError> {
    let is_plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "/._-+@:,".contains(c));
    if prefix.to_str().is_some_and(is_plain) {
        return Ok(());
    }
    let why = "a prefix may hold letters, digits and / . _ - + @ : , only, because the systemd unit names it";
    Err(AirgapError::BundlePlan { what: prefix.display().to_string(), why: why.to_owned() })
}

/// Held while installing, so that two installations into one prefix do not mix.
fn lock(prefix: &Path) -> Result<File, AirgapError> {
    let path = prefix.join(".install.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| AirgapError::io("open", &path, e))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AirgapError::InUse { path }),
        Err(e) => Err(AirgapError::io("lock", &path, e.into())),
    }
}

/// Whether `folder` holds exactly this manifest and every member with its hash.
fn is_complete(folder: &Path, manifest: &Manifest) -> bool {
    fs::read(folder.join(MANIFEST_PATH)).is_ok_and(|bytes| bytes == manifest.to_bytes())
        && manifest.members.iter().all(|member| {
            Hash::of_file(&folder.join(&member.path)).is_ok_and(|(hash, _)| hash.to_string() == member.sha256)
        })
}

fn unpack(bundle: &Path, key: &PublicKey, versions: &Path, folder: &Path) -> Result<(), AirgapError> {
    let (manifest, mut container) = verify::open(bundle, key)?;
    let available_bytes = files::available_bytes(versions)?;
    let needed_bytes = manifest.bytes() + SPARE_BYTES;
    if needed_bytes > available_bytes {
        return Err(AirgapError::NoSpace { path: versions.to_owned(), needed_bytes, available_bytes });
    }
    let staging = versions.join(format!(".{}.new", manifest.version));
    files::remove_tree(&staging)?;
    let unpacked = manifest
        .members
        .iter()
        .try_for_each(|member| {
            let mut file = create(&staging, member)?;
            let path = staging.join(&member.path);
            verify::read_member(&mut container, member, &mut |piece| {
                file.write_all(piece).map_err(|e| AirgapError::io("write", &path, e))
            })?;
            file.sync_all().map_err(|e| AirgapError::io("make durable", &path, e))
        })
        .and_then(|()| container.end())
        .and_then(|()| files::write_atomically(&staging.join(MANIFEST_PATH), &manifest.to_bytes(), 0o644))
        .and_then(|()| sync_folders(&staging, &manifest))
        .and_then(|()| put_in_place(&staging, folder));
    // What is left in the staging folder is either a refused set or the set that was replaced: neither is wanted.
    files::remove_tree(&staging)?;
    unpacked
}

/// Makes the names of all members durable; their bytes are already.
fn sync_folders(staging: &Path, manifest: &Manifest) -> Result<(), AirgapError> {
    let folders: BTreeSet<&Path> =
        manifest.members.iter().flat_map(|member| Path::new(&member.path).ancestors().skip(1)).collect();
    folders.into_iter().try_for_each(|folder| files::sync_dir(&staging.join(folder)))
}

fn create(staging: &Path, member: &ManifestMember) -> Result<File, AirgapError> {
    let path = staging.join(&member.path);
    if let Some(parent) = path.parent() {
        files::create_dirs(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(member.mode())
        .open(&path)
        .map_err(|e| AirgapError::io("create", &path, e))
}

/// Renames `staging` to `folder`; where `folder` exists the two change places in one step.
fn put_in_place(staging: &Path, folder: &Path) -> Result<(), AirgapError> {
    let flags = if folder.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(rustix::fs::CWD, staging, rustix::fs::CWD, folder, flags)
        .map_err(|e| AirgapError::io("put in place", folder, e.into()))?;
    files::sync_parent(folder)
}

fn write_unit(prefix: &Path, folder: &Path) -> Result<PathBuf, AirgapError> {
    let template = folder.join(UNIT_PATH);
    let text = fs::read_to_string(&template).map_err(|e| AirgapError::io("read", &template, e))?;
    let unit = prefix.join("cloister.service");
    let text = text.replace("@PREFIX@", &prefix.to_string_lossy());
    files::write_atomically(&unit, text.as_bytes(), 0o644)?;
    Ok(unit)
}

fn make_data_folder(prefix: &Path) -> Result<(), AirgapError> {
    let data = prefix.join("data");
    match fs::DirBuilder::new().mode(0o700).create(&data) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(AirgapError::io("create", &data, e)),
        _ => Ok(()),
    }
}

/// Puts `PREFIX/bin/cloister` in place, for people: it stays the same from version to version.
fn link_program(prefix: &Path) -> Result<PathBuf, AirgapError> {
    let program = prefix.join(PROGRAM_PATH);
    files::create_dirs(&prefix.join("bin"))?;
    if program.symlink_metadata().is_ok_and(|meta| !meta.is_symlink()) {
        let why = "it is there already and is no link of an installation; move it away, or choose another folder";
        return Err(AirgapError::BundlePlan { what: program.display().to_string(), why: why.to_owned() });
    }
    switch_link(&program, &Path::new("../current").join(PROGRAM_PATH))?;
    Ok(program)
}

/// Makes `link` point to `target` in one step.
fn switch_link(link: &Path, target: &Path) -> Result<(), AirgapError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(link.file_name().unwrap_or_default());
    name.push(".new");
    let staged = link.with_file_name(name);
    let _ = fs::remove_file(&staged);
    symlink(target, &staged)
        .and_then(|()| fs::rename(&staged, link))
        .map_err(|e| AirgapError::io("switch", link, e))?;
    files::sync_parent(link)
}
