//! The shared corpus, where it lies beside the repository: nothing crashes, everything ends with a word.

use std::fs::File;
use std::path::{Path, PathBuf};

use cloister_ingest::{FaultCode, ReadLimits, ReaderCommand};

use crate::make::Told;

/// Files of a folder of the corpus; none, and a line, where it is not there.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus").join(folder);
    let Ok(entries) = std::fs::read_dir(&root) else {
        println!("passed over: corpus/{folder} (it is not beside the repository)");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Told {
    let limits = ReadLimits { page_ms: 3_000, total_ms: 60_000, ..ReadLimits::default() };
    let command = ReaderCommand { executable: PathBuf::from(env!("CARGO_BIN_EXE_ingest-test-child")), limits };
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut told = Told::default();
    let file = File::open(path).expect("a file of the corpus can be opened");
    command.read(&file, &name, &|| false, &mut |event| told.take(event)).expect("the child starts");
    told
}

#[test]
fn hostile_and_broken_files_end_with_a_word() {
    for folder in ["broken", "bomb"] {
        for path in files(folder) {
            let told = read(&path);
            assert!(told.fault.is_some() != told.finished.is_some(), "{} has one end", path.display());
            assert_ne!(told.code(), Some(FaultCode::Crashed), "{}: {told:?}", path.display());
            let shown: String = told.pages.iter().map(|p| p.text.as_str()).collect();
            let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
            assert!(host.trim().len() < 4 || !shown.contains(host.trim()), "{} shows a local file", path.display());
        }
    }
}

#[test]
fn sealed_files_ask_for_a_password_or_open_without_one() {
    for path in files("encrypted") {
        let told = read(&path);
        let opened = told.pages.iter().any(|page| page.text.chars().filter(|c| c.is_alphabetic()).count() > 20);
        assert!(told.code() == Some(FaultCode::Encrypted) || opened, "{}: {told:?}", path.display());
    }
}

#[test]
fn files_with_text_give_text() {
    for path in files("text") {
        let told = read(&path);
        assert!(told.fault.is_none() && !told.pages.is_empty(), "{}: {:?}", path.display(), told.fault);
        assert!(told.failed_pages.is_empty(), "{}: {:?}", path.display(), told.failed_pages);
        for page in &told.pages {
            for word in &page.words {
                let on_page = word.x1 > -20.0 && word.x0 < page.width + 20.0;
                assert!(word.x0 <= word.x1 && word.y0 <= word.y1, "{} page {}", path.display(), page.number);
                assert!(on_page || page.text.len() > 1, "{} page {}", path.display(), page.number);
            }
        }
    }
}
