//! Embeds the built page: writes a table of every file under `ui/dist` for `src/page.rs` to include.
//!
//! Where `ui/dist` has not been built, the table holds one page that says what to run, so that the crate compiles on a
//! machine without Node.js.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// More files than this under `ui/dist` mean that something other than the page was put there.
const FILES_MAX: usize = 2_000;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets the manifest's folder"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets the output folder"));
    let dist = root.join("ui/dist");
    println!("cargo::rerun-if-changed=build.rs");
    let table = if dist.join("index.html").is_file() {
        println!("cargo::rerun-if-changed=ui/dist");
        table_of(&dist, &files_under(&dist)?)?
    } else {
        println!("cargo::rerun-if-changed=ui");
        println!("cargo::rerun-if-changed=src/unbuilt.html");
        table_of(&root.join("src"), &[root.join("src/unbuilt.html")])?.replace("\"unbuilt.html\"", "\"index.html\"")
    };
    fs::write(out.join("page.rs"), table)
}

/// All files below `folder`, sorted, without source maps and the compressed twins.
fn files_under(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !["map", "gz", "br"].iter().any(|left_out| extension(&path) == *left_out) {
                found.push(path);
            }
        }
    }
    assert!(found.len() <= FILES_MAX, "ui/dist holds {} files, at most {FILES_MAX} are embedded", found.len());
    found.sort();
    Ok(found)
}

fn table_of(root: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut table = String::from("pub(crate) static FILES: &[PageFile] = &[\n");
    for file in files {
        let bytes = fs::read(file)?;
        let relative = file.strip_prefix(root).expect("the file was found below the root");
        let path = relative.to_str().expect("names in ui/dist are UTF-8").replace('\\', "/");
        let source = file.to_str().expect("the source folder's path is UTF-8");
        let compressed = format!("{source}.gz");
        let gzip = if Path::new(&compressed).is_file() {
            format!("Some(include_bytes!({compressed:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            table,
            "PageFile {{ path: {path:?}, content_type: {:?}, immutable: {}, etag: {:?}, bytes: include_bytes!({source:?}), gzip: {gzip} }},",
            content_type(extension(file)),
            is_hashed(&path),
            etag(&bytes),
        )
        .expect("writing to a string cannot fail");
    }
    table.push_str("];\n");
    Ok(table)
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Whether the name holds a content hash: Vite puts `-` and eight characters before the extension under `assets/`.
fn is_hashed(path: &str) -> bool {
    let Some(name) = path.strip_prefix("assets/") else {
        return false;
    };
    let stem = name.split('.').next().unwrap_or_default();
    let hash = stem.get(stem.len().saturating_sub(8)..).unwrap_or_default();
    stem.len() > 9
        && stem.as_bytes()[stem.len() - 9] == b'-'
        && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn etag(bytes: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(bytes)[..16] {
        write!(tag, "{byte:02x}").expect("writing to a string cannot fail");
    }
    tag.push('"');
    tag
}
