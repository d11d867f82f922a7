//! `audit`: the log, its export, and that nothing can be cut from it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Home, Ran, binary, column, word};

/// A home in which something was done, its export and its public key in folders without any data directory.
struct Exported {
    home: Home,
    export: PathBuf,
    key: PathBuf,
}

impl Exported {
    fn new() -> Self {
        let home = Home::bare();
        let file = home.write("in/a.txt", "The heron stands in the reeds.");
        home.lines(&["ingest", "--collection", "Papers", word(&file)]);
        home.lines(&["search", "--collection", "Papers", "heron"]);
        let (export, key) = (home.path().join("log.jsonl"), home.path().join("elsewhere.pub"));
        let told = home.line(&["audit", "export", "--out", word(&export)]);
        assert!(told["records"].as_u64() > Some(2), "{told}");
        fs::copy(home.data().join("keys/installation.pub"), &key).unwrap();
        Self { home, export, key }
    }

    /// Verifies a file with the public key alone, in a folder where nothing is installed.
    fn verify(&self, file: &Path) -> Ran {
        let folder = self.home.path().join("bare");
        fs::create_dir_all(&folder).unwrap();
        let mut command = binary();
        command.current_dir(&folder).args(["--json", "audit", "verify"]).arg(file).arg("--public-key").arg(&self.key);
        let ran = Ran::of(command);
        assert!(fs::read_dir(&folder).unwrap().next().is_none(), "verifying made something");
        ran
    }

    /// The export with its text changed must be refused with what is wrong.
    #[track_caller]
    fn refuses(&self, what: &str, changed: &str) {
        let file = self.home.write("changed.jsonl", changed);
        let ran = self.verify(&file);
        assert_eq!(ran.code(), 1, "{what} was taken: {}", ran.stdout());
        assert!(!ran.stderr().is_empty() || ran.lines()[0]["bad"]["why"].is_string(), "{what}: {}", ran.stdout());
    }
}

#[test]
fn an_export_is_verified_with_the_public_key_alone() {
    let exported = Exported::new();
    let verdict = exported.verify(&exported.export).done().lines().remove(0);
    for field in ["records", "first", "last", "head", "signed_by"] {
        assert!(!verdict[field].is_null(), "{field} is missing: {verdict}");
    }
    let text = fs::read_to_string(&exported.export).unwrap();
    assert_eq!(verdict["records"].as_u64(), Some(text.lines().count() as u64 - 1), "all but the trailer are records");
}

#[test]
fn a_cut_or_changed_export_is_refused() {
    let exported = Exported::new();
    let text = fs::read_to_string(&exported.export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    exported.refuses("an export without its trailer", &joined(&lines[..lines.len() - 1]));
    exported.refuses("an export cut in a line", &text[..text.len() - 20]);
    exported.refuses("nothing", "");
    for idx in 0..lines.len() {
        let left: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != idx).map(|(_, line)| *line).collect();
        exported.refuses(&format!("an export without line {idx}"), &joined(&left));
    }
    assert!(text.contains("\"search\""), "{text}");
    exported.refuses("another action", &text.replacen("\"search\"", "\"search.\"", 1));
    let other = Home::bare();
    other.line(&["collection", "add", "a"]);
    fs::copy(other.data().join("keys/installation.pub"), &exported.key).unwrap();
    exported.refuses("another installation's key", &text);
}

#[test]
fn the_log_names_the_operator_and_verifies() {
    let Exported { home, export, .. } = Exported::new();
    let records = home.lines(&["audit", "list"]);
    for record in &records {
        let actor = record["actor"].as_str().unwrap();
        let own = ["system.open", "log.created", "document.ingest"].contains(&record["action"].as_str().unwrap());
        assert!(if own { actor == "system" } else { actor.starts_with("local:") }, "{record}");
    }
    let actions = column(&records, "action");
    for action in ["collection.add", "document.upload", "document.ingest", "search"] {
        assert!(actions.contains(&action), "{action} is not among {actions:?}");
    }
    let numbers: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "oldest first, none left out: {numbers:?}");
    assert_eq!(home.lines(&["audit", "list", "--action", "search"]).len(), 1);
    assert!(home.line(&["audit", "verify"])["records"].as_u64() >= Some(numbers.len() as u64));
    assert_eq!(home.line(&["audit", "verify", word(&export)])["ok"], json!(true));
}

#[test]
fn the_log_verifies_against_the_key_given_and_no_other() {
    let Exported { home, key, .. } = Exported::new();
    assert_eq!(home.line(&["audit", "verify", "--public-key", word(&key)])["ok"], json!(true));
    let other = Home::bare();
    other.line(&["collection", "add", "a"]);
    let other_key = other.data().join("keys/installation.pub");
    let verdict = home.run(&["audit", "verify", "--public-key", word(&other_key)]).ended(1).lines().remove(0);
    assert_eq!(verdict["ok"], json!(false));
    assert!(verdict["bad"]["why"].as_str().unwrap().contains("the key given is"), "{verdict}");
    home.run(&["audit", "verify", "--public-key", "missing.pub"]).ended(1).says("missing.pub");
}

#[test]
fn all_records_are_listed_unless_a_limit_is_given() {
    const SEARCHES: usize = 1_030;
    let home = Home::bare();
    home.line(&["collection", "add", "a"]);
    let query = |number| json!({"id": number, "collection": "a", "query": "heron"}).to_string();
    let queries = home.write("queries.jsonl", (0..SEARCHES).map(query).collect::<Vec<_>>().join("\n"));
    assert_eq!(home.lines(&["search", "--mode", "keyword", "--queries", word(&queries)]).len(), SEARCHES);
    let all = home.lines(&["audit", "list"]);
    let numbers: Vec<u64> = all.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(numbers.len() > SEARCHES && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{}", numbers.len());
    assert_eq!(home.lines(&["audit", "list", "--action", "search"]).len(), SEARCHES);
    let some = home.lines(&["audit", "list", "--action", "search", "--limit", "1010"]);
    assert_eq!(some.len(), 1_010);
    let last = some.last().unwrap()["seq"].to_string();
    assert_eq!(home.lines(&["audit", "list", "--action", "search", "--after", &last]).len(), SEARCHES - 1_010);
}

#[test]
fn exports_go_to_standard_output_as_well() {
    let home = Home::bare();
    home.line(&["collection", "add", "Papers, \"loose\""]);
    let lines = home.lines(&["audit", "export"]);
    assert!(lines.len() >= 2, "{lines:?}");
    let ran = home.run(&["audit", "export", "--format", "csv"]).done();
    assert!(
        ran.stdout().lines().next().unwrap().starts_with("seq,time,boot,actor,action,object,outcome"),
        "{}",
        ran.stdout()
    );
    home.run(&["audit", "export", "--from", "yesterday"]).ended(2).says("yesterday");
    assert_eq!(home.lines(&["audit", "export", "--from", "2999-01-01T00:00:00Z"]).len(), 1, "the trailer alone");
}
