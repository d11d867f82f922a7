//! What the fuzz targets share: sound files to start from, and the changes that an input asks for.
//!
//! An input is a recipe, not a file. Blind changes of a whole model file would nearly always break its header and be refused
//! there; a recipe first chooses a sound model, then changes settings, shapes, types and bytes of it one at a time, so that
//! what loads is odd as well as what is refused.

pub mod checks;
pub mod edits;
pub mod encoders;
pub mod models;
pub mod parts;
#[expect(dead_code, reason = "the tests of the engine use more of it")]
#[path = "../../tests/it/tiny.rs"]
mod tiny;

use std::path::PathBuf;

/// A place of this process for files; where the variable TMPDIR names a folder in memory, it lies there.
pub fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("cloister-fuzz-{}-{name}", std::process::id()))
}
