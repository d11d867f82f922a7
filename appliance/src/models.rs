//! Models: which there are, which fit, which is in use.

use std::path::PathBuf;

use crate::caller::Caller;
use crate::{Appliance, Config, Result};

/// A model of the catalogue or of the models directory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// Catalogue id.
    pub id: String,
    /// generate or embed.
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
    /// Memory at the configured context length.
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

impl Appliance {
    /// Models of the catalogue and of the models directory.
    pub fn models(&self, caller: &Caller) -> Result<Vec<ModelEntry>> {
        let _ = caller;
        self.unfinished()
    }

    /// Loads embedder and generator now rather than at the first question.
    pub fn warm(&self) -> Result<()> {
        self.unfinished()
    }

    /// The appliance at a glance.
    pub fn status(&self, caller: &Caller) -> Result<Status> {
        let _ = caller;
        self.unfinished()
    }

    /// Stores questions to try, shown on the page.
    pub fn set_examples(&self, caller: &Caller, examples: &[Example]) -> Result<()> {
        let _ = (caller, examples);
        self.unfinished()
    }
}

/// The models that `config` can reach, without opening the data directory.
pub fn list_models(config: &Config) -> Result<Vec<ModelEntry>> {
    let _ = config;
    Err(crate::Error::Bug("not built yet".to_owned()))
}
