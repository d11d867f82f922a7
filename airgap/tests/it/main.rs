//! Integration tests of the crate, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

mod audit;
mod bundle;
mod keys;
mod models;
