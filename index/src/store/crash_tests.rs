//! What a kill at each step leaves, and what the next open makes of it.
//!
//! At a named step the data directory is copied as it lies on the disk. The copy is then opened as after a kill.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::{
    Actor, Clock, Derived, DocumentStatus, Duplicates, EmbedderId, JobFilter, Mode, NewPassage, OpenOptions, PageInput,
    PageOutcome, Placed, Random, SearchRequest, Stage, Store, Visible,
};

const DIMENSION: usize = 4;

/// A copy and the step it was made at.
type Copy = (&'static str, TempDir);

thread_local! {
    /// The directory to copy, and the copies made so far with the steps they were made at.
    static WATCH: RefCell<Option<(PathBuf, Vec<Copy>)>> = const { RefCell::new(None) };
}

pub(super) fn reached(step: &'static str) {
    WATCH.with_borrow_mut(|watch| {
        if let Some((from, copies)) = watch {
            let to = tempfile::tempdir().unwrap();
            copy(from, to.path());
            copies.push((step, to));
        }
    });
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Copies made at every step that `work` reaches.
fn copies_of(dir: &Path, work: impl FnOnce()) -> Vec<Copy> {
    WATCH.set(Some((dir.to_path_buf(), Vec::new())));
    work();
    WATCH.take().map(|(_, copies)| copies).unwrap()
}

fn options() -> OpenOptions {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let state = Mutex::new(SEED.fetch_add(1, Ordering::Relaxed) << 40);
    OpenOptions {
        clock: Clock::new(|| "2026-01-02T03:04:05.678Z".to_owned()),
        random: Random::new(move |bytes| {
            let mut state = state.lock().unwrap();
            bytes.fill_with(|| {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (*state >> 33) as u8
            });
        }),
        embedder: Some(EmbedderId { sha256: "ab".repeat(32), dimension: DIMENSION }),
    }
}

fn add(store: &Store, all: &Visible, name: &str, text: &str) {
    let collection = store.collection_by_name(all, "c").unwrap();
    let mut writer = store.blobs().begin().unwrap();
    writer.write(text.as_bytes()).unwrap();
    let blob = writer.finish().unwrap();
    let placed = store.place(all, &collection.id, name, &blob, Duplicates::Alias).unwrap();
    assert!(matches!(placed, Placed::Added { .. } | Placed::Updated { .. }));
    finish_jobs(store, text);
}

/// Carries out every waiting job; all read the same text.
fn finish_jobs(store: &Store, text: &str) {
    while let Some(job) = store.next_job(std::time::Duration::MAX).unwrap() {
        let page = PageInput {
            number: 1,
            place: None,
            width: 1.0,
            height: 1.0,
            text: text.to_owned(),
            blocks: Vec::new(),
            words: Vec::new(),
            outcome: PageOutcome::Text,
            reason: None,
            problems: Vec::new(),
        };
        store.save_page(&job.id, &page).unwrap();
        let end = text.chars().count() as u32;
        let passage =
            NewPassage { start: 0, end, page: 1, place: None, heading_path: Vec::new(), text: text.to_owned() };
        store.commit_document(&job.id, &[passage], &[vector(text)]).unwrap();
    }
}

fn vector(text: &str) -> Vec<f32> {
    let sum: u32 = text.bytes().map(u32::from).sum();
    (0..DIMENSION).map(|n| (sum % (7 + n as u32)) as f32 + 0.5).collect()
}

fn found(store: &Store, all: &Visible, text: &str, mode: Mode) -> Vec<String> {
    let vector = (mode == Mode::Vector).then(|| vector(text));
    let request =
        SearchRequest { collection: None, documents: Vec::new(), text: text.to_owned(), vector, mode, limit: 50 };
    let mut texts: Vec<String> = store.search(all, &request).unwrap().hits.into_iter().map(|hit| hit.text).collect();
    texts.sort();
    texts
}

fn new_store() -> (TempDir, Store, Visible) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    store.add_collection("c").unwrap();
    let all = store.visible(&Actor::Operator).unwrap();
    (dir, store, all)
}

/// Opens a copy as after a kill; everything must agree.
fn after_kill(copy: &Path, step: &str) -> (Store, Visible) {
    let store = Store::open(copy, options()).unwrap_or_else(|e| panic!("{step}: {e}"));
    assert!(store.report().unclean, "{step}");
    for check in store.verify() {
        assert!(check.ok, "{step}: {check:?}");
    }
    let all = store.visible(&Actor::Operator).unwrap();
    (store, all)
}

#[track_caller]
fn steps(copies: &[Copy], expected: &[&str]) {
    for step in expected {
        assert!(copies.iter().any(|(name, _)| name == step), "{step} was not reached");
    }
}

#[test]
fn a_kill_at_any_step_of_a_commit_loses_nothing() {
    let (dir, store, all) = new_store();
    for n in 0..8 {
        add(&store, &all, &format!("d{n}"), &format!("common text {n}"));
    }
    let copies = copies_of(dir.path(), || add(&store, &all, "d8", "common text 8"));
    steps(
        &copies,
        &["committed", "keyword-applied", "keyword-followed", "vectors-file", "vectors-manifest", "finished"],
    );
    let expected: Vec<String> = (0..9).map(|n| format!("common text {n}")).collect();
    for (step, copy) in copies {
        let (store, all) = after_kill(copy.path(), step);
        assert_eq!(found(&store, &all, "common", Mode::Keyword), expected, "{step}");
        assert_eq!(found(&store, &all, "common", Mode::Vector), expected, "{step}");
        let jobs = store.jobs(&all, &JobFilter::default()).unwrap();
        assert!(jobs.iter().all(|job| job.stage == Stage::Done), "{step}: {jobs:?}");
        assert!(store.next_job(std::time::Duration::MAX).unwrap().is_none(), "{step}");
        assert!(!matches!(store.report().keyword, Derived::Rebuilt(_)), "{step}: caught up, not rebuilt");
        assert!(!matches!(store.report().vectors, Derived::Rebuilt(_)), "{step}: caught up, not rebuilt");
    }
}

#[test]
fn a_kill_at_any_step_of_an_update_shows_the_old_or_the_new() {
    let (dir, store, all) = new_store();
    add(&store, &all, "d", "first words");
    let copies = copies_of(dir.path(), || add(&store, &all, "d", "second words"));
    steps(&copies, &["committed", "keyword-applied", "finished"]);
    for (step, copy) in copies {
        let (store, all) = after_kill(copy.path(), step);
        assert_eq!(found(&store, &all, "words", Mode::Keyword), vec!["second words"], "{step}");
        assert_eq!(found(&store, &all, "words", Mode::Vector), vec!["second words"], "{step}");
        assert_eq!(store.document(&all, "d", None).unwrap().status, DocumentStatus::Ready, "{step}");
    }
}

#[test]
fn a_kill_at_any_step_of_a_removal_leaves_nothing_of_it() {
    let (dir, store, all) = new_store();
    for n in 0..3 {
        add(&store, &all, &format!("d{n}"), &format!("common text {n}"));
    }
    let document = store.document(&all, "d1", None).unwrap();
    let version_rows = [2_i64];
    let copies = copies_of(dir.path(), || {
        assert_eq!(store.remove_document(&all, &document.id).unwrap().probe_hits, 0);
    });
    steps(&copies, &["removed", "keyword-applied", "vectors-manifest", "finished", "blobs-removed"]);
    for (step, copy) in copies {
        let (store, all) = after_kill(copy.path(), step);
        let expected = vec!["common text 0", "common text 2"];
        assert_eq!(found(&store, &all, "common", Mode::Keyword), expected, "{step}");
        assert_eq!(found(&store, &all, "common", Mode::Vector), expected, "{step}");
        assert!(!store.blobs().exists(&document.sha256), "{step}");
        assert_eq!(store.keyword.postings_of(&version_rows).unwrap(), 0, "{step}");
        assert_eq!(store.vectors().unwrap().rows_of(&version_rows), 0, "{step}");
        let log = fs::metadata(copy.path().join("catalogue.sqlite-wal")).map_or(0, |m| m.len());
        assert_eq!(log, 0, "{step}: the log is emptied");
    }
}

#[test]
fn a_rebuild_that_was_killed_is_begun_again() {
    let (dir, store, all) = new_store();
    for n in 0..3 {
        add(&store, &all, &format!("d{n}"), &format!("common text {n}"));
    }
    drop(store);
    fs::remove_dir_all(dir.path().join("keyword")).unwrap();
    fs::remove_dir_all(dir.path().join("vectors")).unwrap();
    let copies = copies_of(dir.path(), || drop(Store::open(dir.path(), options()).unwrap()));
    steps(&copies, &["vectors-file", "vectors-manifest"]);
    for (step, copy) in copies {
        let (store, all) = after_kill(copy.path(), step);
        assert_eq!(found(&store, &all, "common", Mode::Vector).len(), 3, "{step}");
        assert_eq!(found(&store, &all, "common", Mode::Keyword).len(), 3, "{step}");
    }
    drop(all);
}
