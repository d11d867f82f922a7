//! `document` and `collection`.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cloister_appliance::{Appliance, Example, Level};
use cloister_web::wire;
use serde::Deserialize;
use serde_json::json;

use crate::args::{CollectionCommand, DocumentCommand};
use crate::context::{Context, Outcome, Usage, count};

/// Documents asked for at a time.
const LIST_PAGE: usize = 500;

pub(super) fn document(
    command: &DocumentCommand,
    appliance: &Arc<Appliance>,
    ctx: &mut Context<'_>,
) -> Result<Outcome> {
    match command {
        DocumentCommand::List { collection } => list(collection.as_deref(), appliance, ctx)?,
        DocumentCommand::Show(args) => {
            let detail = appliance.document(&ctx.caller, &args.document, args.collection.as_deref())?;
            show(&wire::DocumentDetail::from(detail), ctx)?;
        }
        DocumentCommand::Text(args) => {
            let text = appliance.document_text(&ctx.caller, &args.document, args.collection.as_deref())?;
            if ctx.json {
                ctx.line(&json!({"document": args.document, "text": text}))?;
            } else {
                // To the letter: no newline added, so that offsets can be counted in what is printed.
                ctx.put(text.as_bytes())?;
            }
        }
        DocumentCommand::Remove(args) => {
            let removed = appliance.remove_document(&ctx.caller, &args.document, args.collection.as_deref())?;
            let line = wire::Removed::from(removed);
            ctx.give(&line, || {
                format!(
                    "removed {}: {}, {} bytes",
                    line.removed.name,
                    count(line.removed.passages, "passage", "passages"),
                    line.removed.bytes
                )
            })?;
        }
    }
    Ok(Outcome::Done)
}

/// The documents of one collection, or of all that can be seen.
fn list(collection: Option<&str>, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<()> {
    if let Some(collection) = collection {
        return list_one(collection, appliance, ctx);
    }
    let all = appliance.collections(&ctx.caller)?;
    all.iter().try_for_each(|collection| list_one(&collection.id, appliance, ctx))
}

fn list_one(collection: &str, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<()> {
    let mut after = None;
    loop {
        ctx.cancel.check()?;
        let page = appliance.documents(&ctx.caller, collection, after.as_deref(), LIST_PAGE)?;
        for info in page.documents {
            let line = wire::Document::from(info);
            ctx.give(&line, || {
                format!(
                    "{}  {:8}  {:>10}  {:>14}  {}",
                    line.id,
                    line.status,
                    count(line.pages, "page", "pages"),
                    count(line.passages, "passage", "passages"),
                    line.name
                )
            })?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn show(detail: &wire::DocumentDetail, ctx: &mut Context<'_>) -> Result<()> {
    if ctx.json {
        return ctx.line(detail);
    }
    let document = &detail.document;
    ctx.say(format!(
        "{}  {}\nstatus   {}\nformat   {}\nversion  {}",
        document.id, document.name, document.status, document.format, document.version
    ))?;
    for row in &detail.ledger {
        let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let words = count(u64::from(row.words), "word", "words");
        let place = if row.page == 0 { "whole file".to_owned() } else { format!("page {:>4}", row.page) };
        ctx.say(format!("{place}  {}{reason}  ({words})", row.outcome))?;
    }
    Ok(())
}

pub(super) fn collection(
    command: &CollectionCommand,
    appliance: &Arc<Appliance>,
    ctx: &mut Context<'_>,
) -> Result<Outcome> {
    let caller = ctx.caller.clone();
    match command {
        CollectionCommand::Add { name } => {
            let line = wire::Collection::from(appliance.add_collection(&caller, name)?);
            ctx.give(&line, || format!("{}  {}", line.id, line.name))?;
        }
        CollectionCommand::List => {
            for info in appliance.collections(&caller)? {
                let line = wire::Collection::from(info);
                ctx.give(&line, || {
                    let documents = count(line.documents, "document", "documents");
                    format!("{}  {documents:>15}  {:>12}  {}", line.id, count(line.pages, "page", "pages"), line.name)
                })?;
            }
        }
        CollectionCommand::Grant { collection, user, level } => {
            let wanted = Level::parse(level)
                .ok_or_else(|| Usage(format!("no level {level}; there are read, write and manage")))?;
            appliance.grant(&caller, collection, user, wanted)?;
            ctx.give(&json!({"collection": collection, "user": user, "level": level}), || {
                format!("{user} may {level} {collection}")
            })?;
        }
        CollectionCommand::Revoke { collection, user } => {
            appliance.revoke(&caller, collection, user)?;
            ctx.give(&json!({"collection": collection, "user": user, "level": null}), || {
                format!("{user} has no grant on {collection}")
            })?;
        }
        CollectionCommand::Remove { name } => {
            appliance.remove_collection(&caller, name)?;
            ctx.give(&json!({"removed": {"collection": name}}), || format!("removed {name}"))?;
        }
        CollectionCommand::Examples { file } => {
            let examples = read_examples(&ctx.path(file))?;
            appliance.set_examples(&caller, &examples)?;
            ctx.give(&json!({"examples": examples.len()}), || {
                count(examples.len() as u64, "example question", "example questions")
            })?;
        }
    }
    Ok(Outcome::Done)
}

/// A file of example questions: a collection and its questions.
#[derive(Deserialize)]
struct ExamplesFile {
    collection: String,
    questions: Vec<ExampleQuestion>,
}

#[derive(Deserialize)]
struct ExampleQuestion {
    question: String,
}

fn read_examples(path: &std::path::Path) -> Result<Vec<Example>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: ExamplesFile =
        serde_json::from_str(&text).with_context(|| format!("{} is not a file of examples", path.display()))?;
    let example = |asked: ExampleQuestion| Example { collection: file.collection.clone(), question: asked.question };
    Ok(file.questions.into_iter().map(example).collect())
}
