//! Opening: refusals, damage, leftovers and rebuilding.

use std::fs;
use std::path::{Path, PathBuf};

use cloister_index::{Derived, EmbedderId, IndexError, Mode, Store};

use crate::help::{Room, embedder, open, options, well};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    found.sort();
    found
}

/// A closed store with a few documents.
fn filled(documents: usize) -> tempfile::TempDir {
    let room = Room::new();
    for n in 0..documents {
        room.add(&format!("{n}.txt"), &[&format!("alpha beta {n}\n\nsecond passage of {n}")]);
    }
    let Room { store, dir, .. } = room;
    drop(store);
    dir
}

#[track_caller]
fn all_there(store: &Store, documents: usize) {
    well(store);
    let all = store.visible(&cloister_index::Actor::Operator).unwrap();
    for mode in [Mode::Keyword, Mode::Vector] {
        let wanted = cloister_index::SearchRequest { limit: 100, ..crate::help::request("alpha beta", mode) };
        let found = store.search(&all, &wanted).unwrap().hits;
        assert_eq!(found.iter().filter(|hit| hit.text.starts_with("alpha")).count(), documents, "{mode:?}");
    }
}

#[test]
fn a_second_process_is_refused() {
    let room = Room::new();
    assert!(matches!(Store::open(room.dir.path(), options()), Err(IndexError::AlreadyInUse { .. })));
    room.again();
}

#[test]
fn a_newer_schema_is_refused_by_numbers() {
    let dir = filled(12);
    let raw = rusqlite::Connection::open(dir.path().join("catalogue.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let before = fs::read(dir.path().join("catalogue.sqlite")).unwrap();
    let refused = Store::open(dir.path(), options()).unwrap_err();
    assert!(matches!(refused, IndexError::SchemaNewer { found: 99, .. }), "{refused}");
    assert_eq!(fs::read(dir.path().join("catalogue.sqlite")).unwrap(), before);
    let other = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(other.path().join("catalogue.sqlite"))
        .unwrap()
        .execute_batch("CREATE TABLE t(x)")
        .unwrap();
    assert!(matches!(Store::open(other.path(), options()), Err(IndexError::Damaged { .. })));
}

#[test]
fn a_file_of_the_first_schema_is_brought_up_to_date() {
    let dir = filled(12);
    let raw = rusqlite::Connection::open(dir.path().join("catalogue.sqlite")).unwrap();
    raw.execute_batch(
        "DROP INDEX pages_gaps; DROP INDEX documents_parent; ALTER TABLE documents DROP COLUMN parent;
        ALTER TABLE versions DROP COLUMN attachments; PRAGMA user_version = 1",
    )
    .unwrap();
    drop(raw);
    let store = open(dir.path());
    assert_eq!(store.report().migrated, Some((1, 3)));
    all_there(&store, 12);
}

#[test]
fn an_embedder_that_comes_late_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), cloister_index::OpenOptions { embedder: None, ..options() }).unwrap();
    let collection = store.add_collection("c").unwrap();
    let all = store.visible(&cloister_index::Actor::Operator).unwrap();
    let place = |name: &str| {
        crate::help::place_in(&store, &all, &collection.id, name, name.as_bytes());
        let job = store.next_job(std::time::Duration::MAX).unwrap().unwrap();
        store.save_page(&job.id, &crate::help::page(1, "alpha early")).unwrap();
        job
    };
    let passages = vec![cloister_index::NewPassage {
        heading_path: vec!["Rules".to_owned()],
        ..crate::help::passages(&["alpha early"]).remove(0)
    }];
    store.commit_document(&place("early").id, &passages, &[]).unwrap();
    store.set_embedder(&embedder()).unwrap();
    let vectors = [crate::help::vector("alpha early")];
    store.commit_document(&place("late").id, &passages, &vectors).unwrap();
    let missing = store.passages_without_vector(10).unwrap();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].text.as_str(), &missing[0].heading_path), ("alpha early", &vec!["Rules".to_owned()]));
    store.save_vectors(&[(missing[0].passage, vectors[0].clone())]).unwrap();
    all_there(&store, 2);
}

