//! SIGKILL while files are taken in: nothing is lost and nothing is there twice.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, column, word};

const FILES: usize = 24;

/// Several pages of text, with a word that no other file has.
fn text(number: usize) -> String {
    let paragraph =
        |idx: usize| format!("Paragraph {idx} of the record about marker{number:03}x and its surroundings. ");
    (0..40).map(|idx| paragraph(idx).repeat(3) + "\n\n").collect()
}

/// Takes the folder in and kills the command when it has told `told` files.
fn kill_after(home: &Home, told: usize) {
    let mut command = home.command(&["ingest", "--collection", "Records", "in"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.take(told).map_while(Result::ok).count(), told, "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Three kills, then a whole run: each document there once, found by its word, the stores and the log in order.
fn survives(home: &Home) {
    for number in 0..FILES {
        home.write(&format!("in/{number:03}.txt"), text(number));
    }
    for told in [1, 3, 7] {
        kill_after(home, told);
    }
    let lines = home.lines(&["ingest", "--collection", "Records", "in"]);
    let total = &lines.last().unwrap()["total"];
    assert_eq!((total["files"].as_u64(), total["failed"].as_u64()), (Some(FILES as u64), Some(0)), "{lines:?}");
    let listed = home.lines(&["document", "list", "--collection", "Records"]);
    assert!(listed.iter().all(|document| document["status"] == "ready"), "{listed:?}");
    let expected: Vec<String> = (0..FILES).map(|number| format!("{number:03}.txt")).collect();
    assert_eq!(column(&listed, "name"), expected);
    check_found(home, &listed);
    home.is_sound();
    home.line(&["audit", "verify"]);
}

/// Every passage is found once by the word of its document.
fn check_found(home: &Home, listed: &[Value]) {
    let query = |number| json!({"id": number, "collection": "Records", "query": format!("\"marker{number:03}x\"")});
    let queries: Vec<String> = (0..FILES).map(|number| query(number).to_string()).collect();
    let queries = home.write("queries.jsonl", queries.join("\n"));
    let found = home.lines(&["search", "--mode", "keyword", "--limit", "100", "--queries", word(&queries)]);
    for (line, document) in found.iter().zip(listed) {
        let mut places = BTreeMap::new();
        for passage in line["passages"].as_array().unwrap() {
            assert_eq!(passage["document"], document["id"]);
            *places.entry((passage["start"].as_u64(), passage["end"].as_u64())).or_insert(0) += 1;
        }
        assert_eq!(places.len() as u64, document["passages"].as_u64().unwrap(), "{document}");
        assert!(places.values().all(|count| *count == 1), "twice in the index: {places:?}");
    }
}

#[test]
fn three_kills_without_models() {
    survives(&Home::bare());
}

#[test]
fn three_kills_with_vectors() {
    let Some(home) = Home::with_models("three_kills_with_vectors") else { return };
    survives(&home);
    let found = home.lines(&["search", "--collection", "Records", "--mode", "vector", "--limit", "1", "marker007x"]);
    assert_eq!(found.len(), 1);
}
