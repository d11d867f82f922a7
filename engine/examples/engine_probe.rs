//! A small driver of the library for comparisons with other programs: the commands and lines of `cloister tokenize`
//! and `cloister embed`, without the rest of the program.
//!
//! Use: `engine_probe tokenize|wordpiece|embed --model MODEL [--texts FILE] [--special] [--threads N]`, lines
//! `{"id": …, "text": …}` from the file or standard input. `wordpiece` gives the tokens of an encoder.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use cloister_engine::gguf::GgufFile;
use cloister_engine::{Encoder, Special, Tokenizer};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// The words after the command.
#[derive(Default)]
struct Options {
    model: PathBuf,
    texts: Option<PathBuf>,
    special: bool,
    threads: usize,
}

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let mut options = Options { threads: 2, ..Options::default() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--model" => options.model = value()?.into(),
            "--texts" => options.texts = Some(value()?.into()),
            "--threads" => options.threads = value()?.parse()?,
            "--special" => options.special = true,
            "--json" => {}
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    let lines = match &options.texts {
        Some(path) => read_lines(BufReader::new(File::open(path)?))?,
        None => read_lines(std::io::stdin().lock())?,
    };
    match command.as_str() {
        "tokenize" => tokenize(&options.model, options.special, &lines),
        "wordpiece" => wordpiece(&options.model, &lines),
        "embed" => embed(&options.model, options.threads, &lines),
        _ => Err("engine_probe tokenize|wordpiece|embed --model MODEL [--texts FILE] [--special] [--threads N]".into()),
    }
}

fn read_lines(input: impl BufRead) -> Result<Vec<(Value, String)>, Failure> {
    let mut lines = Vec::new();
    for line in input.lines() {
        let value: Value = serde_json::from_str(&line?)?;
        let text = value["text"].as_str().ok_or("a line without text")?.to_owned();
        lines.push((value["id"].clone(), text));
    }
    Ok(lines)
}

fn tokenize(model: &Path, special: bool, lines: &[(Value, String)]) -> Result<(), Failure> {
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(model)?)?;
    let special = if special { Special::Parse } else { Special::AsText };
    let mut out = std::io::stdout().lock();
    for (id, text) in lines {
        writeln!(out, "{}", json!({"id": id, "tokens": tokenizer.encode_prompt(text, special)}))?;
    }
    Ok(())
}

fn wordpiece(model: &Path, lines: &[(Value, String)]) -> Result<(), Failure> {
    let encoder = Encoder::load(model, 1)?;
    let mut out = std::io::stdout().lock();
    for (id, text) in lines {
        writeln!(out, "{}", json!({"id": id, "tokens": encoder.tokenize(text)}))?;
    }
    Ok(())
}

fn embed(model: &Path, threads: usize, lines: &[(Value, String)]) -> Result<(), Failure> {
    let encoder = Encoder::load(model, threads)?;
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    let start = std::time::Instant::now();
    let vectors = encoder.embed(&texts)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    for ((id, _), vector) in lines.iter().zip(vectors) {
        writeln!(out, "{}", json!({"id": id, "embedding": vector}))?;
    }
    writeln!(std::io::stderr().lock(), "{} texts in {seconds:.3} s", texts.len())?;
    Ok(())
}
