//! The model catalogue and the folder of models.
//!
//! A model lies in `MODELS/ID/`: one GGUF file, or the files of an encoder. The built-in catalogue (`models.json`)
//! names the hash of every file, so a file is known by its bytes wherever it came from. [`ModelStore::pull`] takes a
//! model from the first of several sources that has it; what arrived is kept in `MODELS/.pull/ID/` until the model is
//! whole, and then put in place in one step. Any other model can be added by path; its hashes are noted in
//! `cloister.json` beside it.

use std::path::{Path, PathBuf};

use crate::Hash;

mod assemble;
mod catalogue;
mod child;
mod fetch;
mod pull;
mod store;

pub use catalogue::{
    APACHE_2_0_TEXT, Entry, Licence, ModelFile, Role, Wheel, WheelMember, catalogue, catalogue_from_json, entry,
};
pub use pull::{PullProgress, Pulled, Source};
pub use store::{ModelStore, Record, RemovedModel, StoredModel};

/// What the store notes about a model, in the model's folder.
pub const RECORD_FILE: &str = "cloister.json";

/// The files of an encoder's folder that a program may read; others are left behind when a model is added.
const ENCODER_FILES: [&str; 10] = [
    "1_Pooling/config.json",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
];

/// The hash by which receipts name a model: the SHA-256 of its one file; for an encoder's folder the SHA-256 of the
/// lines `HASH  PATH` of the files that matter, sorted by path, as `sha256sum` prints them.
///
/// `hash` gives the SHA-256 of one file, so that a caller may remember it.
pub fn model_hash<E>(path: &Path, hash: &mut dyn FnMut(&Path) -> Result<String, E>) -> Result<String, E> {
    if path.is_file() {
        return hash(path);
    }
    let mut lines = String::new();
    for (name, file) in encoder_files(path) {
        lines += &[&hash(&file)?, "  ", name, "\n"].concat();
    }
    Ok(Hash::of(lines.as_bytes()).to_string())
}

/// The files in `folder` that a program may read, sorted by path.
fn encoder_files(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let present = ENCODER_FILES.iter().map(|name| (*name, folder.join(name)));
    present.filter(|(_, path)| path.is_file()).collect()
}
