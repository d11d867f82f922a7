//! Signed bundles: one file that carries the whole appliance to a machine without internet.
//!
//! A bundle is a plain tar file. First stand `manifest.json`, which lists every other member with size, SHA-256, role
//! and licence, and `manifest.sig`, an Ed25519 signature over it; then the install script, the program and the rest by
//! path. Headers, padding and end are fixed by the manifest, so every byte of the file is either signed or demanded.
//!
//! [`build`] writes one, [`verify()`] reads every byte of one, [`install()`] unpacks one below a prefix.

use std::path::{Path, PathBuf};

mod build;
mod container;
mod install;
mod manifest;
mod verify;

pub use build::{BundleMember, BundlePlan, MemberSource, build};
pub use install::{InstallReport, install};
pub use manifest::{Manifest, ManifestMember, Role};
pub use verify::{signer, verify};

/// Where the manifest stands in a bundle and in an installed version.
pub const MANIFEST_PATH: &str = "manifest.json";
/// Where the signature of the manifest stands in a bundle.
pub const SIGNATURE_PATH: &str = "manifest.sig";
/// Where the install script stands in a bundle.
pub const INSTALL_SCRIPT_PATH: &str = "install";
/// Where the program stands in a bundle and in an installed version.
pub const PROGRAM_PATH: &str = "bin/cloister";
/// Where the template of the systemd unit stands in a bundle and in an installed version.
pub const UNIT_PATH: &str = "unit/cloister.service";

const INSTALL_SCRIPT: &str = include_str!("install.sh");
const UNIT: &str = include_str!("cloister.service");

/// The public key file that stands beside a bundle: its name with `.pub` behind it.
pub fn public_key_path(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}
