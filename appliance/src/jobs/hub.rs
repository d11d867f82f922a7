//! What only memory knows about jobs: their progress between two commits, and who listens.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloister_index::{CollectionId, JobId, Level, Visible};

use super::{JobInfo, JobSink, JobState};
use crate::CancelFlag;
use crate::caller::Caller;

/// Shortest time between two tellings of the same job's progress.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How long a subscriber's rights are taken for granted before they are looked up again.
const RIGHTS_FOR: Duration = Duration::from_secs(2);

/// Subscribers at most; further ones push the oldest out.
const SUBSCRIBERS_MAX: usize = 1_000;

/// A job that is being worked off.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) state: JobState,
    pub(crate) done: u32,
    pub(crate) total: Option<u32>,
    started: Instant,
    stage_started: Instant,
    told: Option<Instant>,
    cancel: CancelFlag,
}

impl Live {
    /// Seconds since the work began.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Rates measured on finished jobs, for estimates; each new job weighs a quarter.
#[derive(Debug, Default, Clone, Copy)]
struct Rates {
    passages_per_page: Option<f64>,
    seconds_per_passage: Option<f64>,
}

struct Subscriber {
    number: u64,
    caller: Caller,
    visible: Visible,
    looked_up: Instant,
    sink: JobSink,
}

/// Progress of running jobs, subscribers, and the bell that wakes workers.
#[derive(Default)]
pub(crate) struct Hub {
    live: Mutex<HashMap<JobId, Live>>,
    parents: Mutex<HashMap<String, String>>,
    rates: Mutex<Rates>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// Subscribers so far.
    subscribed: Mutex<u64>,
    rings: Mutex<u64>,
    bell: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Notes that work on a job begins; the flag returned is set when it is cancelled.
    pub(crate) fn begin(&self, job: &JobId) -> CancelFlag {
        let now = Instant::now();
        let cancel = CancelFlag::new();
        let live = Live {
            state: JobState::Reading,
            done: 0,
            total: None,
            started: now,
            stage_started: now,
            told: None,
            cancel: cancel.clone(),
        };
        lock(&self.live).insert(job.clone(), live);
        cancel
    }

    /// Notes that work on a job has ended, or will not begin.
    pub(crate) fn end(&self, job: &JobId) {
        lock(&self.live).remove(job);
        self.forget(job);
    }

    /// Forgets the parent of a job that nobody works on any more.
    pub(crate) fn forget(&self, child: &JobId) {
        lock(&self.parents).remove(child.as_str());
    }

    /// Notes progress. True when it is time to tell the subscribers: at most ten times a second, always at a new state.
    pub(crate) fn progress(&self, job: &JobId, state: JobState, done: u32, total: Option<u32>) -> bool {
        let mut all = lock(&self.live);
        let Some(live) = all.get_mut(job) else { return false };
        let new_state = live.state != state;
        if new_state {
            live.stage_started = Instant::now();
        }
        (live.state, live.done, live.total) = (state, done, total);
        let due = new_state || live.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if due {
            live.told = Some(Instant::now());
        }
        due
    }

    pub(crate) fn live(&self, job: &JobId) -> Option<Live> {
        lock(&self.live).get(job).cloned()
    }

    /// Stops a running job.
    pub(crate) fn cancel(&self, job: &JobId) {
        if let Some(live) = lock(&self.live).get(job) {
            live.cancel.cancel();
        }
    }

    /// Seconds a job still needs: at the rate of its stage so far, and of former jobs for the stages to come.
    pub(crate) fn seconds_left(&self, live: &Live) -> Option<f64> {
        let total = live.total?;
        if live.done == 0 || live.done > total {
            return None;
        }
        let here = live.stage_started.elapsed().as_secs_f64() / f64::from(live.done) * f64::from(total - live.done);
        let rates = *lock(&self.rates);
        let later = match (live.state, rates.passages_per_page, rates.seconds_per_passage) {
            (JobState::Reading, Some(passages), Some(seconds)) => f64::from(total) * passages * seconds,
            _ => 0.0,
        };
        Some(here + later)
    }

    /// Learns from a finished job.
    pub(crate) fn learn(&self, pages: usize, passages: usize, embedding: Duration) {
        let mut rates = lock(&self.rates);
        if pages > 0 && passages > 0 {
            let blend = |old: Option<f64>, new: f64| Some(old.map_or(new, |old| old * 0.75 + new * 0.25));
            rates.passages_per_page = blend(rates.passages_per_page, passages as f64 / pages as f64);
            rates.seconds_per_passage = blend(rates.seconds_per_passage, embedding.as_secs_f64() / passages as f64);
        }
    }

    /// Notes that a job reads what another job's file carried.
    pub(crate) fn adopt(&self, child: &JobId, parent: &JobId) {
        lock(&self.parents).insert(child.to_string(), parent.to_string());
    }

