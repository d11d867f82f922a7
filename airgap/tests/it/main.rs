//! Integration tests of the crate, one module a subject.

mod bundle;
