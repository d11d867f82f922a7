//! See `src/checks/gguf.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cloister_engine_fuzz::checks::gguf::check(bytes));
