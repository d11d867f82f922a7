//! Jobs: what the ingest workers are doing, and who wants to know.

mod hub;

use std::ops::ControlFlow;

use cloister_index::{DocumentId, Job, JobFilter, JobId, Level, Stage, Visible};
use serde_json::json;

use crate::caller::Caller;
use crate::documents::{Fault, Gap, fault, gaps};
use crate::{Appliance, Error, Result};

pub(crate) use hub::{Hub, Live};

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
    /// The job whose file carried this one's, until this one has ended.
    pub parent: Option<String>,
}

/// Takes job events; must not block. `Break` ends the subscription.
pub type JobSink = Box<dyn FnMut(&JobInfo) -> ControlFlow<()> + Send>;

/// Unfinished jobs that a new subscriber hears of at most.
const SNAPSHOT_MAX: usize = 1_000;

/// Finished jobs listed beside the unfinished ones.
const FINISHED_LISTED: usize = 200;

impl Appliance {
    /// Jobs visible to the caller: all unfinished ones and the last finished, newest first.
    pub fn jobs(&self, caller: &Caller, collection: Option<&str>) -> Result<Vec<JobInfo>> {
        let visible = self.visible(caller)?;
        let collection = collection.map(|name| self.find_collection(&visible, name)).transpose()?.map(|found| found.id);
        let filter = JobFilter { collection, ..JobFilter::default() };
        let mut finished = 0;
        let mut jobs = self.store.jobs(&visible, &filter)?;
        jobs.reverse();
        jobs.retain(|job| {
            finished += usize::from(has_ended(job.stage));
            !has_ended(job.stage) || finished <= FINISHED_LISTED
        });
        Ok(jobs.into_iter().map(|job| self.job_info(&visible, job)).collect())
    }

    /// Sends every change of a job visible to the caller to `sink`; beside them one call for each job that is unfinished
    /// now, of the 1,000 newest.
    pub fn subscribe(&self, caller: &Caller, sink: JobSink) -> Result<()> {
        let visible = self.visible(caller)?;
        // First of all the subscriber is entered, so that no change falls between the list and the first event.
        let number = self.hub.subscribe(caller.clone(), visible.clone(), sink);
        let unfinished = JobFilter { unfinished: true, limit: Some(SNAPSHOT_MAX), ..JobFilter::default() };
        let listed = self.store.jobs(&visible, &unfinished).inspect_err(|_| self.hub.unsubscribe(number))?;
        for job in listed {
            let now = || {
                let job = self.store.job(&job.id).ok()?;
                (!has_ended(job.stage)).then(|| self.job_info(&visible, job))
            };
            if self.hub.tell_one(number, now).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Stops a job; the document keeps its former version, or is marked failed.
    pub fn cancel_job(&self, caller: &Caller, job: &str) -> Result<()> {
        let visible = self.visible(caller)?;
        let id = JobId::parse(job)?;
        let found = self.store.job(&id)?;
        if !visible.may(&found.collection, Level::Read) {
            return Err(Error::not_found("job", job));
        }
        self.recorded(caller, "job.cancel", &found.name, json!({"job": job}), || {
            Ok(self.store.cancel_job(&visible, &id)?)
        })?;
        self.hub.cancel(&id);
        self.tell(&id);
        self.hub.forget(&id);
        Ok(())
    }

    /// Queues a document again whose reading failed or left gaps; returns the job.
    pub fn retry(&self, caller: &Caller, document: &str) -> Result<String> {
        let visible = self.visible(caller)?;
        let found = self.find_document(&visible, document, None)?;
        let detail = json!({"document": found.id.as_str()});
        let job = self
            .recorded(caller, "document.retry", &found.name, detail, || Ok(self.store.retry(&visible, &found.id)?))?;
        self.tell(&job);
        self.hub.ring();
        Ok(job.to_string())
    }

    /// A job as it is shown, with what only memory knows.
    pub(crate) fn job_info(&self, visible: &Visible, job: Job) -> JobInfo {
        let live = self.hub.live(&job.id);
        let state = state_of(&job);
        let listed = if job.gaps > 0 { self.gaps_of(visible, &job.document) } else { Vec::new() };
        JobInfo {
            page: live.as_ref().map_or(job.pages_done, |live| live.done),
            pages: live.as_ref().map_or(job.pages_total, |live| live.total),
            seconds: live.as_ref().map_or_else(|| seconds_between(&job), Live::seconds),
            seconds_left: live.as_ref().and_then(|live| self.hub.seconds_left(live)),
            state: live.map_or(state, |live| if state.is_finished() { state } else { live.state }),
            parent: self.hub.parent(job.id.as_str()),
            id: job.id.to_string(),
            document: job.document.to_string(),
            name: job.name,
            collection: job.collection.to_string(),
            error: job.error.map(fault),
            gaps: listed,
        }
    }

    fn gaps_of(&self, visible: &Visible, document: &DocumentId) -> Vec<Gap> {
        self.store.document(visible, document.as_str(), None).map(|found| gaps(found.gaps)).unwrap_or_default()
    }

    /// Tells the subscribers how a job stands now.
    pub(crate) fn tell(&self, job: &JobId) {
        let Ok(found) = self.store.job(job) else { return };
        let Ok(all) = self.store.visible(&cloister_index::Actor::Operator) else { return };
        let collection = found.collection.clone();
        let info = self.job_info(&all, found);
        self.hub.publish(&info, &collection, |caller| self.visible(caller).ok());
    }
}

fn has_ended(stage: Stage) -> bool {
    matches!(stage, Stage::Done | Stage::Failed | Stage::Cancelled)
}

pub(crate) fn state_of(job: &Job) -> JobState {
    match job.stage {
        Stage::Queued => JobState::Queued,
        Stage::Reading => JobState::Reading,
        Stage::Embedding => JobState::Embedding,
        Stage::Indexing => JobState::Indexing,
        Stage::Done if job.gaps > 0 => JobState::Partial,
        Stage::Done => JobState::Ready,
        Stage::Failed => JobState::Failed,
        Stage::Cancelled => JobState::Cancelled,
    }
}

fn seconds_between(job: &Job) -> f64 {
    match (crate::time::parse(&job.created), crate::time::parse(&job.updated)) {
        (Some(created), Some(updated)) => (updated - created).as_seconds_f64().max(0.0),
        _ => 0.0,
    }
}
