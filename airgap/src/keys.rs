//! Ed25519 keys: the installation key that signs the audit log and the publisher's key that signs bundles.
//!
//! A public key file is the one that minisign and signify-like tools know: a comment line, then one line of base64
//! over the letters `Ed`, an eight-byte key number and the 32 bytes of the key. The key number is the start of the
//! key's SHA-256, so it needs no randomness and cannot disagree with the key. A secret key file has the same form
//! with its own comment and the 32-byte seed in place of the key; it is not encrypted and is readable by its owner only.
//!
//! Keys made elsewhere are read too: the 32 bytes alone in base64 or hexadecimal, and what
//! `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write (PEM).

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::{AirgapError, Hash, files};

/// Name of the installation's secret key in its folder.
pub const INSTALLATION_KEY_FILE: &str = "installation.key";
/// Name of the installation's public key beside it.
pub const INSTALLATION_PUBLIC_FILE: &str = "installation.pub";

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 40;
const KEY_FILE_BYTES_MAX: u64 = 4096;
const ALGORITHM: &[u8; 2] = b"Ed";
const PUBLIC_COMMENT: &str = "untrusted comment: cloister public key ";
/// What stands before the seed in the PKCS #8 form of RFC 8410, section 7.
const SECRET_DER: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// What stands before the key in the public form of RFC 8410, section 4.
const PUBLIC_DER: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const SECRET_COMMENT: &str = "untrusted comment: cloister SECRET key, never give it away ";

/// Fills a buffer with unpredictable bytes; given by the caller because nothing here may reach for the system.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> io::Result<()>;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// An Ed25519 secret key. Its `Debug` form shows the public half only.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// The key that an installation makes for itself on its first start and keeps for life.
pub type InstallationKey = SecretKey;

impl PublicKey {
    /// The key of these bytes; `None` when they are no point of the curve or one that signs everything.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// The 32 bytes of the key.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether `signature` was made over `message` with this key. Strict: one message has one encoding of a signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    /// Eight bytes that name the key in key and signature files: the start of its SHA-256.
    pub fn number(&self) -> [u8; 8] {
        let mut number = [0; 8];
        number.copy_from_slice(&Hash::of(&self.to_bytes()).0[..8]);
        number
    }

    /// The base64 line of a public key file.
    pub fn to_line(&self) -> String {
        BASE64.encode([&ALGORITHM[..], &self.number(), &self.to_bytes()].concat())
    }

    /// Reads what [`PublicKey::to_line`] writes, to the letter; `None` when it is anything else.
    pub fn from_line(line: &str) -> Option<Self> {
        Self::from_bytes(&decode_line(line)?.1).filter(|key| key.to_line() == line)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fingerprint(self))
    }
}

