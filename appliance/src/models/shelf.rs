//! The models in use: found, checked, loaded when first needed, kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cloister_airgap::models::{ModelStore, Role};
use cloister_engine::{Encoder, Generator, KeepPacked, LoadOptions, ModelInfo, ModelRole, PackedWeights};
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

/// Where a model is kept. Its states name the model, because another one may be asked for.
enum Slot<T> {
    Empty,
    Loading(String),
    Ready { id: String, loaded: Arc<T> },
    Failed { id: String, why: String },
}

/// Finds, loads and keeps models.
pub(crate) struct Shelf {
    models_dir: PathBuf,
    embedder: String,
    generator: String,
    threads: usize,
    context_tokens: u32,
    memory_available_bytes: Option<u64>,
    keep_packed: KeepPacked,
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
            keep_packed: config.keep_packed(),
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

    /// What the vectors will be of, told without loading the model. `None` when there is none, or it is loaded: its files
    /// may have been replaced since.
    pub(crate) fn embedder_id(&self) -> Option<EmbedderId> {
        if matches!(*lock(&self.encoder_slot), Slot::Ready { .. }) {
            return None;
        }
        let path = self.path(&self.embedder).ok()?;
        let info = ModelInfo::inspect(&path).ok()?;
        let sha256 = self.sha256(&path).ok()?;
        Some(EmbedderId { sha256, dimension: info.embedding_length as usize })
    }

    /// The hash that names a model: of its GGUF file, or over all files of its folder that matter.
    pub(crate) fn sha256(&self, path: &Path) -> Result<String> {
        cloister_airgap::models::model_hash(path, &mut |file| self.hashes.sha256(file))
    }

    pub(crate) fn encoder_is_present(&self) -> bool {
        self.path(&self.embedder).is_ok() && !matches!(*lock(&self.encoder_slot), Slot::Failed { .. })
    }

    /// The embedding model, loaded now if it was not. `admit` hears what its vectors are of before anyone gets it.
    pub(crate) fn encoder(&self, admit: &dyn Fn(&EmbedderId) -> Result<()>) -> Result<Arc<LoadedEncoder>> {
        if let Slot::Ready { loaded, .. } = &*lock(&self.encoder_slot) {
            return Ok(Arc::clone(loaded));
        }
        let _one = lock(&self.loading);
        if let Slot::Ready { loaded, .. } = &*lock(&self.encoder_slot) {
            return Ok(Arc::clone(loaded));
        }
        let path = self.path(&self.embedder)?;
        fill(&self.encoder_slot, &self.embedder, || {
            let sha256 = self.sha256(&path)?;
            let encoder = Encoder::load(&path, self.threads).map_err(|error| Error::model(&self.embedder, error))?;
            admit(&EmbedderId { sha256, dimension: encoder.dimension() })?;
            Ok(LoadedEncoder { id: self.embedder.clone(), encoder })
        })
    }

