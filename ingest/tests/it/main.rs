//! Tests of the whole crate from outside.
#![expect(clippy::print_stdout, reason = "tests that are passed over say so")]

mod corpus;
mod docx;
mod flowing;
mod mail;
mod make;
mod passages;
mod pdf;
mod reader;
