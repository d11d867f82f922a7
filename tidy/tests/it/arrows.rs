//! Arrows run one way: `cli -> web -> appliance -> {ingest, engine, index, airgap}`.

use cloister_tidy::repository;
use std::fs;

/// Each room and the rooms it may know.
const MAY_KNOW: [(&str, &[&str]); 8] = [
    ("ingest", &[]),
    ("engine", &[]),
    ("index", &[]),
    ("airgap", &[]),
    ("appliance", &["ingest", "engine", "index", "airgap"]),
    ("web", &["appliance"]),
    ("cli", &["appliance", "web"]),
    ("tidy", &[]),
];

/// Crates that only some rooms may name, because they carry what the others must not know.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("tokio", &["web", "cli"]),
    ("axum", &["web"]),
    ("rusqlite", &["index", "airgap"]),
    ("tantivy", &["index"]),
    ("minijinja", &["engine"]),
    ("clap", &["cli"]),
];

fn dependencies(room: &str) -> Vec<String> {
    let manifest = fs::read_to_string(repository().join(room).join("Cargo.toml")).unwrap();
    manifest
        .lines()
        .skip_while(|line| !line.starts_with("[dependencies]"))
        .take_while(|line| !line.starts_with("[dev-dependencies]"))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with(['[', '#']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_room_knows_one_that_it_must_not() {
    for (room, allowed) in MAY_KNOW {
        for dependency in dependencies(room) {
            if let Some(other) = dependency.strip_prefix("cloister-") {
                assert!(allowed.contains(&other), "{room} must not depend on {other}");
            }
        }
    }
}

#[test]
fn every_member_of_the_workspace_has_its_arrows_written_down() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(MAY_KNOW.iter().any(|(room, _)| *room == member), "{member} is missing in MAY_KNOW");
    }
}

#[test]
fn storage_http_and_runtime_stay_in_their_rooms() {
    for (room, _) in MAY_KNOW {
        for dependency in dependencies(room) {
            for (name, rooms) in ONLY_IN {
                assert!(dependency != name || rooms.contains(&room), "{room} must not depend on {name}");
            }
        }
    }
}

#[test]
fn every_dependency_is_explained() {
    let page = fs::read_to_string(repository().join("docs/dependencies.md")).unwrap();
    let mut missing: Vec<String> = MAY_KNOW
        .iter()
        .flat_map(|(room, _)| dependencies(room))
        .filter(|name| !name.starts_with("cloister-") && !page.contains(&format!("| {name} |")))
        .collect();
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "docs/dependencies.md lacks a line for: {missing:?}");
}

/// The number of packages may fall without a word; to let it rise, raise this number in the commit that says why.
const PACKAGES_MAX: usize = 440;

#[test]
fn the_number_of_packages_does_not_creep_up() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(packages <= PACKAGES_MAX, "{packages} packages in Cargo.lock, at most {PACKAGES_MAX}");
}
