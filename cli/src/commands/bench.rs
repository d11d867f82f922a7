//! `bench`: speeds on this machine, one line each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cloister_appliance::engine::bench::Measurement;
use cloister_appliance::engine::kernels::Ceilings;
use cloister_appliance::engine::{self, Encoder, KvForm, Reranker, Special};
use cloister_appliance::{Appliance, SearchMode, SearchQuery};
use serde_json::{Value, json};

use super::{extract, text};
use crate::args::{BenchCommand, BenchSearchArgs, Global, ModelBench, QueryLine, TextLine};
use crate::context::{Context, Outcome, Usage};
use crate::lines::Lines;
use crate::outside;

/// Texts made up when none are given, and their words, a token each in most vocabularies.
const MADE_TEXTS: usize = 64;
const MADE_WORDS: usize = 184;

/// Pages, texts, queries or tokens done in one run of each of several runs.
struct Measured {
    what: &'static str,
    unit: &'static str,
    per_second: Vec<f64>,
    more: Value,
}

pub(super) fn run(global: &Global, command: &BenchCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    let measured = match command {
        BenchCommand::Machine { runs } => return machine(global, *runs, ctx),
        BenchCommand::Prefill(bench) => model(global, bench, None)?,
        BenchCommand::Decode { bench, batch } => model(global, bench, Some(*batch))?,
        BenchCommand::Profile { bench, batch } => return profile(global, bench, *batch, ctx),
        BenchCommand::Turns { model, context } => return turns(global, model, *context, ctx),
        BenchCommand::Embed { model, texts, turns: true, .. } => {
            return embed_in_turns(global, model, texts.as_ref(), ctx);
        }
        BenchCommand::Embed { model, texts, runs, .. } => embed(global, model, texts.as_ref(), *runs, ctx)?,
        BenchCommand::Rerank { model, texts, query, runs } => {
            rerank(global, model, (query, texts.as_ref()), *runs, ctx)?
        }
        BenchCommand::Tokenize { model, texts, runs } => tokenize(global, model, texts.as_ref(), *runs, ctx)?,
        BenchCommand::Search(_) => unreachable!("it works on the data directory and is sent another way"),
        BenchCommand::Extract { files, runs } => read(files, *runs, ctx)?,
    };
    tell(measured, ctx)
}

fn machine(global: &Global, runs: usize, ctx: &mut Context<'_>) -> Result<Outcome> {
    let found = Ceilings::measure(outside::threads(global), runs.max(1)).context("no memory to read through")?;
    let billions = |rates: Vec<f64>| rates.into_iter().map(|rate| rate / 1e9).collect();
    let products = billions(found.products_per_second);
    tell(Measured { what: "products", unit: "billion 8-bit products", per_second: products, more: json!({}) }, ctx)?;
    let reads = billions(found.bytes_per_second);
    tell(Measured { what: "memory", unit: "GB read", per_second: reads, more: json!({}) }, ctx)
}

fn model(global: &Global, args: &ModelBench, batch: Option<usize>) -> Result<Measured> {
    let size = args.size.unwrap_or(if batch.is_some() { 64 } else { 512 });
    let model = text::generator(global, &args.model, (args.depth + size + 8) as u32)?;
    let runs = args.runs.max(1);
    let (what, result) = match batch {
        None => ("prefill", engine::bench::prefill(&model, size, args.depth, runs)?),
        Some(batch) => ("decode", engine::bench::decode_batch(&model, size, args.depth, batch, runs)?),
    };
    let more = json!({"model": args.model, "size": size, "depth": args.depth, "batch": batch});
    Ok(Measured { what, unit: "tokens", per_second: result.per_second, more })
}

/// One line an operation: milliseconds in the median run, and the share of the whole.
fn profile(global: &Global, args: &ModelBench, batch: Option<usize>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let size = args.size.unwrap_or(if batch.is_some() { 64 } else { 512 });
    let model = text::generator(global, &args.model, (args.depth + size + 8) as u32)?;
    let mut measurement = match batch {
        None => Measurement::prefill(&model, KvForm::Bits16, size, args.depth)?,
        Some(batch) => Measurement::decode(&model, KvForm::Bits16, size, args.depth, batch)?,
    };
    measurement.run()?;
    let mut runs = (0..args.runs.max(1)).map(|_| measurement.profile()).collect::<Result<Vec<_>, _>>()?;
    runs.sort_by_key(|run| run.iter().map(|(_, spent)| *spent).sum::<Duration>());
    let median = runs.swap_remove(runs.len() / 2);
    let total: f64 = median.iter().map(|(_, spent)| spent.as_secs_f64()).sum();
    for (operation, spent) in median.into_iter().filter(|(_, spent)| !spent.is_zero()) {
        let (milliseconds, share) = (spent.as_secs_f64() * 1e3, spent.as_secs_f64() / total);
        let line = json!({"operation": operation.name(), "milliseconds": milliseconds, "share": share});
        ctx.give(&line, || format!("{:<22} {milliseconds:9.2} ms {:5.1} %", operation.name(), share * 100.0))?;
    }
    Ok(Outcome::Done)
}

