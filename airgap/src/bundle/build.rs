//! Writing a bundle.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::manifest::{self, Manifest, ManifestMember, Role};
use super::{
    INSTALL_SCRIPT, INSTALL_SCRIPT_PATH, MANIFEST_PATH, SIGNATURE_PATH, UNIT, UNIT_PATH, container, public_key_path,
};
use crate::{AirgapError, Hash, SecretKey, files, keys};

/// Where a member's bytes come from.
#[derive(Debug, Clone)]
pub enum MemberSource {
    /// A file.
    File(PathBuf),
    /// Bytes at hand.
    Bytes(Vec<u8>),
}

/// A member to put into a bundle.
#[derive(Debug, Clone)]
pub struct BundleMember {
    /// Path in the bundle, `/` between parts, at most 100 bytes.
    pub path: String,
    /// Where its bytes come from.
    pub source: MemberSource,
    /// What it is for.
    pub role: Role,
    /// SPDX expression of its licence, or nothing where none is known.
    pub licence: String,
}

/// What a bundle is to hold. The install script and the systemd unit are added by [`build`]; `bin/cloister` must be among the members.
#[derive(Debug, Clone)]
pub struct BundlePlan {
    /// The product's name.
    pub name: String,
    /// The product's version.
    pub version: String,
    /// The machine it is for, as a Rust target triple.
    pub target: String,
    /// The members, in any order.
    pub members: Vec<BundleMember>,
}

/// Writes the bundle to `out` and the public half of `key` beside it (`OUT.pub`), and returns the manifest.
///
/// The same plan, bytes and key give the same file. `out` appears whole or not at all.
///
/// # Errors
/// `BundlePlan` for a plan that breaks the rules of a manifest, `Io` for sources and target.
pub fn build(plan: &BundlePlan, out: &Path, key: &SecretKey) -> Result<Manifest, AirgapError> {
    let mut members = plan.members.clone();
    members.push(own(INSTALL_SCRIPT_PATH, INSTALL_SCRIPT, Role::Script));
    members.push(own(UNIT_PATH, UNIT, Role::Unit));
    let listed = members.iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let manifest = Manifest::new(&plan.name, &plan.version, &plan.target, listed);
    manifest.check().map_err(as_plan_error)?;
    let staged = staged_path(out);
    let written = write(&manifest, &members, &staged, key).and_then(|()| {
        std::fs::rename(&staged, out).map_err(|e| AirgapError::io("put in place", out, e))?;
        files::sync_parent(out)
    });
    if let Err(error) = written {
        // The half-written file is of no use; that it may not be removable either does not change the report.
        let _ = std::fs::remove_file(&staged);
        return Err(error);
    }
    keys::write_public(&public_key_path(out), &key.public())?;
    Ok(manifest)
}

fn own(path: &str, text: &str, role: Role) -> BundleMember {
    BundleMember {
        path: path.into(),
        source: MemberSource::Bytes(text.as_bytes().to_vec()),
        role,
        licence: "Apache-2.0".into(),
    }
}

fn as_plan_error(error: AirgapError) -> AirgapError {
    match error {
        AirgapError::BundleRefused { member, why } => AirgapError::BundlePlan { what: member, why },
        other => other,
    }
}

fn list(member: &BundleMember) -> Result<ManifestMember, AirgapError> {
    let (hash, size) = match &member.source {
        MemberSource::File(path) => Hash::of_file(path)?,
        MemberSource::Bytes(bytes) => (Hash::of(bytes), bytes.len() as u64),
    };
    Ok(ManifestMember {
        path: member.path.clone(),
        size,
        sha256: hash.to_string(),
        role: member.role,
        licence: member.licence.clone(),
    })
}

fn staged_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write(manifest: &Manifest, members: &[BundleMember], staged: &Path, key: &SecretKey) -> Result<(), AirgapError> {
    let io = |e| AirgapError::io("write", staged, e);
    let file = File::create(staged).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let text = manifest.to_bytes();
    let signature = manifest::sign(&text, key);
    for (path, bytes) in [(MANIFEST_PATH, &text), (SIGNATURE_PATH, &signature)] {
        container::write_member(&mut out, path, bytes.len() as u64, 0o644, &mut bytes.as_slice()).map_err(io)?;
    }
    for listed in &manifest.members {
        let member =
            members.iter().find(|member| member.path == listed.path).expect("the manifest was made from these members");
        write_one(&mut out, listed, member)?;
    }
    container::write_end(&mut out).map_err(io)?;
    out.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)
}

fn write_one(out: &mut dyn Write, listed: &ManifestMember, member: &BundleMember) -> Result<(), AirgapError> {
    let mut opened;
    let mut bytes;
    let (source, path): (&mut dyn Read, &Path) = match &member.source {
        MemberSource::File(path) => {
            opened = File::open(path).map_err(|e| AirgapError::io("open", path, e))?;
            (&mut opened, path)
        }
        MemberSource::Bytes(held) => {
            bytes = held.as_slice();
            (&mut bytes, Path::new(&listed.path))
        }
    };
    let written = container::write_member(out, &listed.path, listed.size, listed.mode(), source)
        .map_err(|e| AirgapError::io("copy into the bundle", path, e))?;
    if written.to_string() != listed.sha256 {
        return Err(AirgapError::HashMismatch {
            what: format!("{}, which changed while the bundle was made", path.display()),
            expected: listed.sha256.clone(),
            found: written.to_string(),
        });
    }
    Ok(())
}