#[test]
fn a_closed_store_opens_without_work() {
    let dir = filled(12);
    let store = open(dir.path());
    let report = store.report();
    assert!(!report.unclean);
    assert_eq!((&report.keyword, &report.vectors, report.files_removed), (&Derived::Current, &Derived::Current, 0));
    all_there(&store, 12);
}

#[test]
fn a_passage_without_a_word_is_no_damage() {
    let room = Room::new();
    room.add("dashes.txt", &["— — —"]);
    let room = room.again();
    assert_eq!((&room.store.report().keyword, &room.store.report().vectors), (&Derived::Current, &Derived::Current));
    room.well();
}

#[test]
fn leftovers_of_a_kill_are_removed() {
    let dir = filled(12);
    let uuid = "0123456789abcdef0123456789abcdef";
    let left = [
        format!("keyword/{uuid}.term"),
        format!("keyword/{uuid}.store"),
        "vectors/000000009999.vectors".to_owned(),
        "vectors/manifest.tmp".to_owned(),
        "blobs/incoming/abc".to_owned(),
        format!("blobs/ab/{}", "c".repeat(62)),
    ];
    fs::create_dir_all(dir.path().join("blobs/ab")).unwrap();
    for name in &left {
        fs::write(dir.path().join(name), b"").unwrap();
    }
    let store = open(dir.path());
    assert_eq!(store.report().files_removed, left.len() as u64);
    assert!(left.iter().all(|name| !dir.path().join(name).exists()));
    all_there(&store, 12);
}

#[test]
fn what_is_missing_is_rebuilt() {
    let dir = filled(3);
    for name in ["keyword", "vectors"] {
        // Names change when something is rebuilt, so that files are walked by number.
        for index in 0..files(&dir.path().join(name)).len() {
            let Some(file) = files(&dir.path().join(name)).get(index).cloned() else { continue };
            if file.extension().is_some_and(|e| e == "lock") {
                continue;
            }
            fs::remove_file(&file).unwrap();
            let store = open(dir.path());
            all_there(&store, 3);
            let report = store.report();
            let done = if name == "keyword" { &report.keyword } else { &report.vectors };
            // Without tantivy's own list of files every living one is still there and checked.
            let harmless = file.ends_with(".managed.json");
            assert!(harmless || matches!(done, Derived::Rebuilt(_)), "{} went unnoticed", file.display());
        }
    }
}

#[test]
fn a_flipped_or_cut_byte_anywhere_in_a_derived_file_is_found_or_harmless() {
    let dir = filled(3);
    let mut seen = 0;
    for name in ["keyword", "vectors"] {
        // Names change when something is rebuilt, so that places are walked by number.
        for index in 0..files(&dir.path().join(name)).len() {
            for place in 0..6 {
                let Some(file) = files(&dir.path().join(name)).get(index).cloned() else { continue };
                let mut bytes = fs::read(&file).unwrap();
                if bytes.is_empty() {
                    continue;
                }
                let at = (bytes.len() - 1) * place / 5;
                if place == 3 {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= 0x41;
                }
                fs::write(&file, &bytes).unwrap();
                let store = open(dir.path());
                all_there(&store, 3);
                seen += usize::from(
                    store.report().keyword != Derived::Current || store.report().vectors != Derived::Current,
                );
            }
        }
    }
    assert!(seen > 30, "only {seen} damages were noticed");
}

#[test]
fn an_error_of_the_environment_rebuilds_nothing() {
    use std::os::unix::fs::symlink;
    let dir = filled(12);
    // A directory where a file is expected cannot be read: that is no damage of ours to mend.
    let victim = files(&dir.path().join("vectors")).into_iter().find(|f| f.ends_with("manifest")).unwrap();
    let bytes = fs::read(&victim).unwrap();
    fs::remove_file(&victim).unwrap();
    symlink(&victim, &victim).unwrap();
    let refused = Store::open(dir.path(), options()).unwrap_err();
    assert!(matches!(refused, IndexError::Io { .. }), "{refused}");
    fs::remove_file(&victim).unwrap();
    fs::write(&victim, bytes).unwrap();
    let store = open(dir.path());
    assert_eq!(store.report().vectors, Derived::Current);
    assert!(store.report().unclean, "the refused open did not close the store");
    all_there(&store, 12);
}

