//! Integration tests of the store.

mod documents;
mod help;
mod jobs;
mod open;
mod people;
mod removal;
mod rights;
mod search;
