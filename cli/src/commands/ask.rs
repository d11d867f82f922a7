//! `ask`: a cited answer, or a line a question.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cloister_appliance::{Appliance, AskEvent, Question};
use cloister_web::wire::Answer;

use crate::args::{AskArgs, QuestionLine};
use crate::context::{Context, Outcome, count};
use crate::lines;

pub(super) fn run(args: &AskArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    if let Some(file) = &args.questions {
        return batch(file, args, appliance, ctx);
    }
    let text = args.question.clone().unwrap_or_default();
    let question = question(args, args.collection.clone(), args.documents.clone(), text, ctx);
    let answer = ask(&question, appliance, ctx)?;
    ctx.give(&answer, || in_words(&answer))?;
    Ok(Outcome::Done)
}

fn question(
    args: &AskArgs,
    collection: Option<String>,
    documents: Vec<String>,
    text: String,
    ctx: &Context<'_>,
) -> Question {
    let model = args.model.as_deref().map(|model| ctx.model(model));
    Question { collection, documents, text, model, passages: args.passages.unwrap_or_default() }
}

fn ask(question: &Question, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Answer> {
    let (caller, cancel, terminal) = (ctx.caller.clone(), ctx.cancel.clone(), ctx.terminal && !ctx.json);
    let answer = appliance.ask(&caller, question, &cancel, &mut |event| {
        if let (true, AskEvent::Retrieved { passages, .. }) = (terminal, event) {
            ctx.note(format!("{} found, reading …", count(passages.len() as u64, "passage", "passages")));
        }
    })?;
    Ok(Answer::from(answer))
}

fn batch(file: &Path, args: &AskArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let mut number = 0;
    lines::carry_out(ctx.lines(file)?, ctx, |line: QuestionLine, ctx| {
        number += 1;
        if ctx.terminal {
            ctx.note(format!("question {number}"));
        }
        let collection = line.collection.or_else(|| args.collection.clone());
        let question = question(args, collection, line.documents, line.question, ctx);
        Ok(Some(serde_json::to_value(ask(&question, appliance, ctx)?)?))
    })
}

fn in_words(answer: &Answer) -> String {
    let mut text = match answer.state.as_str() {
        "answered" => answer.answer.clone(),
        "related" => "Passages with related words were found, but none answers the question.".to_owned(),
        "unread" => "The pages that could be read do not say; part of the scope could not be read.".to_owned(),
        _ => "No passage that shares a word with the question was found.".to_owned(),
    };
    for citation in &answer.citations {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n\n[{}] {}, page {}\n    “{}”",
            citation.marker, citation.name, citation.page, citation.quote
        );
    }
    if answer.withheld > 0 {
        let _ = write!(
            text,
            "\n\n{} withheld because no quote supports {}.",
            count(answer.withheld as u64, "sentence was", "sentences were"),
            if answer.withheld == 1 { "it" } else { "them" }
        );
    }
    // Passages without any word of the question are near to it in no sense that a reader would see.
    if answer.citations.is_empty() && answer.state != "nothing" {
        text.push('\n');
        for passage in answer.passages.iter().take(3) {
            let _ = write!(text, "\nnearest: {}, page {}", passage.name, passage.page);
        }
    }
    if !answer.coverage.unread.is_empty() {
        text.push('\n');
    }
    for page in &answer.coverage.unread {
        let place = if page.page == 0 { String::new() } else { format!(", page {}", page.page) };
        let _ = write!(text, "\nunread: {}{place}: {}", page.name, page.reason);
    }
    let _ = write!(text, "\n\nreceipt {}", answer.audit);
    text
}
