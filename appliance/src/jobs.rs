//! Jobs: what the ingest workers are doing, and who wants to know.

use std::ops::ControlFlow;

use crate::caller::Caller;
use crate::documents::{Fault, Gap};
use crate::{Appliance, Result};

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// The reader is at it.
    Reading,
    /// Passages are being embedded.
    Embedding,
    /// The index is being written.
    Indexing,
    /// Done, all pages read.
    Ready,
    /// Done, with gaps.
    Partial,
    /// Given up.
    Failed,
    /// Stopped at a caller's wish.
    Cancelled,
    /// The bytes were there already.
    Duplicate,
}

impl JobState {
    /// Word for the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Reading => "reading",
            Self::Embedding => "embedding",
            Self::Indexing => "indexing",
            Self::Ready => "ready",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Ready | Self::Partial | Self::Failed | Self::Cancelled | Self::Duplicate)
    }
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobInfo {
    /// Id.
    pub id: String,
    /// Document.
    pub document: String,
    /// Name of the document.
    pub name: String,
    /// Id of the collection.
    pub collection: String,
    /// State.
    pub state: JobState,
    /// Pages read, or passages embedded while [`JobState::Embedding`].
    pub page: u32,
    /// Pages in all (passages while embedding), when known.
    pub pages: Option<u32>,
    /// Seconds spent so far.
    pub seconds: f64,
    /// Seconds left, estimated from this job's measured rate.
    pub seconds_left: Option<f64>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Pages that could not be read.
    pub gaps: Vec<Gap>,
}

/// Takes job events; must not block. `Break` ends the subscription.
pub type JobSink = Box<dyn FnMut(&JobInfo) -> ControlFlow<()> + Send>;

impl Appliance {
    /// Jobs visible to the caller: all unfinished ones and the last finished, newest first.
    pub fn jobs(&self, caller: &Caller, collection: Option<&str>) -> Result<Vec<JobInfo>> {
        let _ = (caller, collection);
        self.unfinished()
    }

    /// Sends every change of a job visible to the caller to `sink`, one call for each unfinished job first.
    pub fn subscribe(&self, caller: &Caller, sink: JobSink) -> Result<()> {
        let _ = (caller, sink);
        self.unfinished()
    }

    /// Stops a job; the document keeps its former version, or is marked failed.
    pub fn cancel_job(&self, caller: &Caller, job: &str) -> Result<()> {
        let _ = (caller, job);
        self.unfinished()
    }

    /// Queues a document again whose reading failed or left gaps; returns the job.
    pub fn retry(&self, caller: &Caller, document: &str) -> Result<String> {
        let _ = (caller, document);
        self.unfinished()
    }
}
