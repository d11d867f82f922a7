//! `eval`: search and answers over questions with known answers.

mod gold;
mod metrics;

use std::collections::HashMap;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use cloister_appliance::{Answer, Appliance, Citation, Passage, Question, SearchMode, SearchQuery};
use serde_json::Value;

use crate::args::EvalArgs;
use crate::context::{Context, Outcome};
use crate::lines::{Line, with_id};
use gold::{Answered, Cited, Gold, Names, Place, Prediction};
use metrics::Tally;

/// Passages asked for; recall is told up to this rank.
const PASSAGES: usize = 10;

/// Texts of documents held at once to compare quotes with.
const TEXTS_MAX: usize = 32;

pub(super) fn run(args: &EvalArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let lines: Vec<Line<Gold>> = ctx.lines(&args.gold)?.collect();
    let questions = lines.iter().filter_map(|line| line.asked.as_ref().ok());
    let names = Names::read(appliance, &ctx.caller, args.collection.as_deref(), questions)?;
    let out = args.out.as_ref().map(|out| ctx.path(out));
    let mut file = out.as_ref().map(|out| ctx.create(out)).transpose()?.map(BufWriter::new);
    let model = args.model.as_deref().map(|model| ctx.model(model));
    let mut examiner = Examiner { args, appliance, names, model, texts: HashMap::new() };
    let (mut tally, mut failed, count) = (Tally::default(), 0, lines.len());
    for (idx, Line { id, asked }) in lines.into_iter().enumerate() {
        ctx.cancel.check()?;
        if ctx.terminal {
            ctx.note(format!("question {} of {count}", idx + 1));
        }
        let told = asked.and_then(|gold| {
            let told = examiner.examine(&gold, ctx);
            tally.add(&gold, told.as_ref().unwrap_or(&examiner.nothing()));
            told
        });
        match (told, &mut file) {
            (Ok(prediction), Some(file)) => {
                serde_json::to_writer(&mut *file, &with_id(id, serde_json::to_value(&prediction)?))?;
                file.write_all(b"\n")?;
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                failed += 1;
                ctx.failed(&id, &error)?;
            }
        }
    }
    if let Some(mut file) = file {
        file.flush().context("cannot write the predictions")?;
    }
    let mut summary = tally.summary();
    summary["failed"] = failed.into();
    ctx.give(&summary, || in_words(&summary))?;
    Ok(Outcome::of(failed > 0))
}

fn in_words(summary: &Value) -> String {
    let figures = summary.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    figures.map(|(name, value)| format!("{name:20} {value}")).collect::<Vec<_>>().join("\n")
}

/// Puts the questions.
struct Examiner<'a> {
    args: &'a EvalArgs,
    appliance: &'a Arc<Appliance>,
    names: Names,
    model: Option<String>,
    texts: HashMap<String, Vec<char>>,
}

impl Examiner<'_> {
    /// What is counted for a question that failed.
    fn nothing(&self) -> Prediction {
        Prediction { answered: (!self.args.search_only).then(Answered::default), ..Prediction::default() }
    }

    /// Searches, and answers unless a search alone is wanted. The seconds are those of the answer, or of the search alone.
    fn examine(&mut self, gold: &Gold, ctx: &Context<'_>) -> Result<Prediction> {
        let documents = self.scope(gold)?;
        let begun = Instant::now();
        let query = SearchQuery {
            collection: self.args.collection.clone(),
            documents: documents.clone(),
            text: gold.question.clone(),
            mode: SearchMode::Hybrid,
            limit: PASSAGES,
        };
        let found = self.appliance.search(&ctx.caller, &query)?;
        let ranked = found.passages.iter().map(|passage| self.place(passage)).collect();
        if self.args.search_only {
            return Ok(Prediction { ranked, answered: None, seconds: begun.elapsed().as_secs_f64() });
        }
        let question = Question {
            collection: self.args.collection.clone(),
            documents,
            text: gold.question.clone(),
            model: self.model.clone(),
            passages: 0,
        };
        let begun = Instant::now();
        let answer = self.appliance.ask(&ctx.caller, &question, &ctx.cancel, &mut |_| {})?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Prediction { ranked, answered: Some(self.answered(answer, ctx)?), seconds })
    }

    /// Ids of the documents that the question is about; none for all.
    fn scope(&self, gold: &Gold) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for key in gold.scope() {
            let found = self.names.ids(key);
            anyhow::ensure!(!found.is_empty(), "no such document: {key}");
            ids.extend_from_slice(found);
        }
        Ok(ids)
    }

    fn place(&self, passage: &Passage) -> Place {
        let document = self.names.given(&passage.document, &passage.name);
        Place::new(document, passage.start, passage.end, pages(passage.page, &passage.boxes))
    }

    fn answered(&mut self, answer: Answer, ctx: &Context<'_>) -> Result<Answered> {
        let mut text = answer.answer.clone();
        for citation in &answer.citations {
            text = text.replace(&format!("[{}]", citation.marker), "");
        }
        let abstained = answer.abstained();
        let cited = |citation| self.cited(citation, ctx);
        let citations = answer.citations.into_iter().map(cited).collect::<Result<_>>()?;
        Ok(Answered { answer: text.split_whitespace().collect::<Vec<_>>().join(" "), abstained, citations })
    }

    fn cited(&mut self, citation: Citation, ctx: &Context<'_>) -> Result<Cited> {
        let text = self.text(&citation.document, ctx)?;
        let stored = text.get(citation.start as usize..citation.end as usize);
        let real = stored.is_some_and(|stored| stored.iter().copied().eq(citation.quote.chars()));
        let document = self.names.given(&citation.document, &citation.name);
        let place = Place::new(document, citation.start, citation.end, pages(citation.page, &citation.boxes));
        Ok(Cited { place, quote: citation.quote, real })
    }

    /// The canonical text of a document.
    fn text(&mut self, document: &str, ctx: &Context<'_>) -> Result<&[char]> {
        if !self.texts.contains_key(document) {
            if self.texts.len() >= TEXTS_MAX {
                self.texts.clear();
            }
            let text = self.appliance.document_text(&ctx.caller, document, None)?;
            self.texts.insert(document.to_owned(), text.chars().collect());
        }
        Ok(&self.texts[document])
    }
}

/// The pages that something lies on: where it begins, and those of its boxes.
fn pages(first: u32, boxes: &[[f32; 5]]) -> Vec<u32> {
    let mut pages: Vec<u32> = std::iter::once(first).chain(boxes.iter().map(|one| one[0] as u32)).collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}