/// A line of standard input for `bench turns`: an id that is new sets a measurement up, and each line runs it once.
#[derive(Debug, serde::Deserialize)]
struct Turn {
    id: String,
    /// Tokens.
    size: usize,
    #[serde(default)]
    depth: usize,
    /// Sequences that write; left out where tokens are read.
    batch: Option<usize>,
    /// Bits of keys and values: 16 or 8.
    #[serde(default = "all_bits")]
    kv_bits: u8,
}

fn all_bits() -> u8 {
    16
}

fn turns(global: &Global, model: &str, context: u32, ctx: &mut Context<'_>) -> Result<Outcome> {
    let model = text::generator(global, model, context)?;
    let mut known = BTreeMap::new();
    let stdin = std::mem::replace(&mut ctx.stdin, Box::new(std::io::empty()));
    for line in Lines::<_, Turn>::new(BufReader::new(stdin)) {
        let turn = line.asked.context("a turn is a line {id, size, depth, batch, kv_bits}")?;
        let measurement = match known.entry(turn.id.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let form = text::kv_form(turn.kv_bits)?;
                entry.insert(match turn.batch {
                    None => Measurement::prefill(&model, form, turn.size, turn.depth)?,
                    Some(batch) => Measurement::decode(&model, form, turn.size, turn.depth, batch)?,
                })
            }
        };
        let row = json!({"id": turn.id, "per_second": measurement.run()?});
        ctx.line(&row)?;
    }
    Ok(Outcome::Done)
}

fn embed(
    global: &Global,
    model: &str,
    texts: Option<&PathBuf>,
    runs: usize,
    ctx: &mut Context<'_>,
) -> Result<Measured> {
    let (encoder, texts) = embedder(global, model, texts, ctx)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokens: usize = texts.iter().map(|text| encoder.count_tokens(text)).sum();
    let per_second = repeat(runs, texts.len(), || Ok(encoder.embed(&texts).map(drop)?))?;
    let more = json!({"model": model, "texts": texts.len(), "tokens_mean": tokens as f64 / texts.len() as f64});
    Ok(Measured { what: "embed", unit: "texts", per_second, more })
}

fn embed_in_turns(global: &Global, model: &str, texts: Option<&PathBuf>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let (encoder, texts) = embedder(global, model, texts, ctx)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let stdin = std::mem::replace(&mut ctx.stdin, Box::new(std::io::empty()));
    for asked in BufReader::new(stdin).lines() {
        asked.context("cannot read standard input")?;
        let begun = Instant::now();
        encoder.embed(&texts)?;
        ctx.line(&json!({"per_second": texts.len() as f64 / begun.elapsed().as_secs_f64()}))?;
    }
    Ok(Outcome::Done)
}

/// An encoder and what it is to embed, at least one text.
fn embedder(
    global: &Global,
    model: &str,
    texts: Option<&PathBuf>,
    ctx: &mut Context<'_>,
) -> Result<(Encoder, Vec<String>)> {
    let texts = given_or_made(texts, ctx)?;
    something(texts.len())?;
    Ok((Encoder::load(&text::resolve(global, model)?, outside::threads(global))?, texts))
}

fn rerank(
    global: &Global,
    model: &str,
    (query, texts): (&str, Option<&PathBuf>),
    runs: usize,
    ctx: &mut Context<'_>,
) -> Result<Measured> {
    let texts = given_or_made(texts, ctx)?;
    let reranker = Reranker::load(&text::resolve(global, model)?, outside::threads(global))?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokens: usize = texts.iter().map(|text| reranker.tokenize(query, text).tokens.len()).sum();
    let per_second = repeat(runs, texts.len(), || Ok(reranker.score(query, &texts).map(drop)?))?;
    let more = json!({"model": model, "pairs": texts.len(), "tokens_mean": tokens as f64 / texts.len().max(1) as f64});
    Ok(Measured { what: "rerank", unit: "pairs", per_second, more })
}

