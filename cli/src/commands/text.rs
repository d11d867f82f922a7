//! Commands on models alone: `generate`, `tokenize`, `score`, `perplexity`, `embed`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::models::ModelStore;
use cloister_appliance::engine::gguf::GgufFile;
use cloister_appliance::engine::sample::greedy;
use cloister_appliance::engine::{
    ChatMessage, Encoder, EncoderTokenizer, GenerateOptions, Generation, Generator, KeepPacked, KvForm, LoadOptions,
    ModelInfo, Sampling, Sequence, Special, TokenId, Tokenizer,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::adapters::Adapters;
use crate::args::{EmbedArgs, GenerateArgs, Global, PerplexityArgs, ScoreArgs, TextLine, TokenizeArgs};
use crate::context::{Context, Outcome};
use crate::lines::{self, Line, Lines, with_id};
use crate::outside;

/// Texts embedded together at most.
const EMBED_BATCH: usize = 256;
/// Bytes of standard input read ahead, so that there are texts to embed together.
const EMBED_AHEAD_BYTES: usize = 1 << 20;

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
        keep_packed: keep_packed(global),
    };
    Ok(Generator::load(&path, &options)?)
}

/// Where packed weights are kept: as the appliance keeps them where there is a data directory, else beside the model alone.
pub(super) fn keep_packed(global: &Global) -> KeepPacked {
    if global.data.is_dir() { KeepPacked::BesideModelOr(global.data.join("packed")) } else { KeepPacked::BesideModel }
}

#[derive(Deserialize)]
struct PromptLine {
    prompt: String,
    /// One of the adapters named with `--adapter`; empty for none.
    adapter: Option<String>,
}

pub(super) fn generate(global: &Global, args: &GenerateArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    if let Some(file) = &args.prompts {
        let lines = ctx.lines(file)?;
        let model = generator(global, &args.model, args.context)?;
        let adapters = Adapters::load(&model, &args.adapters, ctx)?;
        return lines::carry_out(lines, ctx, |line: PromptLine, ctx| {
            let sequence = adapters.sequence(&model, line.adapter.as_deref())?;
            continue_text(&model, args, sequence, &line.prompt, ctx)
        });
    }
    let prompt = match &args.prompt_file {
        Some(file) => {
            std::fs::read_to_string(ctx.path(file)).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => read_all(ctx)?,
    };
    let model = generator(global, &args.model, args.context)?;
    let sequence = Adapters::load(&model, &args.adapters, ctx)?.sequence(&model, None)?;
    if let Some(value) = continue_text(&model, args, sequence, &prompt, ctx)? {
        ctx.line(&with_id(Value::Null, value))?;
    }
    Ok(Outcome::Done)
}

fn read_all(ctx: &mut Context<'_>) -> Result<String> {
    let mut text = String::new();
    ctx.stdin.read_to_string(&mut text).context("cannot read standard input as UTF-8")?;
    Ok(text)
}

/// Generates in an empty sequence; the JSON value, or `None` when the text was written for people already.
fn continue_text(
    model: &Generator,
    args: &GenerateArgs,
    mut sequence: Sequence,
    prompt: &str,
    ctx: &mut Context<'_>,
) -> Result<Option<Value>> {
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
    let begun = Instant::now();
    model.prefill(&mut sequence, &tokens, &ctx.cancel)?;
    let prefill_ms = milliseconds(begun);
    let (cancel, live) = (ctx.cancel.clone(), !ctx.json);
    let begun = Instant::now();
    let done = model.generate(&mut sequence, &options, None, &cancel, &mut |event| {
        if live && ctx.put(event.text.as_bytes()).is_err() {
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
        "prompt_tokens": prompt, "tokens": done.tokens, "text": done.text, "logprobs": done.logprobs,
        "top_logprobs": top, "finish": format!("{:?}", done.finish).to_lowercase(), "timings": timings,
    })
}

fn milliseconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The tokenizer of a GGUF file or of an encoder's folder.
pub(super) enum AnyTokenizer {
    Gguf(Box<Tokenizer>),
    /// With the most tokens of a text that the encoder reads.
    Encoder(Box<EncoderTokenizer>, usize),
}

impl AnyTokenizer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(if path.is_dir() {
            // A folder with nothing but a tokenizer does not say how much its encoder reads.
            let is_whole = path.join("config.json").is_file();
            let most = if is_whole { ModelInfo::inspect(path)?.context_length as usize } else { usize::MAX };
            Self::Encoder(Box::new(EncoderTokenizer::read(path)?), most)
        } else {
            Self::Gguf(Box::new(Tokenizer::from_gguf(&GgufFile::open(path)?)?))
        })
    }

    pub(super) fn tokens(&self, text: &str, special: Special) -> Vec<TokenId> {
        match self {
            Self::Gguf(tokenizer) => tokenizer.encode_prompt(text, special),
            Self::Encoder(tokenizer, most) => tokenizer.encode(text, *most),
        }
    }
}

pub(super) fn tokenize(global: &Global, args: &TokenizeArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let tokenizer = AnyTokenizer::open(&resolve(global, &args.model)?)?;
    let special = if args.special { Special::Parse } else { Special::AsText };
    let tell = |text: &str, ctx: &mut Context<'_>| {
        let tokens = tokenizer.tokens(text, special);
        if ctx.json {
            return Ok(Some(json!({"tokens": tokens})));
        }
        ctx.say(tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).map(|()| None)
    };
    if let Some(file) = &args.texts {
        return lines::carry_out(ctx.lines(file)?, ctx, |line: TextLine, ctx| tell(&line.text, ctx));
    }
    let text = read_all(ctx)?;
    if let Some(value) = tell(&text, ctx)? {
        ctx.line(&with_id(Value::Null, value))?;
    }
    Ok(Outcome::Done)
}

