//! Measures the store: `measure vectors ROWS [graph]` and `measure store DOCUMENTS PASSAGES_EACH`.
#![expect(clippy::print_stdout, reason = "a measuring program says what it measured")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloister_index::{
    Actor, Clock, Duplicates, EmbedderId, Field, Mode, NewPassage, OpenOptions, PageInput, PageOutcome, Placed, Random,
    SearchRequest, Store,
};

const DIMENSION: usize = 384;
const QUERIES: usize = 200;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| words.get(at).and_then(|w| w.parse().ok()).unwrap_or(default);
    let dir = tempfile::tempdir().expect("the disk takes a temporary directory");
    match words.first().map(String::as_str) {
        Some("vectors") => vectors(dir.path(), number(1, 10_000), words.get(2).is_some_and(|w| w == "graph")),
        Some("store") => store(dir.path(), number(1, 250), number(2, 40)),
        _ => println!("measure vectors ROWS [graph] | measure store DOCUMENTS PASSAGES_EACH"),
    }
}

/// Median, 95th percentile and maximum in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p95 {:.2} ms, max {:.2} ms", at(0.5), at(0.95), at(1.0))
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = work();
    times.push(start.elapsed());
    value
}

fn vectors(dir: &Path, rows: usize, graph: bool) {
    let start = Instant::now();
    let mut field = Field::new(&dir.join("vectors"), rows, DIMENSION, 1).expect("the index is made");
    println!("{rows} rows of {DIMENSION}: filled in {:.1} s", start.elapsed().as_secs_f64());
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| field.vector()).collect();
    if graph {
        let start = Instant::now();
        let stray = field.build_graph();
        println!("graph built in {:.1} s, {stray} rows not reached", start.elapsed().as_secs_f64());
    }
    let collections = (rows / 100) as i64;
    for (share, visible) in [("100 %", collections), ("10 %", collections / 10), ("1 %", collections / 100)] {
        let (mut scan, mut walk, mut same, mut all) = (Vec::new(), Vec::new(), 0, 0);
        for query in &queries {
            let expected = timed(&mut scan, || field.scan(query, visible, 10));
            if graph {
                let found = timed(&mut walk, || field.walk(query, visible, 10));
                same += found.iter().filter(|row| expected.contains(row)).count();
                all += expected.len();
            }
        }
        println!("visible {share}: scan {}", spread(scan));
        if graph {
            println!(
                "visible {share}: graph {}, recall@10 {:.4}",
                spread(walk),
                f64::from(same as u32) / f64::from(all as u32)
            );
        }
    }
}

struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A word whose rank follows Zipf's law over about 20,000 words.
    fn word(&mut self) -> String {
        let uniform = self.next() as f64 / f64::from(1_u32 << 31);
        let mut rank = (20_000_f64.powf(uniform)) as u64;
        let mut word = String::new();
        for _ in 0..4 {
            word.push(char::from(b"bcdfghklmnprstvw"[(rank % 16) as usize]));
            word.push(char::from(b"aeiou"[(rank / 16 % 5) as usize]));
            rank /= 11;
        }
        word
    }

    fn text(&mut self, words: usize) -> String {
        (0..words).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    fn vector(&mut self) -> Vec<f32> {
        let raw: Vec<f32> = (0..DIMENSION).map(|_| self.next() as f32 / (1_u32 << 30) as f32 - 1.0).collect();
        let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt();
        raw.iter().map(|v| v / norm).collect()
    }
}

fn options() -> OpenOptions {
    let lot = std::sync::Mutex::new(Lot(7));
    OpenOptions {
        clock: Clock::new(|| {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            format!("{seconds:020}")
        }),
        random: Random::new(move |bytes| {
            let mut lot = lot.lock().expect("nothing panics while it is held");
            bytes.fill_with(|| lot.next() as u8);
        }),
        embedder: Some(EmbedderId { sha256: "0".repeat(64), dimension: DIMENSION }),
    }
}

fn store(dir: &Path, documents: usize, each: usize) {
    let store = Store::open(dir, options()).expect("the store opens");
    let collection = store.add_collection("measure").expect("a fresh store has no collection");
    let all = store.visible(&Actor::Operator).expect("rights can be read");
    let mut lot = Lot(1);
    let (mut place, mut save, mut commit) = (Vec::new(), Vec::new(), Vec::new());
    let start = Instant::now();
    for number in 0..documents {
        let texts: Vec<String> = (0..each).map(|_| lot.text(220)).collect();
        let vectors: Vec<Vec<f32>> = (0..each).map(|_| lot.vector()).collect();
        let placed = timed(&mut place, || {
            let mut writer = store.blobs().begin().expect("an upload begins");
            writer.write(texts.join("\n").as_bytes()).expect("the disk has space");
            let blob = writer.finish().expect("the disk has space");
            store.place(&all, &collection.id, &format!("d{number}"), &blob, Duplicates::Alias).expect("it is entered")
        });
        assert!(matches!(placed, Placed::Added { .. }), "every document is new");
        let job = store.next_job(Duration::MAX).expect("jobs can be read").expect("a job waits");
        let mut passages = Vec::new();
        let mut at = 0;
        for (index, text) in texts.iter().enumerate() {
            let page = page(index as u32 + 1, text);
            timed(&mut save, || store.save_page(&job.id, &page).expect("the page is kept"));
            let end = at + text.chars().count() as u32;
            let (place, heading_path) = (None, vec![lot.text(3)]);
            passages.push(NewPassage {
                start: at,
                end,
                page: index as u32 + 1,
                place,
                heading_path,
                text: text.clone(),
            });
            at = end + 2;
        }
        timed(&mut commit, || store.commit_document(&job.id, &passages, &vectors).expect("it is committed"));
    }
    let seconds = start.elapsed().as_secs_f64();
    let passages = documents * each;
    println!(
        "{passages} passages in {documents} documents: {seconds:.1} s, {:.0} passages/s",
        passages as f64 / seconds
    );
    println!("place {}\nsave_page {}\ncommit {}", spread(place), spread(save), spread(commit));
    search(&store, &mut lot);
    let start = Instant::now();
    drop(store);
    let closed = start.elapsed();
    let start = Instant::now();
    drop(Store::open(dir, options()).expect("the store opens again"));
    println!("close {:.2} s, open {:.2} s", closed.as_secs_f64(), start.elapsed().as_secs_f64());
    std::fs::remove_dir_all(dir.join("keyword")).expect("it is there");
    std::fs::remove_dir_all(dir.join("vectors")).expect("it is there");
    let start = Instant::now();
    drop(Store::open(dir, options()).expect("the store is rebuilt"));
    println!("both derived stores rebuilt in {:.2} s", start.elapsed().as_secs_f64());
}

fn page(number: u32, text: &str) -> PageInput {
    PageInput {
        number,
        place: None,
        width: 595.0,
        height: 842.0,
        text: text.to_owned(),
        blocks: Vec::new(),
        words: Vec::new(),
        outcome: PageOutcome::Text,
        reason: None,
        problems: Vec::new(),
    }
}

fn search(store: &Store, lot: &mut Lot) {
    let all = store.visible(&Actor::Operator).expect("rights can be read");
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        let mut times = Vec::new();
        for _ in 0..QUERIES {
            let request = SearchRequest {
                collection: None,
                documents: Vec::new(),
                text: lot.text(10),
                vector: (mode != Mode::Keyword).then(|| lot.vector()),
                mode,
                limit: 10,
            };
            timed(&mut times, || store.search(&all, &request).expect("a search is answered"));
        }
        println!("search {} {}", mode.as_str(), spread(times));
    }
}
