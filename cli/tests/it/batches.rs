//! Batches: a line that is wrong is told as `{id, error}`, and the rest is finished.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{EMBEDDER, GENERATOR, Home, Ran, keys, word};

/// Between two lines that are as they must be: one that lacks its field, one that is not JSON, one over again.
fn batch(first: &Value, last: &Value) -> String {
    format!("{first}\n{{\"id\": \"lacks\"}}\nnonsense\n\n{last}\n")
}

/// The first and the last line were answered, the two between them told.
#[track_caller]
fn check(ran: Ran, field: &str) {
    let lines = ran.ended(1).lines();
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!("lacks"), &Value::Null, &json!("last")], "{lines:?}");
    assert!(!lines[0][field].is_null() && !lines[3][field].is_null(), "{lines:?}");
    for (line, number) in [(&lines[1], "line 2"), (&lines[2], "line 3")] {
        assert_eq!(keys(line), ["error", "id"]);
        assert!(line["error"].as_str().unwrap().contains(number), "{line}");
    }
}

#[test]
fn queries_that_are_wrong_disturb_no_other() {
    let home = Home::bare();
    home.line(&["collection", "add", "a"]);
    let query = |id: Value| json!({"id": id, "collection": "a", "query": "heron"});
    let file = home.write("queries.jsonl", batch(&query(json!(1)), &query(json!("last"))));
    check(home.run(&["search", "--queries", word(&file)]), "passages");
    home.run(&["bench", "search", "--queries", word(&file)]).ended(1).says("line 2");
}

#[test]
fn lines_for_models_that_are_wrong_disturb_no_other() {
    let Some(home) = Home::with_models("lines_for_models_that_are_wrong_disturb_no_other") else { return };
    let in_file = |name: &str, first: Value, last: Value| home.write(name, batch(&first, &last));
    let texts = in_file("texts.jsonl", json!({"id": 1, "text": "one"}), json!({"id": "last", "text": "two"}));
    check(home.run(&["tokenize", "--model", GENERATOR, "--texts", word(&texts)]), "tokens");
    let text = std::fs::read_to_string(&texts).unwrap();
    check(home.run_with_stdin(&["embed", "--model", EMBEDDER], &text), "embedding");
    let prompts = in_file("prompts.jsonl", json!({"id": 1, "prompt": "one"}), json!({"id": "last", "prompt": "two"}));
    check(home.run(&["generate", "--model", GENERATOR, "--max-tokens", "2", "--prompts", word(&prompts)]), "text");
    let sequences = in_file("tokens.jsonl", json!({"id": 1, "tokens": [1, 2]}), json!({"id": "last", "tokens": [3]}));
    check(home.run(&["score", "--model", GENERATOR, "--sequences", word(&sequences)]), "argmax");
    home.line(&["collection", "add", "a"]);
    let question = |id: Value| json!({"id": id, "question": "When does the lease end?"});
    let questions = in_file("questions.jsonl", question(json!(1)), question(json!("last")));
    check(home.run(&["ask", "--model", GENERATOR, "--questions", word(&questions)]), "state");
}

#[test]
fn an_embedder_is_timed_once_for_each_line_and_refuses_nothing_to_embed() {
    let Some(home) = Home::with_models("an_embedder_is_timed_once_for_each_line_and_refuses_nothing_to_embed") else {
        return;
    };
    let texts = home.write("texts.jsonl", json!({"id": 1, "text": "one"}).to_string());
    let turns =
        |file: &str| home.run_with_stdin(&["bench", "embed", "--turns", "--model", EMBEDDER, "--texts", file], "\n\n");
    let lines = turns(word(&texts)).ended(0).lines();
    assert!(lines.len() == 2 && lines.iter().all(|line| line["per_second"].as_f64().unwrap() > 0.0), "{lines:?}");
    let empty = home.write("empty.jsonl", String::new());
    turns(word(&empty)).ended(2).says("nothing to measure");
    home.run(&["bench", "embed", "--model", EMBEDDER, "--texts", word(&empty)]).ended(2).says("nothing to measure");
}

#[test]
fn sequences_that_no_model_takes_fail_by_themselves() {
    let Some(home) = Home::with_models("sequences_that_no_model_takes_fail_by_themselves") else { return };
    let long = vec![1; 100_000];
    let lines = [
        json!({"id": "unknown", "tokens": [4_000_000_000_u32]}),
        json!({"id": "long", "tokens": long}),
        json!({"id": "good", "tokens": [1, 2, 3]}),
    ];
    let file = home.write("tokens.jsonl", lines.map(|line| line.to_string()).join("\n"));
    let lines = home.run(&["score", "--model", GENERATOR, "--sequences", word(&file)]).ended(1).lines();
    assert_eq!((keys(&lines[0]), keys(&lines[1])), (vec!["error", "id"], vec!["error", "id"]), "{lines:?}");
    assert_eq!(lines[2]["argmax"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_text_is_embedded_before_the_next_is_sent() {
    let Some(home) = Home::with_models("a_text_is_embedded_before_the_next_is_sent") else { return };
    let mut command = home.command(&["embed", "--model", EMBEDDER]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in 0..3 {
        writeln!(stdin, "{}", json!({"id": id, "text": "a text"})).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&answer["id"], answer["embedding"].as_array().map(Vec::len)), (&json!(id), Some(384)));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