    /// An answering model, loaded now if it was not; it takes the place of another one.
    ///
    /// What can be told from the file's headers is told before the other one is let go.
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
        self.inspect(id, &path).inspect_err(|error| {
            let mut slot = lock(&self.generator_slot);
            if !matches!(*slot, Slot::Ready { .. }) {
                *slot = Slot::Failed { id: id.to_owned(), why: error.to_string() };
            }
        })?;
        let options = LoadOptions {
            threads: self.threads,
            context_tokens: self.context_tokens,
            memory_available_bytes: self.memory_available_bytes,
            keep_packed: self.keep_packed.clone(),
        };
        fill(&self.generator_slot, id, || {
            let sha256 = self.sha256(&path)?;
            let generator = Generator::load(&path, &options).map_err(|error| Error::model(id, error))?;
            tell(generator.packed_weights());
            let spans = Spans::new(generator.tokenizer());
            Ok(LoadedGenerator { id: id.to_owned(), sha256, generator, readings: Readings::default(), spans })
        })
    }

    /// Refuses what cannot answer or does not fit.
    fn inspect(&self, id: &str, path: &Path) -> Result<()> {
        let info = ModelInfo::inspect(path).map_err(|error| Error::model(id, error))?;
        if info.role != ModelRole::Generate {
            let does = if info.role == ModelRole::Embed { "embeds texts" } else { "scores passages" };
            return Err(Error::Model { id: id.to_owned(), why: format!("it {does}, it cannot answer") });
        }
        let Some(available_bytes) = self.memory_available_bytes else { return Ok(()) };
        let context_tokens = self.context_tokens.clamp(1, info.context_length.max(1));
        let need = info.memory(context_tokens);
        // Weights that do not fit are mapped from their packed file; loading refuses them where there is none.
        if need.mapped_total() <= available_bytes {
            return Ok(());
        }
        let needed_bytes = need.total();
        let error = cloister_engine::EngineError::DoesNotFit { needed_bytes, available_bytes, context_tokens };
        Err(Error::model(id, error))
    }

    /// Refuses what a user may not ask with: all but the configured model and those of the models directory that answer.
    pub(crate) fn need_answering(&self, id: &str) -> Result<()> {
        if id == self.generator {
            return Ok(());
        }
        let models = ModelStore::new(&self.models_dir).list().map_err(crate::audit::broken)?;
        let answers =
            models.into_iter().filter(|model| model.id == id).any(|model| match (model.entry, model.record) {
                (Some(entry), _) => entry.role == Role::Generate,
                (None, Some(_)) => {
                    let info = model.path.and_then(|path| ModelInfo::inspect(&path).ok());
                    info.is_some_and(|info| info.role == ModelRole::Generate)
                }
                (None, None) => false,
            });
        if answers { Ok(()) } else { Err(Error::invalid("model", format!("{id} is no model that answers questions"))) }
    }

    /// Forgets what the answering model has read: documents were removed.
    pub(crate) fn forget_readings(&self) {
        if let Slot::Ready { loaded, .. } = &*lock(&self.generator_slot) {
            loaded.readings.clear();
        }
    }

    fn ready_generator(&self, id: &str) -> Option<Arc<LoadedGenerator>> {
        match &*lock(&self.generator_slot) {
            // A model whose packed weights were changed under it is loaded anew.
            Slot::Ready { id: ready, loaded } if ready == id && loaded.generator.check_weights().is_ok() => {
                Some(Arc::clone(loaded))
            }
            _ => None,
        }
    }

    pub(crate) fn encoder_status(&self) -> ModelStatus {
        let (state, detail) = state_of(&lock(&self.encoder_slot), &self.embedder);
        self.status(&self.embedder, state, detail)
    }

    pub(crate) fn generator_status(&self) -> ModelStatus {
        let (state, detail) = state_of(&lock(&self.generator_slot), &self.generator);
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

/// Puts into the log where a model's weights are.
fn tell(weights: &PackedWeights) {
    for note in &weights.notes {
        tracing::warn!("packed weights: {note}");
    }
    let file = weights.file.as_deref().map(|file| file.display().to_string());
    tracing::info!(packed_now = weights.packed_now, file, "weights are ready");
}

/// How the model `id` is, as far as the slot knows.
fn state_of<T>(slot: &Slot<T>, id: &str) -> (ModelState, Option<String>) {
    match slot {
        Slot::Loading(other) if other == id => (ModelState::Loading, None),
        Slot::Ready { id: other, .. } if other == id => (ModelState::Ready, None),
        Slot::Failed { id: other, why } if other == id => (ModelState::Failed, Some(why.clone())),
        _ => (ModelState::Present, None),
    }
}

/// Loads into a slot. What was there is let go first, so that two large models never lie in memory together.
fn fill<T>(slot: &Mutex<Slot<T>>, id: &str, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    *lock(slot) = Slot::Loading(id.to_owned());
    match load() {
        Ok(loaded) => {
            let loaded = Arc::new(loaded);
            *lock(slot) = Slot::Ready { id: id.to_owned(), loaded: Arc::clone(&loaded) };
            Ok(loaded)
        }
        Err(error) => {
            *lock(slot) = Slot::Failed { id: id.to_owned(), why: error.to_string() };
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_of_the_model_that_failed() {
        let slot = Mutex::new(Slot::Empty);
        let failed = fill(&slot, "other", || Err::<(), _>(Error::invalid("model", "damaged")));
        assert!(failed.is_err());
        assert_eq!(state_of(&lock(&slot), "other").0, ModelState::Failed);
        assert_eq!(state_of(&lock(&slot), "usual").0, ModelState::Present);
        fill(&slot, "usual", || Ok(())).expect("it loads");
        assert_eq!(state_of(&lock(&slot), "usual").0, ModelState::Ready);
        assert_eq!(state_of(&lock(&slot), "other").0, ModelState::Present);
    }
}
