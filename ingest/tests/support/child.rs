//! The reader child of the tests: the real one, or, called by another name, one that misbehaves.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cloister_ingest::{Page, reader_main};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let own = std::env::args().next().unwrap_or_default();
    let name = Path::new(&own).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    match name.as_str() {
        "garbage" => write(&vec![0x79; 100_000]),
        "hangs" => loop {
            std::thread::park();
        },
        "dies" => return ExitCode::from(3),
        "dies-within-a-frame" => write(&[2, 200, 0, 0, 0, 0, 0, 0, 0, b'{']),
        "lies" => pages(&[1], |_| Page::flowing(9, "a page that never began".to_owned(), Vec::new())),
        "boasts" => {
            frame(1, &json!({"started": {"format": "pdf", "pages": 4_000_000_000_u32, "title": null}}));
            frame(1, &json!({"finished": {"pages": 4_000_000_000_u32}}));
        }
        "breaks-at-2" => breaks_at_2(),
        "hangs-at-2" => hangs_at_2(),
        _ => return ExitCode::from(reader_main(&std::env::args().next_back().unwrap_or_default()) as u8),
    }
    ExitCode::SUCCESS
}

fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // The parent may have closed the pipe already, which is what some tests are about.
    let _closed = out.write_all(bytes).and_then(|()| out.flush());
}

fn frame(kind: u8, body: &Value) {
    let body = body.to_string();
    write(&[&[kind][..], &(body.len() as u64).to_le_bytes(), body.as_bytes()].concat());
}

fn sound(number: u32) -> Page {
    Page::flowing(number, format!("page {number}"), Vec::new())
}

fn begin(number: u32) {
    frame(1, &json!({"begins": {"page": number}}));
}

fn pages(numbers: &[u32], page: impl Fn(u32) -> Page) {
    frame(1, &json!({"started": {"format": "pdf", "pages": 4, "title": null}}));
    for number in numbers {
        begin(*number);
        frame(2, &serde_json::to_value(page(*number)).unwrap_or_default());
    }
}

/// Pages of the order that are still to be read, of four.
fn ordered() -> Vec<u32> {
    let order: Value = std::env::args().next_back().and_then(|o| serde_json::from_str(&o).ok()).unwrap_or_default();
    let first = order["selection"]["first"].as_u64().unwrap_or(1) as u32;
    let skipped: Vec<u64> =
        order["selection"]["skipped"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    (first.max(1)..=4).filter(|n| !skipped.contains(&u64::from(*n))).collect()
}

fn breaks_at_2() {
    let all = ordered();
    let before: Vec<u32> = all.iter().copied().take_while(|n| *n != 2).collect();
    pages(&before, sound);
    if all.contains(&2) {
        begin(2);
        std::process::abort();
    }
    frame(1, &json!({"finished": {"pages": 4}}));
}

fn hangs_at_2() {
    let all = ordered();
    let before: Vec<u32> = all.iter().copied().take_while(|n| *n != 2).collect();
    pages(&before, sound);
    if all.contains(&2) {
        begin(2);
        loop {
            std::thread::park();
        }
    }
    frame(1, &json!({"finished": {"pages": 4}}));
}
