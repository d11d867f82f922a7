//! What the appliance is given from outside: paths, clock, randomness, sizes.

use std::path::PathBuf;
use std::sync::Arc;

use cloister_engine::KeepPacked;
use cloister_ingest::ReadLimits;
use time::OffsetDateTime;

/// Says what time it is, in UTC.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Fills a buffer with bytes nobody can foretell.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Catalogue id of the model that answers when none is named.
pub const GENERATOR_DEFAULT: &str = "qwen2.5-coder-1.5b-instruct-q4_k_m";

/// Catalogue id of the model that embeds passages and questions.
pub const EMBEDDER_DEFAULT: &str = "all-minilm-l6-v2";

/// Bytes that uploads leave free when nothing else is said.
pub const DISK_RESERVE_BYTES_DEFAULT: u64 = 512 << 20;

/// Where an appliance lives and what it may use.
#[derive(Clone)]
pub struct Config {
    /// The data directory: store, audit log, installation key, one folder each.
    pub data_dir: PathBuf,
    /// The models directory, one folder a model. Nothing is written there but a model's packed weights.
    pub models_dir: PathBuf,
    /// The program that is started as reader child (`EXECUTABLE reader`).
    pub executable: PathBuf,
    /// Threads for the model work; at least 1.
    pub threads: usize,
    /// Catalogue id or path of the answering model; `None` means [`GENERATOR_DEFAULT`].
    pub generator: Option<String>,
    /// Catalogue id or path of the embedding model.
    pub embedder: String,
    /// Tokens of context the answering model is loaded with.
    pub context_tokens: u32,
    /// Bytes of memory models may take; `None` leaves it unchecked.
    pub memory_available_bytes: Option<u64>,
    /// Largest upload that is taken, in bytes.
    pub upload_bytes_max: u64,
    /// Free bytes of the data directory's disk below which uploads are refused: deletions and the audit log write too.
    pub disk_reserve_bytes: u64,
    /// Limits of the reader child.
    pub read_limits: ReadLimits,
    /// The clock.
    pub clock: Clock,
    /// The source of randomness.
    pub random: Random,
    /// Names this start of the machine in the audit log.
    pub boot_id: String,
}

impl Config {
    /// A configuration with the usual sizes.
    pub fn new(data_dir: PathBuf, models_dir: PathBuf, executable: PathBuf, clock: Clock, random: Random) -> Self {
        Self {
            data_dir,
            models_dir,
            executable,
            threads: 2,
            generator: None,
            embedder: EMBEDDER_DEFAULT.to_owned(),
            context_tokens: 4096,
            memory_available_bytes: None,
            upload_bytes_max: 2 << 30,
            disk_reserve_bytes: DISK_RESERVE_BYTES_DEFAULT,
            read_limits: ReadLimits::default(),
            clock,
            random,
            boot_id: String::new(),
        }
    }

    /// Where packed weights are kept: beside the model, and in the data directory where that cannot be written.
    pub fn keep_packed(&self) -> KeepPacked {
        KeepPacked::BesideModelOr(self.data_dir.join("packed"))
    }

    /// The id or path of the answering model in force.
    pub fn generator(&self) -> &str {
        self.generator.as_deref().unwrap_or(GENERATOR_DEFAULT)
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("models_dir", &self.models_dir)
            .field("generator", &self.generator())
            .field("embedder", &self.embedder)
            .finish_non_exhaustive()
    }
}
