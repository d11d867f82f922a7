//! Models: which there are, which fit, which is in use.

mod hashes;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloister_airgap::models::{Entry as Listed, ModelStore, StoredModel};
use cloister_engine::{ModelInfo, ModelRole, fit};
use serde_json::json;

use crate::audit::broken;
use crate::caller::Caller;
use crate::{Appliance, Config, Error, Result};

pub(crate) use shelf::{LoadedEncoder, LoadedGenerator, Shelf};

/// A model of the catalogue or of the models directory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// Catalogue id.
    pub id: String,
    /// What it is for, in words; empty where nobody said so.
    pub purpose: String,
    /// generate, embed or rerank.
    pub role: String,
    /// Architecture, such as `qwen2`.
    pub architecture: String,
    /// Quantisation, such as `Q4_K_M`.
    pub quantisation: String,
    /// Licence.
    pub licence: String,
    /// Context length in tokens.
    pub context: u32,
    /// Parameters.
    pub parameters: u64,
    /// Bytes on disk (expected, when absent).
    pub bytes: u64,
    /// Whether it is in the models directory.
    pub present: bool,
    /// Whether it is the configured generator or embedder.
    pub active: bool,
    /// Memory at the configured context length; of a model that is not here, what the catalogue says of it.
    pub memory_bytes: Option<u64>,
    /// Whether that fits; `None` when unknown.
    pub fits: Option<bool>,
    /// Where it lies.
    pub path: Option<PathBuf>,
}

/// Whether a model can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// Loaded.
    Ready,
    /// Being loaded.
    Loading,
    /// Present, not loaded yet.
    Present,
    /// Not in the models directory.
    Missing,
    /// Could not be loaded.
    Failed,
}

impl ModelState {
    /// Word for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

/// A model in use and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// Catalogue id or path.
    pub id: String,
    /// State.
    pub state: ModelState,
    /// What is wrong and what to do, when not ready.
    pub detail: Option<String>,
}

/// The two models that questions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The answering model.
    pub generator: ModelStatus,
    /// The embedding model.
    pub embedder: ModelStatus,
}

/// A question to try.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Example {
    /// Name of the collection.
    pub collection: String,
    /// The question.
    pub question: String,
}

/// The appliance at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The answering model.
    pub generator: ModelStatus,
    /// The embedding model.
    pub embedder: ModelStatus,
    /// Documents visible to the caller.
    pub documents: u64,
    /// Passages in the index, of all collections.
    pub passages: u64,
    /// Edition of the index.
    pub edition: u64,
    /// Free bytes on the data directory's disk.
    pub disk_free_bytes: Option<u64>,
    /// Collections visible to the caller.
    pub collections: u64,
    /// Questions to try, of collections visible to the caller.
    pub examples: Vec<Example>,
}

/// Setting that holds the questions to try.
const EXAMPLES_SETTING: &str = "examples";

/// Questions to try at most.
const EXAMPLES_MAX: usize = 50;

impl Appliance {
    /// Models of the catalogue and of the models directory.
    pub fn models(&self, caller: &Caller) -> Result<Vec<ModelEntry>> {
        let _ = caller;
        list_models(&self.config)
    }

    /// Loads embedder and generator now rather than at the first question.
    pub fn warm(&self) -> Result<()> {
        self.encoder()?;
        self.shelf.generator(None).map(drop)
    }

    /// The embedding model, loaded now if it was not. The store is told of it first: it may have come while the program ran.
    pub(crate) fn encoder(&self) -> Result<Arc<LoadedEncoder>> {
        self.shelf.encoder(&|id| Ok(self.store.set_embedder(id)?))
    }

    /// Whether the answering and the embedding model can be used; looks at no document.
    pub fn readiness(&self) -> Readiness {
        Readiness { generator: self.shelf.generator_status(), embedder: self.shelf.encoder_status() }
    }

    /// The appliance at a glance.
    pub fn status(&self, caller: &Caller) -> Result<Status> {
        let collections = self.collections(caller)?;
        let figures = self.store.figures()?;
        let mut examples: Vec<Example> =
            self.store.setting(EXAMPLES_SETTING)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        examples.retain(|example| collections.iter().any(|found| found.name == example.collection));
        Ok(Status {
            generator: self.shelf.generator_status(),
            embedder: self.shelf.encoder_status(),
            documents: collections.iter().map(|found| found.documents).sum(),
            passages: figures.passages,
            edition: figures.edition,
            disk_free_bytes: crate::doctor::disk_free_bytes(&self.config.data_dir),
            collections: collections.len() as u64,
            examples,
        })
    }

