//! The models in use: found, checked, loaded when first needed, kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cloister_engine::{Encoder, Generator, LoadOptions, ModelInfo};
use cloister_index::EmbedderId;

use super::hashes::Hashes;
use super::{ModelState, ModelStatus};
use crate::ask::{Readings, Spans};
use crate::{Config, Error, Result};

/// The embedding model, loaded.
pub(crate) struct LoadedEncoder {
    pub(crate) id: String,
    pub(crate) encoder: Encoder,
}

/// An answering model, loaded.
pub(crate) struct LoadedGenerator {
    pub(crate) id: String,
    pub(crate) sha256: String,
    pub(crate) generator: Generator,
    /// Passages it has read.
    pub(crate) readings: Readings,
    /// Its tokens by their bytes.
    pub(crate) spans: Spans,
}

enum Slot<T> {
    Empty,
    Loading,
    Ready(Arc<T>),
    Failed(String),
}

/// Finds, loads and keeps models.
pub(crate) struct Shelf {
    models_dir: PathBuf,
    embedder: String,
    generator: String,
    threads: usize,
    context_tokens: u32,
    memory_available_bytes: Option<u64>,
    hashes: Hashes,
    encoder_slot: Mutex<Slot<LoadedEncoder>>,
    generator_slot: Mutex<Slot<LoadedGenerator>>,
    /// Held while a model is loaded, so that two callers do not load it twice.
    loading: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            models_dir: config.models_dir.clone(),
            embedder: config.embedder.clone(),
            generator: config.generator().to_owned(),
            threads: config.threads.max(1),
            context_tokens: config.context_tokens,
            memory_available_bytes: config.memory_available_bytes,
            hashes: Hashes::new(config.data_dir.join("model-hashes.json")),
            encoder_slot: Mutex::new(Slot::Empty),
            generator_slot: Mutex::new(Slot::Empty),
            loading: Mutex::default(),
        }
    }

    /// Where a model lies: a path as given, or an id below the models directory.
    pub(crate) fn path(&self, id_or_path: &str) -> Result<PathBuf> {
        super::resolve(&self.models_dir, id_or_path)
    }

    /// What the vectors are of, as far as that can be told without loading the model.
    pub(crate) fn embedder_id(&self) -> Option<EmbedderId> {
        let path = self.path(&self.embedder).ok()?;
        let info = ModelInfo::inspect(&path).ok()?;
        let sha256 = self.sha256(&path).ok()?;
        Some(EmbedderId { sha256, dimension: info.embedding_length as usize })
    }

    /// The hash that names a model: of its GGUF file, or of the weights in its folder.
    pub(crate) fn sha256(&self, path: &Path) -> Result<String> {
        if path.is_dir() { self.hashes.sha256(&path.join("model.safetensors")) } else { self.hashes.sha256(path) }
    }

    pub(crate) fn encoder_is_present(&self) -> bool {
        self.path(&self.embedder).is_ok() && !matches!(*lock(&self.encoder_slot), Slot::Failed(_))
    }

    /// The embedding model, loaded now if it was not.
    pub(crate) fn encoder(&self) -> Result<Arc<LoadedEncoder>> {
        if let Slot::Ready(loaded) = &*lock(&self.encoder_slot) {
            return Ok(Arc::clone(loaded));
        }
        let _one = lock(&self.loading);
        if let Slot::Ready(loaded) = &*lock(&self.encoder_slot) {
            return Ok(Arc::clone(loaded));
        }
        let path = self.path(&self.embedder)?;
        fill(&self.encoder_slot, || {
            let encoder = Encoder::load(&path, self.threads).map_err(|error| Error::model(&self.embedder, error))?;
            Ok(LoadedEncoder { id: self.embedder.clone(), encoder })
        })
    }

    /// An answering model, loaded now if it was not; it takes the place of another one.
    pub(crate) fn generator(&self, id: Option<&str>) -> Result<Arc<LoadedGenerator>> {
        let id = id.unwrap_or(&self.generator);
        if let Some(loaded) = self.ready_generator(id) {
            return Ok(loaded);
        }
        let _one = lock(&self.loading);
        if let Some(loaded) = self.ready_generator(id) {
            return Ok(loaded);
        }
        let path = self.path(id)?;
        let options = LoadOptions {
            threads: self.threads,
            context_tokens: self.context_tokens,
            memory_available_bytes: self.memory_available_bytes,
        };
        fill(&self.generator_slot, || {
            let sha256 = self.sha256(&path)?;
            let generator = Generator::load(&path, &options).map_err(|error| Error::model(id, error))?;
            let spans = Spans::new(generator.tokenizer());
            Ok(LoadedGenerator { id: id.to_owned(), sha256, generator, readings: Readings::default(), spans })
        })
    }

    /// Forgets what the answering model has read: documents were removed.
    pub(crate) fn forget_readings(&self) {
        if let Slot::Ready(loaded) = &*lock(&self.generator_slot) {
            loaded.readings.clear();
        }
    }

    fn ready_generator(&self, id: &str) -> Option<Arc<LoadedGenerator>> {
        match &*lock(&self.generator_slot) {
            Slot::Ready(loaded) if loaded.id == id => Some(Arc::clone(loaded)),
            _ => None,
        }
    }

    pub(crate) fn encoder_status(&self) -> ModelStatus {
        let (state, detail) = state_of(&lock(&self.encoder_slot));
        self.status(&self.embedder, state, detail)
    }

    pub(crate) fn generator_status(&self) -> ModelStatus {
        let (state, detail) = match &*lock(&self.generator_slot) {
            Slot::Ready(loaded) if loaded.id != self.generator => (ModelState::Present, None),
            slot => state_of(slot),
        };
        self.status(&self.generator, state, detail)
    }

    fn status(&self, id: &str, state: ModelState, detail: Option<String>) -> ModelStatus {
        let (state, detail) = match (state, self.path(id)) {
            (ModelState::Present, Err(error)) => (ModelState::Missing, Some(error.to_string())),
            (state, _) => (state, detail),
        };
        ModelStatus { id: id.to_owned(), state, detail }
    }
}

fn state_of<T>(slot: &Slot<T>) -> (ModelState, Option<String>) {
    match slot {
        Slot::Empty => (ModelState::Present, None),
        Slot::Loading => (ModelState::Loading, None),
        Slot::Ready(_) => (ModelState::Ready, None),
        Slot::Failed(why) => (ModelState::Failed, Some(why.clone())),
    }
}

/// Loads into a slot. What was there is let go first, so that two large models never lie in memory together.
fn fill<T>(slot: &Mutex<Slot<T>>, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    *lock(slot) = Slot::Loading;
    match load() {
        Ok(loaded) => {
            let loaded = Arc::new(loaded);
            *lock(slot) = Slot::Ready(Arc::clone(&loaded));
            Ok(loaded)
        }
        Err(error) => {
            *lock(slot) = Slot::Failed(error.to_string());
            Err(error)
        }
    }
}