fn tokenize(
    global: &Global,
    model: &str,
    texts: Option<&PathBuf>,
    runs: usize,
    ctx: &mut Context<'_>,
) -> Result<Measured> {
    let texts = given_or_made(texts, ctx)?;
    let tokenizer = text::AnyTokenizer::open(&text::resolve(global, model)?)?;
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut tokens = 0;
    let per_second = repeat(runs, bytes, || {
        tokens = texts.iter().map(|text| tokenizer.tokens(text, Special::AsText).len()).sum();
        Ok(())
    })?;
    let more = json!({"model": model, "texts": texts.len(), "bytes": bytes, "tokens": tokens});
    Ok(Measured { what: "tokenize", unit: "bytes", per_second, more })
}

fn given_or_made(texts: Option<&PathBuf>, ctx: &mut Context<'_>) -> Result<Vec<String>> {
    Ok(match texts {
        Some(file) => ctx.all_lines::<TextLine>(file)?.into_iter().map(|line| line.text).collect(),
        None => (0..MADE_TEXTS).map(made_text).collect(),
    })
}

/// A text of common words, different for each number.
fn made_text(number: usize) -> String {
    const WORDS: [&str; 16] = [
        "the",
        "landlord",
        "shall",
        "pay",
        "within",
        "thirty",
        "days",
        "of",
        "notice",
        "unless",
        "both",
        "parties",
        "agree",
        "in",
        "writing",
        "otherwise",
    ];
    (0..MADE_WORDS).map(|at| WORDS[(at * 7 + number * 3 + at * at) % WORDS.len()]).collect::<Vec<_>>().join(" ")
}

/// `bench search`, on an open data directory.
pub(super) fn search(args: &BenchSearchArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let lines: Vec<QueryLine> = ctx.all_lines(&args.queries)?;
    let as_query = |line: QueryLine| SearchQuery {
        collection: line.collection,
        documents: line.documents,
        text: line.query,
        mode: SearchMode::Hybrid,
        limit: 10,
    };
    let queries: Vec<SearchQuery> = lines.into_iter().map(as_query).collect();
    let per_second = repeat(args.runs, queries.len(), || {
        queries.iter().try_for_each(|query| {
            ctx.cancel.check()?;
            appliance.search(&ctx.caller, query)?;
            Ok(())
        })
    })?;
    tell(Measured { what: "search", unit: "queries", per_second, more: json!({"queries": queries.len()}) }, ctx)
}

fn read(files: &[PathBuf], runs: usize, ctx: &mut Context<'_>) -> Result<Measured> {
    let reader = extract::reader()?;
    let mut pages = 0;
    let mut rates = Vec::new();
    for _ in 0..=runs.max(1) {
        let begun = Instant::now();
        pages = 0;
        for file in files {
            let path = ctx.path(file);
            let opened = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            pages += reader.count(&opened, &path.to_string_lossy())?.pages;
        }
        rates.push(f64::from(pages) / begun.elapsed().as_secs_f64());
    }
    rates.remove(0);
    Ok(Measured {
        what: "extract",
        unit: "pages",
        per_second: rates,
        more: json!({"files": files.len(), "pages": pages}),
    })
}

/// Things done a second in each of `runs` runs, after one that is not counted.
fn repeat(runs: usize, things: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    something(things)?;
    work()?;
    (0..runs.max(1))
        .map(|_| {
            let begun = Instant::now();
            work()?;
            Ok(things as f64 / begun.elapsed().as_secs_f64())
        })
        .collect()
}

/// Fails where there is nothing to measure.
fn something(things: usize) -> Result<()> {
    if things == 0 {
        return Err(Usage("nothing to measure: the file holds no lines".to_owned()).into());
    }
    Ok(())
}

fn tell(measured: Measured, ctx: &mut Context<'_>) -> Result<Outcome> {
    let mut sorted = measured.per_second.clone();
    sorted.sort_by(f64::total_cmp);
    let (min, median, max) = (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    let mut line = json!({
        "what": measured.what, "unit": measured.unit, "per_second": {"min": min, "median": median, "max": max},
        "runs": sorted.len(), "threads": ctx.threads,
    });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, measured.more) {
        line.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    ctx.give(&line, || {
        format!("{}: {median:.1} {} a second [{min:.1}..{max:.1}], {} runs", measured.what, measured.unit, sorted.len())
    })?;
    Ok(Outcome::Done)
}
