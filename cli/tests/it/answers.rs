//! What needs models: `ask`, vectors, `tokenize`, `generate`, `embed`.

use serde_json::{Value, json};

use crate::support::{EMBEDDER, GENERATOR, Home, column, is_pdf, keys, samples, stands, word};

const ANSWER_KEYS: [&str; 12] = [
    "abstained",
    "answer",
    "audit",
    "citations",
    "coverage",
    "model",
    "passages",
    "question",
    "state",
    "timings",
    "withheld",
    "id",
];
const CITATION_KEYS: [&str; 11] =
    ["boxes", "document", "end", "marker", "name", "page", "place", "quote", "start", "verified", "version"];

fn with_samples(test: &str) -> Option<Home> {
    let home = Home::with_models(test)?;
    home.lines(&["ingest", "--collection", "Samples", word(&samples())]);
    Some(home)
}

fn check_answer(home: &Home, answer: &Value) {
    assert!(keys(answer).iter().all(|key| ANSWER_KEYS.contains(key)), "{:?}", keys(answer));
    let state = answer["state"].as_str().unwrap();
    assert!(["answered", "related", "nothing", "unread"].contains(&state), "{state}");
    assert_eq!(answer["abstained"], json!(state != "answered"));
    assert_eq!(answer["answer"].as_str().unwrap().is_empty(), state != "answered", "{answer}");
    for passage in answer["passages"].as_array().unwrap() {
        assert!(stands(&home.text(passage["document"].as_str().unwrap()), passage, "text"), "{passage}");
    }
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty() || state != "answered", "an answer without a citation: {answer}");
    for citation in citations {
        assert_eq!(keys(citation), CITATION_KEYS);
        assert!(stands(&home.text(citation["document"].as_str().unwrap()), citation, "quote"), "{citation}");
        let mark = format!("[{}]", citation["marker"]);
        assert!(answer["answer"].as_str().unwrap().contains(&mark), "{mark} is not in the answer: {answer}");
        let in_pdf = is_pdf(citation["name"].as_str().unwrap());
        assert_eq!(citation["boxes"].as_array().unwrap().is_empty(), !in_pdf, "{citation}");
    }
    let record =
        home.line(&["audit", "list", "--after", &(answer["audit"].as_u64().unwrap() - 1).to_string(), "--limit", "1"]);
    assert_eq!((&record["action"], &record["seq"]), (&json!("answer"), &answer["audit"]));
}

#[test]
fn answers_quote_the_documents_to_the_letter() {
    let Some(home) = with_samples("answers_quote_the_documents_to_the_letter") else { return };
    let questions = [
        ("When does the lease of 14 Quayside Row end?", "lease-quayside-row.pdf"),
        ("For how long are X-ray images kept?", "records-retention-policy.pdf"),
        ("What did the board decide about a third steriliser?", "board-minutes-2025-03-12.docx"),
    ];
    for (question, document) in questions {
        let answer = home.line(&["ask", "--collection", "Samples", "--model", GENERATOR, question]);
        check_answer(&home, &answer);
        assert_eq!(answer["question"], question);
        assert_eq!(
            (&answer["model"]["name"], answer["coverage"]["documents"].as_u64() > Some(8)),
            (&json!(GENERATOR), true)
        );
        assert_eq!(answer["model"]["sha256"].as_str().unwrap().len(), 64);
        assert!(answer["timings"]["prompt_tokens"].as_u64() > Some(100), "{answer}");
        assert!(column(answer["passages"].as_array().unwrap(), "name").contains(&document), "{question}: {answer}");
    }
}

#[test]
fn questions_come_from_a_file_and_a_failed_line_is_told() {
    let Some(home) = with_samples("questions_come_from_a_file_and_a_failed_line_is_told") else { return };
    let questions = home.write(
        "questions.jsonl",
        "{\"id\": 1, \"collection\": \"Nowhere\", \"question\": \"What?\"}\n\
         {\"id\": 2, \"collection\": \"Samples\", \"question\": \"Until when does the lease run?\", \"documents\": [\"lease-quayside-row.pdf\"]}\n",
    );
    let lines = home.run(&["ask", "--model", GENERATOR, "--questions", word(&questions)]).ended(1).lines();
    assert_eq!(keys(&lines[0]), ["error", "id"]);
    assert_eq!((&lines[0]["id"], &lines[1]["id"], lines.len()), (&json!(1), &json!(2), 2));
    check_answer(&home, &lines[1]);
    let names = column(lines[1]["passages"].as_array().unwrap(), "name");
    assert!(names.iter().all(|name| *name == "lease-quayside-row.pdf"), "{names:?}");
    assert_eq!(lines[1]["coverage"]["documents"], 1);
}

