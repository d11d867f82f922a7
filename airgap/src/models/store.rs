//! What lies in the folder of models.

use std::fs::{self, File};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalogue::{self, Entry, ModelFile};
use super::child::{self, Tools};
use super::pull::{self, PullProgress, Pulled, Source};
use super::{RECORD_FILE, encoder_files};
use crate::bundle::{MANIFEST_PATH, PROGRAM_PATH};
use crate::{AirgapError, Hash, files};

const RECORD_BYTES_MAX: u64 = 1 << 20;
const ID_BYTES_MAX: usize = 64;
/// Models that a folder may hold; more are not listed.
const MODELS_MAX: usize = 1000;

/// A model in the folder, or one of the catalogue that could be.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// Its name.
    pub id: String,
    /// The catalogue's entry, if it is one of the catalogue's.
    pub entry: Option<Entry>,
    /// What was noted when it came in.
    pub record: Option<Record>,
    /// What to load (a GGUF file or a folder); `None` when it is not here, or not whole.
    pub path: Option<PathBuf>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What the store notes about a model when it comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name.
    pub id: String,
    /// Its files with their hashes.
    pub files: Vec<ModelFile>,
    /// Where it came from.
    pub origin: String,
    /// Licence, if known.
    pub licence: Option<String>,
}

/// What was removed from the folder of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedModel {
    /// The model's folder; where it was only a link, the link.
    pub folder: PathBuf,
    /// Bytes that are free now.
    pub bytes: u64,
}

/// The folder of models.
#[derive(Debug, Clone)]
pub struct ModelStore {
    dir: PathBuf,
    tools: Tools,
}

