//! The built-in catalogue: which models are known, by which hashes, under which licence.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The text of the licence of every model in the built-in catalogue.
pub const APACHE_2_0_TEXT: &str = include_str!("../../licences/Apache-2.0.txt");

static CATALOGUE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    catalogue_from_json(include_str!("../../models.json")).expect("a test reads the built-in catalogue")
});

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Writes text.
    Generate,
    /// Turns text into vectors.
    Embed,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Path in the model's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, as 64 hexadecimal digits.
    pub sha256: String,
}

/// A licence as the catalogue names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier.
    pub id: String,
    /// Its full name, shown before the first use.
    pub name: String,
    /// Where the text stands on the web.
    pub url: String,
}

/// A wheel on PyPI that carries a model or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Name of the wheel file.
    pub file: String,
    /// Size of the wheel in bytes.
    pub bytes: u64,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// What of it belongs to the model. Members for the same file are put one behind the other.
    pub members: Vec<WheelMember>,
}

/// A member of a wheel that is a file of a model, or the next part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelMember {
    /// Path in the wheel.
    pub member: String,
    /// Path of the model's file.
    pub file: String,
}

/// A model of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name that `--model` takes.
    pub id: String,
    /// Its name among people.
    pub title: String,
    /// What it does.
    pub role: Role,
    /// Who made it.
    pub publisher: String,
    /// Its licence.
    pub licence: Licence,
    /// What it is for, in words.
    #[serde(default)]
    pub purpose: String,
    /// Architecture as its file names it.
    #[serde(default)]
    pub architecture: String,
    /// How its weights are stored.
    #[serde(default)]
    pub quantisation: String,
    /// Memory that it needs at 4096 tokens of context, or at its own limit where that is less.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Number of weights.
    pub parameters: u64,
    /// Longest input in tokens.
    pub context: u32,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// Wheels that carry it, in the order in which their parts follow one another.
    #[serde(default)]
    pub wheels: Vec<Wheel>,
}

impl Entry {
    /// Size of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    models: Vec<Entry>,
}

/// Reads a catalogue of the built-in one's form.
pub fn catalogue_from_json(text: &str) -> Result<Vec<Entry>, serde_json::Error> {
    serde_json::from_str::<CatalogueFile>(text).map(|file| file.models)
}

/// The built-in catalogue.
pub fn catalogue() -> &'static [Entry] {
    &CATALOGUE
}

/// The catalogue's entry of this name.
pub fn entry(id: &str) -> Option<&'static Entry> {
    catalogue().iter().find(|entry| entry.id == id)
}
