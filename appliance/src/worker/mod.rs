//! The ingest workers: take a job, read, cut, embed, commit.

mod embed;
mod guard;
mod read;

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloister_index::{Actor, BlobRef, Job, NewPassage, Placed, Stage};
use cloister_ingest::{CutOptions, Page, Passage, cut};
use serde_json::json;

use crate::CancelFlag;
use crate::jobs::JobState;
use crate::models::LoadedEncoder;
use crate::{Appliance, Error, Result};
pub(crate) use embed::heading_line;
use read::Reading;
pub(crate) use read::page_out;

/// Workers at most: while one embeds, the other's reader child parses the next file.
const WORKERS_MAX: usize = 2;

/// How long an idle worker sleeps before it looks for work unasked.
const IDLE: Duration = Duration::from_secs(5);

/// How long a worker rests after the store refused to give it work.
const REST: Duration = Duration::from_secs(10);

/// The worker threads of an appliance.
#[derive(Default)]
pub(crate) struct Workers {
    stop: CancelFlag,
    handles: Vec<JoinHandle<()>>,
}

impl Appliance {
    /// Starts the ingest workers; unfinished jobs of a former run go on.
    pub fn start_workers(self: &Arc<Self>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if !workers.handles.is_empty() {
            return;
        }
        workers.stop = CancelFlag::new();
        for _ in 0..self.worker_count() {
            let (appliance, stop) = (Arc::clone(self), workers.stop.clone());
            workers.handles.push(std::thread::spawn(move || appliance.work(&stop)));
        }
    }

    /// Stops the workers at the next page or batch and waits for them.
    pub fn shutdown(&self) {
        let handles = {
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.stop.cancel();
            std::mem::take(&mut workers.handles)
        };
        self.hub.ring();
        for handle in handles {
            drop(handle.join());
        }
    }

    /// Whether the ingest workers were started and not shut down.
    pub(crate) fn has_workers(&self) -> bool {
        !self.workers.lock().unwrap_or_else(PoisonError::into_inner).handles.is_empty()
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.config.threads.clamp(1, WORKERS_MAX)
    }

    /// Works jobs off until `stop`.
    pub(crate) fn work(&self, stop: &CancelFlag) {
        while !stop.is_cancelled() {
            match self.store.next_job(self.begun.elapsed()) {
                Ok(Some(job)) => self.work_off(&job, stop),
                Ok(None) => {
                    let filled = guard::guarded(|| Ok(self.fill_vectors(stop))).unwrap_or(false);
                    if !filled && !stop.is_cancelled() {
                        self.hub.wait(IDLE);
                    }
                }
                Err(_) => self.hub.wait(REST),
            }
        }
    }

    fn work_off(&self, job: &Job, stop: &CancelFlag) {
        let cancel = self.hub.begin(&job.id);
        self.tell(&job.id);
        let done = guard::guarded(|| self.ingest(job, &|| stop.is_cancelled() || cancel.is_cancelled()));
        self.hub.end(&job.id);
        match done {
            Err(Error::Cancelled) if stop.is_cancelled() && !cancel.is_cancelled() => {
                drop(self.store.release_job(&job.id));
            }
            Ok(()) | Err(Error::Cancelled) => {}
            Err(error) => self.give_up(job, &error),
        }
        self.tell(&job.id);
    }

    fn give_up(&self, job: &Job, error: &Error) {
        let (code, message) = match error {
            Error::Unreadable { code, message } => (*code, message.clone()),
            Error::DiskFull(_) => ("disk_full", "the disk is full: free some space and retry".to_owned()),
            other => (other.code(), other.to_string()),
        };
        let detail = json!({"document": job.document.as_str(), "sha256": job.sha256, "code": code, "why": message});
        drop(self.journal.append("system", "document.ingest", &job.name, "failed", detail));
        if self.store.fail_job(&job.id, code, &message).is_err() {
            self.hub.wait(REST);
        }
    }

