//! Reading a bundle: nothing is believed before its signature, nothing is used before its hash.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::container::Container;
use super::manifest::{self, Manifest, ManifestMember};
use super::{MANIFEST_PATH, SIGNATURE_PATH};
use crate::{AirgapError, PublicKey};

const MANIFEST_BYTES_MAX: u64 = 8 << 20;
const SIGNATURE_BYTES_MAX: u64 = 4096;

/// Reads the whole bundle and checks every byte of it against the manifest that `key` has signed.
///
/// # Errors
/// `BundleRefused` names the member at fault; `Io` when the file cannot be opened.
pub fn verify(bundle: &Path, key: &PublicKey) -> Result<Manifest, AirgapError> {
    let (manifest, mut container) = open(bundle, key)?;
    for member in &manifest.members {
        read_member(&mut container, member, &mut |_| Ok(()))?;
    }
    container.end()?;
    Ok(manifest)
}

/// The key that the bundle says it is signed with. It proves nothing by itself: compare its fingerprint with one that came another way.
///
/// # Errors
/// `BundleRefused` when no signature stands where it must, `Io` when the file cannot be opened.
pub fn signer(bundle: &Path) -> Result<PublicKey, AirgapError> {
    let (_, signature, _) = head(bundle)?;
    manifest::signer(&signature)
}

/// Reads and checks manifest and signature; the container then stands at the first member.
pub(super) fn open(bundle: &Path, key: &PublicKey) -> Result<(Manifest, Container<impl Read + use<>>), AirgapError> {
    let (text, signature, container) = head(bundle)?;
    manifest::check_signature(&text, &signature, key)?;
    Ok((Manifest::from_bytes(&text)?, container))
}

type Head<R> = (Vec<u8>, Vec<u8>, Container<R>);

/// Manifest and signature as they stand in the file, unchecked.
fn head(bundle: &Path) -> Result<Head<impl Read + use<>>, AirgapError> {
    let file = File::open(bundle).map_err(|e| AirgapError::io("open", bundle, e))?;
    let mut container = Container::new(BufReader::with_capacity(1 << 20, file));
    let text = container.small_member(MANIFEST_PATH, 0o644, MANIFEST_BYTES_MAX)?.ok_or_else(|| {
        AirgapError::refused(MANIFEST_PATH, "the file does not begin with it: not a bundle, or a damaged one")
    })?;
    let signature = container
        .small_member(SIGNATURE_PATH, 0o644, SIGNATURE_BYTES_MAX)?
        .ok_or_else(|| AirgapError::refused(SIGNATURE_PATH, "it is missing: the bundle is unsigned"))?;
    Ok((text, signature, container))
}

/// Reads the member that must stand next, giving its bytes to `take`, and refuses it when its hash is not the manifest's.
pub(super) fn read_member(
    container: &mut Container<impl Read>,
    member: &ManifestMember,
    take: &mut dyn FnMut(&[u8]) -> Result<(), AirgapError>,
) -> Result<(), AirgapError> {
    let found = container.member(&member.path, member.size, member.mode(), take)?;
    if found.to_string() == member.sha256 {
        Ok(())
    } else {
        Err(AirgapError::refused(
            &member.path,
            format!("its bytes were changed: SHA-256 is {found}, expected {}", member.sha256),
        ))
    }
}
