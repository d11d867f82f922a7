//! The use cases of Cloister: take a file in, search, ask, record.
//!
//! [`Appliance`] is the only place that knows the four leaves: it starts the reader (`ingest`), runs the models
//! (`engine`), stores and finds (`index`) and records (`airgap`). It holds all prompt text. It prints nothing, reads no
//! environment, no home directory and no wall clock: paths, clock and randomness come in by [`Config`]. It opens no
//! network connection.
//!
//! Everything blocks; `web` calls it from threads of its own. One worker thread takes ingest jobs; questions run on
//! the caller's thread and are answered one at a time.
//!
//! Every use case takes a [`Caller`] and writes its audit record before its effect is released.

mod accounts;
mod appliance;
pub mod ask;
mod audit;
mod caller;
mod collections;
mod config;
mod doctor;
mod documents;
mod error;
mod folder;
mod jobs;
mod models;
mod search;
mod time;
mod upload;
mod worker;

/// The trust leaf, for tools that work without a data directory (bundles, keys, model downloads).
pub use cloister_airgap as airgap;
/// The model leaf, for tools that work on models alone (generate, tokenize, score, bench).
pub use cloister_engine as engine;
/// The file leaf, for the reader child and for tools that read files without storing them.
pub use cloister_ingest as ingest;

pub use accounts::{KeyInfo, Login, NewKey, NewUser, SessionIdentity};
pub use appliance::Appliance;
pub use ask::{Answer, AnswerModel, AnswerState, AskEvent, Citation, Question, Timings};
pub use audit::{AuditFault, AuditFilter, AuditFormat, AuditPage, AuditRecord, AuditVerdict, verify_export};
pub use caller::{Caller, Role, UserInfo, Via};
pub use cloister_engine::CancelFlag;
pub use collections::{CollectionInfo, GrantInfo, Level};
pub use config::{Clock, Config, DISK_RESERVE_BYTES_DEFAULT, EMBEDDER_DEFAULT, GENERATOR_DEFAULT, Random};
pub use doctor::{Check, doctor_closed};
pub use documents::{
    DocumentDetail, DocumentInfo, DocumentStatus, DocumentsPage, Fault, Gap, LedgerRow, Original, PageBlock, PageBox,
    PageView, PageWord, RemovedInfo, VersionInfo,
};
pub use error::{Error, ErrorKind, Result};
pub use folder::{DataFolder, Tightened};
pub use jobs::{JobInfo, JobSink, JobState};
pub use models::{Example, ModelEntry, ModelState, ModelStatus, Readiness, Status, list_models, show_model};
pub use search::{Coverage, Passage, SearchAnswer, SearchMode, SearchQuery, UnreadPage};
pub use upload::{IngestEvent, IngestResult, IngestTotal, UploadOptions, UploadStatus, Uploaded};
