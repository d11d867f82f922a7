//! See `src/checks/packed.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cloister_engine_fuzz::checks::packed::check(bytes));
