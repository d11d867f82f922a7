//! `search`: a line a passage, or a line a query.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cloister_appliance::{Appliance, SearchMode, SearchQuery};
use serde_json::json;

use super::WirePassage;
use crate::args::{Mode, QueryLine, SearchArgs};
use crate::context::{Context, Outcome};
use crate::lines;

pub(super) fn run(args: &SearchArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    if let Some(file) = &args.queries {
        return batch(file, args, appliance, ctx);
    }
    let text = args.query.clone().unwrap_or_default();
    let query = query(args, args.collection.clone(), args.documents.clone(), text);
    let found = appliance.search(&ctx.caller, &query)?;
    for passage in found.passages {
        let line = WirePassage::from(passage);
        ctx.give(&line, || in_words(&line))?;
    }
    Ok(Outcome::Done)
}

fn query(args: &SearchArgs, collection: Option<String>, documents: Vec<String>, text: String) -> SearchQuery {
    let mode = match args.mode {
        Mode::Hybrid => SearchMode::Hybrid,
        Mode::Keyword => SearchMode::Keyword,
        Mode::Vector => SearchMode::Vector,
    };
    SearchQuery { collection, documents, text, mode, limit: args.limit }
}

fn batch(file: &Path, args: &SearchArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    lines::carry_out(ctx.lines(file)?, ctx, |line: QueryLine, ctx| {
        let collection = line.collection.or_else(|| args.collection.clone());
        let found = appliance.search(&ctx.caller, &query(args, collection, line.documents, line.query))?;
        let passages: Vec<_> = found.passages.into_iter().map(WirePassage::from).collect();
        Ok(Some(json!({"passages": passages, "milliseconds": found.milliseconds})))
    })
}

/// A passage for people: where it stands, then its first lines.
pub(super) fn in_words(passage: &WirePassage) -> String {
    const SHOWN_CHARS: usize = 300;
    let mut shown: String = passage.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = shown.char_indices().nth(SHOWN_CHARS) {
        shown.truncate(at);
        shown.push('…');
    }
    format!("{:>2}. {}, page {}\n    {shown}", passage.rank, passage.name, passage.page)
}
