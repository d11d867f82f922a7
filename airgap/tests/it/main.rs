//! Integration tests of the crate, one module a subject.

mod audit;
mod bundle;
mod keys;
