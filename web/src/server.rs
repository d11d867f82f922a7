//! The socket: binding, connections, stopping.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use cloister_appliance::Appliance;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::error::WebError;
use crate::state::{AppState, Limits};

/// After a connection could not be accepted (no file descriptors), wait this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// Whether a proxy speaks TLS to the browsers: the session cookie is then for TLS alone, clients are told apart by
    /// the last entry of `X-Forwarded-For` where the proxy is on this machine, and `/metrics` needs a sign-in.
    pub behind_tls: bool,
}

/// Ends [`serve`] from another thread. Clones end the same server.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// A server's stop that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the server: no new connections, requests under way may finish within the grace.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Whether it was used.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }
}

/// Takes the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, WebError> {
    let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => WebError::PortTaken { address },
        _ => WebError::Listen { address, source },
    })?;
    listener.set_nonblocking(true).map_err(|source| WebError::Listen { address, source })?;
    Ok(listener)
}

/// Serves until `stop`, SIGTERM or SIGINT; returns when the last request is done or the grace is over.
pub fn serve(appliance: Arc<Appliance>, listener: TcpListener, options: Options, stop: &Stop) -> Result<(), WebError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cloister-web")
        .enable_all()
        .build()
        .map_err(WebError::Runtime)?;
    let grace = options.limits.shutdown_grace;
    runtime.block_on(run(appliance, listener, options, stop))?;
    runtime.shutdown_timeout(grace);
    Ok(())
}

async fn run(appliance: Arc<Appliance>, listener: TcpListener, options: Options, stop: &Stop) -> Result<(), WebError> {
    watch_signals(stop.clone())?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(WebError::Runtime)?;
    let state = AppState::new(appliance, options.limits.clone(), options.behind_tls, stop.subscribe());
    let app = crate::api::routes(state);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.limits.connections_max));
    let mut stopping = stop.subscribe();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = graceful.watch(connect(stream, address, &app, options.limits.head_timeout));
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(options.limits.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests under way were broken off");
    }
    Ok(())
}

type Connection = hyper::server::conn::http1::Connection<TokioIo<TcpStream>, TowerToHyperService<WithAddress>>;

fn connect(stream: TcpStream, address: SocketAddr, app: &Router, head_timeout: Duration) -> Connection {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = TowerToHyperService::new(WithAddress { app: app.clone(), address });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service)
}

/// The routes, told where the request comes from.
#[derive(Clone)]
struct WithAddress {
    app: Router,
    address: SocketAddr,
}

impl tower_service::Service<hyper::Request<hyper::body::Incoming>> for WithAddress {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<std::convert::Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.address));
        self.app.call(request.map(axum::body::Body::new))
    }
}

/// SIGTERM and SIGINT stop the server.
fn watch_signals(stop: Stop) -> Result<(), WebError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(WebError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WebError::Runtime)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.stop();
    });
    Ok(())
}
