//! House rules that a compiler does not know: which room may know which, how long a file or a function may grow, what may stand
//! where. The rules themselves are tests (`tidy/tests/it`); this library holds the reading of the source tree that they share.
//!
//! It reads files as text. It does not parse Rust: functions are found by the indentation that rustfmt gives them, which is
//! enough as long as `make check` demands rustfmt.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file of the repository: its path relative to the root and its text.
pub struct SourceFile {
    /// Relative to the repository's root, with `/` between parts.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// The room (top folder) in which the file lies.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The lines in front of an inline test module, numbered from 1.
    pub fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(idx, line)| (idx + 1, line))
            .take_while(|(_, line)| line.trim_end() != "#[cfg(test)]")
    }
}

/// The repository's root folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the repository with one of the `extensions`, leaving out what is built or fetched.
pub fn files(extensions: &[&str]) -> Vec<SourceFile> {
    const LEFT_OUT: [&str; 8] = ["target", "node_modules", ".git", ".tools", "models", "data", "dist", "corpus"];
    let root = repository();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !LEFT_OUT.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ext| extensions.iter().any(|known| ext == *known)) {
                let relative = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push(SourceFile { path: relative, text });
                }
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// The functions of a rustfmt-formatted file: name, line number of the signature, number of lines to the closing brace.
pub fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (idx, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let end = lines[idx..].iter().position(|candidate| {
            *candidate == closing
                || (candidate.starts_with(indent)
                    && candidate.ends_with(';')
                    && candidate.trim_start() == line.trim_start())
        });
        if let Some(length) = end {
            found.push((name, idx + 1, length + 1));
        }
    }
    found
}

/// The name of the function that a line opens, if it opens one with a body of its own on later lines.
fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    if rest.ends_with('}') || rest.ends_with(';') || rest.starts_with("//") {
        return None;
    }
    loop {
        let before = rest;
        for word in ["pub ", "async ", "const ", "unsafe ", "extern \"C\" "] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if let Some(inside) = rest.strip_prefix("pub(") {
            rest = inside.split_once(") ")?.1;
        }
        if rest == before {
            break;
        }
    }
    let name = rest.strip_prefix("fn ")?;
    Some(name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}
