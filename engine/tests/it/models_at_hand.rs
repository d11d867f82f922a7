//! Real models, where they are.

use std::path::PathBuf;

/// The path of a model below the models folder, or a line that says what is passed over.
pub(crate) fn model(test: &str, path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CLOISTER_TEST_MODELS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models"), PathBuf::from);
    let path = folder.join(path);
    if !path.exists() {
        eprintln!("passed over: {test} ({} is not there)", path.display());
        return None;
    }
    Some(path)
}

pub(crate) const SMOLLM2: &str = "smollm2-135m-instruct-q4_1/SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const QWEN: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
pub(crate) const MINILM: &str = "all-minilm-l6-v2";