    /// Stores questions to try, shown on the page.
    pub fn set_examples(&self, caller: &Caller, examples: &[Example]) -> Result<()> {
        self.need_administrator(caller, "examples.set", "examples")?;
        if examples.len() > EXAMPLES_MAX {
            return Err(Error::invalid("examples", format!("more than {EXAMPLES_MAX} are given")));
        }
        let text = serde_json::to_string(examples).map_err(|error| Error::Bug(error.to_string()))?;
        self.recorded(caller, "examples.set", "examples", json!({"count": examples.len()}), || {
            Ok(self.store.set_setting(EXAMPLES_SETTING, &text)?)
        })
    }
}

/// The models that `config` can reach, without opening the data directory.
pub fn list_models(config: &Config) -> Result<Vec<ModelEntry>> {
    let found = ModelStore::new(&config.models_dir).list().map_err(broken)?;
    Ok(found.into_iter().map(|model| entry(config, model)).collect())
}

/// What is known of a model at an id or path, read from its headers.
pub fn show_model(config: &Config, id_or_path: &str) -> Result<ModelEntry> {
    let found = ModelStore::new(&config.models_dir).list().map_err(broken)?;
    if let Some(model) = found.into_iter().find(|model| model.id == id_or_path) {
        return Ok(entry(config, model));
    }
    let path = resolve(&config.models_dir, id_or_path)?;
    Ok(entry(config, StoredModel { id: id_or_path.to_owned(), entry: None, record: None, bytes: 0, path: Some(path) }))
}

/// Where a model lies, by id or path.
pub(crate) fn resolve(models_dir: &Path, id_or_path: &str) -> Result<PathBuf> {
    ModelStore::new(models_dir).resolve(id_or_path).map_err(broken)
}

fn entry(config: &Config, model: StoredModel) -> ModelEntry {
    let info = model.path.as_deref().and_then(|path| ModelInfo::inspect(path).ok());
    let listed = model.entry.as_ref();
    let context = info.as_ref().map_or(config.context_tokens, |info| config.context_tokens.min(info.context_length));
    let memory_bytes = match &info {
        Some(info) => Some(info.memory(context).total()),
        None => listed.and_then(|listed| listed.memory_bytes),
    };
    let fits = match (&info, memory_bytes, config.memory_available_bytes) {
        (Some(info), _, Some(available)) => Some(fit(info, context, available).fits),
        (None, Some(needed), Some(available)) => Some(needed <= available),
        _ => None,
    };
    let role = match (&info, listed) {
        (Some(info), _) if info.role == ModelRole::Embed => "embed",
        (Some(info), _) if info.role == ModelRole::Rerank => "rerank",
        (None, Some(listed)) if listed.role == cloister_airgap::models::Role::Embed => "embed",
        _ => "generate",
    };
    let licence = listed.map(|listed| listed.licence.id.clone());
    let noted = model.record.as_ref().and_then(|record| record.licence.clone());
    let stated = info.as_ref().and_then(|info| info.licence.clone());
    let said = |of_file: fn(&ModelInfo) -> &String, of_list: fn(&Listed) -> &String| {
        info.as_ref().map(of_file).or(listed.map(of_list)).cloned().unwrap_or_default()
    };
    ModelEntry {
        purpose: listed.map(|listed| listed.purpose.clone()).unwrap_or_default(),
        role: role.to_owned(),
        architecture: said(|info| &info.architecture, |listed| &listed.architecture),
        quantisation: said(|info| &info.quantisation, |listed| &listed.quantisation),
        licence: licence.or(noted).or(stated).unwrap_or_else(|| "unknown".to_owned()),
        context: info.as_ref().map(|info| info.context_length).or(listed.map(|listed| listed.context)).unwrap_or(0),
        parameters: info.as_ref().map(|info| info.parameters).or(listed.map(|listed| listed.parameters)).unwrap_or(0),
        bytes: info.as_ref().map(|info| info.file_bytes).or(listed.map(Listed::bytes)).unwrap_or(model.bytes),
        present: model.path.is_some(),
        active: model.id == config.generator() || model.id == config.embedder,
        memory_bytes,
        fits,
        path: model.path,
        id: model.id,
    }
}