#[test]
fn meaning_is_found_without_a_word_in_common() {
    let Some(home) = Home::with_models("meaning_is_found_without_a_word_in_common") else { return };
    home.write("in/car.txt", "The automobile was repaired by a mechanic in the garage.");
    home.write("in/bread.txt", "Knead flour with yeast and bake for an hour.");
    home.lines(&["ingest", "--collection", "Papers", word(&home.path().join("in"))]);
    let search = |mode: &str| home.lines(&["search", "--collection", "Papers", "--mode", mode, "fixing vehicles"]);
    assert_eq!(column(&search("vector"), "name")[0], "car.txt");
    assert_eq!(column(&search("hybrid"), "name")[0], "car.txt");
    assert!(search("keyword").is_empty(), "the words are not in the text");
}

#[test]
fn texts_are_tokenised_continued_and_embedded() {
    let Some(home) = Home::with_models("texts_are_tokenised_continued_and_embedded") else { return };
    let plain = home.run_with_stdin(&["tokenize", "--model", GENERATOR], "Hello <|im_end|>\n").done().lines().remove(0);
    let special = home
        .run_with_stdin(&["tokenize", "--model", GENERATOR, "--special"], "Hello <|im_end|>\n")
        .done()
        .lines()
        .remove(0);
    let count = |line: &Value| line["tokens"].as_array().unwrap().len();
    assert!(count(&special) < count(&plain), "a control token is one token only with --special");
    let prompt = home.write("prompt.txt", "The capital of France is");
    let generate =
        ["generate", "--model", GENERATOR, "--raw", "--max-tokens", "4", "--top-logprobs", "2", "--prompt-file"];
    let generate = [&generate[..], &[word(&prompt)]].concat();
    let (first, second) = (home.line(&generate), home.line(&generate));
    assert_eq!(
        (&first["tokens"], &first["text"]),
        (&second["tokens"], &second["text"]),
        "greedy is the same each time"
    );
    assert_eq!((count(&first), first["top_logprobs"].as_array().unwrap().len()), (4, 4));
    assert_eq!(first["top_logprobs"][0][0]["id"], first["tokens"][0], "greedy takes the likeliest");
    let texts = "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": 2, \"text\": \"two\"}\n";
    let lines = home.run_with_stdin(&["embed", "--model", EMBEDDER], texts).done().lines();
    assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!("a"), &json!(2)));
    for line in &lines {
        let vector: Vec<f64> = line["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let norm = vector.iter().map(|x| x * x).sum::<f64>();
        assert!(vector.len() == 384 && (norm - 1.0).abs() < 1e-4, "{} numbers, norm {norm}", vector.len());
    }
}

#[test]
fn an_unknown_model_is_refused_by_name() {
    let home = Home::bare();
    home.run_with_stdin(&["tokenize", "--model", "no-such-model"], "x").ended(1).says("no-such-model");
    let cut = home.write("cut.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    home.run_with_stdin(&["tokenize", "--model", word(&cut)], "x").ended(1).says("cut.gguf");
}

#[test]
fn whether_a_model_fits_is_told_with_what_it_is() {
    let Some(home) = Home::with_models("whether_a_model_fits_is_told_with_what_it_is") else { return };
    let fit = home.line(&["models", "fit", GENERATOR, "--context", "512"]);
    let shown = home.line(&["models", "show", GENERATOR]);
    for field in ["id", "role", "architecture", "quantisation", "licence", "bytes"] {
        assert!(!fit[field].is_null() && fit[field] == shown[field], "{field}: {fit} {shown}");
    }
    assert_eq!((&fit["context"], &fit["fits"]), (&json!(512), &json!(true)));
    assert!(fit["memory_bytes"].as_u64() > Some(50_000_000), "{fit}");
}
