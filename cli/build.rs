//! Tells the program for which machine it is built, and which texts and pictures go into its bundles.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Files of the repository that every bundle carries.
const FILES: [&str; 4] = ["ARCHITECTURE.md", "CHANGELOG.md", "README.md", "SECURITY.md"];
/// Folders whose files it carries, those in folders of theirs not.
const FOLDERS: [&str; 4] = ["docs", "docs/benchmarks", "docs/decisions", "docs/images"];

fn main() -> Result<(), Box<dyn Error>> {
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=CLOISTER_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let mut text = "const DOCUMENTS: &[(&str, &[u8])] = &[\n".to_owned();
    for path in documents(&root)? {
        let source = root.join(&path);
        let source = source.to_str().ok_or("the repository's path is not UTF-8")?;
        println!("cargo::rerun-if-changed={source}");
        writeln!(text, "    ({path:?}, include_bytes!({source:?})),")?;
    }
    text.push_str("];\n");
    Ok(fs::write(PathBuf::from(env::var("OUT_DIR")?).join("documents.rs"), text)?)
}

/// Paths in the repository, in order.
fn documents(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut paths: Vec<String> = FILES.map(str::to_owned).into();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
            if entry.file_type()?.is_file() && !name.starts_with('.') {
                paths.push(format!("{folder}/{name}"));
            }
        }
    }
    paths.sort();
    Ok(paths)
}