#[test]
fn damage_of_the_truth_is_told_and_nothing_is_touched() {
    let dir = filled(12);
    let path = dir.path().join("catalogue.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes.truncate(half);
    fs::write(&path, &bytes).unwrap();
    fs::write(dir.path().join("cloister.lock"), "open  \n").unwrap();
    let refused = Store::open(dir.path(), options()).unwrap_err();
    assert!(matches!(refused, IndexError::Damaged { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap().len(), half);
    assert!(dir.path().join("keyword/meta.json").exists());
}

#[test]
fn a_text_that_changed_on_the_disk_is_never_shown() {
    let dir = filled(12);
    let path = dir.path().join("catalogue.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let needle = b"alpha beta 7";
    let places: Vec<usize> =
        bytes.windows(needle.len()).enumerate().filter(|(_, w)| w == needle).map(|(at, _)| at).collect();
    for at in &places {
        bytes[*at] = b'A';
    }
    fs::write(&path, &bytes).unwrap();
    let store = open(dir.path());
    let all = store.visible(&cloister_index::Actor::Operator).unwrap();
    let id = store.document(&all, "7.txt", None).unwrap().id;
    assert!(matches!(store.text(&all, &id), Err(IndexError::Damaged { .. })));
    let bad: Vec<&str> = store.verify().into_iter().filter(|c| !c.ok).map(|c| c.name).collect();
    assert_eq!(bad, vec!["stored text"]);
}

#[test]
fn another_model_asks_for_new_vectors_and_keeps_the_rest() {
    let dir = filled(12);
    let store = open(dir.path());
    let all = store.visible(&cloister_index::Actor::Operator).unwrap();
    let other = EmbedderId { sha256: "cd".repeat(32), dimension: 8 };
    store.set_embedder(&other).unwrap();
    assert_eq!(store.embedder().unwrap(), Some(other.clone()));
    assert_eq!(store.figures().unwrap().passages_without_vector, 24);
    let missing = store.passages_without_vector(100).unwrap();
    let vectors: Vec<(i64, Vec<f32>)> =
        missing.iter().map(|row| (row.passage, vec![row.text.len() as f32; 8])).collect();
    store.save_vectors(&vectors[..20]).unwrap();
    assert_eq!(store.figures().unwrap().passages_without_vector, 4);
    store.save_vectors(&vectors[20..]).unwrap();
    well(&store);
    let wanted =
        cloister_index::SearchRequest { vector: Some(vec![0.35; 8]), ..crate::help::request("alpha", Mode::Vector) };
    assert_eq!(store.search(&all, &wanted).unwrap().hits.len(), 10);
    drop(store);
    let store = Store::open(dir.path(), cloister_index::OpenOptions { embedder: None, ..options() }).unwrap();
    assert_eq!(store.embedder().unwrap(), Some(other));
    assert_eq!(store.report().vectors, Derived::Current);
    drop(store);
    // The store is told of the first model again: its vectors were replaced and have to be made anew.
    let store = open(dir.path());
    assert_eq!(store.embedder().unwrap(), Some(embedder()));
    assert_eq!(store.figures().unwrap().passages_without_vector, 24);
    assert!(store.set_embedder(&EmbedderId { sha256: "no".to_owned(), dimension: 8 }).is_err());
}

#[test]
fn an_old_copy_of_the_catalogue_makes_the_derived_stores_follow_it() {
    let room = Room::new();
    room.add("a", &["alpha"]);
    let Room { store, dir, .. } = room;
    drop(store);
    let old = fs::read(dir.path().join("catalogue.sqlite")).unwrap();
    let store = open(dir.path());
    let all = store.visible(&cloister_index::Actor::Operator).unwrap();
    let collection = store.collection_by_name(&all, "contracts").unwrap();
    crate::help::add_in(&store, &all, &collection.id, "b", &["beta"]);
    drop(store);
    fs::write(dir.path().join("catalogue.sqlite"), old).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.report().keyword, Derived::Rebuilt(_)));
    well(&store);
    let found = store.search(&all, &crate::help::request("alpha beta", Mode::Hybrid)).unwrap();
    assert_eq!(crate::help::texts(&found), vec!["alpha"]);
}
