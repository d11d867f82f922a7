//! Local models: GGUF files and encoders, read, tokenised and run on the CPU.
