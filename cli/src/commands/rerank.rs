//! `rerank`: scores of passages beside a query.

use anyhow::Result;
use cloister_appliance::engine::Reranker;
use serde::Deserialize;
use serde_json::json;

use super::text::resolve;
use crate::args::{Global, RerankArgs};
use crate::context::{Context, Outcome};
use crate::lines::{self, Lines};
use crate::outside;

/// A query and the passages to be scored for it.
#[derive(Deserialize)]
struct RerankLine {
    query: String,
    passages: Vec<String>,
}

/// One line out for each line in, with a score for each passage in their order.
pub(super) fn run(global: &Global, args: &RerankArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let reranker = Reranker::load(&resolve(global, &args.model)?, outside::threads(global))?;
    let stdin = std::mem::replace(&mut ctx.stdin, Box::new(std::io::empty()));
    let lines = Lines::new(std::io::BufReader::new(stdin));
    lines::carry_out(lines, ctx, |line: RerankLine, ctx| {
        ctx.cancel.check()?;
        let passages: Vec<&str> = line.passages.iter().map(String::as_str).collect();
        Ok(Some(json!({"scores": reranker.score(&line.query, &passages)?})))
    })
}
