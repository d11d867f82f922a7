//! What may stand where: unfinished work nowhere, unsafe code and SQL in their rooms, printing and the world only at the edge.

use cloister_tidy::{SourceFile, files};

/// Rooms below the command line: they print nothing and read neither environment nor wall clock.
const BELOW_CLI: [&str; 6] = ["ingest", "engine", "index", "airgap", "appliance", "web"];

/// Places in shipped code (not in tests, examples, benches or fuzz targets) that hold one of `words` and that `applies` picks.
fn places(words: &[&str], applies: impl Fn(&SourceFile) -> bool) -> Vec<String> {
    files(&["rs"])
        .iter()
        .filter(|file| file.path.contains("/src/") && !file.path.starts_with("tidy/") && applies(file))
        .flat_map(|file| {
            file.shipped_lines()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
                .map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}: {found:#?}");
}

#[test]
fn nothing_is_left_unfinished() {
    none("unfinished", &places(&["todo!", "unimplemented!", "FIXME", "XXX"], |_| true));
}

#[test]
fn sql_stays_in_index_and_audit() {
    let words = ["SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE"];
    none("SQL", &places(&words, |file| file.room() != "index" && !file.path.starts_with("airgap/src/audit")));
}

#[test]
fn only_the_command_line_prints() {
    let words = ["println!", "eprintln!", "print!(", "eprint!("];
    none("printing", &places(&words, |file| BELOW_CLI.contains(&file.room())));
}

#[test]
fn only_the_command_line_reads_environment_home_and_wall_clock() {
    let words = ["env::var", "env::args", "home_dir", "SystemTime::now", "now_utc()", "now_local()"];
    none("the world outside", &places(&words, |file| BELOW_CLI.contains(&file.room())));
}

#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    const ALLOWED: [&str; 8] = [
        "engine/src/kernels/",
        "engine/src/quant/pack",
        "engine/src/pool",
        "engine/src/attention",
        "engine/src/mmap",
        "index/src/vectors/kernels",
        "index/src/vectors/map",
        "ingest/src/reader/",
    ];
    let allowed = |path: &str| ALLOWED.iter().any(|room| path.starts_with(room));
    let words = ["unsafe {", "unsafe fn", "unsafe impl"];
    none("unsafe code", &places(&words, |file| !allowed(&file.path)));
}

#[test]
fn no_path_of_a_machine() {
    // Spelled in two halves, so that this file does not hold what it looks for.
    let words = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let found: Vec<String> = files(&["rs", "ts", "svelte", "mjs", "py", "sh", "md", "toml", "json", "yml"])
        .iter()
        .flat_map(|file| {
            file.text
                .lines()
                .enumerate()
                .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
                .map(|(idx, line)| {
                    format!("{}:{}: {}", file.path, idx + 1, line.trim().chars().take(100).collect::<String>())
                })
                .collect::<Vec<_>>()
        })
        .collect();
    none("paths of a machine", &found);
}
