//! `ingest`: files and folders in, a line a file out.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use cloister_appliance::{Appliance, IngestEvent, IngestResult, IngestTotal, UploadOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::args::IngestArgs;
use crate::context::{Context, Outcome, count, given_up};

pub(super) fn run(args: &IngestArgs, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let paths: Vec<_> = args.paths.iter().map(|path| ctx.path(path)).collect();
    let options = UploadOptions { keep_duplicates: args.keep_duplicates };
    let (caller, cancel) = (ctx.caller.clone(), ctx.cancel.clone());
    let bar = progress(ctx.terminal);
    let (mut written, mut made) = (Ok(()), false);
    let total =
        appliance.ingest_paths(&caller, &args.collection, &paths, &options, &cancel, &mut |event| match event {
            IngestEvent::CollectionMade { name } => {
                made = true;
                ctx.note(format!("new collection: {name}"));
            }
            IngestEvent::Found { files } => bar.set_length(files as u64),
            IngestEvent::Progress(job) => {
                let pages = job.pages.map(|pages| format!(" of {pages}")).unwrap_or_default();
                bar.set_message(format!("{}: {} page {}{pages}", job.name, job.state.as_str(), job.page));
            }
            IngestEvent::File(result) => {
                bar.inc(1);
                let line = bar.suspend(|| ctx.give(&result_line(&result), || result_text(&result)));
                if let Err(error) = line {
                    // Nobody reads the lines any more: stop after what is under way.
                    cancel.cancel();
                    written = Err(given_up(error));
                }
            }
        });
    bar.finish_and_clear();
    written?;
    let total = total?;
    ctx.give(&json!({"total": total_line(&total, made)}), || total_text(&total))?;
    Ok(Outcome::of(total.failed > 0))
}

/// A bar on standard error, hidden when no terminal looks on.
fn progress(terminal: bool) -> ProgressBar {
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{pos}/{len} files  {elapsed}  {wide_msg}");
    ProgressBar::with_draw_target(Some(0), target)
        .with_style(style.expect("the template is a constant that indicatif knows"))
}

fn result_line(result: &IngestResult) -> Value {
    json!({
        "file": result.file,
        "name": result.name,
        "document": result.document,
        "status": result.status,
        "pages": result.pages,
        "passages": result.passages,
        "seconds": rounded(result.seconds),
        "error": result.error.as_ref().map(|fault| json!({"code": fault.code, "message": fault.message})),
        "gaps": result.gaps.iter().map(|gap| json!({"page": gap.page, "reason": gap.reason})).collect::<Vec<_>>(),
    })
}

fn result_text(result: &IngestResult) -> String {
    let mut text =
        format!("{:9}  {}  {}, {}", result.status, result.name, pages(result.pages), passages(result.passages));
    if let Some(fault) = &result.error {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n           {}: {}", fault.code, fault.message);
    }
    for gap in &result.gaps {
        let _ = write!(text, "\n           {}{}", page(gap.page), gap.reason);
    }
    text
}

fn total_line(total: &IngestTotal, made: bool) -> Value {
    json!({
        "files": total.files, "added": total.added, "unchanged": total.unchanged, "updated": total.updated,
        "duplicate": total.duplicate, "partial": total.partial, "failed": total.failed,
        "pages": total.pages, "passages": total.passages, "seconds": rounded(total.seconds), "new_collection": made,
    })
}

fn total_text(total: &IngestTotal) -> String {
    format!(
        "{}: {} added, {} updated, {} unchanged, {}, {} with gaps, {} failed; {}, {} in {:.1} s",
        count(total.files as u64, "file", "files"),
        total.added,
        total.updated,
        total.unchanged,
        count(total.duplicate as u64, "duplicate", "duplicates"),
        total.partial,
        total.failed,
        pages(total.pages),
        passages(total.passages),
        total.seconds
    )
}

fn pages(number: impl Into<u64>) -> String {
    count(number, "page", "pages")
}

fn passages(number: impl Into<u64>) -> String {
    count(number, "passage", "passages")
}

/// Where a gap is; none of a document as a whole, which has no page 0.
fn page(number: u32) -> String {
    if number == 0 { String::new() } else { format!("page {number}: ") }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
