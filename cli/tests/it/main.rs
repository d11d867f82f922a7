//! The built binary as a person or a script uses it: arguments in, lines and exit codes out, over HTTP where it serves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "tests say what they pass over")]

mod adapters;
mod answers;
mod audit;
mod batches;
mod documents;
mod eval;
mod extract;
mod home;
mod kills;
mod models;
mod people;
mod pipes;
mod serve;
mod support;
mod usage;
