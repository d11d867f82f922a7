//! Tests of the engine against the outside: its public interface, reference values, and real models where they are there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stderr, reason = "tests say what they passed over and what they measured")]

mod adapter;
mod architectures;
mod encoder;
mod encoder_families;
mod encoder_tokens;
mod fuzz_seeds;
mod generate;
mod gguf;
mod gguf_writer;
mod hostile;
mod kernels;
mod model;
mod models_at_hand;
mod packed;
mod pool;
mod quant;
mod reference;
mod reranker;
mod small_passes;
mod template;
mod tiny;
mod tokenizer;