#[derive(Deserialize)]
struct SequenceLine {
    tokens: Vec<TokenId>,
}

pub(super) fn score(global: &Global, args: &ScoreArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let lines: Vec<Line<SequenceLine>> = ctx.lines(&args.sequences)?.collect();
    // A line that no context of this model could hold fails by itself: it must not make the context too large for the memory.
    let most = ModelInfo::inspect(&resolve(global, &args.model)?)?.context_length as usize;
    let lengths = lines.iter().filter_map(|line| line.asked.as_ref().ok()).map(|line| line.tokens.len());
    let longest = lengths.filter(|length| *length <= most).max().unwrap_or(0);
    let model = generator(global, &args.model, longest.max(256) as u32)?;
    let adapters = Adapters::load(&model, args.adapter.as_slice(), ctx)?;
    let form = kv_form(args.kv_bits)?;
    let folder = args.logits.as_ref().map(|folder| ctx.path(folder));
    let mut number = 0..;
    lines::carry_out(lines.into_iter(), ctx, |line, _| {
        let path = folder.as_ref().zip(number.next()).map(|(folder, number)| folder.join(format!("{number}.f32")));
        let sequence = model.sequence_of(adapters.first(), form)?;
        score_line(&model, sequence, &line.tokens, path.as_deref()).map(Some)
    })
}

/// The form of keys and values with this many bits.
pub(super) fn kv_form(bits: u8) -> Result<KvForm> {
    match bits {
        16 => Ok(KvForm::Bits16),
        8 => Ok(KvForm::Bits8),
        _ => anyhow::bail!("keys and values have 16 or 8 bits, not {bits}"),
    }
}

fn score_line(model: &Generator, sequence: Sequence, tokens: &[TokenId], logits_path: Option<&Path>) -> Result<Value> {
    let (mut argmax, mut logprobs, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut file = logits_path.map(|path| create(path).map(BufWriter::new)).transpose()?;
    let mut written = Ok(());
    model.score_in(sequence, tokens, &mut |row, logits| {
        if let (Some(file), Ok(())) = (&mut file, &written) {
            written = logits.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()));
        }
        let best = greedy(logits);
        argmax.push(best);
        gaps.push(gap(logits, best));
        if let Some(next) = tokens.get(row + 1) {
            logprobs.push(f64::from(logits[*next as usize]) - log_sum_exp(logits));
        }
    })?;
    if let Some((mut file, path)) = file.zip(logits_path) {
        written.and_then(|()| file.flush()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(json!({"argmax": argmax, "logprobs": logprobs, "gaps": gaps}))
}

fn create(path: &Path) -> Result<File> {
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::create(path))
        .with_context(|| format!("cannot write {}", path.display()))
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
    let adapters = Adapters::load(&model, args.adapter.as_slice(), ctx)?;
    let found = model.perplexity_with(adapters.first(), &tokens, args.context, &ctx.cancel)?;
    let line = json!({"perplexity": found.perplexity, "tokens": found.tokens, "windows": found.windows});
    ctx.give(&line, || format!("{:.4} over {} tokens in {} windows", found.perplexity, found.tokens, found.windows))?;
    Ok(Outcome::Done)
}

pub(super) fn embed(global: &Global, args: &EmbedArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let encoder = Encoder::load(&resolve(global, &args.model)?, outside::threads(global))?;
    let stdin = std::mem::replace(&mut ctx.stdin, Box::new(std::io::empty()));
    let mut lines = Lines::new(BufReader::with_capacity(EMBED_AHEAD_BYTES, stdin));
    let mut failed = false;
    loop {
        ctx.cancel.check()?;
        let batch = next_batch(&mut lines);
        if batch.is_empty() {
            return Ok(Outcome::of(failed));
        }
        let mut embeddings = embed_batch(&encoder, &batch).into_iter();
        for line in batch {
            let embedding = line.asked.and_then(|_| embeddings.next().context("the encoder gave no vector")?);
            match embedding {
                Ok(embedding) => ctx.line(&json!({"id": line.id, "embedding": embedding}))?,
                Err(error) => {
                    failed = true;
                    ctx.failed(&line.id, &error)?;
                }
            }
        }
    }
}

/// The next line and those that are here with it: whoever sends one line and waits gets its answer.
fn next_batch<R: Read>(lines: &mut Lines<BufReader<R>, TextLine>) -> Vec<Line<TextLine>> {
    let mut batch: Vec<_> = lines.next().into_iter().collect();
    while !batch.is_empty() && batch.len() < EMBED_BATCH && lines.is_ready() {
        let Some(line) = lines.next() else { break };
        batch.push(line);
    }
    batch
}

/// An embedding, or why there is none, for each line that asks for one.
fn embed_batch(encoder: &Encoder, batch: &[Line<TextLine>]) -> Vec<Result<Vec<f32>>> {
    let texts: Vec<&str> =
        batch.iter().filter_map(|line| line.asked.as_ref().ok()).map(|line| line.text.as_str()).collect();
    if let Ok(embeddings) = encoder.embed(&texts) {
        return embeddings.into_iter().map(Ok).collect();
    }
    // One of them cannot be embedded: each by itself shows which.
    let alone = |text: &&str| encoder.embed(&[text])?.pop().context("the encoder gave no vector");
    texts.iter().map(alone).collect()
}
