//! Taking in files and folders of the machine itself, one result a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use cloister_index::{DocumentId, JobId};

use super::{IngestEvent, IngestResult, IngestTotal, UploadOptions, UploadStatus, Uploaded};
use crate::CancelFlag;
use crate::caller::Caller;
use crate::documents::Fault;
use crate::jobs::{JobInfo, JobState};
use crate::{Appliance, Error, Result};

/// Files of one call at most.
const FILES_MAX: usize = 1_000_000;

/// Folders within folders at most.
const DEPTH_MAX: usize = 64;

/// Files placed ahead of the reading: bounds what waits, keeps the workers busy.
const AHEAD_MAX: usize = 16;

/// How often the jobs are looked at when no event comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

struct Found {
    /// Its number among the files of the call, in the order of which results are told.
    turn: usize,
    path: PathBuf,
    name: String,
    trouble: Option<String>,
}

struct Waiting {
    turn: usize,
    path: PathBuf,
    name: String,
    document: String,
    status: &'static str,
    begun: Instant,
}

/// One call under way.
struct Batch<'a> {
    appliance: &'a Appliance,
    caller: &'a Caller,
    waiting: HashMap<String, Waiting>,
    /// Documents that have or will have a result.
    known: HashSet<String>,
    /// Results that wait for those of files before them.
    held: BTreeMap<usize, Vec<IngestResult>>,
    total: IngestTotal,
    on_event: &'a mut dyn FnMut(IngestEvent),
    /// Whether helpers of this call do the work, rather than the workers.
    helped: bool,
}

impl Appliance {
    /// Takes in files and folders and waits until each is read and indexed; the collection is made if it is not there.
    ///
    /// A file that fails is told by its event and disturbs no other. Needs no workers: where there are none it starts
    /// helpers of its own for the time of the call. Should the workers be shut down meanwhile it is cancelled. Hidden files (`.name`) and links within folders are passed over. Attachments of mails
    /// get a result of their own.
    pub fn ingest_paths(
        &self,
        caller: &Caller,
        collection: &str,
        paths: &[PathBuf],
        options: &UploadOptions,
        cancel: &CancelFlag,
        on_event: &mut dyn FnMut(IngestEvent),
    ) -> Result<IngestTotal> {
        let begun = Instant::now();
        let files = find_files(paths)?;
        if self.collection(caller, collection).is_err() {
            let made = self.add_collection(caller, collection)?;
            on_event(IngestEvent::CollectionMade { name: made.name });
        }
        // Two more at work than there are places would read and embed beside the workers, and their end interrupt both.
        let helped = !self.has_workers();
        on_event(IngestEvent::Found { files: files.len() });
        let (sender, events) = channel();
        let sink = move |info: &JobInfo| match sender.send(info.clone()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        self.subscribe(caller, Box::new(sink))?;
        let mut batch = Batch {
            appliance: self,
            caller,
            waiting: HashMap::new(),
            known: HashSet::new(),
            held: BTreeMap::new(),
            total: IngestTotal::default(),
            on_event,
            helped,
        };
        let stop = CancelFlag::new();
        let done = std::thread::scope(|scope| {
            for _ in 0..if helped { self.worker_count() } else { 0 } {
                scope.spawn(|| self.work(&stop));
            }
            let done = batch.run(collection, files, options, cancel, &events);
            // What was done is told, even where the rest was broken off.
            batch.waiting.clear();
            batch.tell();
            stop.cancel();
            self.hub.ring();
            done
        });
        done?;
        batch.total.seconds = begun.elapsed().as_secs_f64();
        Ok(batch.total)
    }
}

impl Batch<'_> {
    fn run(
        &mut self,
        collection: &str,
        files: Vec<Found>,
        options: &UploadOptions,
        cancel: &CancelFlag,
        events: &Receiver<JobInfo>,
    ) -> Result<()> {
        for (turn, mut found) in files.into_iter().enumerate() {
            found.turn = turn;
            self.take_in(collection, found, options)?;
            while self.waiting.len() >= AHEAD_MAX {
                self.wait(cancel, events)?;
            }
        }
        while !self.waiting.is_empty() {
            self.wait(cancel, events)?;
        }
        Ok(())
    }

    /// Places one file. Only what concerns the whole call (audit log, disk, rights) is an error.
    fn take_in(&mut self, collection: &str, found: Found, options: &UploadOptions) -> Result<()> {
        let begun = Instant::now();
        let opened = match &found.trouble {
            Some(why) => Err(Error::Environment { what: "could not list".to_owned(), why: why.clone() }),
            None => File::open(&found.path).map_err(|error| Error::io("open", &found.path, &error)),
        };
        let placed =
            opened.and_then(|mut file| self.appliance.upload(self.caller, collection, &found.name, &mut file, options));
        match placed {
            Ok(uploaded) => self.placed(found, uploaded, begun),
            Err(error @ (Error::Audit(_) | Error::DiskFull(_) | Error::Denied(_))) => return Err(error),
            Err(error) => self.failed(found, &error, begun),
        }
        self.tell();
        Ok(())
    }

