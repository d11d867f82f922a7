//! Wrong usage and help.

use crate::support::{Home, Ran, binary};

fn check(arguments: &[&str], code: i32) {
    let home = Home::bare();
    let ran = home.run(arguments).ended(code);
    assert_eq!(ran.stdout().is_empty(), code != 0, "{arguments:?}: {}", ran.stdout());
    assert_eq!(ran.stderr().is_empty(), code == 0, "{arguments:?}: {}", ran.stderr());
    assert!(!home.data().exists(), "{arguments:?} made a data directory");
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_standard_error() {
    check(&[], 2);
    check(&["no-such-command"], 2);
    check(&["extract"], 2);
    check(&["ingest", "x.txt"], 2);
    check(&["search", "--collection", "a"], 2);
    check(&["search", "--collection", "a", "--mode", "magic", "word"], 2);
    check(&["serve", "--listen", "nowhere"], 2);
    check(&["user", "add", "anna", "--role", "member"], 2);
    check(&["audit", "export", "--format", "xml"], 2);
    check(&["audit", "list", "--limit", "0"], 2);
    check(&["search", "--limit", "201", "word"], 2);
    check(&["search", "--limit", "0", "word"], 2);
    check(&["ask", "--passages", "21", "what?"], 2);
    check(&["eval", "--collection", "a"], 2);
    check(&["score", "--model", "m", "--sequences", "s", "--adapter", "a.gguf=much"], 2);
    check(&["eval", "--gold", "g.jsonl", "--search-only", "--answers"], 2);
}

#[test]
fn help_and_version_are_results() {
    check(&["--help"], 0);
    check(&["ingest", "--help"], 0);
    let mut command = binary();
    command.arg("--version");
    let version = format!("cloister {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Ran::of(command).done().stdout(), version);
}

#[test]
fn what_is_not_there_is_a_failure_and_not_wrong_usage() {
    let home = Home::bare();
    home.line(&["collection", "add", "a"]);
    home.run(&["search", "--collection", "b", "word"]).ended(1).says("b").says("hint: see `cloister collection list`");
    home.run(&["document", "text", "missing.txt"]).ended(1).says("missing.txt").says("`cloister document list`");
    home.run(&["user", "disable", "nobody"]).ended(1).says("nobody").says("hint: see `cloister user list`");
    home.run(&["key", "revoke", "nothing"]).ended(1).says("nothing").says("hint: see `cloister key list`");
    home.run(&["eval", "--gold", "missing.jsonl"]).ended(1).says("missing.jsonl");
    home.run(&["search", "--queries", "missing.jsonl"]).ended(1).says("missing.jsonl");
}
