//! Removal is real: the bytes are gone from every file.

use std::path::Path;

use cloister_index::{Actor, IndexError, Mode};

use crate::help::{Room, add_in};

const MARKER: &str = "zyxwmarker";

/// Files below `dir` that hold `needle`.
fn files_with(dir: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Postings of the marker on the disk, and whether any dictionary still knows the word. Dictionaries are packed, so that the
/// bytes of a word do not stand in them as such.
fn postings(dir: &Path) -> (u64, bool) {
    let index = tantivy::Index::open_in_dir(dir.join("keyword")).unwrap();
    let searcher = index.reader().unwrap().searcher();
    let term = tantivy::Term::from_field_text(index.schema().get_field("exact").unwrap(), MARKER);
    let known = searcher.segment_readers().iter().any(|segment| {
        let inverted = segment.inverted_index(term.field()).unwrap();
        inverted.terms().get(term.serialized_value_bytes()).unwrap().is_some()
    });
    (searcher.doc_freq(&term).unwrap(), known)
}

#[test]
fn nothing_of_a_removed_document_stays_in_any_file() {
    let room = Room::new();
    room.add("keep.txt", &["something else entirely"]);
    let name = format!("{MARKER}.txt");
    let id = room.add(&name, &[&format!("the word {MARKER} stands here"), "second page"]);
    room.place("copy.txt", format!("the word {MARKER} stands here\nsecond page").as_bytes());
    // An older version of it, too.
    room.place(&name, format!("{MARKER} again").as_bytes());
    while let Some(job) = room.store.next_job(std::time::Duration::MAX).unwrap() {
        let text =
            if job.document == id { format!("{MARKER} again") } else { format!("the word {MARKER} stands here") };
        crate::help::carry(&room.store, &job, &[&text]);
    }
    let dir = room.dir.path();
    let vector = crate::help::vector(&format!("{MARKER} again"));
    let raw: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(files_with(dir, MARKER.as_bytes()).iter().any(|f| f.contains("catalogue")));
    assert_eq!(postings(dir), (2, true), "the probe can see postings");
    assert!(!files_with(dir, &raw).is_empty());
    let removed = room.store.remove_document(&room.all, &id).unwrap();
    assert_eq!((removed.documents, removed.passages, removed.probe_hits), (1, 1, 0));
    assert_eq!(removed.names, vec![name.clone()]);
    let copy = room.store.document(&room.all, "copy.txt", None).unwrap().id;
    assert_eq!(room.store.remove_document(&room.all, &copy).unwrap().probe_hits, 0);
    assert_eq!(files_with(dir, MARKER.as_bytes()), Vec::<String>::new());
    assert_eq!(files_with(dir, &raw), Vec::<String>::new());
    assert!(room.keyword(MARKER).is_empty());
    assert!(matches!(room.store.text(&room.all, &id), Err(IndexError::NotFound { .. })));
    assert_eq!(room.find("something else", Mode::Hybrid).hits.len(), 1);
    assert_eq!(postings(dir), (0, false));
    room.well();
    let room = room.again();
    room.well();
    assert_eq!(files_with(room.dir.path(), MARKER.as_bytes()), Vec::<String>::new());
}

#[test]
fn an_original_stays_while_another_document_holds_it() {
    let room = Room::new();
    let first = room.add("x.txt", &["alpha"]);
    let other = room.store.add_collection("other").unwrap();
    let all = room.store.visible(&Actor::Operator).unwrap();
    let second = add_in(&room.store, &all, &other.id, "x.txt", &["alpha"]);
    let sha256 = room.store.document(&all, first.as_str(), None).unwrap().sha256;
    assert_eq!(room.store.remove_document(&all, &first).unwrap().bytes, 0);
    assert!(room.store.blobs().exists(&sha256));
    assert_eq!(room.store.remove_document(&all, &second).unwrap().bytes, 5);
    assert!(!room.store.blobs().exists(&sha256));
}

#[test]
fn an_upload_holds_its_original_against_removal() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha"]);
    let held = crate::help::blob(&room.store, b"alpha");
    assert_eq!(room.store.remove_document(&room.all, &id).unwrap().bytes, 0);
    assert!(room.store.blobs().exists(&held.sha256));
    room.store.place(&room.all, &room.collection.id, "y.txt", &held, cloister_index::Duplicates::Alias).unwrap();
    drop(held);
    room.well();
}

#[test]
fn a_collection_goes_with_all_it_holds() {
    let room = Room::new();
    for n in 0..5 {
        room.add(&format!("{n}.txt"), &[&format!("alpha {n}")]);
    }
    let removed = room.store.remove_collection(&room.all, &room.collection.id).unwrap();
    assert_eq!((removed.documents, removed.passages, removed.probe_hits), (5, 5, 0));
    assert!(room.keyword("alpha").is_empty());
    assert_eq!(room.store.figures().unwrap().passages, 0);
    assert!(room.store.add_collection("contracts").is_ok());
    room.well();
}

#[test]
fn counts_stay_right_over_many_removals() {
    // Document frequencies once counted what was removed, and more documents than there are ended the program.
    let room = Room::new();
    let ids: Vec<_> = (0..40).map(|n| room.add(&format!("{n}.txt"), &[&format!("common word {n}")])).collect();
    for id in &ids[..38] {
        assert_eq!(room.store.remove_document(&room.all, id).unwrap().probe_hits, 0);
        assert!(!room.keyword("common word").is_empty());
    }
    assert_eq!(room.keyword("common").len(), 2);
    // What was removed and comes again is found again.
    room.add("0.txt", &["common word 0"]);
    assert_eq!(room.keyword("common").len(), 3);
    room.well();
}
