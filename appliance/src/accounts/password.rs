//! Password hashes: argon2id in PHC form.

use std::sync::{Condvar, Mutex};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::config::Random;
use crate::{Error, Result};

/// Memory of one hash in KiB; with two passes and one lane OWASP's minimum for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes computed at the same time at most: more would starve the answers on a small machine.
const PARALLEL_MAX: usize = 2;

/// Shortest password taken, in characters.
pub(crate) const PASSWORD_CHARS_MIN: usize = 10;

/// Longest password taken, in bytes: bounds the work of a login.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Makes and checks password hashes, a few at a time.
pub(crate) struct Passwords {
    running: Mutex<usize>,
    freed: Condvar,
    random: Random,
    /// Hash of nothing anyone knows: checked when the name is unknown, so that both cases take the same time.
    decoy: String,
}

impl Passwords {
    pub(crate) fn new(random: Random) -> Result<Self> {
        let mut secret = [0_u8; 32];
        random(&mut secret);
        let decoy = hash(&secret, &salt(&random))?;
        Ok(Self { running: Mutex::new(0), freed: Condvar::new(), random, decoy })
    }

    /// The PHC string of a password that meets the rules.
    pub(crate) fn hash(&self, password: &str) -> Result<String> {
        check_rules(password)?;
        let _turn = self.turn();
        hash(password.as_bytes(), &salt(&self.random))
    }

    /// Whether a password belongs to a stored hash; `None` (no such user) takes as long and is never right.
    pub(crate) fn verify(&self, password: &str, stored: Option<&str>) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let _turn = self.turn();
        let Ok(parsed) = PasswordHash::new(stored.unwrap_or(&self.decoy)) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && stored.is_some()
    }

    fn turn(&self) -> Turn<'_> {
        let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while *running >= PARALLEL_MAX {
            running = self.freed.wait(running).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *running += 1;
        Turn(self)
    }
}

struct Turn<'a>(&'a Passwords);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

fn check_rules(password: &str) -> Result<()> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Error::invalid("password", format!("needs at least {PASSWORD_CHARS_MIN} characters")));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid("password", format!("is longer than {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn salt(random: &Random) -> [u8; 16] {
    let mut salt = [0_u8; 16];
    random(&mut salt);
    salt
}

fn hash(secret: &[u8], salt: &[u8]) -> Result<String> {
    let bug = |error: &dyn std::fmt::Display| Error::Bug(format!("argon2: {error}"));
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| bug(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let made: PasswordHash = argon2.hash_password_with_salt(secret, salt).map_err(|error| bug(&error))?;
    Ok(made.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(Arc::new(|bytes: &mut [u8]| bytes.fill(7))).expect("fixed parameters are valid")
    }

    #[test]
    fn a_password_is_known_again_and_others_are_not() {
        let passwords = passwords();
        let stored = passwords.hash("correct horse").expect("long enough");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse", Some(&stored)));
        assert!(!passwords.verify("correct hors", Some(&stored)));
        assert!(!passwords.verify("correct horse", None));
        assert!(!passwords.verify("correct horse", Some("not a hash")));
    }

    #[test]
    fn rules() {
        let passwords = passwords();
        assert!(passwords.hash("123456789").is_err());
        assert!(passwords.hash("1234567890").is_ok());
        assert!(passwords.hash(&"x".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
        assert!(!passwords.verify(&"x".repeat(PASSWORD_BYTES_MAX + 1), None));
    }
}