    /// The job whose file carried this one's, until this one has ended.
    pub(crate) fn parent(&self, child: &str) -> Option<String> {
        lock(&self.parents).get(child).cloned()
    }

    /// Adds a subscriber; the number names it.
    pub(crate) fn subscribe(&self, caller: Caller, visible: Visible, sink: JobSink) -> u64 {
        let mut subscribers = lock(&self.subscribers);
        if subscribers.len() >= SUBSCRIBERS_MAX {
            subscribers.remove(0);
        }
        let mut last = lock(&self.subscribed);
        *last += 1;
        subscribers.push(Subscriber { number: *last, caller, visible, looked_up: Instant::now(), sink });
        *last
    }

    /// Tells one subscriber what `now` finds, or nothing. No other event comes between the looking and the telling, so
    /// that what is told is never older than what was told before. `Break` when the subscriber is gone.
    pub(crate) fn tell_one(&self, number: u64, now: impl FnOnce() -> Option<JobInfo>) -> ControlFlow<()> {
        let mut subscribers = lock(&self.subscribers);
        let Some(index) = subscribers.iter().position(|subscriber| subscriber.number == number) else {
            return ControlFlow::Break(());
        };
        let Some(info) = now() else { return ControlFlow::Continue(()) };
        let told = (subscribers[index].sink)(&info);
        if told.is_break() {
            subscribers.remove(index);
        }
        told
    }

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&self, number: u64) {
        lock(&self.subscribers).retain(|subscriber| subscriber.number != number);
    }

    /// Tells a job to everyone who may see its collection now.
    pub(crate) fn publish(
        &self,
        info: &JobInfo,
        collection: &CollectionId,
        rights: impl Fn(&Caller) -> Option<Visible>,
    ) {
        lock(&self.subscribers).retain_mut(|subscriber| {
            if subscriber.looked_up.elapsed() > RIGHTS_FOR || !subscriber.visible.may(collection, Level::Read) {
                let Some(visible) = rights(&subscriber.caller) else { return false };
                (subscriber.visible, subscriber.looked_up) = (visible, Instant::now());
            }
            !subscriber.visible.may(collection, Level::Read) || (subscriber.sink)(info).is_continue()
        });
        if info.state.is_finished() {
            self.ring();
        }
    }

    /// Wakes the workers.
    pub(crate) fn ring(&self) {
        *lock(&self.rings) += 1;
        self.bell.notify_all();
    }

    /// Waits for the bell, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let rings = lock(&self.rings);
        let before = *rings;
        drop(self.bell.wait_timeout_while(rings, timeout, |now| *now == before));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn job(id: &str, state: JobState) -> JobInfo {
        JobInfo {
            id: id.to_owned(),
            document: String::new(),
            name: String::new(),
            collection: String::new(),
            state,
            page: 0,
            pages: None,
            seconds: 0.0,
            seconds_left: None,
            error: None,
            gaps: Vec::new(),
            parent: None,
        }
    }

    #[test]
    fn a_new_subscriber_hears_changes_while_it_is_told_what_is() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let random = cloister_index::Random::new(|bytes| bytes.fill(7));
        let clock = cloister_index::Clock::new(|| "2026-01-01T00:00:00.000Z".to_owned());
        let options = cloister_index::OpenOptions { clock, random, embedder: None };
        let store = cloister_index::Store::open(dir.path(), options).expect("a store can be made");
        let collection = store.add_collection("c").expect("the name is free").id;
        let visible = store.visible(&cloister_index::Actor::Operator).expect("the operator sees all");
        let (sender, heard) = channel();
        let sink = move |info: &JobInfo| match sender.send((info.id.clone(), info.state)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let hub = Hub::default();
        let number = hub.subscribe(Caller::operator("tester"), visible, Box::new(sink));
        hub.publish(&job("one", JobState::Ready), &collection, |_| None);
        assert!(hub.tell_one(number, || None).is_continue(), "it has ended meanwhile: nothing is told");
        assert!(hub.tell_one(number, || Some(job("two", JobState::Queued))).is_continue());
        let heard_so_far: Vec<_> = heard.try_iter().collect();
        assert_eq!(heard_so_far, [("one".to_owned(), JobState::Ready), ("two".to_owned(), JobState::Queued)]);
        drop(heard);
        assert!(hub.tell_one(number, || Some(job("three", JobState::Queued))).is_break());
        assert!(hub.tell_one(number, || panic!("nobody is there to be told")).is_break());
    }

    #[test]
    fn parents_are_forgotten_when_the_work_has_ended() {
        let hub = Hub::default();
        let id = |letter: &str| JobId::parse(&letter.repeat(cloister_index::ID_LENGTH)).expect("the form of an id");
        let (child, parent) = (id("a"), id("b"));
        hub.adopt(&child, &parent);
        hub.begin(&child);
        assert_eq!(hub.parent(child.as_str()), Some(parent.to_string()));
        hub.end(&child);
        assert_eq!(hub.parent(child.as_str()), None);
    }
}
