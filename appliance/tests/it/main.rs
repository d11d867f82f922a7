//! The use cases, end to end on a data directory of their own.

#![expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
#![expect(clippy::print_stderr, reason = "tests that are passed over say so")]

mod accounts;
mod answers;
mod documents;
mod jobs;
mod log;
mod support;
