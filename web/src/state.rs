//! What every request shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloister_appliance::Appliance;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::metrics::Metrics;
use crate::problem::Problem;

/// Bounds of the server. Each is crossed by a test.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at the same time; further ones wait to be accepted.
    pub connections_max: usize,
    /// Use cases running at the same time that are neither accounts, uploads nor questions.
    pub general_max: usize,
    /// Password checks at the same time (each takes tens of megabytes and a core).
    pub accounts_max: usize,
    /// Files streaming to the disk at the same time.
    pub uploads_max: usize,
    /// Questions running or waiting.
    pub questions_max: usize,
    /// Event streams open at the same time.
    pub event_streams_max: usize,
    /// Body of a request that is not an upload.
    pub body_bytes_max: usize,
    /// Files in one upload.
    pub upload_files_max: usize,
    /// After a file that is too large, this much of the rest is read and thrown away so that the client sees the answer.
    pub drain_bytes_max: u64,
    /// Time for the head of a request.
    pub head_timeout: Duration,
    /// Time for a request that is neither upload, question, event stream, download, removal nor verification.
    pub request_timeout: Duration,
    /// Longest silence within an upload.
    pub upload_silence_max: Duration,
    /// An event stream ends after this long; the client connects again and is authenticated again.
    pub event_stream_max: Duration,
    /// After a signal, requests under way have this long.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            general_max: 32,
            accounts_max: 2,
            uploads_max: 16,
            questions_max: 16,
            event_streams_max: 128,
            body_bytes_max: 1 << 20,
            upload_files_max: 1_000,
            drain_bytes_max: 64 << 20,
            head_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_mins(1),
            upload_silence_max: Duration::from_mins(1),
            event_stream_max: Duration::from_mins(15),
            shutdown_grace: Duration::from_secs(8),
        }
    }
}

/// Which bound admits a piece of blocking work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lane {
    General,
    Accounts,
    Uploads,
    Questions,
    Events,
}

pub(crate) struct Shared {
    pub(crate) appliance: Arc<Appliance>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// Whether the session cookie is for TLS alone.
    pub(crate) secure_cookie: bool,
    /// Turns true when the server stops; event streams end then.
    pub(crate) stopping: watch::Receiver<bool>,
    lanes: [Arc<Semaphore>; 5],
    requests: AtomicU64,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    pub(crate) fn new(
        appliance: Arc<Appliance>,
        limits: Limits,
        secure_cookie: bool,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let lanes = [
            limits.general_max,
            limits.accounts_max,
            limits.uploads_max,
            limits.questions_max,
            limits.event_streams_max,
        ]
        .map(|places| Arc::new(Semaphore::new(places)));
        let metrics = Metrics::default();
        let requests = AtomicU64::new(0);
        Self(Arc::new(Shared { appliance, limits, metrics, secure_cookie, stopping, lanes, requests }))
    }

    /// Whether a proxy on this machine speaks TLS to the clients.
    pub(crate) fn behind_tls(&self) -> bool {
        self.secure_cookie
    }

    /// A number for the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// A place in the lane, waiting for it.
    pub(crate) async fn place(&self, lane: Lane) -> Result<OwnedSemaphorePermit, Problem> {
        self.lanes[lane as usize].clone().acquire_owned().await.map_err(|_| Problem::busy())
    }

    /// A place in the lane, or the problem `busy`.
    pub(crate) fn place_now(&self, lane: Lane) -> Result<OwnedSemaphorePermit, Problem> {
        self.lanes[lane as usize].clone().try_acquire_owned().map_err(|_| Problem::busy())
    }

    /// Runs a use case on a blocking thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Appliance>) -> cloister_appliance::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.run_in(Lane::General, work).await
    }

    /// Runs a use case on a blocking thread, admitted by `lane`.
    pub(crate) async fn run_in<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Arc<Appliance>) -> cloister_appliance::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place(lane).await?;
        let appliance = self.appliance.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&appliance)
        });
        match done.await {
            Ok(result) => result.map_err(Problem::from),
            Err(panic) => Err(Problem::internal(&panic.to_string())),
        }
    }
}
