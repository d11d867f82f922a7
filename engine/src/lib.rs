//! Local models: GGUF files and encoders, read, tokenised and run on the CPU.
//!
//! The crate reads model files it does not trust, turns text into tokens and tokens into text, runs decoders (llama,
//! mistral3, qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, granite, smollm3, gpt-oss) and BERT encoders, and samples. It
//! knows tensors; it knows no documents, no HTTP and no prompts, and it neither prints nor reads the environment.
//!
//! Threads: [`Generator`] and [`Encoder`] are `Send + Sync`. A generator runs one forward pass at a time on a pool of
//! its own; callers on several threads wait for one another inside.
//!
//! ```no_run
//! use cloister_engine::{CancelFlag, ChatMessage, Generator, GenerateOptions, LoadOptions};
//! # fn main() -> Result<(), cloister_engine::EngineError> {
//! let options = LoadOptions { threads: 2, context_tokens: 2048, ..LoadOptions::default() };
//! let model = Generator::load("model.gguf".as_ref(), &options)?;
//! let prompt = model.encode_chat(&[ChatMessage::new("user", "What is a cloister?")], true)?;
//! let mut sequence = model.sequence();
//! let cancel = CancelFlag::new();
//! model.prefill(&mut sequence, &prompt, &cancel)?;
//! let done = model.generate(&mut sequence, &GenerateOptions::default(), None, &cancel, &mut |_| {
//!     std::ops::ControlFlow::Continue(())
//! })?;
//! assert!(!done.text.is_empty());
//! # Ok(())
//! # }
//! ```

mod attention;
pub mod bench;
mod cancel;
pub mod catalogue;
mod clock;
mod encoders;
mod error;
mod generate;
mod generator;
pub mod gguf;
pub mod kernels;
mod kv;
mod mmap;
mod models;
pub mod packed;
mod perplexity;
pub mod pool;
pub mod quant;
mod rope;
pub mod sample;
mod sequence;
mod stop;
pub mod template;
pub mod tokenizer;
mod turn;

pub use cancel::CancelFlag;
pub use catalogue::{Fit, MemoryNeed, ModelInfo, ModelRole, fit};
pub use clock::Operation;
pub use encoders::{Encoder, Reranker};
pub use error::EngineError;
pub use generate::{Finish, GenerateOptions, Generation, TokenEvent, TokenMask};
pub use generator::{Generator, LoadOptions};
pub use kv::KvForm;
pub use models::Adapter;
pub use packed::{KeepPacked, PackedWeights};
pub use perplexity::Perplexity;
pub use sample::Sampling;
pub use sequence::Sequence;
pub use template::{ChatMessage, ChatTemplate};
pub use tokenizer::{EncoderTokenizer, PairTokens, Special, Tokenizer};

/// A token's number in its model's vocabulary.
pub type TokenId = u32;
