//! `eval`: figures over questions with known answers.

use serde_json::{Value, json};

use crate::support::{GENERATOR, Home, column, keys, samples, word};

const FIGURES: [&str; 19] = [
    "abstain_precision",
    "abstain_recall",
    "answer_rate",
    "answerable",
    "citation_precision",
    "citation_real",
    "citation_recall",
    "citations",
    "clause_f1",
    "em",
    "f1",
    "failed",
    "median_seconds",
    "mrr",
    "questions",
    "recall@1",
    "recall@10",
    "recall@5",
    "yesno_accuracy",
];

/// Questions on the samples: by page, by characters, by document, one without an answer.
fn gold(home: &Home) -> Vec<Value> {
    let note: String = home.text("handover-note.md").iter().collect();
    let word_at = note.char_indices().position(|(at, _)| note[at..].starts_with("dehumidifier"));
    let start = word_at.expect("the note speaks of a dehumidifier");
    vec![
        json!({"id": "lease", "question": "When does the lease of 14 Quayside Row end?", "answerable": true,
            "answers": ["31 March 2033"], "answer_kind": "short", "scope": "lease-quayside-row",
            "gold": [{"document": "lease-quayside-row", "pages": [1], "text": "ends on 31 March 2033"}], "gold_mode": "any"}),
        json!({"id": "note", "question": "When is the dehumidifier emptied?", "answerable": true, "answers": ["Monday and Thursday"], "scope": "handover-note",
            "gold": [{"document": "handover-note", "start": start, "end": start + 12}]}),
        json!({"id": "images", "question": "For how long are X-ray images kept?", "answerable": true, "answers": ["fifteen years"],
            "scope": null, "gold": [{"document": "records-retention-policy"}]}),
        json!({"id": "parking", "question": "How many parking spaces does the clinic have?", "answerable": false, "answers": [],
            "gold": []}),
    ]
}

fn write(home: &Home, name: &str, lines: &[Value]) -> std::path::PathBuf {
    home.write(name, lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_search_is_measured_without_a_model() {
    let home = Home::bare();
    home.lines(&["ingest", "--collection", "Samples", word(&samples())]);
    let mut lines = gold(&home);
    let file = write(&home, "gold.jsonl", &lines);
    let out = home.path().join("found.jsonl");
    let whole = ["eval", "--search-only", "--collection", "Samples", "--gold", word(&file), "--out", word(&out)];
    let summary = home.line(&whole);
    assert_eq!(keys(&summary), FIGURES);
    assert_eq!((&summary["questions"], &summary["answerable"], &summary["failed"]), (&json!(4), &json!(3), &json!(0)));
    assert_eq!(
        (&summary["recall@10"], &summary["em"], &summary["answer_rate"]),
        (&json!(1.0), &Value::Null, &Value::Null)
    );
    let found: Vec<Value> =
        std::fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(column(&found, "id"), ["lease", "note", "images", "parking"]);
    let ranked = found[0]["ranked"].as_array().unwrap();
    assert!(
        !ranked.is_empty() && column(ranked, "document").iter().all(|name| *name == "lease-quayside-row"),
        "{ranked:?}"
    );
    // A line that is wrong and one on a document that is not there are told; the rest is measured.
    lines[1]["scope"] = "no-such-document".into();
    lines.push(json!({"id": "wrong"}));
    let file = write(&home, "wrong.jsonl", &lines);
    let told = home.run(&["eval", "--search-only", "--gold", word(&file)]).ended(1).lines();
    assert_eq!(
        (&told[0]["id"], keys(&told[0]), &told[1]["id"]),
        (&json!("note"), vec!["error", "id"], &json!("wrong"))
    );
    let summary = told.last().unwrap();
    assert_eq!((&summary["questions"], &summary["failed"]), (&json!(4), &json!(2)));
    assert_eq!(summary["recall@10"], json!(0.6667), "what failed found nothing");
}

#[test]
fn answers_are_measured_and_predictions_written() {
    let Some(home) = Home::with_models("answers_are_measured_and_predictions_written") else { return };
    home.lines(&["ingest", "--collection", "Samples", word(&samples())]);
    let file = write(&home, "gold.jsonl", &gold(&home));
    let out = home.path().join("predictions.jsonl");
    let summary = home.line(&[
        "eval",
        "--collection",
        "Samples",
        "--model",
        GENERATOR,
        "--gold",
        word(&file),
        "--out",
        word(&out),
    ]);
    assert_eq!(keys(&summary), FIGURES);
    assert_eq!(
        (&summary["recall@10"], summary["median_seconds"].as_f64() > Some(0.0)),
        (&json!(1.0), true),
        "{summary}"
    );
    let predictions = std::fs::read_to_string(&out).unwrap();
    let predictions: Vec<Value> = predictions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(predictions.len(), 4);
    let citations: Vec<&Value> = predictions.iter().flat_map(|line| line["citations"].as_array().unwrap()).collect();
    assert_eq!(summary["citations"], json!(citations.len()));
    assert!(citations.iter().all(|cited| cited["real"] == true), "{citations:?}");
    assert!(summary["citation_real"] == json!(1.0) || citations.is_empty(), "{summary}");
    for prediction in &predictions {
        assert_eq!(keys(prediction), ["abstained", "answer", "citations", "id", "ranked", "seconds"]);
        let answer = prediction["answer"].as_str().unwrap();
        assert!(!answer.contains("[1]"), "the marks stay: {answer}");
        assert_eq!(prediction["abstained"], json!(answer.is_empty()));
    }
    let answered = predictions[..3].iter().filter(|line| line["abstained"] == false).count();
    let rate = (answered as f64 / 3.0 * 1e4).round() / 1e4;
    assert_eq!((&summary["answer_rate"], summary["em"].is_number()), (&json!(rate), true), "{summary}");
}
