//! See `src/checks/template.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|source: &str| cloister_engine_fuzz::checks::template::check(source));
