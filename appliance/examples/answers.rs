//! Measures answers on a set of questions: ingests a folder, asks every question, writes one JSON line each.
//!
//! `answers DATA MODELS GENERATOR FOLDER COLLECTION QUESTIONS.jsonl OUT.jsonl`. A question is `{id, question, scope}`,
//! where `scope` names a document (its file's stem) or is null. Calibration reads `judged` from the audit record.

#![expect(clippy::print_stderr, reason = "a tool for the command line")]
#![expect(clippy::unwrap_used, reason = "a tool for developers: a failure may end it")]

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cloister_appliance::{
    Appliance, AuditFilter, Caller, CancelFlag, Config, IngestEvent, Question, UploadOptions, ingest,
};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some(ingest::READER_SUBCOMMAND) {
        let _ = ingest::reader_main(&std::env::args().nth(2).unwrap_or_default());
        return;
    }
    let [_, data, models, generator, folder, collection, questions, out] = &arguments[..] else {
        eprintln!("answers DATA MODELS GENERATOR FOLDER COLLECTION QUESTIONS.jsonl OUT.jsonl");
        return;
    };
    let appliance = open(data, models, generator);
    let caller = Caller::operator("bench");
    take_in(&appliance, &caller, collection, Path::new(folder));
    let mut out = std::fs::File::create(out).unwrap();
    for line in std::io::BufReader::new(std::fs::File::open(questions).unwrap()).lines() {
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let line = ask(&appliance, &caller, collection, &row);
        writeln!(out, "{line}").unwrap();
        eprintln!("{}", summary(&row, &line));
    }
}

fn open(data: &str, models: &str, generator: &str) -> Arc<Appliance> {
    let executable = std::env::current_exe().unwrap();
    let clock = Arc::new(time::OffsetDateTime::now_utc);
    let random = Arc::new(|bytes: &mut [u8]| std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap());
    let mut config = Config::new(PathBuf::from(data), PathBuf::from(models), executable, clock, random);
    config.generator = Some(generator.to_owned());
    Appliance::open(config).unwrap()
}

fn take_in(appliance: &Appliance, caller: &Caller, collection: &str, folder: &Path) {
    let begun = Instant::now();
    let options = UploadOptions::default();
    let total = appliance
        .ingest_paths(caller, collection, &[folder.to_path_buf()], &options, &CancelFlag::new(), &mut |event| {
            if let IngestEvent::File(result) = event
                && (result.error.is_some() || !result.gaps.is_empty())
            {
                eprintln!("{} {} {:?}", result.status, result.name, result.error);
            }
        })
        .unwrap();
    eprintln!("{total:?} in {:.1} s", begun.elapsed().as_secs_f64());
}

fn ask(appliance: &Appliance, caller: &Caller, collection: &str, row: &Value) -> Value {
    let named: Vec<String> = row["scope"].as_str().map(|scope| format!("{scope}.txt")).into_iter().collect();
    let question = Question {
        collection: Some(collection.to_owned()),
        documents: named,
        text: row["question"].as_str().unwrap().to_owned(),
        ..Question::default()
    };
    let answer = match appliance.ask(caller, &question, &CancelFlag::new(), &mut |_| ()) {
        Ok(answer) => answer,
        Err(error) => return json!({"id": row["id"], "error": error.to_string()}),
    };
    let stem = |name: &str| name.trim_end_matches(".txt").to_owned();
    let citations: Vec<Value> = answer
        .citations
        .iter()
        .map(|c| json!({"document": stem(&c.name), "quote": c.quote, "start": c.start, "end": c.end}))
        .collect();
    let ranked: Vec<Value> = answer
        .passages
        .iter()
        .map(|p| json!({"document": stem(&p.name), "start": p.start, "end": p.end, "score": p.score}))
        .collect();
    let filter = AuditFilter { newest_first: true, limit: 1, ..AuditFilter::default() };
    let receipt = appliance.audit_records(caller, &filter).unwrap().records.remove(0).detail;
    json!({
        "id": row["id"], "question": row["question"], "answer": answer.answer, "state": answer.state.as_str(), "abstained": answer.abstained(),
        "citations": citations, "ranked": ranked, "withheld": answer.withheld, "judged": receipt["judged"],
        "generated": receipt["generated"], "verbatim": receipt["verbatim"], "timings": receipt["timings"],
    })
}

fn summary(row: &Value, line: &Value) -> String {
    let answer: String = line["answer"].as_str().unwrap_or_default().chars().take(100).collect();
    format!("{} {} {} | {} | {answer}", row["answerable"], line["state"], line["timings"]["total_ms"], row["category"])
}
