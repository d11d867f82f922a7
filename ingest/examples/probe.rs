//! Reads files and prints what `cloister extract` prints: a line of JSON for each page or failure.
//!
//! `probe [--in-process] [--passages] FILE...`; without `--in-process` each file is read by a child, as in the program.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for measuring, not part of the library")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cloister_ingest::{
    CutOptions, Page, PageOutcome, READER_SUBCOMMAND, ReadEvent, ReadLimits, ReaderCommand, cut, read_in_process,
    reader_main,
};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == READER_SUBCOMMAND) {
        std::process::exit(reader_main(&std::env::args().next_back().unwrap_or_default()));
    }
    let in_process = arguments.iter().any(|a| a == "--in-process");
    let passages = arguments.iter().any(|a| a == "--passages");
    let files = arguments.iter().filter(|a| !a.starts_with("--"));
    let command = ReaderCommand {
        executable: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("probe")),
        limits: ReadLimits::default(),
    };
    let (mut pages, started) = (0_usize, Instant::now());
    for file in files {
        pages += probe(Path::new(file), in_process, passages, &command);
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{pages} pages in {seconds:.2} s: {:.0} pages/s", pages as f64 / seconds);
}

fn probe(path: &Path, in_process: bool, passages: bool, command: &ReaderCommand) -> usize {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let started = Instant::now();
    let mut events = Vec::new();
    if in_process {
        let bytes = std::fs::read(path).unwrap_or_default();
        read_in_process(&bytes, &name, &command.limits, &mut |event| events.push(event));
    } else {
        let result = File::open(path).map_err(|e| e.to_string()).and_then(|file| {
            command.read(&file, &name, &|| false, &mut |event| events.push(event)).map_err(|e| e.to_string())
        });
        match result {
            Ok(report) => report.warnings.iter().for_each(|w| eprintln!("{name}: {w}")),
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let mut pages = Vec::new();
    for event in events {
        match event {
            ReadEvent::Page(page) => {
                if !passages {
                    println!("{}", line(&name, &page, ms));
                }
                pages.push(page);
            }
            ReadEvent::PageFailed { page, code, message } => {
                println!(
                    "{}",
                    json!({"file": name, "page": page, "error": {"code": code.as_str(), "message": message}, "ms": ms})
                );
            }
            ReadEvent::Failed { code, message } => {
                println!("{}", json!({"file": name, "error": {"code": code.as_str(), "message": message}, "ms": ms}));
            }
            ReadEvent::Attachment { name: attached, bytes } => {
                eprintln!("{name}: attachment {attached}, {} bytes", bytes.len());
            }
            ReadEvent::Started { .. } | ReadEvent::Finished { .. } => {}
        }
    }
    if passages {
        let words = |text: &str| text.split_whitespace().count() * 4 / 3;
        for p in cut(&pages, &CutOptions::default(), &words, &|| false).unwrap_or_default() {
            println!(
                "{}",
                json!({"file": name, "page": p.page, "start": p.start, "end": p.end, "path": p.heading_path, "text": p.text})
            );
        }
    }
    pages.len()
}

fn line(name: &str, page: &Page, ms: f64) -> Value {
    let blocks: Vec<Value> = page
        .blocks
        .iter()
        .map(|b| {
            let text: String = page.text.chars().skip(b.start as usize).take((b.end - b.start) as usize).collect();
            json!({"kind": b.kind.as_str(), "level": b.level, "text": text, "start": b.start, "end": b.end, "box": b.bounds})
        })
        .collect();
    let ocr = match &page.outcome {
        PageOutcome::NeedsOcr(reason) => Some(reason),
        PageOutcome::Text | PageOutcome::Empty | PageOutcome::Partial(_) => None,
    };
    json!({"file": name, "page": page.number, "place": page.place, "text": page.text, "width": page.width,
        "height": page.height, "blocks": blocks, "words": page.words, "ocr": ocr, "problems": page.problems, "ms": ms})
}