    fn placed(&mut self, found: Found, uploaded: Uploaded, begun: Instant) {
        let status = match uploaded.status {
            UploadStatus::Queued => "added",
            UploadStatus::Updated => "updated",
            UploadStatus::Unchanged if uploaded.job.is_some() => "added",
            UploadStatus::Unchanged => "unchanged",
            UploadStatus::Duplicate => "duplicate",
        };
        let Uploaded { name, document, .. } = uploaded;
        self.known.insert(document.clone());
        let waiting = Waiting { turn: found.turn, path: found.path, name, document, status, begun };
        match uploaded.job {
            Some(job) if status != "duplicate" => drop(self.waiting.insert(job, waiting)),
            _ => self.finish(waiting, None),
        }
    }

    fn failed(&mut self, found: Found, error: &Error, begun: Instant) {
        let code = if matches!(error, Error::Environment { .. }) { "unreadable" } else { error.code() };
        let fault = Fault { code: code.to_owned(), message: error.to_string() };
        self.push(
            found.turn,
            IngestResult {
                file: found.path,
                name: found.name,
                document: None,
                status: "failed",
                pages: 0,
                passages: 0,
                seconds: begun.elapsed().as_secs_f64(),
                error: Some(fault),
                gaps: Vec::new(),
            },
        );
    }

    fn wait(&mut self, cancel: &CancelFlag, events: &Receiver<JobInfo>) -> Result<()> {
        if cancel.is_cancelled() || !self.helped && !self.appliance.has_workers() {
            return Err(Error::Cancelled);
        }
        match events.recv_timeout(LOOK_EVERY) {
            Ok(info) => self.heard(&info),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.look(),
        }
        self.tell();
        Ok(())
    }

    fn heard(&mut self, info: &JobInfo) {
        self.adopt(info);
        if !self.waiting.contains_key(&info.id) {
            return;
        }
        if info.state.is_finished() {
            self.end(&info.id, info.state, info.error.clone());
        } else {
            (self.on_event)(IngestEvent::Progress(info.clone()));
        }
    }

    /// A file that came inside another one gets a result of its own.
    fn adopt(&mut self, info: &JobInfo) {
        if self.waiting.contains_key(&info.id) {
            return;
        }
        let Some(parent) = info.parent.as_ref().and_then(|parent| self.waiting.get(parent)) else { return };
        if self.known.contains(&info.document) {
            return;
        }
        let (turn, path, name, document) = (parent.turn, parent.path.clone(), info.name.clone(), info.document.clone());
        self.known.insert(document.clone());
        let child = Waiting { turn, path, name, document, status: "added", begun: Instant::now() };
        self.waiting.insert(info.id.clone(), child);
    }

    /// Looks at the jobs themselves, should an event have been lost.
    fn look(&mut self) {
        let jobs: Vec<String> = self.waiting.keys().cloned().collect();
        for id in jobs {
            let Ok(job) = JobId::parse(&id).and_then(|id| self.appliance.store.job(&id)) else {
                self.end(&id, JobState::Cancelled, None);
                continue;
            };
            let state = crate::jobs::state_of(&job);
            if state.is_finished() {
                self.end(&id, state, job.error.map(crate::documents::fault));
            }
        }
    }

    fn end(&mut self, job: &str, state: JobState, error: Option<Fault>) {
        let Some(mut waiting) = self.waiting.remove(job) else { return };
        let error = match state {
            JobState::Failed => Some(error.unwrap_or_else(|| fault("crashed", "the job failed"))),
            JobState::Cancelled => Some(fault("cancelled", "the job was cancelled")),
            _ => None,
        };
        if error.is_some() {
            waiting.status = "failed";
        }
        self.finish(waiting, error);
    }

    fn finish(&mut self, waiting: Waiting, error: Option<Fault>) {
        let all = self.appliance.visible(self.caller);
        let found = all.and_then(|all| Ok(self.appliance.store.document(&all, &waiting.document, None)?)).ok();
        let gaps = found.as_ref().map(|found| crate::documents::gaps(found.gaps.clone())).unwrap_or_default();
        let fresh = matches!(waiting.status, "added" | "updated");
        let status = if fresh && !gaps.is_empty() { "partial" } else { waiting.status };
        self.attached(&waiting);
        self.push(
            waiting.turn,
            IngestResult {
                file: waiting.path,
                name: waiting.name,
                document: Some(waiting.document),
                status,
                pages: found.as_ref().map_or(0, |found| found.pages),
                passages: found.as_ref().map_or(0, |found| found.passages),
                seconds: waiting.begun.elapsed().as_secs_f64(),
                error,
                gaps,
            },
        );
    }

