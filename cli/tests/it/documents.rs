//! `ingest`, `search`, `document`, `collection`, without models.

use serde_json::{Value, json};

use crate::support::{Home, column, keys, sample_names, samples, stands, word};

const FILE_KEYS: [&str; 9] = ["document", "error", "file", "gaps", "name", "pages", "passages", "seconds", "status"];
const PASSAGE_KEYS: [&str; 10] =
    ["boxes", "document", "end", "name", "page", "place", "rank", "score", "start", "text"];

/// The lines of files by name, and the total.
fn ingest(home: &Home, code: i32, paths: &[&str]) -> (Vec<Value>, Value) {
    let arguments = [&["ingest", "--collection", "Papers"], paths].concat();
    let mut lines = home.run(&arguments).ended(code).lines();
    let total = lines.pop().unwrap()["total"].take();
    lines.sort_by_key(|line| line["name"].as_str().map(str::to_owned));
    for line in &lines {
        assert_eq!(keys(line), FILE_KEYS);
    }
    assert_eq!(total["files"].as_u64(), Some(lines.len() as u64));
    (lines, total)
}

#[test]
fn the_samples_are_taken_in_once() {
    let home = Home::bare();
    let folder = samples();
    let (lines, total) = ingest(&home, 0, &[word(&folder)]);
    let mut names = column(&lines, "name");
    names.retain(|name| !name.contains(".eml/"));
    assert!(sample_names().iter().all(|name| names.contains(&name.as_str())), "{names:?}");
    assert!(lines.iter().all(|line| line["status"] == "added" && line["passages"].as_u64() > Some(0)), "{lines:?}");
    let sum = |field: &str| lines.iter().map(|line| line[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((total["pages"].as_u64(), total["passages"].as_u64()), (Some(sum("pages")), Some(sum("passages"))));
    let (again, total) = ingest(&home, 0, &[word(&folder)]);
    assert!(again.iter().all(|line| line["status"] == "unchanged"), "{again:?}");
    assert_eq!(total["added"], 0);
    let listed = home.line(&["collection", "list"]);
    assert_eq!((&listed["name"], listed["documents"].as_u64()), (&json!("Papers"), Some(lines.len() as u64)));
}

#[test]
fn names_versions_duplicates_and_bad_files() {
    let home = Home::bare();
    home.write("in/a.txt", "The heron stands in the reeds.");
    home.write("in/sub/b.txt", "A lighthouse keeper writes letters.");
    let folder = home.path().join("in");
    let (lines, _) = ingest(&home, 0, &[word(&folder)]);
    assert_eq!(column(&lines, "name"), ["a.txt", "sub/b.txt"]);
    let first = lines[0]["document"].clone();
    home.write("in/a.txt", "The egret stands in the reeds.");
    home.write("in/copy.txt", "A lighthouse keeper writes letters.");
    home.write("in/empty.txt", "");
    home.write("in/broken.pdf", "%PDF-1.7\nnothing that follows is a PDF\n");
    let (lines, total) = ingest(&home, 1, &[word(&folder)]);
    let statuses: Vec<_> = lines.iter().map(|l| (l["name"].as_str().unwrap(), l["status"].as_str().unwrap())).collect();
    assert_eq!(
        statuses,
        [
            ("a.txt", "updated"),
            ("broken.pdf", "failed"),
            ("copy.txt", "duplicate"),
            ("empty.txt", "failed"),
            ("sub/b.txt", "unchanged")
        ]
    );
    assert_eq!(lines[0]["document"], first, "a new version is the same document");
    assert_eq!((&lines[1]["error"]["code"], &lines[3]["error"]["code"]), (&json!("damaged"), &json!("empty")));
    assert_eq!(lines[2]["document"], lines[4]["document"], "a duplicate is a name of the first");
    assert_eq!(total["failed"], 2);
    assert!(home.lines(&["search", "--collection", "Papers", "heron"]).is_empty(), "the old version is still found");
    assert_eq!(home.lines(&["search", "--collection", "Papers", "egret"]).len(), 1);
}

#[test]
fn passages_stand_in_the_text_of_their_documents() {
    let home = Home::bare();
    ingest(&home, 0, &[word(&samples())]);
    let lines = home.lines(&["search", "--collection", "Papers", "--mode", "keyword", "--limit", "5", "steriliser"]);
    assert!((2..=5).contains(&lines.len()), "{} lines", lines.len());
    for (idx, line) in lines.iter().enumerate() {
        assert!(PASSAGE_KEYS.iter().all(|key| line.get(key).is_some()), "{line}");
        assert_eq!(line["rank"].as_u64(), Some(idx as u64 + 1));
        assert!(stands(&home.text(line["document"].as_str().unwrap()), line, "text"), "{line}");
    }
    let name = lines[1]["name"].as_str().unwrap();
    let within = home.lines(&["search", "--collection", "Papers", "--document", name, "steriliser"]);
    assert!(!within.is_empty() && column(&within, "name").iter().all(|found| *found == name), "{within:?}");
}

#[test]
fn queries_come_from_a_file() {
    let home = Home::bare();
    let file = home.write("one.txt", "The heron stands in the reeds.");
    ingest(&home, 0, &[word(&file)]);
    let queries = home.write(
        "queries.jsonl",
        "{\"id\": 7, \"collection\": \"Papers\", \"query\": \"heron\"}\n\n\
         {\"id\": \"x\", \"collection\": \"Nowhere\", \"query\": \"heron\"}\n\
         {\"id\": \"z\", \"collection\": \"Papers\", \"query\": \"heron\", \"documents\": [\"one.txt\"]}\n",
    );
    let lines = home.run(&["search", "--queries", word(&queries)]).ended(1).lines();
    assert_eq!(lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>(), [json!(7), json!("x"), json!("z")]);
    assert_eq!(keys(&lines[0]), ["id", "milliseconds", "passages"]);
    assert_eq!(keys(&lines[1]), ["error", "id"]);
    for found in [&lines[0], &lines[2]] {
        assert_eq!(found["passages"][0]["text"], "The heron stands in the reeds.");
    }
}

#[test]
fn a_removed_document_is_gone() {
    let home = Home::bare();
    let (one, two) = (home.write("one.txt", "A heron and a pike."), home.write("two.txt", "A pike alone."));
    ingest(&home, 0, &[word(&one), word(&two)]);
    let shown = home.line(&["document", "show", "one.txt"]);
    assert_eq!((&shown["status"], &shown["ledger"][0]["outcome"]), (&json!("ready"), &json!("text")));
    assert_eq!(home.text("one.txt").iter().collect::<String>(), "A heron and a pike.");
    let removed = home.line(&["document", "remove", "one.txt"]);
    assert_eq!((&removed["removed"]["name"], removed["removed"]["passages"].as_u64()), (&json!("one.txt"), Some(1)));
    home.run(&["document", "text", "one.txt"]).ended(1);
    assert!(home.lines(&["search", "--collection", "Papers", "heron"]).is_empty());
    assert_eq!(column(&home.lines(&["search", "--collection", "Papers", "pike"]), "name"), ["two.txt"]);
    assert_eq!(column(&home.lines(&["document", "list", "--collection", "Papers"]), "name"), ["two.txt"]);
    home.is_sound();
}

#[test]
fn documents_of_all_collections_are_listed() {
    let home = Home::bare();
    for (collection, file) in [("Papers", "a.txt"), ("Letters", "b.txt")] {
        let path = home.write(file, format!("The heron of {collection}."));
        home.lines(&["ingest", "--collection", collection, word(&path)]);
    }
    let all = home.lines(&["document", "list"]);
    let mut names = column(&all, "name");
    names.sort_unstable();
    assert_eq!(names, ["a.txt", "b.txt"]);
    assert_ne!(all[0]["collection"], all[1]["collection"]);
    assert_eq!(column(&home.lines(&["document", "list", "--collection", "Letters"]), "name"), ["b.txt"]);
}
