//! What must hold of any bytes, for the targets whose inputs are files or texts themselves. The engine's tests run the
//! same checks on what is kept of their corpora (`engine/tests/it/fuzz_seeds.rs`).

pub mod gguf;
pub mod packed;
pub mod template;
pub mod tokenizer;