impl ModelStore {
    /// The store over `dir`, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), tools: Tools::default() }
    }

    /// The same store with other programs in the place of `python3` and `curl`.
    #[must_use]
    pub fn with_tools(self, python: &Path, curl: &Path) -> Self {
        Self { tools: Tools { python: python.to_owned(), curl: curl.to_owned() }, ..self }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All models of the catalogue, here or not, then all others of the folder.
    pub fn list(&self) -> Result<Vec<StoredModel>, AirgapError> {
        let mut models = Vec::new();
        for entry in catalogue::catalogue() {
            models.push(self.stored(&entry.id)?);
        }
        for id in self.other_ids()? {
            models.push(self.stored(&id)?);
        }
        Ok(models)
    }

    /// What to load for a catalogue id, an added id or a path.
    ///
    /// # Errors
    /// `Model` says whether the name is unknown, the model is not here, or a file has not the size it must have.
    pub fn resolve(&self, id: &str) -> Result<PathBuf, AirgapError> {
        if is_id(id) {
            let model = self.stored(id)?;
            if let Some(path) = model.path {
                return Ok(path);
            }
            if let Some(entry) = model.entry.filter(|_| !Path::new(id).exists()) {
                let why = missing(&self.dir.join(id), &entry.files).unwrap_or_else(|| "it is not whole".to_owned());
                return Err(fault(id, why, self.remedy(id)));
            }
        }
        let path = Path::new(id);
        if path.exists() {
            return loadable(path).ok_or_else(|| {
                let why = "neither a GGUF file nor a folder with config.json, tokenizer.json and model.safetensors";
                fault(id, why, "give the path of such a file or folder")
            });
        }
        let known: Vec<&str> = catalogue::catalogue().iter().map(|entry| entry.id.as_str()).collect();
        Err(fault(id, "not known, and no such path exists", format!("known are {}", known.join(", "))))
    }

    /// How to get a model that is not here, or not right: from the bundle where the folder came with one.
    pub fn remedy(&self, id: &str) -> String {
        let version = self
            .dir
            .parent()
            .filter(|version| version.join(MANIFEST_PATH).is_file() && version.join(PROGRAM_PATH).is_file());
        match version {
            Some(_) => format!("install a bundle that holds it (made with: cloister bundle build --model {id} ...)"),
            None => format!("fetch it: cloister models pull {id}"),
        }
    }

    /// Removes a model from the folder: its files there, never those that it was taken from.
    ///
    /// # Errors
    /// `Model` when `id` is no name for a model or nothing of that name is here.
    pub fn remove(&self, id: &str) -> Result<RemovedModel, AirgapError> {
        let folder = self.dir.join(id);
        if !is_id(id) {
            return Err(fault(id, "not the id of a model", "only models of the models directory are removed, by id"));
        }
        let Ok(meta) = folder.symlink_metadata() else {
            return Err(fault(id, "it is not here, nothing was removed", "see cloister models list"));
        };
        if !meta.is_dir() {
            fs::remove_file(&folder).map_err(|e| AirgapError::io("remove", &folder, e))?;
            return Ok(RemovedModel { folder, bytes: 0 });
        }
        let bytes = child::bytes_below(&folder);
        files::remove_tree(&folder)?;
        Ok(RemovedModel { folder, bytes })
    }

    /// Fetches a model of the catalogue from the first source that has it.
    ///
    /// A model that is here and unchanged is left as it is. `progress` may answer `Break` to stop; what was fetched is
    /// kept, and the next call goes on from there.
    pub fn pull(
        &self,
        id: &str,
        sources: &[Source],
        progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<Pulled, AirgapError> {
        let entry = catalogue::entry(id).ok_or_else(|| {
            fault(
                id,
                "not a model of the catalogue",
                "see cloister models list; add other models with cloister models add",
            )
        })?;
        self.pull_entry(entry, sources, progress)
    }

    /// As [`ModelStore::pull`], for an entry of a catalogue of the caller's own.
    pub fn pull_entry(
        &self,
        entry: &Entry,
        sources: &[Source],
        progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<Pulled, AirgapError> {
        pull::pull(&self.dir, &self.tools, entry, sources, progress)
    }

    /// Takes a model from a path into the store under `id`. An id of the catalogue takes that model only.
    pub fn add(
        &self,
        path: &Path,
        id: &str,
        licence: Option<&str>,
        progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<StoredModel, AirgapError> {
        if let Some(entry) = catalogue::entry(id) {
            self.pull_entry(entry, &[Source::Path(path.to_owned())], progress)?;
            return self.stored(id);
        }
        if !is_id(id) {
            return Err(fault(
                id,
                "not a name for a model",
                "use up to 64 lower-case letters, digits, '.', '-' and '_'",
            ));
        }
        let found = loadable(path).ok_or_else(|| {
            let shown = path.display().to_string();
            let why = "neither a GGUF file nor a folder with config.json, tokenizer.json and model.safetensors";
            fault(&shown, why, "give the path of such a file or folder")
        })?;
        pull::add(&self.dir, &found, id, licence, progress)?;
        self.stored(id)
    }

    /// Hashes the files of a model again and compares them with the catalogue, or with what was noted.
    pub fn verify(&self, id: &str) -> Result<Record, AirgapError> {
        let StoredModel { entry, record, .. } = self.stored(id)?;
        let licence = entry.as_ref().map(|entry| entry.licence.id.clone());
        let noted = record.as_ref().map(|record| record.files.clone());
        let Some(expected) = entry.map(|entry| entry.files).or(noted) else {
            return Err(fault(id, "its hashes were never noted", "add it: cloister models add"));
        };
        let folder = self.dir.join(id);
        if let Some(why) = missing(&folder, &expected) {
            return Err(fault(id, why, self.remedy(id)));
        }
        for file in &expected {
            check_hash(&folder.join(&file.path), file)?;
        }
        let unknown = "unknown".to_owned();
        Ok(record.unwrap_or_else(|| Record { id: id.to_owned(), files: expected, origin: unknown, licence }))
    }

    fn stored(&self, id: &str) -> Result<StoredModel, AirgapError> {
        let folder = self.dir.join(id);
        let entry = catalogue::entry(id).cloned();
        let record = read_record(&folder)?;
        let files = entry.as_ref().map(|entry| &entry.files).or(record.as_ref().map(|record| &record.files));
        let is_whole = files.is_none_or(|files| missing(&folder, files).is_none());
        let path = Some(folder.clone()).filter(|folder| is_whole && folder.is_dir()).and_then(|folder| match files {
            Some(files) => Some(target(&folder, files)),
            None => loadable(&folder),
        });
        let bytes = match files {
            Some(files) => {
                files.iter().filter_map(|file| folder.join(&file.path).metadata().ok()).map(|meta| meta.len()).sum()
            }
            None => path.as_deref().map_or(0, size_of_model),
        };
        Ok(StoredModel { id: id.to_owned(), entry, record, path, bytes })
    }

    /// Folders that are no entry of the catalogue, sorted.
    fn other_ids(&self) -> Result<Vec<String>, AirgapError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(AirgapError::io("list", &self.dir, e)),
        };
        let mut ids: Vec<String> = entries
            .take(MODELS_MAX)
            .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir())?.file_name().into_string().ok())
            .filter(|id| is_id(id) && catalogue::entry(id).is_none())
            .collect();
        ids.sort();
        Ok(ids)
    }
}

