//! Bundles: built, read, installed; and every way of changing one is refused.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cloister_airgap::bundle::{self, BundleMember, BundlePlan, MemberSource, Role};
use cloister_airgap::{AirgapError, PublicKey, SecretKey, keys};
use tempfile::TempDir;

struct Made {
    folder: TempDir,
    bundle: PathBuf,
    key: SecretKey,
}

fn member(path: &str, bytes: &[u8], role: Role) -> BundleMember {
    BundleMember { path: path.into(), source: MemberSource::Bytes(bytes.to_vec()), role, licence: "Apache-2.0".into() }
}

fn plan() -> BundlePlan {
    BundlePlan {
        name: "cloister".into(),
        version: "0.1.0".into(),
        target: "x86_64-unknown-linux-gnu".into(),
        members: vec![
            member("models/small/weights.gguf", &[7; 1500], Role::Model),
            member("bin/cloister", b"#!/bin/sh\necho a program\n", Role::Program),
            member("licences/Apache-2.0.txt", b"the licence", Role::Licence),
            member("docs/empty.txt", b"", Role::Document),
        ],
    }
}

fn made() -> Made {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("cloister-0.1.0.bundle");
    let key = SecretKey::from_seed(&[3; 32]);
    bundle::build(&plan(), &bundle, &key).unwrap();
    Made { folder, bundle, key }
}

