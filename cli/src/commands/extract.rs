//! `extract`: files through the reader child, a line a page.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use cloister_appliance::ingest::{Page, PageOutcome, ReadEvent, ReadLimits, ReaderCommand};
use serde_json::{Value, json};

use crate::args::ExtractArgs;
use crate::context::{Context, Outcome};

pub(super) fn run(args: &ExtractArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let reader = reader()?;
    let mut failed = false;
    for file in &args.files {
        failed |= !extract(&reader, file, ctx)?;
    }
    Ok(Outcome::of(failed))
}

/// The reader child as this program starts it.
pub(super) fn reader() -> Result<ReaderCommand> {
    let executable = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(ReaderCommand { executable, limits: ReadLimits::default() })
}

/// Reads one file; false when the file or a page of it failed.
fn extract(reader: &ReaderCommand, file: &Path, ctx: &mut Context<'_>) -> Result<bool> {
    let path = ctx.path(file);
    let opened = match File::open(&path) {
        Ok(opened) => opened,
        Err(error) => {
            fault(file, None, "damaged", &format!("cannot open it: {error}"), ctx)?;
            return Ok(false);
        }
    };
    let (mut whole, mut written) = (true, Ok(()));
    let cancel = ctx.cancel.clone();
    reader.read(&opened, &path.to_string_lossy(), &|| cancel.is_cancelled(), &mut |event| {
        if written.is_err() {
            return;
        }
        written = match event {
            ReadEvent::Page(page) => tell_page(file, &page, ctx),
            ReadEvent::PageFailed { page, code, message } => {
                whole = false;
                fault(file, Some(page), code.as_str(), &message, ctx)
            }
            ReadEvent::Failed { code, message } => {
                whole = false;
                fault(file, None, code.as_str(), &message, ctx)
            }
            ReadEvent::Attachment { name, bytes } => {
                ctx.note(format!("{}: carries {name} ({} bytes)", file.display(), bytes.len()));
                Ok(())
            }
            ReadEvent::Started { .. } | ReadEvent::Finished { .. } => Ok(()),
        };
    })?;
    written.map(|()| whole)
}

fn tell_page(file: &Path, page: &Page, ctx: &mut Context<'_>) -> Result<()> {
    ctx.give(&page_line(file, page), || page.text.clone())
}

fn page_line(file: &Path, page: &Page) -> Value {
    let chars: Vec<char> = page.text.chars().collect();
    let blocks: Vec<Value> = page
        .blocks
        .iter()
        .map(|block| {
            let text: String = chars.get(block.start as usize..block.end as usize).unwrap_or_default().iter().collect();
            let bounds = block.bounds.map(|[x0, y0, x1, y1]| json!([page.number, x0, y0, x1, y1]));
            json!({"kind": block.kind.as_str(), "level": block.level, "text": text, "start": block.start, "end": block.end, "box": bounds})
        })
        .collect();
    let mut problems = page.problems.clone();
    if let PageOutcome::NeedsOcr(reason) = &page.outcome {
        problems.push(format!("needs OCR: {reason}"));
    }
    json!({
        "file": file, "page": page.number, "place": page.place, "text": page.text, "width": page.width, "height": page.height,
        "blocks": blocks, "ocr": matches!(page.outcome, PageOutcome::NeedsOcr(_)).then_some("needed"), "problems": problems,
    })
}

fn fault(file: &Path, page: Option<u32>, code: &str, message: &str, ctx: &mut Context<'_>) -> Result<()> {
    if ctx.json {
        return ctx.line(&json!({"file": file, "page": page, "error": {"code": code, "message": message}}));
    }
    let place = page.map(|page| format!(", page {page}")).unwrap_or_default();
    ctx.note(format!("error: {}{place}: {code}: {message}", file.display()));
    Ok(())
}
