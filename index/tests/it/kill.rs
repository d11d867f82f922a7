//! The process is killed while it works; the next one goes on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cloister_index::{Actor, Mode, Placed, SearchRequest, Stage, Store};

use crate::help::{Lot, open, page, passages, place_in, request, vector, well};

const DIRECTORY: &str = "CLOISTER_INDEX_KILL_DIRECTORY";
const DOCUMENTS: usize = 24;
const KILLS: usize = 16;

fn text(name: &str) -> Vec<String> {
    (1..=3)
        .map(|number| format!("page {number} of {name} with common words\n\nand another passage of {name}"))
        .collect()
}

/// Says on standard output how far it is, so that the test can kill it there.
fn say(what: &str, name: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what} {name}").unwrap();
    out.flush().unwrap();
}

/// What the killed process does; as a test of its own it has nothing to do.
#[test]
fn worker() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let store = open(&PathBuf::from(dir));
    let all = store.visible(&Actor::Operator).unwrap();
    let collection = match store.collection_by_name(&all, "c") {
        Ok(found) => found,
        Err(_) => store.add_collection("c").unwrap(),
    };
    let all = store.visible(&Actor::Operator).unwrap();
    finish(&store);
    for number in 0..DOCUMENTS {
        let name = format!("d{number}");
        say("upload", &name);
        let placed = place_in(&store, &all, &collection.id, &name, text(&name).join("").as_bytes());
        say("placed", &name);
        if !matches!(placed, Placed::Unchanged { .. }) {
            finish(&store);
        }
    }
    // One document gets a new version, another goes.
    place_in(&store, &all, &collection.id, "d1", b"other bytes");
    finish(&store);
    if let Ok(gone) = store.document(&all, "d2", None) {
        say("remove", "d2");
        store.remove_document(&all, &gone.id).unwrap();
    }
    say("end", "all");
}

fn finish(store: &Store) {
    while let Some(job) = store.next_job(std::time::Duration::MAX).unwrap() {
        say("reading", &job.name);
        let name = if job.version == 1 { job.name.clone() } else { format!("{} again", job.name) };
        let texts = text(&name);
        for (index, text) in texts.iter().enumerate().skip(job.pages_done as usize) {
            store.save_page(&job.id, &page(index as u32 + 1, text)).unwrap();
            say("page", &job.name);
        }
        store.set_stage(&job.id, Stage::Embedding).unwrap();
        say("embedding", &job.name);
        let pages: Vec<&str> = texts.iter().map(String::as_str).collect();
        let passages = passages(&pages);
        let vectors: Vec<Vec<f32>> = passages.iter().map(|p| vector(&p.text)).collect();
        say("commit", &job.name);
        store.commit_document(&job.id, &passages, &vectors).unwrap();
        say("done", &job.name);
    }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::worker", "--exact", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs the worker and kills it at the `at`-th line of a kind. Gives what it said, and whether it came to its end.
fn run(dir: &Path, kind: &str, at: u64) -> (Vec<String>, bool) {
    let mut child = start(dir);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut said, mut left) = (Vec::new(), at);
    for line in lines {
        let line = line.unwrap();
        let Some(place) = line.find('@') else { continue };
        let line = line[place + 1..].to_owned();
        let hit = line.starts_with(kind);
        said.push(line);
        if hit {
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
                return (said, false);
            }
        }
    }
    assert!(child.wait().unwrap().success());
    let ended = said.iter().any(|line| line == "end all");
    assert!(ended, "it ended without coming to its end: {said:?}");
    (said, true)
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut lot = Lot(11);
    let mut placed: Vec<String> = Vec::new();
    let kinds = ["upload", "page", "embedding", "commit"];
    for number in 0..KILLS {
        let (said, ended) = run(dir.path(), kinds[number % kinds.len()], 1 + lot.below(4));
        placed.extend(said.iter().filter_map(|line| line.strip_prefix("placed ").map(str::to_owned)));
        let store = open(dir.path());
        well(&store);
        let all = store.visible(&Actor::Operator).unwrap();
        for name in placed.iter().filter(|name| *name != "d2") {
            assert!(store.document(&all, name, None).is_ok(), "{name} was acknowledged and is lost");
        }
        if ended {
            break;
        }
    }
    // At the end everything is there once and can be found.
    run(dir.path(), "never", 1);
    let store = open(dir.path());
    well(&store);
    let all = store.visible(&Actor::Operator).unwrap();
    let collection = store.collection_by_name(&all, "c").unwrap();
    let list = store.list_documents(&all, &collection.id, None, 1_000).unwrap().documents;
    assert_eq!(list.len(), DOCUMENTS - 1);
    assert!(list.iter().all(|d| d.status == cloister_index::DocumentStatus::Ready && d.passages == 6), "{list:?}");
    for mode in [Mode::Keyword, Mode::Vector] {
        let wanted = SearchRequest { limit: 1_000, ..request("common words passage", mode) };
        let hits = store.search(&all, &wanted).unwrap().hits;
        assert_eq!(hits.len(), 6 * (DOCUMENTS - 1), "{mode:?}");
    }
    let wanted = request("\"d1 again\"", Mode::Keyword);
    assert_eq!(store.search(&all, &wanted).unwrap().hits.len(), 6);
}