fn refusal(bundle: &Path, key: &PublicKey) -> String {
    match bundle::verify(bundle, key) {
        Err(AirgapError::BundleRefused { member, why }) => format!("{member}: {why}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_verifies() {
    let (one, two) = (made(), made());
    assert_eq!(fs::read(&one.bundle).unwrap(), fs::read(&two.bundle).unwrap());
    let manifest = bundle::verify(&one.bundle, &one.key.public()).unwrap();
    assert_eq!(manifest.members[0].path, "install");
    assert_eq!(manifest.members[1].path, "bin/cloister");
    assert_eq!(cloister_airgap::keys::read_public(&bundle::public_key_path(&one.bundle)).unwrap(), one.key.public());
}

#[test]
fn a_bundle_names_its_signer_and_people_compare_it() {
    let made = made();
    let signer = bundle::signer(&made.bundle).unwrap();
    assert_eq!(signer, made.key.public());
    let print = keys::fingerprint(&signer);
    for typed in [print.clone(), print.replace(' ', ""), print.to_uppercase(), print.replace(' ', ":")] {
        assert_eq!(keys::has_fingerprint(&signer, &typed), Some(true), "{typed}");
    }
    let other = keys::fingerprint(&SecretKey::from_seed(&[4; 32]).public());
    assert_eq!(keys::has_fingerprint(&signer, &other), Some(false));
    for no_print in ["", "80d4", &print[1..], &format!("{print}0"), &print.replace(' ', "g")] {
        assert_eq!(keys::has_fingerprint(&signer, no_print), None, "{no_print}");
    }
    fs::write(&made.bundle, "no bundle").unwrap();
    assert!(bundle::signer(&made.bundle).is_err());
}

#[test]
fn a_refused_bundle_leaves_no_folder() {
    let made = made();
    let prefix = made.folder.path().join("prefix");
    assert!(bundle::install(&made.bundle, &prefix, &SecretKey::from_seed(&[4; 32]).public()).is_err());
    assert!(!prefix.exists());
}

#[test]
fn the_program_has_one_place_that_is_never_taken_from_another() {
    let made = made();
    let prefix = made.folder.path().join("prefix");
    let report = bundle::install(&made.bundle, &prefix, &made.key.public()).unwrap();
    assert_eq!(report.program, prefix.canonicalize().unwrap().join("bin/cloister"));
    assert_eq!(report.program.canonicalize().unwrap(), report.folder.join("bin/cloister"));
    fs::remove_file(&report.program).unwrap();
    fs::write(&report.program, "another program").unwrap();
    assert!(bundle::install(&made.bundle, &prefix, &made.key.public()).is_err());
    assert_eq!(fs::read(&report.program).unwrap(), b"another program");
}

#[test]
fn every_changed_byte_is_refused() {
    let made = made();
    let whole = fs::read(&made.bundle).unwrap();
    let changed = made.folder.path().join("changed");
    let start = whole.windows(12).position(|window| window == b"manifest.sig").unwrap();
    let signature = start + 512..start + 1024;
    fs::write(&changed, &whole).unwrap();
    let file = fs::File::options().write(true).open(&changed).unwrap();
    for (place, byte) in whole.iter().enumerate() {
        // Every bit of the signature, one bit of every other byte.
        let changes = if signature.contains(&place) { 0..8 } else { place % 8..place % 8 + 1 };
        for bit in changes {
            file.write_all_at(&[byte ^ (1 << bit)], place as u64).unwrap();
            refusal(&changed, &made.key.public());
        }
        file.write_all_at(&[*byte], place as u64).unwrap();
    }
    bundle::verify(&changed, &made.key.public()).unwrap();
}

#[test]
fn a_changed_member_is_named() {
    let made = made();
    let whole = fs::read(&made.bundle).unwrap();
    for (words, name) in [
        (&b"echo a program"[..], "bin/cloister"),
        (b"the licence", "licences/Apache-2.0.txt"),
        (&[7; 100], "models/small/weights.gguf"),
    ] {
        let place = whole.windows(words.len()).position(|window| window == words).unwrap();
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let changed = made.folder.path().join("changed");
        fs::write(&changed, &bytes).unwrap();
        let said = refusal(&changed, &made.key.public());
        assert!(said.starts_with(name), "{said}");
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let made = made();
    let whole = fs::read(&made.bundle).unwrap();
    let changed = made.folder.path().join("changed");
    for length in (0..whole.len()).step_by(97) {
        fs::write(&changed, &whole[..length]).unwrap();
        refusal(&changed, &made.key.public());
    }
    for tail in [&b"x"[..], &[0; 512]] {
        fs::write(&changed, [&whole, tail].concat()).unwrap();
        refusal(&changed, &made.key.public());
    }
}

#[test]
fn unsigned_and_signed_by_another_are_refused() {
    let made = made();
    let whole = fs::read(&made.bundle).unwrap();
    let start = whole.windows(12).position(|window| window == b"manifest.sig").unwrap();
    let unsigned = made.folder.path().join("unsigned");
    fs::write(&unsigned, [&whole[..start], &whole[start + 1024..]].concat()).unwrap();
    assert_eq!(refusal(&unsigned, &made.key.public()), "manifest.sig: it is missing: the bundle is unsigned");
    let other = SecretKey::from_seed(&[4; 32]).public();
    assert!(refusal(&made.bundle, &other).starts_with("manifest.sig: signed with another key"));
}

#[test]
fn a_plan_with_harmful_paths_is_refused() {
    let folder = TempDir::new().unwrap();
    let key = SecretKey::from_seed(&[3; 32]);
    for path in [
        "../out",
        "/etc/passwd",
        "a//b",
        "a/./b",
        ".hidden",
        "manifest.json",
        "",
        "bin/cloister",
        "with space",
        &"x".repeat(101),
    ] {
        let mut plan = plan();
        plan.members.push(member(path, b"x", Role::Document));
        let built = bundle::build(&plan, &folder.path().join("out.bundle"), &key);
        assert!(matches!(built, Err(AirgapError::BundlePlan { .. })), "{path}: {built:?}");
        assert!(!folder.path().join("out.bundle").exists());
    }
}

#[test]
fn installs_below_the_prefix_and_again_without_harm() {
    let made = made();
    let prefix = made.folder.path().join("prefix");
    let first = bundle::install(&made.bundle, &prefix, &made.key.public()).unwrap();
    assert!(!first.already_there);
    assert_eq!(fs::read(prefix.join("current/models/small/weights.gguf")).unwrap(), [7; 1500]);
    let unit = fs::read_to_string(&first.unit).unwrap();
    assert!(unit.contains(&format!("ExecStart={}/current/bin/cloister", prefix.canonicalize().unwrap().display())));
    let run = std::process::Command::new(prefix.join("current/bin/cloister")).output().unwrap();
    assert_eq!(run.stdout, b"a program\n");
    assert!(bundle::install(&made.bundle, &prefix, &made.key.public()).unwrap().already_there);
}

#[test]
fn a_damaged_installation_is_replaced_whole() {
    let made = made();
    let prefix = made.folder.path().join("prefix");
    bundle::install(&made.bundle, &prefix, &made.key.public()).unwrap();
    fs::write(prefix.join("current/models/small/weights.gguf"), b"damaged").unwrap();
    fs::write(prefix.join("data/kept"), b"data").unwrap();
    assert!(!bundle::install(&made.bundle, &prefix, &made.key.public()).unwrap().already_there);
    assert_eq!(fs::read(prefix.join("current/models/small/weights.gguf")).unwrap(), [7; 1500]);
    assert_eq!(fs::read(prefix.join("data/kept")).unwrap(), b"data");
}

#[test]
fn a_refused_bundle_leaves_the_installation_as_it_was() {
    let made = made();
    let prefix = made.folder.path().join("prefix");
    let mut bytes = fs::read(&made.bundle).unwrap();
    let place = bytes.windows(11).position(|window| window == b"the licence").unwrap();
    bytes[place] ^= 1;
    fs::write(&made.bundle, bytes).unwrap();
    assert!(bundle::install(&made.bundle, &prefix, &made.key.public()).is_err());
    assert!(!prefix.join("current").exists());
    assert_eq!(fs::read_dir(prefix.join("versions")).unwrap().count(), 0);
}

#[test]
fn a_prefix_that_a_unit_could_not_name_is_refused_before_anything_is_written() {
    let made = made();
    for name in ["with space", "per%cent", "quo\"te", "line\nbreak", "dol$lar"] {
        let prefix = made.folder.path().join(name);
        assert!(matches!(
            bundle::install(&made.bundle, &prefix, &made.key.public()),
            Err(AirgapError::BundlePlan { .. })
        ));
        assert!(!prefix.exists());
    }
}