/// Whether a text may name a model's folder.
fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte))
}

/// What is to be loaded of a folder with these files: its one GGUF file, or the folder.
pub(super) fn target(folder: &Path, files: &[ModelFile]) -> PathBuf {
    match files {
        [one] => folder.join(&one.path),
        _ => folder.to_owned(),
    }
}

/// What is to be loaded of a path: a GGUF file, a folder that holds one, or an encoder's folder.
fn loadable(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return is_gguf(path).then(|| path.to_owned());
    }
    if ["config.json", "tokenizer.json", "model.safetensors"].iter().all(|name| path.join(name).is_file()) {
        return Some(path.to_owned());
    }
    let entries = fs::read_dir(path).ok()?.take(MODELS_MAX).filter_map(Result::ok).map(|entry| entry.path());
    let mut found = entries.filter(|path| path.is_file() && is_gguf(path));
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"GGUF"
}

fn size_of_model(path: &Path) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
    if path.is_file() { size(path) } else { encoder_files(path).iter().map(|(_, path)| size(path)).sum() }
}

/// What keeps a folder from holding these files; `None` when each is there with its size.
pub(super) fn missing(folder: &Path, files: &[ModelFile]) -> Option<String> {
    if !folder.is_dir() {
        return Some("it is not here".to_owned());
    }
    files.iter().find_map(|file| match folder.join(&file.path).metadata() {
        Err(_) => Some(format!("{} is not here", file.path)),
        Ok(meta) if meta.len() != file.bytes => {
            Some(format!("{} has {} bytes, {} are right", file.path, meta.len(), file.bytes))
        }
        Ok(_) => None,
    })
}

/// Demands that a file has the hash that it must have.
pub(super) fn check_hash(path: &Path, file: &ModelFile) -> Result<(), AirgapError> {
    let found = Hash::of_file(path)?.0.to_string();
    if found == file.sha256 {
        return Ok(());
    }
    Err(AirgapError::HashMismatch { what: path.display().to_string(), expected: file.sha256.clone(), found })
}

fn read_record(folder: &Path) -> Result<Option<Record>, AirgapError> {
    let path = folder.join(RECORD_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let text = files::read_text_limited(&path, RECORD_BYTES_MAX)?;
    serde_json::from_str(&text).map(Some).map_err(|e| {
        fault(
            &folder.display().to_string(),
            format!("{RECORD_FILE} is damaged: {e}"),
            "remove the folder and add the model again",
        )
    })
}

/// Notes what came in.
pub(super) fn write_record(folder: &Path, record: &Record) -> Result<(), AirgapError> {
    let text = serde_json::to_string_pretty(record).expect("strings and numbers always serialise");
    files::write_atomically(&folder.join(RECORD_FILE), format!("{text}\n").as_bytes(), 0o644)
}

pub(super) fn fault(id: &str, why: impl Into<String>, mend: impl Into<String>) -> AirgapError {
    AirgapError::Model { id: id.to_owned(), why: why.into(), mend: mend.into() }
}
