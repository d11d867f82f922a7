//! The inputs that are kept of long fuzzing (`tools/fuzz.sh`), checked again on every toolchain. Those of the targets whose
//! inputs are recipes need libFuzzer's reader of them, and are run only there.

#[expect(unreachable_pub, reason = "the crate of the targets makes them public")]
#[path = "../../fuzz/src/checks/mod.rs"]
mod checks;

use std::path::Path;

/// Calls `check` with every kept input of a target.
fn replay(target: &str, least: usize, check: impl Fn(Vec<u8>)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= least, "{} inputs are kept for {target}", paths.len());
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(bytes)));
        assert!(checked.is_ok(), "{}", path.display());
    }
}

/// The text that a target of texts is given: the bytes up to the first that is no part of one.
fn text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

#[test]
fn files_of_any_bytes() {
    replay("gguf", 20, |bytes| checks::gguf::check(&bytes));
}

#[test]
fn packed_files_of_any_bytes() {
    replay("packed", 20, |bytes| checks::packed::check(&bytes));
}

#[test]
fn templates_of_any_text() {
    replay("template", 20, |bytes| checks::template::check(text(&bytes)));
}

#[test]
fn any_text_through_each_tokenizer() {
    replay("tokenizer", 20, |bytes| checks::tokenizer::check(text(&bytes)));
}
