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
        ctx.give(&line, || in_words(&line, &query.text))?;
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

/// Characters of a passage that are shown.
const SHOWN_CHARS: usize = 300;

/// Characters shown before the first word that was looked for.
const BEFORE_CHARS: usize = 60;

/// A passage for people: where it stands, then the part of it that has most of the words looked for.
fn in_words(passage: &WirePassage, query: &str) -> String {
    let text = passage.text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{:>2}. {}, page {}\n    {}", passage.rank, passage.name, passage.page, excerpt(&text, query))
}

fn excerpt(text: &str, query: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let start = best_start(&chars, &asked(query));
    let end = (start + SHOWN_CHARS).min(chars.len());
    let shown: String = chars[start..end].iter().collect();
    format!("{}{shown}{}", if start > 0 { "…" } else { "" }, if end < chars.len() { "…" } else { "" })
}

/// The words of a query that are long enough to say something.
fn asked(query: &str) -> Vec<String> {
    let words = query.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 3);
    words.map(str::to_lowercase).collect()
}

/// Where a window begins that holds the most different words looked for; the first of several.
fn best_start(chars: &[char], asked: &[String]) -> usize {
    let hits = hits(chars, asked);
    let held = |from: usize| {
        let within = hits.iter().filter(|(at, _)| (from..from + SHOWN_CHARS - BEFORE_CHARS).contains(at));
        within.map(|(_, word)| word).collect::<std::collections::BTreeSet<_>>().len()
    };
    let Some((first, _)) = hits.iter().max_by_key(|(at, _)| (held(*at), std::cmp::Reverse(*at))) else { return 0 };
    let earliest = first.saturating_sub(BEFORE_CHARS).min(chars.len().saturating_sub(SHOWN_CHARS));
    // At the beginning of a word.
    (earliest..=*first).find(|at| *at == 0 || chars[at - 1] == ' ').unwrap_or(*first)
}

/// Places of the words looked for, in any form that begins alike, with the number of the word.
fn hits(chars: &[char], asked: &[String]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let word: String = chars[at..].iter().take_while(|c| c.is_alphanumeric()).collect();
        let lower = word.to_lowercase();
        let alike =
            |wanted: &String| lower.starts_with(wanted.as_str()) || (word.len() > 3 && wanted.starts_with(&lower));
        out.extend(asked.iter().position(alike).map(|number| (at, number)));
        at += word.chars().count().max(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_with_the_words_is_shown() {
        let long =
            format!("{}Notice period: three months. {}", "The rent is paid. ".repeat(40), "More follows. ".repeat(40));
        let shown = excerpt(&long, "what is the notice period?");
        assert!(shown.contains("Notice period: three months.") && shown.starts_with("…"), "{shown}");
        assert!(shown.chars().count() <= SHOWN_CHARS + 2);
        assert!(excerpt(&long, "nothing of it").starts_with("The rent"));
        assert_eq!(excerpt("Short.", "notice"), "Short.");
    }
}
