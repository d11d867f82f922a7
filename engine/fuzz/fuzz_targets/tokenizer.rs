//! See `src/checks/tokenizer.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| cloister_engine_fuzz::checks::tokenizer::check(text));
