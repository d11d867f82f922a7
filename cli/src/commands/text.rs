//! Commands on models alone: `generate`, `tokenize`, `score`, `perplexity`, `embed`.

use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::models::ModelStore;
use cloister_appliance::engine::gguf::GgufFile;
use cloister_appliance::engine::sample::greedy;
use cloister_appliance::engine::{
    ChatMessage, Encoder, GenerateOptions, Generation, Generator, LoadOptions, Sampling, Special, TokenId, Tokenizer,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{EmbedArgs, GenerateArgs, Global, PerplexityArgs, ScoreArgs, TextLine, TokenizeArgs};
use crate::context::{Context, Outcome, parse_lines};
use crate::outside;

/// Texts embedded before their lines are written.
const EMBED_BATCH: usize = 256;

/// Where the model of this id or path lies.
pub(super) fn resolve(global: &Global, model: &str) -> Result<PathBuf> {
    Ok(ModelStore::new(&global.models).resolve(model)?)
}

/// Loads a generator, refused beforehand when it does not fit.
pub(super) fn generator(global: &Global, model: &str, context_tokens: u32) -> Result<Generator> {
    let path = resolve(global, model)?;
    let options = LoadOptions {
        threads: outside::threads(global),
        context_tokens,
        memory_available_bytes: outside::memory_available_bytes(),
    };
    Ok(Generator::load(&path, &options)?)
}

#[derive(Deserialize)]
struct PromptLine {
    id: Value,
    prompt: String,
}

pub(super) fn generate(global: &Global, args: &GenerateArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let prompts = prompts(args, ctx)?;
    let model = generator(global, &args.model, args.context)?;
    let mut failed = false;
    for line in prompts {
        match continue_text(&model, args, &line.prompt, ctx) {
            Ok(Some(mut value)) => {
                value["id"] = line.id;
                ctx.line(&value)?;
            }
            Ok(None) => {}
            Err(error) if args.prompts.is_some() => {
                failed = true;
                ctx.line(&json!({"id": line.id, "error": format!("{error:#}")}))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::of(failed))
}

fn prompts(args: &GenerateArgs, ctx: &mut Context<'_>) -> Result<Vec<PromptLine>> {
    if let Some(file) = &args.prompts {
        return ctx.lines(file);
    }
    let prompt = match &args.prompt_file {
        Some(file) => {
            std::fs::read_to_string(ctx.path(file)).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => read_all(ctx)?,
    };
    Ok(vec![PromptLine { id: Value::Null, prompt }])
}

fn read_all(ctx: &mut Context<'_>) -> Result<String> {
    let mut text = String::new();
    ctx.stdin.read_to_string(&mut text).context("cannot read standard input as UTF-8")?;
    Ok(text)
}

/// Generates; the JSON value, or `None` when the text was written for people already.
fn continue_text(model: &Generator, args: &GenerateArgs, prompt: &str, ctx: &mut Context<'_>) -> Result<Option<Value>> {
    let tokens = if args.raw {
        model.tokenizer().encode_prompt(prompt, Special::Parse)
    } else {
        model.encode_chat(&[ChatMessage::new("user", prompt)], true)?
    };
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed: args.seed,
        ..Sampling::default()
    };
    let options = GenerateOptions {
        max_tokens: args.max_tokens,
        sampling,
        stop: args.stop.clone(),
        top_logprobs: args.top_logprobs,
    };
    let mut sequence = model.sequence();
    let begun = Instant::now();
    model.prefill(&mut sequence, &tokens, &ctx.cancel)?;
    let prefill_ms = milliseconds(begun);
    let (cancel, live) = (ctx.cancel.clone(), !ctx.json);
    let begun = Instant::now();
    let done = model.generate(&mut sequence, &options, None, &cancel, &mut |event| {
        if live && ctx.stdout.write_all(event.text.as_bytes()).and_then(|()| ctx.stdout.flush()).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if live {
        ctx.say(&done.tail)?;
        return Ok(None);
    }
    let timings = json!({"prefill_ms": prefill_ms, "generate_ms": milliseconds(begun), "prompt_tokens": tokens.len(), "new_tokens": done.tokens.len()});
    Ok(Some(generation_line(&tokens, &done, timings)))
}

fn generation_line(prompt: &[TokenId], done: &Generation, timings: Value) -> Value {
    let top: Vec<Vec<Value>> = done
        .top_logprobs
        .iter()
        .map(|row| row.iter().map(|(id, logprob)| json!({"id": id, "logprob": logprob})).collect())
        .collect();
    json!({
        "id": null, "prompt_tokens": prompt, "tokens": done.tokens, "text": done.text, "logprobs": done.logprobs,
        "top_logprobs": top, "finish": format!("{:?}", done.finish).to_lowercase(), "timings": timings,
    })
}

fn milliseconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The tokenizer of a GGUF file or of an encoder's folder.
enum AnyTokenizer {
    Gguf(Box<Tokenizer>),
    Encoder(Box<Encoder>),
}

impl AnyTokenizer {
    fn tokens(&self, text: &str, special: Special) -> Vec<TokenId> {
        match self {
            Self::Gguf(tokenizer) => tokenizer.encode_prompt(text, special),
            Self::Encoder(encoder) => encoder.tokenize(text),
        }
    }
}

pub(super) fn tokenize(global: &Global, args: &TokenizeArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let path = resolve(global, &args.model)?;
    let tokenizer = if path.is_dir() {
        AnyTokenizer::Encoder(Box::new(Encoder::load(&path, 1)?))
    } else {
        AnyTokenizer::Gguf(Box::new(Tokenizer::from_gguf(&GgufFile::open(&path)?)?))
    };
    let lines = match &args.texts {
        Some(file) => ctx.lines(file)?,
        None => vec![TextLine { id: Value::Null, text: read_all(ctx)? }],
    };
    let special = if args.special { Special::Parse } else { Special::AsText };
    for line in lines {
        let tokens = tokenizer.tokens(&line.text, special);
        ctx.give(&json!({"id": line.id, "tokens": tokens}), || {
            tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        })?;
    }
    Ok(Outcome::Done)
}

#[derive(Deserialize)]
struct SequenceLine {
    id: Value,
    tokens: Vec<TokenId>,
}

pub(super) fn score(global: &Global, args: &ScoreArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let lines: Vec<SequenceLine> = ctx.lines(&args.sequences)?;
    let longest = lines.iter().map(|line| line.tokens.len()).max().unwrap_or(0);
    let model = generator(global, &args.model, longest.max(256) as u32)?;
    let mut failed = false;
    for line in lines {
        match score_line(&model, &line) {
            Ok(value) => ctx.line(&value)?,
            Err(error) => {
                failed = true;
                ctx.line(&json!({"id": line.id, "error": format!("{error:#}")}))?;
            }
        }
    }
    Ok(Outcome::of(failed))
}

fn score_line(model: &Generator, line: &SequenceLine) -> Result<Value> {
    let (mut argmax, mut logprobs, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    model.score(&line.tokens, &mut |row, logits| {
        let best = greedy(logits);
        argmax.push(best);
        gaps.push(gap(logits, best));
        if let Some(next) = line.tokens.get(row + 1) {
            logprobs.push(f64::from(logits[*next as usize]) - log_sum_exp(logits));
        }
    })?;
    Ok(json!({"id": line.id, "argmax": argmax, "logprobs": logprobs, "gaps": gaps}))
}

/// The best logit less the second best.
fn gap(logits: &[f32], best: TokenId) -> f32 {
    let rest = logits.iter().enumerate().filter(|(idx, _)| *idx != best as usize);
    logits[best as usize] - rest.map(|(_, value)| *value).fold(f32::NEG_INFINITY, f32::max)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + logits.iter().map(|value| (f64::from(*value) - largest).exp()).sum::<f64>().ln()
}

pub(super) fn perplexity(global: &Global, args: &PerplexityArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let path = ctx.path(&args.file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let model = generator(global, &args.model, args.context as u32)?;
    let tokens = model.tokenizer().encode_prompt(&text, Special::AsText);
    let found = model.perplexity(&tokens, args.context, &ctx.cancel)?;
    let line = json!({"perplexity": found.perplexity, "tokens": found.tokens, "windows": found.windows});
    ctx.give(&line, || format!("{:.4} over {} tokens in {} windows", found.perplexity, found.tokens, found.windows))?;
    Ok(Outcome::Done)
}

pub(super) fn embed(global: &Global, args: &EmbedArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let encoder = Encoder::load(&resolve(global, &args.model)?, outside::threads(global))?;
    let lines: Vec<TextLine> = parse_lines(BufReader::new(&mut *ctx.stdin)).context("cannot read standard input")?;
    for batch in lines.chunks(EMBED_BATCH) {
        ctx.cancel.check()?;
        let texts: Vec<&str> = batch.iter().map(|line| line.text.as_str()).collect();
        for (line, embedding) in batch.iter().zip(encoder.embed(&texts)?) {
            ctx.line(&json!({"id": line.id, "embedding": embedding}))?;
        }
    }
    Ok(Outcome::Done)
}
