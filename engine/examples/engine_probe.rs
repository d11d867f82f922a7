//! A small driver of the library for comparisons with other programs: the commands and lines of `cloister tokenize`,
//! `cloister embed` and `cloister score`, without the rest of the program.
//!
//! Use: `engine_probe tokenize|wordpiece|embed --model MODEL [--texts FILE] [--special] [--threads N]`, lines
//! `{"id": …, "text": …}` from the file or standard input. `wordpiece` gives the tokens of an encoder.
//! `engine_probe score --model MODEL --sequences FILE [--logits FOLDER] [--adapter FILE]`, lines `{"id": …, "tokens": […]}`.
//! `engine_probe prefill --model MODEL [--threads N]` measures reading 512 tokens.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use cloister_engine::gguf::GgufFile;
use cloister_engine::sample::greedy;
use cloister_engine::{CancelFlag, Encoder, Generator, LoadOptions, Special, Tokenizer};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// The words after the command.
#[derive(Default)]
struct Options {
    model: PathBuf,
    texts: Option<PathBuf>,
    sequences: Option<PathBuf>,
    logits: Option<PathBuf>,
    adapter: Option<PathBuf>,
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
            "--sequences" => options.sequences = Some(value()?.into()),
            "--adapter" => options.adapter = Some(value()?.into()),
            "--logits" => options.logits = Some(value()?.into()),
            "--threads" => options.threads = value()?.parse()?,
            "--special" => options.special = true,
            "--json" => {}
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    match command.as_str() {
        "score" => return score(&options),
        "prefill" => return prefill(&options),
        _ => {}
    }
    let lines = match &options.texts {
        Some(path) => read_lines(BufReader::new(File::open(path)?))?,
        None => read_lines(std::io::stdin().lock())?,
    };
    match command.as_str() {
        "tokenize" => tokenize(&options.model, options.special, &lines),
        "wordpiece" => wordpiece(&options.model, &lines),
        "embed" => embed(&options.model, options.threads, &lines),
        _ => Err("engine_probe tokenize|wordpiece|embed|score|prefill --model MODEL [--texts FILE] [--special] [--threads N]".into()),
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

/// For each sequence the likeliest token after each token and the log-probabilities of its own; all logits into a folder.
fn score(options: &Options) -> Result<(), Failure> {
    let path = options.sequences.as_ref().ok_or("score wants --sequences")?;
    let lines: Vec<Value> = BufReader::new(File::open(path)?)
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<Result<_, Failure>>()?;
    let tokens = |line: &Value| -> Vec<u32> {
        line["tokens"].as_array().into_iter().flatten().filter_map(Value::as_u64).map(|id| id as u32).collect()
    };
    let longest = lines.iter().map(|line| tokens(line).len()).max().unwrap_or(1);
    let load =
        LoadOptions { threads: options.threads, context_tokens: longest.max(256) as u32, ..LoadOptions::default() };
    let model = Generator::load(&options.model, &load)?;
    let mut out = std::io::stdout().lock();
    for (number, line) in lines.iter().enumerate() {
        let tokens = tokens(line);
        let mut file = match &options.logits {
            Some(folder) => Some(BufWriter::new(File::create(folder.join(format!("{number}.f32")))?)),
            None => None,
        };
        let (mut argmax, mut logprobs, mut written) = (Vec::new(), Vec::new(), Ok(()));
        logits_of(&model, options.adapter.as_deref(), &tokens, &mut |row, logits| {
            if let (Some(file), Ok(())) = (&mut file, &written) {
                written = logits.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()));
            }
            argmax.push(greedy(logits));
            if let Some(&next) = tokens.get(row + 1) {
                let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                let sum: f64 = logits.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
                logprobs.push(f64::from(logits[next as usize]) - largest - sum.ln());
            }
        })?;
        written?;
        if let Some(mut file) = file {
            file.flush()?;
        }
        writeln!(out, "{}", json!({"id": line["id"], "argmax": argmax, "logprobs": logprobs}))?;
    }
    Ok(())
}

/// Calls `on_row` with the logits after each token; with an adapter the tokens are computed one by one.
fn logits_of(
    model: &Generator,
    adapter: Option<&Path>,
    tokens: &[u32],
    on_row: &mut dyn FnMut(usize, &[f32]),
) -> Result<(), Failure> {
    let Some(adapter) = adapter else { return Ok(model.score(tokens, on_row)?) };
    let mut sequence = model.sequence_with(&model.load_adapter(adapter, 1.0)?)?;
    for (row, token) in tokens.iter().enumerate() {
        model.prefill(&mut sequence, std::slice::from_ref(token), &CancelFlag::new())?;
        on_row(row, model.logits(&sequence));
    }
    Ok(())
}

fn prefill(options: &Options) -> Result<(), Failure> {
    let load = LoadOptions { threads: options.threads, context_tokens: 1024, ..LoadOptions::default() };
    let model = Generator::load(&options.model, &load)?;
    let found = cloister_engine::bench::prefill(&model, 512, 0, 5)?;
    writeln!(std::io::stdout().lock(), "{:?}", found.per_second)?;
    Ok(())
}
