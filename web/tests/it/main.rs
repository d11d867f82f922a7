//! The HTTP API over a real appliance on a folder of its own, mostly without a socket.
#![expect(clippy::unwrap_used, reason = "a test stops where its input is not as expected")]

mod access;
mod documents;
mod house;
mod jobs;
mod page;
mod questions;
mod roles;
mod server;
mod uploads;
