//! `--adapter`, and what `rerank` refuses.

use serde_json::{Value, json};

use crate::support::{EMBEDDER, GENERATOR, Home, word};

/// A low-rank adapter of rank 1 for the first layer's queries of SmolLM2-135M, as a GGUF file.
fn adapter() -> Vec<u8> {
    const WIDTH: u64 = 576;
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([2u64, 3].into_iter().flat_map(u64::to_le_bytes));
    for (key, value) in [("general.type", "adapter"), ("general.architecture", "llama"), ("adapter.type", "lora")] {
        text(&mut bytes, key);
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, value);
    }
    for (at, (name, dims)) in [("lora_a", [WIDTH, 1]), ("lora_b", [1, WIDTH])].into_iter().enumerate() {
        text(&mut bytes, &format!("blk.0.attn_q.weight.{name}"));
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(dims.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(0u32.to_le_bytes());
        bytes.extend((at as u64 * WIDTH * 4).to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend((0..2 * WIDTH).flat_map(|at| ((at % 7) as f32 - 3.0).to_le_bytes()));
    bytes
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn adapters_change_the_model_for_those_who_ask() {
    let Some(home) = Home::with_models("adapters_change_the_model_for_those_who_ask") else { return };
    let file = home.write("a.gguf", adapter());
    let (plain, half) = (word(&file).to_owned(), format!("{}=0.5", word(&file)));
    let prompt =
        |id: u32, adapter: Option<&str>| json!({"id": id, "prompt": "The lease ends", "adapter": adapter}).to_string();
    let lines = [prompt(1, None), prompt(2, Some("")), prompt(3, Some(&plain)), prompt(4, Some("b.gguf"))];
    let prompts = home.write("prompts.jsonl", lines.join("\n"));
    let generate = ["generate", "--model", GENERATOR, "--max-tokens", "4", "--raw", "--prompts", word(&prompts)];
    let told = home.run(&[&generate[..], &["--adapter", &plain]].concat()).ended(1).lines();
    let logprobs: Vec<Vec<f64>> = told[..3].iter().map(|line| numbers(&line["logprobs"])).collect();
    assert_ne!(logprobs[0], logprobs[1]);
    assert_eq!(logprobs[0], logprobs[2]);
    assert!(told[3]["error"].as_str().unwrap().contains("b.gguf"), "{}", told[3]);
    let nothing = home.write("one.jsonl", prompt(1, None));
    let generate = ["generate", "--model", GENERATOR, "--max-tokens", "4", "--raw", "--prompts", word(&nothing)];
    assert_eq!(numbers(&home.run(&generate).lines()[0]["logprobs"]), logprobs[1]);

    let sequence = home.write("tokens.jsonl", json!({"id": 1, "tokens": [1, 2, 3, 4]}).to_string());
    let score = ["score", "--model", GENERATOR, "--sequences", word(&sequence)];
    let run = |adapter: &[&str]| numbers(&home.run(&[&score[..], adapter].concat()).lines()[0]["logprobs"]);
    let (without, with, halved) = (run(&[]), run(&["--adapter", &plain]), run(&["--adapter", &half]));
    assert!(without != with && with != halved && halved != without);
    assert_eq!(run(&["--adapter", &format!("{plain}=0")]), without);
    home.run(&[&score[..], &["--adapter", "none.gguf"]].concat()).ended(1).says("adapter none.gguf");
    home.run(&[&score[..], &["--adapter", word(&sequence)]].concat()).ended(1).says("tokens.jsonl");
}

#[test]
fn an_embedder_is_no_reranker() {
    let Some(home) = Home::with_models("an_embedder_is_no_reranker") else { return };
    home.run(&["rerank", "--model", EMBEDDER]).ended(1).says("no head that scores pairs of texts");
}
