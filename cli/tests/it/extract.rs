//! `extract`: a line a page, a line a fault.

use serde_json::Value;

use crate::support::{Home, Ran, binary, column, is_pdf, keys, sample_names, samples, stands, word};

const PAGE_KEYS: [&str; 9] = ["blocks", "file", "height", "ocr", "page", "place", "problems", "text", "width"];

fn check_page(line: &Value, number: u64) {
    assert_eq!(keys(line), PAGE_KEYS);
    assert_eq!(line["page"].as_u64(), Some(number));
    let text: Vec<char> = line["text"].as_str().unwrap().chars().collect();
    let blocks = line["blocks"].as_array().unwrap();
    assert!(!blocks.is_empty() || text.is_empty(), "a page with text has blocks: {line}");
    let has_layout = line["width"].as_f64().unwrap() > 0.0;
    for block in blocks {
        assert!(stands(&text, block, "text"), "{block}");
        assert!(block["kind"].as_str().is_some_and(|kind| !kind.is_empty()), "{block}");
        if has_layout {
            check_box(&block["box"], line, number);
        }
    }
}

/// `[page, x0, y0, x1, y1]`, within the page.
fn check_box(bounds: &Value, line: &Value, number: u64) {
    let numbers: Vec<f64> = bounds.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    let [page, x0, y0, x1, y1] = numbers[..] else { panic!("{bounds}") };
    let (width, height) = (line["width"].as_f64().unwrap(), line["height"].as_f64().unwrap());
    assert!((page - number as f64).abs() < f64::EPSILON, "{bounds}");
    assert!(
        0.0 <= x0 && x0 < x1 && x1 <= width && 0.0 <= y0 && y0 < y1 && y1 <= height,
        "{bounds} in {width} x {height}"
    );
}

#[test]
fn every_sample_gives_its_pages() {
    let home = Home::bare();
    for name in sample_names() {
        let path = samples().join(&name);
        let lines = home.lines(&["extract", word(&path)]);
        assert!(!lines.is_empty(), "{name} has no page");
        for (idx, line) in lines.iter().enumerate() {
            check_page(line, idx as u64 + 1);
            assert_eq!(line["file"].as_str(), path.to_str());
            assert!(!is_pdf(&name) || line["width"].as_f64() > Some(100.0), "{name} has no layout");
        }
    }
    assert!(!home.data().exists(), "extract stores nothing");
}

#[test]
fn a_text_file_is_one_page_with_its_own_text() {
    let home = Home::bare();
    let file = home.write("note.txt", "First line, ünïcode.\r\n\r\nSecond paragraph 🌍.\r\n");
    let page = home.line(&["extract", word(&file)]);
    assert_eq!(page["text"], "First line, ünïcode.\n\nSecond paragraph 🌍.\n");
    assert_eq!(column(page["blocks"].as_array().unwrap(), "text"), ["First line, ünïcode.", "Second paragraph 🌍."]);
}

#[test]
fn a_bad_file_is_told_and_the_others_are_read() {
    let home = Home::bare();
    let whole = std::fs::read(samples().join("records-retention-policy.pdf")).unwrap();
    let cut = home.write("cut.pdf", &whole[..400]);
    let empty = home.write("empty.txt", "");
    let good = home.write("good.txt", "All is well.");
    let unknown = home.write("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0");
    let missing = home.path().join("missing.pdf");
    let ran = home.run(&["extract", word(&cut), word(&empty), word(&unknown), word(&missing), word(&good)]).ended(1);
    let lines = ran.lines();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let codes: Vec<_> = lines.iter().map(|line| line["error"]["code"].as_str()).collect();
    assert_eq!(codes, [Some("damaged"), Some("empty"), Some("unsupported"), Some("damaged"), None]);
    for line in &lines[..4] {
        assert_eq!(keys(line), ["error", "file", "page"]);
        assert!(!line["error"]["message"].as_str().unwrap().is_empty(), "{line}");
    }
    check_page(&lines[4], 1);
}

#[test]
fn without_json_the_text_is_shown_and_faults_go_to_standard_error() {
    let home = Home::bare();
    let (good, empty) = (home.write("good.txt", "All is well."), home.write("empty.txt", ""));
    let mut command = binary();
    command.args(["extract", word(&good), word(&empty)]);
    let ran = Ran::of(command).ended(1).says("empty.txt: empty:");
    assert_eq!(ran.stdout(), "All is well.\n");
}
