//! Key files: made once, kept for their owner, and read strictly.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cloister_airgap::keys::{
    INSTALLATION_KEY_FILE, INSTALLATION_PUBLIC_FILE, fingerprint, read_public, read_secret, write_public, write_secret,
};
use cloister_airgap::{AirgapError, SecretKey};
use tempfile::TempDir;

#[test]
fn an_installation_key_is_made_once() {
    let dir = TempDir::new().unwrap();
    let mut calls = 0;
    let mut random = |bytes: &mut [u8]| {
        calls += 1;
        bytes.fill(0x5a);
        Ok(())
    };
    let first = SecretKey::load_or_create(dir.path(), &mut random).unwrap();
    let second = SecretKey::load_or_create(dir.path(), &mut random).unwrap();
    assert_eq!(calls, 1);
    assert_eq!(first.public(), second.public());
    assert_eq!(read_public(&dir.path().join(INSTALLATION_PUBLIC_FILE)).unwrap(), first.public());
    let mode = fs::metadata(dir.path().join(INSTALLATION_KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn randomness_that_fails_or_is_none_makes_no_key() {
    let dir = TempDir::new().unwrap();
    assert!(SecretKey::load_or_create(dir.path(), &mut |_| Ok(())).is_err());
    assert!(SecretKey::load_or_create(dir.path(), &mut |_| Err(std::io::Error::other("none"))).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn key_files_read_back_and_never_replace_a_secret() {
    let dir = TempDir::new().unwrap();
    let key = SecretKey::from_seed(&[1; 32]);
    let (secret, public) = (dir.path().join("k"), dir.path().join("k.pub"));
    write_secret(&secret, &key).unwrap();
    write_public(&public, &key.public()).unwrap();
    assert_eq!(read_secret(&secret).unwrap().public(), key.public());
    assert_eq!(read_public(&public).unwrap(), key.public());
    assert!(write_secret(&secret, &SecretKey::from_seed(&[2; 32])).is_err());
    assert_eq!(read_secret(&secret).unwrap().public(), key.public());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
    assert_eq!(fingerprint(&key.public()), "3475 0f98 bd59 fcfc 946d a45a aabe 933b e154 a4b5");
}

#[test]
fn a_kill_while_a_key_is_written_leaves_the_folder_usable() {
    let dir = TempDir::new().unwrap();
    // What a kill before the link leaves: the temporary file, cut anywhere.
    let staged = dir.path().join(format!(".{INSTALLATION_KEY_FILE}.{}.new", std::process::id()));
    fs::write(&staged, "untrusted comm").unwrap();
    let mut random = |bytes: &mut [u8]| {
        bytes.fill(0x5a);
        Ok(())
    };
    let key = SecretKey::load_or_create(dir.path(), &mut random).unwrap();
    assert_eq!(read_secret(&dir.path().join(INSTALLATION_KEY_FILE)).unwrap().public(), key.public());
    assert!(!staged.exists());
}

#[test]
fn keys_made_elsewhere_are_read() {
    // RFC 8410, section 10.3, and the public key that belongs to it (section 10.1).
    let secret_pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public_pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let secret = |text: &str| {
        fs::write(&path, text).unwrap();
        read_secret(&path).unwrap().public()
    };
    let key = secret(secret_pem);
    assert_eq!(secret("1O5y2/kTWErVttjx92n4rTr+fCjL8dT74Jeoj0R1WEI=\n"), key);
    assert_eq!(secret("# a comment\nd4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842"), key);
    let bare = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1\n";
    for text in [public_pem, "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", bare] {
        fs::write(&path, text).unwrap();
        assert_eq!(read_public(&path).unwrap(), key, "{text}");
    }
    fs::write(&path, public_pem).unwrap();
    assert!(read_secret(&path).is_err());
    fs::write(&path, secret_pem).unwrap();
    assert!(read_public(&path).is_err());
}

#[test]
fn files_that_are_not_the_right_key_are_refused() {
    let dir = TempDir::new().unwrap();
    let key = SecretKey::from_seed(&[1; 32]);
    let (secret, public) = (dir.path().join("k"), dir.path().join("k.pub"));
    write_secret(&secret, &key).unwrap();
    write_public(&public, &key.public()).unwrap();
    assert!(matches!(read_public(&secret), Err(AirgapError::Key { why, .. }) if why.contains("secret")));
    assert!(matches!(read_secret(&public), Err(AirgapError::Key { why, .. }) if why.contains("public")));
    let text = fs::read_to_string(&secret).unwrap();
    let first = text.lines().next().unwrap().to_owned();
    for changed in [String::new(), first, text.replace("RW", "RX"), format!("{text}{text}"), "x".repeat(10_000)] {
        fs::write(&secret, &changed).unwrap();
        assert!(read_secret(&secret).is_err(), "{changed}");
    }
    let own = dir.path().join(INSTALLATION_KEY_FILE);
    write_secret(&own, &key).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o640)).unwrap();
    let opened = SecretKey::load_or_create(dir.path(), &mut |_| unreachable!());
    assert!(matches!(opened, Err(AirgapError::Key { why, .. }) if why.contains("chmod 600")));
}
