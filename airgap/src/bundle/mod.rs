//! Signed bundles: build, verify, install.

use std::path::{Path, PathBuf};

use crate::AirgapError;
use crate::keys::{PublicKey, SecretKey};

/// What a member of a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The install script at the front of the bundle.
    Install,
    /// The program.
    Program,
    /// A file of a model.
    Model,
    /// A licence text.
    Licence,
    /// A template of a systemd unit.
    Unit,
    /// Documentation, samples and the like.
    Document,
}

/// Where the bytes of a planned member come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file on disk.
    File(PathBuf),
    /// Bytes at hand.
    Bytes(Vec<u8>),
}

/// One member to be built into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMember {
    /// Path in the bundle, relative, `/` between parts.
    pub path: String,
    /// Where its bytes come from.
    pub content: Content,
    /// What it is for.
    pub role: Role,
    /// Its licence as an SPDX identifier.
    pub licence: String,
}

/// A bundle to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePlan {
    /// Product name.
    pub name: String,
    /// Version; becomes the name of a folder.
    pub version: String,
    /// Target triple of the program.
    pub target: String,
    /// The members, in any order. Install script and unit file are added when they are missing.
    pub members: Vec<PlannedMember>,
}

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Path in the bundle and in the installed version.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, as 64 hexadecimal digits.
    pub sha256: String,
    /// What it is for.
    pub role: Role,
    /// Its licence as an SPDX identifier.
    pub licence: String,
}

/// What a bundle says about itself, under its signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names the form of the bundle.
    pub format: String,
    /// Product name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Target triple of the program.
    pub target: String,
    /// Every member but the manifest and its signature, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// A bundle that was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its manifest.
    pub manifest: Manifest,
    /// `PREFIX/versions/VERSION`.
    pub version_dir: PathBuf,
    /// `PREFIX/current`.
    pub current: PathBuf,
    /// The systemd unit written under the prefix.
    pub unit: PathBuf,
    /// Whether this version was there already, whole and unchanged.
    pub already_there: bool,
}

/// Builds a bundle and writes it to `out`, its public key to `out` + `.pub`.
pub fn build(_plan: &BundlePlan, _out: &Path, _key: &SecretKey) -> Result<Manifest, AirgapError> {
    Err(unavailable())
}

/// Reads the public key beside a bundle (`FILE.pub`).
pub fn public_key_beside(_bundle: &Path) -> Result<PublicKey, AirgapError> {
    Err(unavailable())
}

/// Checks every byte of a bundle. `progress` is told bytes done and bytes in all.
pub fn verify(_bundle: &Path, _key: &PublicKey, _progress: &mut dyn FnMut(u64, u64)) -> Result<Manifest, AirgapError> {
    Err(unavailable())
}

/// Verifies and installs a bundle under `prefix`.
pub fn install(
    _bundle: &Path,
    _prefix: &Path,
    _key: &PublicKey,
    _progress: &mut dyn FnMut(u64, u64),
) -> Result<Installed, AirgapError> {
    Err(unavailable())
}

fn unavailable() -> AirgapError {
    AirgapError::BundlePlan { what: "bundle".to_owned(), why: "this build has no bundles".to_owned() }
}
