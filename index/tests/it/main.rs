//! Integration tests of the store.

#![expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]

mod documents;
mod help;
mod jobs;
mod kill;
mod open;
mod people;
mod removal;
mod rights;
mod search;