    /// Attachments that were there before are told as well, so that a file gives the same lines each time.
    fn attached(&mut self, parent: &Waiting) {
        if parent.status == "duplicate" {
            return;
        }
        let store = &self.appliance.store;
        let Ok(all) = self.appliance.visible(self.caller) else { return };
        let Ok(id) = DocumentId::parse(&parent.document) else { return };
        for child in store.attachments(&all, &id).unwrap_or_default() {
            let Ok(found) = store.document(&all, child.as_str(), None) else { continue };
            if !self.known.insert(child.to_string()) {
                continue;
            }
            let error = found.error.map(crate::documents::fault);
            let waiting = Waiting {
                turn: parent.turn,
                path: parent.path.clone(),
                name: found.name,
                document: child.to_string(),
                status: if error.is_some() { "failed" } else { "unchanged" },
                begun: Instant::now(),
            };
            match found.job {
                Some(job) => drop(self.waiting.insert(job.to_string(), Waiting { status: "added", ..waiting })),
                None => self.finish(waiting, error),
            }
        }
    }

    /// Tells the results of files before which none is under way, each file before what it carried.
    fn tell(&mut self) {
        let first = self.waiting.values().map(|waiting| waiting.turn).min().unwrap_or(usize::MAX);
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < first) {
            let mut results = entry.remove();
            results.sort_by(|a, b| a.name.cmp(&b.name));
            results.into_iter().for_each(|result| (self.on_event)(IngestEvent::File(result)));
        }
    }

    fn push(&mut self, turn: usize, result: IngestResult) {
        let total = &mut self.total;
        total.files += 1;
        let count = match result.status {
            "added" => &mut total.added,
            "unchanged" => &mut total.unchanged,
            "updated" => &mut total.updated,
            "duplicate" => &mut total.duplicate,
            "partial" => &mut total.partial,
            _ => &mut total.failed,
        };
        *count += 1;
        if matches!(result.status, "added" | "updated" | "partial") {
            total.pages += u64::from(result.pages);
            total.passages += u64::from(result.passages);
        }
        self.held.entry(turn).or_default().push(result);
    }
}

fn fault(code: &str, message: &str) -> Fault {
    Fault { code: code.to_owned(), message: message.to_owned() }
}

/// The files behind some paths, with their names: the base name of a file, the path within a folder.
fn find_files(paths: &[PathBuf]) -> Result<Vec<Found>> {
    let mut out = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, path, 0, &mut out)?;
        } else {
            let name =
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
            let trouble = (!path.exists()).then(|| "there is no such file".to_owned());
            out.push(Found { turn: 0, path: path.clone(), name, trouble });
        }
    }
    Ok(out)
}

fn walk(root: &Path, folder: &Path, depth: usize, out: &mut Vec<Found>) -> Result<()> {
    let trouble = |path: &Path, why: String| Found {
        turn: 0,
        path: path.to_path_buf(),
        name: name_in(root, path),
        trouble: Some(why),
    };
    if depth > DEPTH_MAX {
        out.push(trouble(folder, format!("more than {DEPTH_MAX} folders within one another")));
        return Ok(());
    }
    let (mut entries, bad) = match std::fs::read_dir(folder) {
        Ok(entries) => readable(entries),
        Err(error) => (Vec::new(), vec![error]),
    };
    out.extend(bad.into_iter().map(|error| trouble(folder, error.to_string())));
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => {
                out.push(trouble(&path, error.to_string()));
                continue;
            }
        };
        if entry.file_name().to_string_lossy().starts_with('.') || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, depth + 1, out)?;
        } else if kind.is_file() {
            out.push(Found { turn: 0, name: name_in(root, &path), path, trouble: None });
        }
        if out.len() > FILES_MAX {
            return Err(Error::invalid("paths", format!("hold more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

/// Errors of one folder that are told; a folder that breaks off gives the same one again and again.
const BAD_ENTRIES_MAX: usize = 8;

/// The entries that could be read, and why others could not.
fn readable<T>(entries: impl Iterator<Item = std::io::Result<T>>) -> (Vec<T>, Vec<std::io::Error>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Ok(entry) => good.push(entry),
            Err(error) => bad.push(error),
        }
        if bad.len() == BAD_ENTRIES_MAX {
            break;
        }
    }
    (good, bad)
}

fn name_in(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_in_a_folder_is_told() {
        let error = || std::io::Error::other("the disk does not answer");
        let (good, bad) = readable([Ok("a"), Err(error()), Ok("b")].into_iter());
        assert_eq!((good, bad.len()), (vec!["a", "b"], 1));
        let (_, bad) = readable(std::iter::repeat_with(|| Err::<(), _>(error())));
        assert_eq!(bad.len(), BAD_ENTRIES_MAX, "it ends");
    }

    #[test]
    fn names_are_relative_to_the_folder_given() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let root = dir.path();
        for name in ["b.txt", "sub/a.txt", ".hidden", "sub/.git/x"] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("it was joined to a folder")).expect("folders can be made");
            std::fs::write(path, b"x").expect("files can be written");
        }
        let found = find_files(&[root.to_path_buf(), root.join("b.txt"), root.join("gone")]).expect("few files");
        let names: Vec<(&str, bool)> =
            found.iter().map(|found| (found.name.as_str(), found.trouble.is_some())).collect();
        assert_eq!(names, [("b.txt", false), ("sub/a.txt", false), ("b.txt", false), ("gone", true)]);
    }
}