impl SecretKey {
    /// Makes a key from injected randomness.
    pub fn generate(random: Random<'_>) -> io::Result<Self> {
        let mut seed = [0; 32];
        random(&mut seed)?;
        if seed == [0; 32] {
            return Err(io::Error::other("the source of randomness gave nothing but zeros"));
        }
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads the installation key in `dir`, or makes it (and its public half beside it) when there is none.
    ///
    /// The secret file is created readable by its owner only, and refused when others may read it.
    pub fn load_or_create(dir: &Path, random: Random<'_>) -> Result<Self, AirgapError> {
        let path = dir.join(INSTALLATION_KEY_FILE);
        let key = if path.try_exists().map_err(|e| AirgapError::io("look for", &path, e))? {
            check_private(&path)?;
            read_secret(&path)?
        } else {
            let key = Self::generate(random).map_err(|e| AirgapError::io("make a key for", &path, e))?;
            write_secret(&path, &key)?;
            key
        };
        let public_path = dir.join(INSTALLATION_PUBLIC_FILE);
        if !public_path.exists() {
            write_public(&public_path, &key.public())?;
        }
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs bytes. The same bytes always get the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret half of {:?}", self.public())
    }
}

/// A key as people compare it: the first 20 bytes of its SHA-256 in ten groups of four hexadecimal digits.
pub fn fingerprint(key: &PublicKey) -> String {
    let text = Hash::of(&key.to_bytes()).to_string();
    (0..10).map(|group| &text[group * 4..group * 4 + 4]).collect::<Vec<_>>().join(" ")
}

/// Whether `text` is the fingerprint of `key` as people type it: in groups or not, in capitals or not. `None` when it is no fingerprint at all.
pub fn has_fingerprint(key: &PublicKey, text: &str) -> Option<bool> {
    let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect::<String>().to_lowercase();
    let typed = bare(text);
    let has_form = typed.len() == FINGERPRINT_DIGITS && typed.bytes().all(|byte| byte.is_ascii_hexdigit());
    has_form.then(|| typed == bare(&fingerprint(key)))
}

/// Reads a public key file (see the module's first lines for its forms).
pub fn read_public(path: &Path) -> Result<PublicKey, AirgapError> {
    let (comment, bytes) = key_bytes(path, PUBLIC_DER)?;
    if comment.starts_with(SECRET_COMMENT) {
        return Err(bad_key(path, "this is a secret key file, a public one is wanted"));
    }
    // A key made by minisign has a random number, ours is bound to the key: both are read.
    let key = bytes.strip_prefix(&ALGORITHM[..]).and_then(|rest| rest.get(8..)).unwrap_or(&bytes);
    let key = key.try_into().ok().and_then(PublicKey::from_bytes);
    key.ok_or_else(|| bad_key(path, "not an Ed25519 public key"))
}

/// Writes a public key file, replacing what is there.
pub fn write_public(path: &Path, key: &PublicKey) -> Result<(), AirgapError> {
    let text = format!("{PUBLIC_COMMENT}{}\n{}\n", fingerprint(key), key.to_line());
    files::write_atomically(path, text.as_bytes(), 0o644)
}

/// Reads a secret key file (see the module's first lines for its forms).
pub fn read_secret(path: &Path) -> Result<SecretKey, AirgapError> {
    let (comment, bytes) = key_bytes(path, SECRET_DER)?;
    if comment.starts_with(PUBLIC_COMMENT) {
        return Err(bad_key(path, "this is a public key file, a secret one is wanted"));
    }
    let (number, seed) = match bytes.strip_prefix(&ALGORITHM[..]).and_then(|rest| rest.split_at_checked(8)) {
        Some((number, seed)) if seed.len() == 32 => (Some(number), seed),
        _ => (None, &bytes[..]),
    };
    let seed: &[u8; 32] = seed.try_into().map_err(|_| bad_key(path, "not an Ed25519 secret key"))?;
    let key = SecretKey::from_seed(seed);
    if number.is_some_and(|number| key.public().number() != number) {
        return Err(bad_key(path, "the key number does not belong to the key: the file is damaged"));
    }
    Ok(key)
}

/// Refuses a secret key file that anyone but its owner may read or write.
pub fn check_private(path: &Path) -> Result<(), AirgapError> {
    let mode = fs::metadata(path).map_err(|e| AirgapError::io("read", path, e))?.permissions().mode();
    if mode.trailing_zeros() < 6 {
        return Err(bad_key(path, "others may read or write this secret key; run chmod 600 on it"));
    }
    Ok(())
}

/// Writes a secret key file, mode 0600: a kill leaves the whole file or none. Fails when the file exists, so that a key
/// is never lost.
pub fn write_secret(path: &Path, key: &SecretKey) -> Result<(), AirgapError> {
    let public = key.public();
    let line = BASE64.encode([&ALGORITHM[..], &public.number(), &key.0.to_bytes()].concat());
    let text = format!("{SECRET_COMMENT}{}\n{line}\n", fingerprint(&public));
    files::write_once(path, text.as_bytes(), 0o600)
}

/// The comment (or nothing) and the bytes of a key file; of a PEM file the bytes behind its fixed start.
fn key_bytes(path: &Path, der_start: &[u8]) -> Result<(String, Vec<u8>), AirgapError> {
    let text = files::read_text_limited(path, KEY_FILE_BYTES_MAX)?;
    let is_comment = |line: &&str| line.starts_with("untrusted comment:") || line.starts_with('#');
    let comment = text.lines().find(is_comment).unwrap_or_default().to_owned();
    let is_pem = text.starts_with("-----BEGIN ");
    let body: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !is_comment(line) && !line.starts_with("-----") && !line.is_empty())
        .collect();
    let [line] = body[..] else {
        return Err(bad_key(path, "it must hold one line with an Ed25519 key"));
    };
    if let Some(hash) = Hash::parse(line) {
        return Ok((comment, hash.0.to_vec()));
    }
    let bytes = BASE64.decode(line).map_err(|_| bad_key(path, "its line is not an Ed25519 key in base64"))?;
    if !is_pem {
        return Ok((comment, bytes));
    }
    let inner = bytes.strip_prefix(der_start).ok_or_else(|| bad_key(path, "not an Ed25519 key of the kind wanted"))?;
    Ok((comment, inner.to_vec()))
}

fn decode_line(line: &str) -> Option<([u8; 8], [u8; 32])> {
    let bytes = BASE64.decode(line).ok()?;
    let rest = bytes.strip_prefix(&ALGORITHM[..])?;
    let (number, key) = rest.split_at_checked(8)?;
    Some((number.try_into().ok()?, key.try_into().ok()?))
}

fn bad_key(path: &Path, why: &str) -> AirgapError {
    AirgapError::Key { path: path.to_owned(), why: why.to_owned() }
}
