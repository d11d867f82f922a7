//! Checkpoints: a log's name, size and tree hash as a signed note (C2SP tlog-checkpoint and signed-note, Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::tree::Tree;
use crate::{AirgapError, Hash, PublicKey, SecretKey};

const SIGNATURE_MARK: &str = "\n\u{2014} ";
const TYPE_ED25519: u8 = 1;
const NOTE_BYTES_MAX: usize = 4096;

/// What a checkpoint states, once its signature has been found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// The name of a log: derived from its key, so that a log and a key that do not belong together are told apart.
pub(super) fn origin(key: &PublicKey) -> String {
    let text = Hash::of(&[&b"cloister audit log"[..], &key.to_bytes()].concat()).to_string();
    format!("cloister/audit/{}", &text[..32])
}

/// The signed note for a tree.
pub(super) fn sign(tree: &Tree, key: &SecretKey) -> String {
    let origin = origin(&key.public());
    let text = format!("{origin}\n{}\n{}\n", tree.size(), BASE64.encode(tree.root().0));
    let signature = [&key_id(&origin, &key.public())[..], &key.sign(text.as_bytes())].concat();
    format!("{text}{SIGNATURE_MARK}{origin} {}\n", BASE64.encode(signature))
}

/// Reads a note of this installation's log and checks its one signature.
pub(super) fn open(note: &str, key: &PublicKey) -> Result<Checkpoint, AirgapError> {
    parse(note, key).ok_or_else(|| AirgapError::broken(None, "a checkpoint is damaged or not signed with this key"))
}

fn parse(note: &str, key: &PublicKey) -> Option<Checkpoint> {
    if note.len() > NOTE_BYTES_MAX {
        return None;
    }
    let origin = origin(key);
    let (text, signature_line) = note.split_once(SIGNATURE_MARK)?;
    let encoded = signature_line.strip_prefix(&origin)?.strip_prefix(' ')?.strip_suffix('\n')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let signature: [u8; 64] = bytes.strip_prefix(&key_id(&origin, key)[..])?.try_into().ok()?;
    if !key.verifies(text.as_bytes(), &signature) {
        return None;
    }
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let (name, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    if name != origin || lines.next().is_some() {
        return None;
    }
    Some(Checkpoint { size: size.parse().ok()?, root: Hash(BASE64.decode(root).ok()?.try_into().ok()?) })
}

fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let hash = Hash::of(&[name.as_bytes(), &[b'\n', TYPE_ED25519], &key.to_bytes()].concat());
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_every_changed_bit_is_seen() {
        let key = SecretKey::from_seed(&[5; 32]);
        let mut tree = Tree::default();
        (0..11_u8).for_each(|n| tree.push(&[n]));
        let note = sign(&tree, &key);
        assert_eq!(open(&note, &key.public()).unwrap(), Checkpoint { size: 11, root: tree.root() });
        assert!(open(&note, &SecretKey::from_seed(&[6; 32]).public()).is_err());
        for bit in 0..note.len() * 8 {
            let mut bytes = note.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(open(&changed, &key.public()).is_err(), "bit {bit}");
            }
        }
    }
}