    fn ingest(&self, job: &Job, stopped: &dyn Fn() -> bool) -> Result<()> {
        let reading = self.read(job, stopped)?;
        let pages = self.pages_of(job)?;
        let encoder = self.encoder().ok();
        let passages = passages_of(&pages, encoder.as_deref(), stopped)?;
        // Before the commit: a kill between the two must not lose them, and placing them twice does no harm.
        self.place_attachments(job, &reading)?;
        if passages.is_empty() {
            return Err(read::nothing_to_read(&pages));
        }
        let begun = Instant::now();
        let vectors = match &encoder {
            Some(encoder) => self.embed_passages(job, encoder, &passages, stopped)?,
            None => Vec::new(),
        };
        self.hub.learn(pages.len(), passages.len(), begun.elapsed());
        self.note_stage(job, JobState::Indexing, Stage::Indexing)?;
        let detail = json!({
            "document": job.document.as_str(), "version": job.version, "sha256": job.sha256, "pages": pages.len(),
            "passages": passages.len(), "gaps": reading.gaps, "vectors": !vectors.is_empty(), "fault": reading.fault,
        });
        self.journal.append("system", "document.ingest", &job.name, "ok", detail)?;
        self.store.commit_document(&job.id, &passages, &vectors)?;
        self.drop_attachments(job, &reading);
        Ok(())
    }

    fn note_stage(&self, job: &Job, state: JobState, stage: Stage) -> Result<()> {
        self.store.set_stage(&job.id, stage)?;
        if self.hub.progress(&job.id, state, 0, None) {
            self.tell(&job.id);
        }
        Ok(())
    }

    /// Attachments become documents of their own, named `parent/attachment`. What cannot be placed is recorded.
    fn place_attachments(&self, job: &Job, reading: &Reading) -> Result<()> {
        self.store.note_attachments(&job.id, reading.attachments.len())?;
        for (name, blob) in &reading.attachments {
            let name = format!("{}/{name}", job.name);
            match self.place_attachment(job, &name, blob) {
                Ok(Placed::Added { job: child, .. } | Placed::Updated { job: child, .. }) => {
                    self.hub.adopt(&child, &job.id);
                    self.tell(&child);
                    self.hub.ring();
                }
                Ok(_) => {}
                Err(error) => {
                    let detail = json!({"parent": job.document.as_str(), "code": error.code()});
                    drop(self.journal.append("system", "document.upload", &name, "failed", detail));
                }
            }
        }
        Ok(())
    }

    fn place_attachment(&self, job: &Job, name: &str, blob: &BlobRef) -> Result<Placed> {
        let detail = json!({"parent": job.document.as_str(), "sha256": blob.sha256, "bytes": blob.bytes});
        self.journal.append("system", "document.upload", name, "ok", detail)?;
        let all = self.store.visible(&Actor::Operator)?;
        Ok(self.store.place_attachment(&all, &job.document, name, blob)?)
    }

    /// What an earlier version carried and this one no longer does is removed, unless this one could not be read to its end.
    fn drop_attachments(&self, job: &Job, reading: &Reading) {
        if reading.fault.is_some() || reading.gaps > 0 {
            return;
        }
        let kept: Vec<String> = reading.attachments.iter().map(|(name, _)| format!("{}/{name}", job.name)).collect();
        let Ok(all) = self.store.visible(&Actor::Operator) else { return };
        for id in self.store.attachments(&all, &job.document).unwrap_or_default() {
            let Ok(found) = self.store.document(&all, id.as_str(), None) else { continue };
            if kept.contains(&found.name) {
                continue;
            }
            let detail = json!({"parent": job.document.as_str(), "document": id.as_str(), "sha256": found.sha256});
            let append =
                |outcome: &str| self.journal.append("system", "document.remove", &found.name, outcome, detail.clone());
            let removed = append("ok").and_then(|_| Ok(self.store.remove_document(&all, &id)?));
            if removed.is_err() {
                drop(append("failed"));
            }
            self.shelf.forget_readings();
        }
    }
}

fn passages_of(pages: &[Page], encoder: Option<&LoadedEncoder>, stopped: &dyn Fn() -> bool) -> Result<Vec<NewPassage>> {
    let count = |text: &str| {
        let told = encoder.map_or_else(|| embed::rough_count(text), |loaded| loaded.encoder.count_tokens(text));
        told.max(embed::least_count(text))
    };
    // Cutting fails for no other reason than that it was stopped.
    let cut = cut(pages, &CutOptions::default(), &count, stopped).map_err(|_| Error::Cancelled)?;
    Ok(cut.into_iter().map(stored).collect())
}

fn stored(passage: Passage) -> NewPassage {
    NewPassage {
        start: passage.start,
        end: passage.end,
        page: passage.page,
        place: passage.place,
        heading_path: passage.heading_path,
        text: passage.text,
    }
}
