//! The house rules as tests: each says the rule, finds every place that breaks it, and names them all at once.
#![expect(clippy::unwrap_used, reason = "a test stops where its input is not as expected")]

mod arrows;
mod sizes;
mod words;
