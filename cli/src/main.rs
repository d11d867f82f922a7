//! The cloister binary: arguments in, use case called, lines out.
fn main() {}
