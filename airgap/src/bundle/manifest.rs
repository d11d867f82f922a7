//! What a bundle says of itself, and the rules that its words must keep.

use serde::{Deserialize, Serialize};

use super::{INSTALL_SCRIPT_PATH, MANIFEST_PATH, PROGRAM_PATH, SIGNATURE_PATH, container};
use crate::{AirgapError, Hash, PublicKey, SecretKey};

/// The form of bundles that this program writes and reads.
const FORMAT: &str = "cloister-bundle-1";
/// Members a bundle may have.
const MEMBERS_MAX: usize = 10_000;
/// The line that binds a signature to bundles: no signature made for something else fits a manifest.
const SIGNATURE_DOMAIN: &[u8] = b"cloister bundle manifest, form 1\n";
const NO_SIGNATURE: &str = "not a signature file of a bundle";
const SIGNATURE_COMMENT: &str = "untrusted comment: signature of manifest.json, cloister bundle";

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An executable file.
    Program,
    /// Weights, tokenizer or configuration of a model.
    Model,
    /// The text of a licence.
    Licence,
    /// A text for people.
    Document,
    /// A sample document.
    Sample,
    /// The systemd unit.
    Unit,
    /// The install script.
    Script,
}

/// One member of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestMember {
    /// Relative path, `/` between parts.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// What it is for.
    pub role: Role,
    /// SPDX expression of its licence, where one is known.
    pub licence: String,
}

impl ManifestMember {
    /// The permissions that the member gets: executable for programs and scripts.
    pub fn mode(&self) -> u32 {
        match self.role {
            Role::Program | Role::Script => 0o755,
            _ => 0o644,
        }
    }
}

/// The signed list of all that a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the bundle.
    pub format: String,
    /// The product's name.
    pub name: String,
    /// The product's version.
    pub version: String,
    /// The machine it is for, as a Rust target triple.
    pub target: String,
    /// Every member but the manifest and its signature, in the order in which they stand.
    pub members: Vec<ManifestMember>,
}

impl Manifest {
    /// A manifest of this program's form, its members in bundle order: the install script, the program, then by path.
    pub(super) fn new(name: &str, version: &str, target: &str, mut members: Vec<ManifestMember>) -> Self {
        members.sort_by(|left, right| order(&left.path).cmp(&order(&right.path)));
        Self { format: FORMAT.into(), name: name.into(), version: version.into(), target: target.into(), members }
    }

    /// Bytes of all members together.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size).sum()
    }

    /// The member at this path.
    pub fn member(&self, path: &str) -> Option<&ManifestMember> {
        self.members.iter().find(|member| member.path == path)
    }

    /// The bytes that are signed and stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("strings and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest whose signature has been checked, and holds it to the rules.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, AirgapError> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|e| AirgapError::refused(MANIFEST_PATH, format!("not a manifest of a bundle: {e}")))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The rules: form known, version and paths harmless, no path twice, install script and program present, members in order.
    pub(super) fn check(&self) -> Result<(), AirgapError> {
        let refuse = |why: String| Err(AirgapError::refused(MANIFEST_PATH, why));
        if self.format != FORMAT {
            return refuse(format!("form {:?} is unknown to this program, which reads {FORMAT:?}", self.format));
        }
        if !is_word(&self.version) || !is_word(&self.name) {
            return refuse("name and version must be plain words of letters, digits, '.', '-', '_' and '+'".into());
        }
        if self.members.len() > MEMBERS_MAX {
            return refuse(format!("{} members, at most {MEMBERS_MAX} are allowed", self.members.len()));
        }
        for wanted in [INSTALL_SCRIPT_PATH, PROGRAM_PATH] {
            if self.member(wanted).is_none() {
                return refuse(format!("{wanted} is missing in it"));
            }
        }
        for pair in self.members.windows(2) {
            if order(&pair[0].path) >= order(&pair[1].path) {
                return refuse(format!("{} stands twice or out of order", pair[1].path));
            }
        }
        self.members.iter().try_for_each(check_member)
    }
}

fn check_member(member: &ManifestMember) -> Result<(), AirgapError> {
    let refuse = |why: &str| Err(AirgapError::refused(&member.path, why));
    if member.path.len() > container::PATH_BYTES_MAX {
        return refuse("its path is too long");
    }
    if !member.path.split('/').all(is_word) || member.path == MANIFEST_PATH || member.path == SIGNATURE_PATH {
        return refuse("its path is not one that a member may have");
    }
    if member.size > container::MEMBER_BYTES_MAX {
        return refuse("it is too large");
    }
    if Hash::parse(&member.sha256).is_none() {
        return refuse("its hash is not a SHA-256 in hexadecimal");
    }
    Ok(())
}

/// A part of a path or a version: letters, digits and a few marks, not empty, not `.` or `..`, not hidden.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('.')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
}

fn order(path: &str) -> (u8, &str) {
    match path {
        INSTALL_SCRIPT_PATH => (0, path),
        PROGRAM_PATH => (1, path),
        _ => (2, path),
    }
}

fn signed_bytes(manifest: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, Hash::of(manifest).to_string().as_bytes()].concat()
}

/// The signature file for these manifest bytes: a comment, the signer's public key, the signature in hexadecimal.
pub(super) fn sign(manifest: &[u8], key: &SecretKey) -> Vec<u8> {
    let signature = key.sign(&signed_bytes(manifest));
    let (halves, _) = signature.as_chunks::<32>();
    let hex: String = halves.iter().map(|half| Hash(*half).to_string()).collect();
    format!("{SIGNATURE_COMMENT}\n{}\n{hex}\n", key.public().to_line()).into_bytes()
}

/// Refuses a manifest that `key` has not signed.
pub(super) fn check_signature(manifest: &[u8], signature_file: &[u8], key: &PublicKey) -> Result<(), AirgapError> {
    let refuse = |why: String| Err(AirgapError::refused(SIGNATURE_PATH, why));
    let Some((signer, signature)) = parse_signature(signature_file) else {
        return refuse(NO_SIGNATURE.into());
    };
    if signer != *key {
        return refuse(format!(
            "signed with another key: {}, expected {}",
            crate::keys::fingerprint(&signer),
            crate::keys::fingerprint(key)
        ));
    }
    if !key.verifies(&signed_bytes(manifest), &signature) {
        return refuse(format!("the signature does not fit {MANIFEST_PATH}: one of the two was changed"));
    }
    Ok(())
}

/// The key that a signature file names; whether it signed anything is another question.
pub(super) fn signer(signature_file: &[u8]) -> Result<PublicKey, AirgapError> {
    let parsed = parse_signature(signature_file);
    parsed.map(|(signer, _)| signer).ok_or_else(|| AirgapError::refused(SIGNATURE_PATH, NO_SIGNATURE))
}

fn parse_signature(file: &[u8]) -> Option<(PublicKey, [u8; 64])> {
    let mut lines = std::str::from_utf8(file).ok()?.split('\n');
    if lines.next()? != SIGNATURE_COMMENT {
        return None;
    }
    let signer = PublicKey::from_line(lines.next()?)?;
    let hex = lines.next()?;
    if hex.len() != 128 || lines.next() != Some("") || lines.next().is_some() {
        return None;
    }
    let mut signature = [0; 64];
    for (half, digits) in signature.chunks_exact_mut(32).zip([&hex[..64], hex.get(64..)?]) {
        half.copy_from_slice(&Hash::parse(digits)?.0);
    }
    Some((signer, signature))
}
