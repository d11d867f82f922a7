//! Files and functions stay short enough to be read.

use cloister_tidy::{files, functions};

const FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_stay_under_a_thousand_lines() {
    let long: Vec<String> = files(&["rs", "ts", "svelte", "py", "mjs"])
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines: {long:#?}");
}

#[test]
fn functions_stay_under_seventy_lines() {
    let long: Vec<String> = files(&["rs"])
        .iter()
        .flat_map(|file| {
            functions(&file.text)
                .into_iter()
                .filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX)
                .map(|(name, line, lines)| format!("{}:{line} {name}: {lines} lines", file.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(long.is_empty(), "over {FUNCTION_LINES_MAX} lines: {long:#?}");
}
