//! A store in a directory of its own, with a clock that ticks and randomness that repeats.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cloister_index::{
    Actor, BlobRef, Clock, Collection, CollectionId, DocumentId, Duplicates, EmbedderId, Found, Job, Mode, NewPassage,
    OpenOptions, PageBlock, PageInput, PageOutcome, PageWord, Placed, Random, ReadingStart, SearchRequest, Store,
    Visible,
};
use tempfile::TempDir;

/// Numbers of one test vector.
pub(crate) const DIMENSION: usize = 24;

pub(crate) fn embedder() -> EmbedderId {
    EmbedderId { sha256: "ab".repeat(32), dimension: DIMENSION }
}

/// A generator that repeats (splitmix64).
pub(crate) struct Lot(pub(crate) u64);

impl Lot {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
    }
}

static SEED: AtomicU64 = AtomicU64::new(1);

pub(crate) fn options() -> OpenOptions {
    let ticks = AtomicU64::new(0);
    let lot = Mutex::new(Lot(SEED.fetch_add(1, Ordering::Relaxed) << 32));
    OpenOptions {
        clock: Clock::new(move || {
            let tick = ticks.fetch_add(1, Ordering::Relaxed);
            format!("2026-01-02T{:02}:{:02}:{:02}.000Z", tick / 3600 % 24, tick / 60 % 60, tick % 60)
        }),
        random: Random::new(move |bytes| {
            let mut lot = lot.lock().unwrap();
            bytes.fill_with(|| lot.next() as u8);
        }),
        embedder: Some(embedder()),
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

/// A fresh store with one collection, as its operator sees it.
pub(crate) struct Room {
    pub(crate) store: Store,
    pub(crate) all: Visible,
    pub(crate) collection: Collection,
    pub(crate) dir: TempDir,
}

impl Room {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let collection = store.add_collection("contracts").unwrap();
        let all = store.visible(&Actor::Operator).unwrap();
        Self { store, all, collection, dir }
    }

    /// Closes the store and opens it again.
    pub(crate) fn again(self) -> Self {
        let Self { store, collection, dir, .. } = self;
        drop(store);
        let store = open(dir.path());
        let all = store.visible(&Actor::Operator).unwrap();
        Self { store, all, collection, dir }
    }

    pub(crate) fn place(&self, name: &str, bytes: &[u8]) -> Placed {
        place_in(&self.store, &self.all, &self.collection.id, name, bytes)
    }

    /// Places a document with these pages and commits it, a passage a paragraph.
    pub(crate) fn add(&self, name: &str, pages: &[&str]) -> DocumentId {
        add_in(&self.store, &self.all, &self.collection.id, name, pages)
    }

    pub(crate) fn keyword(&self, text: &str) -> Vec<String> {
        texts(&self.find(text, Mode::Keyword))
    }

    pub(crate) fn find(&self, text: &str, mode: Mode) -> Found {
        self.store.search(&self.all, &request(text, mode)).unwrap()
    }

    pub(crate) fn well(&self) {
        well(&self.store);
    }
}

/// All checks of `doctor` pass.
#[track_caller]
pub(crate) fn well(store: &Store) {
    for check in store.verify() {
        assert!(check.ok, "{check:?}");
    }
}

pub(crate) fn texts(found: &Found) -> Vec<String> {
    found.hits.iter().map(|hit| hit.text.clone()).collect()
}

pub(crate) fn request(text: &str, mode: Mode) -> SearchRequest {
    let vector = (mode != Mode::Keyword).then(|| vector(text));
    SearchRequest { collection: None, documents: Vec::new(), text: text.to_owned(), vector, mode, limit: 10 }
}

pub(crate) fn blob(store: &Store, bytes: &[u8]) -> BlobRef {
    let mut writer = store.blobs().begin().unwrap();
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn place_in(
    store: &Store,
    visible: &Visible,
    collection: &CollectionId,
    name: &str,
    bytes: &[u8],
) -> Placed {
    store.place(visible, collection, name, &blob(store, bytes), Duplicates::Alias).unwrap()
}

/// A page with one word box a word, ten points high lines of sixty characters.
pub(crate) fn page(number: u32, text: &str) -> PageInput {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.chars().chain([' ']).enumerate() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                let (line, column) = (from / 60, from % 60);
                let (x0, y0) = (50.0 + column as f32 * 6.0, 70.0 + line as f32 * 14.0);
                let x1 = x0 + (at - from) as f32 * 6.0;
                words.push(PageWord { start: from as u32, end: at as u32, x0, y0, x1, y1: y0 + 10.0 });
                start = None;
            }
            _ => {}
        }
    }
    let chars = text.chars().count() as u32;
    PageInput {
        number,
        place: None,
        width: 595.0,
        height: 842.0,
        text: text.to_owned(),
        blocks: vec![PageBlock { kind: "paragraph".to_owned(), level: 0, start: 0, end: chars, bounds: None }],
        words,
        outcome: if text.is_empty() { PageOutcome::Empty } else { PageOutcome::Text },
        reason: None,
        problems: Vec::new(),
    }
}

/// A passage for each paragraph of the pages.
pub(crate) fn passages(pages: &[&str]) -> Vec<NewPassage> {
    let mut found = Vec::new();
    let mut at = 0_u32;
    for (index, text) in pages.iter().enumerate() {
        let mut inside = 0_u32;
        for paragraph in text.split("\n\n") {
            let chars = paragraph.chars().count() as u32;
            if chars > 0 {
                found.push(NewPassage {
                    start: at + inside,
                    end: at + inside + chars,
                    page: index as u32 + 1,
                    place: None,
                    heading_path: Vec::new(),
                    text: paragraph.to_owned(),
                });
            }
            inside += chars + 2;
        }
        at += text.chars().count() as u32 + 2;
    }
    found
}

/// A vector made of the words of a text, so that like texts are near.
pub(crate) fn vector(text: &str) -> Vec<f32> {
    let mut sum = [0.001_f32; DIMENSION];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let seed = word.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut lot = Lot(seed);
        for value in &mut sum {
            *value += lot.unit();
        }
    }
    let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
    sum.iter().map(|v| v / norm).collect()
}

/// Carries a job through: its pages, its passages, its vectors, its commit.
pub(crate) fn carry(store: &Store, job: &Job, pages: &[&str]) -> u64 {
    let start = ReadingStart { format: "text".to_owned(), title: None, pages: Some(pages.len() as u32) };
    store.start_reading(&job.id, &start).unwrap();
    for (index, text) in pages.iter().enumerate() {
        store.save_page(&job.id, &page(index as u32 + 1, text)).unwrap();
    }
    let passages = passages(pages);
    let vectors: Vec<Vec<f32>> = passages.iter().map(|p| vector(&p.text)).collect();
    store.commit_document(&job.id, &passages, &vectors).unwrap()
}

pub(crate) fn add_in(
    store: &Store,
    visible: &Visible,
    collection: &CollectionId,
    name: &str,
    pages: &[&str],
) -> DocumentId {
    let placed = place_in(store, visible, collection, name, pages.join("\n").as_bytes());
    let (Placed::Added { document, job, .. } | Placed::Updated { document, job, .. }) = placed else {
        panic!("{name} was not to be read: {placed:?}")
    };
    let taken = store.next_job(std::time::Duration::MAX).unwrap().unwrap();
    assert_eq!(taken.id, job);
    carry(store, &taken, pages);
    document
}
