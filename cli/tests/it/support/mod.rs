//! A data directory with the binary over it, a server, and a small HTTP client.

mod http;
mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) use http::Http;
pub(crate) use server::Server;

/// Answers questions in tests.
pub(crate) const GENERATOR: &str = "smollm2-135m-instruct-q4_1";

/// Embeds passages in tests.
pub(crate) const EMBEDDER: &str = "all-minilm-l6-v2";

/// A data directory of its own, removed at the end.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    models: PathBuf,
}

impl Home {
    /// Without models: keyword search alone.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("no-models");
        Self { dir, models }
    }

    /// With the models of the tests, or `None` and a line that says so.
    pub(crate) fn with_models(test: &str) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let models = std::env::var_os("CLOISTER_TEST_MODELS").map_or(here, PathBuf::from);
        for id in [GENERATOR, EMBEDDER] {
            if !models.join(id).is_dir() {
                eprintln!("passed over: {test} (the model {id} is not in {})", models.display());
                return None;
            }
        }
        Some(Self { models, ..Self::bare() })
    }

    /// The folder around the data directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The GGUF file of the model that answers.
    pub(crate) fn generator_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.models.join(GENERATOR)).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|end| end == "gguf")).unwrap()
    }

    /// Writes a file below the folder and gives its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary on this data directory, with `--json`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.current_dir(self.path()).arg("--json").arg("--data").arg(self.data());
        command.arg("--models").arg(&self.models).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Runs a command that must do all of its work, and gives its lines.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        self.run(arguments).done().lines()
    }

    /// What a command that does all of its work says to a person.
    #[track_caller]
    pub(crate) fn plain(&self, arguments: &[&str]) -> String {
        let mut command = binary();
        command.current_dir(self.path()).arg("--data").arg(self.data()).arg("--models").arg(&self.models);
        command.args(arguments);
        Ran::of(command).done().stdout().to_owned()
    }

    /// Runs a command whose one line is asked for.
    pub(crate) fn line(&self, arguments: &[&str]) -> Value {
        let mut lines = self.lines(arguments);
        assert_eq!(lines.len(), 1, "{arguments:?} gave {lines:?}");
        lines.remove(0)
    }

    /// Runs a command with something on its standard input.
    pub(crate) fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that refuses its arguments does not read on.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran(child.wait_with_output().unwrap())
    }

    /// `doctor` finds nothing wrong, but for models that the tests do without.
    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let checks = self.run(&["doctor"]).lines();
        // The default generator is large and need not be at hand; without models there are no vectors either.
        let bare = self.models.starts_with(self.path());
        let excused = |check: &Value| {
            let detail = check["detail"].as_str().unwrap();
            let lacks_generator = check["name"] == "model generator" && detail.contains("it is not here");
            lacks_generator || (bare && (detail.contains("it is not here") || detail.contains("without a vector")))
        };
        let wrong: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false && !excused(check)).collect();
        assert!(checks.len() > 8 && wrong.is_empty(), "{wrong:#?}");
    }

    /// The canonical text, as characters.
    pub(crate) fn text(&self, document: &str) -> Vec<char> {
        let line = self.line(&["document", "text", document]);
        line["text"].as_str().unwrap().chars().collect()
    }
}

/// The binary that these tests were built with, in no directory in particular.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloister"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A command that has ended.
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        Self(command.output().unwrap())
    }

    pub(crate) fn of_child(child: Child) -> Self {
        Self(child.wait_with_output().unwrap())
    }

    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().expect("it was not ended by a signal")
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).unwrap()
    }

    /// All of it was done.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.ended(0)
    }

    /// Ended with this exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
        self
    }

    /// Says this on standard error.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.stderr().contains(words), "{words:?} is not in:\n{}", self.stderr());
        self
    }

    /// Standard output, each line a JSON object.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let lines: Vec<Value> = self.stdout().lines().map(parse).collect();
        assert!(lines.iter().all(Value::is_object), "{}", self.stdout());
        lines
    }
}

/// The folder of sample documents.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/documents").canonicalize().unwrap()
}

/// The names of the sample documents, in order.
pub(crate) fn sample_names() -> Vec<String> {
    let entries = std::fs::read_dir(samples()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

/// The field of each line, as texts.
pub(crate) fn column<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}"))).collect()
}

/// An object's keys, in order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A path as an argument.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether `quoted` stands at `start..end` in a text.
pub(crate) fn stands(text: &[char], value: &Value, field: &str) -> bool {
    let offset = |name: &str| usize::try_from(value[name].as_u64().unwrap()).unwrap();
    let stored: String = text[offset("start")..offset("end")].iter().collect();
    Some(stored.as_str()) == value[field].as_str()
}

/// Whether a document of this name has a layout.
pub(crate) fn is_pdf(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "pdf")
}
