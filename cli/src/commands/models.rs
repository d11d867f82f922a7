//! `models`: the catalogue, what is here, fetching, adding.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::models::{Entry, ModelStore, PullProgress, Source, catalogue};
use cloister_appliance::engine::{ModelInfo, fit};
use cloister_appliance::{EMBEDDER_DEFAULT, GENERATOR_DEFAULT, list_models, show_model};
use cloister_web::wire;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::text;
use crate::args::{Global, ModelsCommand};
use crate::context::{Context, Outcome, Usage, given_up};
use crate::outside;

pub(super) fn run(global: &Global, command: &ModelsCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list(global, ctx),
        ModelsCommand::Show { model } => show(global, model, ctx),
        ModelsCommand::Fit { model, context } => fits(global, model, *context, ctx),
        ModelsCommand::Verify { model } => verify(global, model, ctx),
        ModelsCommand::Pull { models, from, only } => pull(global, models, from, *only, ctx),
        ModelsCommand::Add { path, id } => add(global, path, id.as_deref(), ctx),
    }
}

fn list(global: &Global, ctx: &mut Context<'_>) -> Result<Outcome> {
    for entry in list_models(&outside::config(global)?)? {
        let line = wire::Model::from(entry);
        ctx.give(&line, || in_words(&line))?;
    }
    Ok(Outcome::Done)
}

fn show(global: &Global, model: &str, ctx: &mut Context<'_>) -> Result<Outcome> {
    let line = wire::Model::from(show_model(&outside::config(global)?, model)?);
    ctx.give(&line, || in_words(&line))?;
    Ok(Outcome::Done)
}

fn in_words(model: &wire::Model) -> String {
    let memory = model.memory_bytes.map(|bytes| format!(", {} in memory", size(bytes))).unwrap_or_default();
    let fits = match model.fits {
        Some(true) => ", fits",
        Some(false) => ", DOES NOT FIT",
        None => "",
    };
    format!(
        "{}\n    {} {} {}, {}, context {}, {} on disk{memory}{fits}, {}",
        model.id,
        model.role,
        model.architecture,
        model.quantisation,
        model.licence,
        model.context,
        size(model.bytes),
        if model.present { "here" } else { "not here: cloister models pull" }
    )
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0)
    } else {
        format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
    }
}

fn fits(global: &Global, model: &str, context: u32, ctx: &mut Context<'_>) -> Result<Outcome> {
    let info = ModelInfo::inspect(&text::resolve(global, model)?)?;
    let available =
        outside::memory_available_bytes().context("this system does not say how much memory is available")?;
    let judged = fit(&info, context, available);
    let known = wire::Model::from(show_model(&outside::config(global)?, model)?);
    let line = json!({
        "id": known.id, "role": known.role, "architecture": known.architecture, "quantisation": known.quantisation,
        "licence": known.licence, "bytes": known.bytes, "model": model, "context": context, "weights_bytes": judged.need.weights_bytes, "kv_bytes": judged.need.kv_bytes,
        "work_bytes": judged.need.work_bytes, "memory_bytes": judged.need.total(), "available_bytes": available, "fits": judged.fits,
    });
    ctx.give(&line, || {
        let verdict = if judged.fits { "fits" } else { "does not fit" };
        format!(
            "{model} {verdict}: {} needed at {context} tokens, {} available",
            size(judged.need.total()),
            size(available)
        )
    })?;
    Ok(Outcome::of(!judged.fits))
}

fn verify(global: &Global, model: &str, ctx: &mut Context<'_>) -> Result<Outcome> {
    let record = ModelStore::new(&global.models).verify(model)?;
    let line = json!({"id": record.id, "ok": true, "origin": record.origin, "licence": record.licence,
        "files": record.files.iter().map(|file| json!({"path": file.path, "bytes": file.bytes, "sha256": file.sha256})).collect::<Vec<_>>()});
    ctx.give(&line, || format!("{}: every file has its hash", record.id))?;
    Ok(Outcome::Done)
}

fn pull(global: &Global, models: &[String], from: &[String], only: bool, ctx: &mut Context<'_>) -> Result<Outcome> {
    let defaults = [GENERATOR_DEFAULT.to_owned(), EMBEDDER_DEFAULT.to_owned()];
    let wanted = if models.is_empty() { &defaults[..] } else { models };
    let mut sources: Vec<Source> = from.iter().map(|word| source(word, ctx)).collect();
    if !only {
        sources.push(Source::Wheels);
    }
    let store = ModelStore::new(&std::path::absolute(&global.models)?);
    for id in wanted {
        let entry = entry(id)?;
        ctx.note(format!(
            "{id}: {} by {}, licence {} ({})",
            entry.title, entry.publisher, entry.licence.name, entry.licence.url
        ));
        let bar = bar(entry.bytes(), ctx.terminal);
        let pulled = store.pull(id, &sources, &mut |progress| show_progress(&bar, progress));
        bar.finish_and_clear();
        let pulled = pulled?;
        let origin = pulled.origin.as_deref();
        let told = ctx.give(
            &json!({"id": pulled.id, "path": pulled.path, "origin": origin, "licence": entry.licence.id}),
            || {
                origin.map_or_else(
                    || format!("{id}: here already"),
                    |origin| format!("{id}: here now, from {origin}, hash verified"),
                )
            },
        );
        let is_last = Some(id) == wanted.last();
        told.map_err(|error| if is_last { error } else { given_up(error) })?;
    }
    Ok(Outcome::Done)
}

fn entry(id: &str) -> Result<&'static Entry> {
    let known = || catalogue().iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ");
    Ok(catalogue()
        .iter()
        .find(|entry| entry.id == id)
        .ok_or_else(|| Usage(format!("no model {id} in the catalogue; there are {}", known())))?)
}

fn source(word: &str, ctx: &Context<'_>) -> Source {
    if word.starts_with("http://") || word.starts_with("https://") {
        Source::Url(word.to_owned())
    } else {
        Source::Path(ctx.path(Path::new(word)))
    }
}

fn bar(bytes: u64, terminal: bool) -> ProgressBar {
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bytes}/{total_bytes}  {elapsed}  {wide_msg}");
    ProgressBar::with_draw_target(Some(bytes), target)
        .with_style(style.expect("the template is a constant that indicatif knows"))
}

fn show_progress(bar: &ProgressBar, progress: &PullProgress) -> ControlFlow<()> {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_done);
    bar.set_message(progress.step.clone());
    ControlFlow::Continue(())
}

fn add(global: &Global, path: &Path, id: Option<&str>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let path = ctx.path(path);
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let id = id.map_or_else(|| stem.unwrap_or_default().to_string_lossy().to_lowercase(), str::to_owned);
    let licence = ModelInfo::inspect(&path).ok().and_then(|info| info.licence);
    let bar = bar(0, ctx.terminal);
    let store = ModelStore::new(&std::path::absolute(&global.models)?);
    let added = store.add(&path, &id, licence.as_deref(), &mut |progress| show_progress(&bar, progress));
    bar.finish_and_clear();
    let added = added?;
    ctx.give(&json!({"id": added.id, "path": added.path, "bytes": added.bytes, "licence": licence}), || {
        format!("{}: added; licence {}", added.id, licence.as_deref().unwrap_or("unknown, ask whoever gave it to you"))
    })?;
    Ok(Outcome::Done)
}
