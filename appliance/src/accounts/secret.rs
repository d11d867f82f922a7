//! Tokens, keys and codes: made from injected randomness, stored as hashes.

use sha2::{Digest, Sha256};

use crate::config::Random;

/// Begins every API key, so that a leaked one is recognised.
pub(crate) const KEY_PREFIX: &str = "cloister_";

/// 256 random bits in hexadecimal.
pub(crate) fn token(random: &Random) -> String {
    let mut bytes = [0_u8; 32];
    random(&mut bytes);
    hexadecimal(&bytes)
}

/// A code a person can type: 20 characters of a set without look-alikes, in groups of five (about 97 bits).
pub(crate) fn code(random: &Random) -> String {
    const ALPHABET: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";
    let mut out = String::new();
    let mut letters = 0;
    while letters < 20 {
        let mut byte = [0_u8; 1];
        random(&mut byte);
        // 248 is the largest multiple of 31 in a byte: higher ones would favour the first letters.
        if byte[0] < 248 {
            if letters > 0 && letters % 5 == 0 {
                out.push('-');
            }
            out.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
            letters += 1;
        }
    }
    out
}

/// The form in which a secret is stored: SHA-256 in hexadecimal. Enough for 256 random bits.
pub(crate) fn stored(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Whether two texts are equal, in a time that does not depend on where they differ.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string cannot fail");
        out
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[test]
    fn secrets_have_their_forms() {
        let counter = AtomicU8::new(0);
        let random: Random = Arc::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = counter.fetch_add(37, Ordering::Relaxed);
            }
        });
        assert_eq!(token(&random).len(), 64);
        let code = code(&random);
        assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5], "{code}");
        assert_eq!(stored("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(equal("same", "same") && !equal("same", "sama") && !equal("same", "sam"));
    }
}
