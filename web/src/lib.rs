//! HTTP around the appliance: the API under `/api/v1` with its OpenAPI description, health and metrics, and the page.
//!
//! [`serve`] runs the server until a signal or [`Stop`] ends it; [`router`] is the same without a socket, for tests.
//! Handlers translate between [`wire`] and the appliance's types and hold no rules of their own: who may do what is the
//! appliance's business, and every use case is called with the [`cloister_appliance::Caller`] that the request proved to be.
//!
//! Threads: the appliance blocks, so each call runs on a thread of tokio's blocking pool, admitted by one of four lanes
//! ([`Limits`]) so that password hashing, uploads or questions cannot starve the rest. A client that goes away cancels
//! what it asked for.
//!
//! What it does not do: no TLS (a proxy or a later issue), no printing, no environment, no wall clock. It opens no
//! connection of its own.

mod api;
mod auth;
mod error;
mod extract;
mod layers;
mod metrics;
mod original;
mod page;
mod problem;
mod server;
mod state;
mod stream;
pub mod wire;

pub use api::{openapi, router};
pub use error::WebError;
pub use problem::Problem;
pub use server::{Options, Stop, bind, serve};
pub use state::Limits;

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
