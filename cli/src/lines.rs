//! Batches: JSON Lines in, one line out for each, a line that fails told as `{id, error}` while the rest is finished.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::context::{Context, Outcome, ReaderGone, with_causes};

/// Bytes that a line may have.
const LINE_BYTES_MAX: usize = 16 << 20;

/// One line of a batch: what it asks, or why that cannot be known.
#[derive(Debug)]
pub(crate) struct Line<T> {
    /// As the line gives it; null where it could not be read.
    pub(crate) id: Value,
    pub(crate) asked: Result<T>,
}

/// The lines of an input, read as they are asked for; empty ones are passed over. An input that cannot be read on ends with a
/// line that says so.
pub(crate) struct Lines<R, T> {
    input: R,
    number: usize,
    ended: bool,
    asked: PhantomData<fn() -> T>,
}

impl<R, T> Lines<R, T> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, number: 0, ended: false, asked: PhantomData }
    }
}

impl<R: Read, T> Lines<BufReader<R>, T> {
    /// Whether the next line is here already, so that it can be had without waiting.
    pub(crate) fn is_ready(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }
}

impl<R: BufRead, T: DeserializeOwned> Lines<R, T> {
    /// The bytes of the next line, `None` at the end. Of a line that is too long no more than the limit is held.
    fn bytes(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let count = self.input.by_ref().take(limit).read_until(b'\n', &mut line).inspect_err(|_| self.ended = true)?;
        if count > LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            self.input.skip_until(b'\n').inspect_err(|_| self.ended = true)?;
            bail!("it has more than {LINE_BYTES_MAX} bytes");
        }
        Ok((count > 0).then_some(line))
    }

    fn parse(&self, bytes: &[u8]) -> Line<T> {
        let at = || format!("line {}", self.number);
        let value = match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Line { id: Value::Null, asked: Err(anyhow!("not a JSON object").context(at())) },
            Err(error) => return Line { id: Value::Null, asked: Err(anyhow!("not JSON: {error}").context(at())) },
        };
        let Some(id) = value.get("id").cloned() else {
            return Line { id: Value::Null, asked: Err(anyhow!("it has no id").context(at())) };
        };
        Line { id, asked: serde_json::from_value(Value::Object(value)).with_context(at) }
    }
}

impl<R: BufRead, T: DeserializeOwned> Iterator for Lines<R, T> {
    type Item = Line<T>;

    fn next(&mut self) -> Option<Line<T>> {
        while !self.ended {
            self.number += 1;
            match self.bytes() {
                Ok(None) => self.ended = true,
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Some(line)) => return Some(self.parse(&line)),
                Err(error) => {
                    let asked = Err(error.context(format!("line {} cannot be read", self.number)));
                    return Some(Line { id: Value::Null, asked });
                }
            }
        }
        None
    }
}

impl Context<'_> {
    /// The lines of a JSON Lines file.
    pub(crate) fn lines<T: DeserializeOwned>(&self, path: &Path) -> Result<Lines<BufReader<File>, T>> {
        let path = self.path(path);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Lines::new(BufReader::new(file)))
    }

    /// As [`Context::lines`], for work that needs every line.
    pub(crate) fn all_lines<T: DeserializeOwned>(&self, path: &Path) -> Result<Vec<T>> {
        self.lines(path)?
            .map(|line: Line<T>| line.asked)
            .collect::<Result<_>>()
            .with_context(|| format!("cannot read {}", path.display()))
    }

    /// Tells that a line of a batch failed.
    pub(crate) fn failed(&mut self, id: &Value, error: &anyhow::Error) -> Result<()> {
        self.line(&serde_json::json!({"id": id, "error": with_causes(error)}))
    }
}

/// Does the work of each line and tells its result; `None` from `work` means that it has been told already.
pub(crate) fn carry_out<T>(
    lines: impl Iterator<Item = Line<T>>,
    ctx: &mut Context<'_>,
    mut work: impl FnMut(T, &mut Context<'_>) -> Result<Option<Value>>,
) -> Result<Outcome> {
    let mut failed = false;
    for line in lines {
        ctx.cancel.check()?;
        match line.asked.and_then(|asked| work(asked, ctx)) {
            Ok(Some(value)) => ctx.line(&with_id(line.id, value))?,
            Ok(None) => {}
            Err(error) if error.is::<ReaderGone>() => return Err(error),
            Err(error) => {
                failed = true;
                ctx.failed(&line.id, &error)?;
            }
        }
    }
    Ok(Outcome::of(failed))
}

/// The object with `id` added.
pub(crate) fn with_id(id: Value, value: Value) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), id);
    if let Value::Object(fields) = value {
        object.extend(fields);
    }
    Value::Object(object)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Asked {
        text: String,
    }

    /// Each line as its id and its text or its error.
    fn read(input: impl BufRead) -> Vec<(Value, Result<String, String>)> {
        let told =
            |line: Line<Asked>| (line.id, line.asked.map(|asked| asked.text).map_err(|error| format!("{error:#}")));
        Lines::new(input).map(told).collect()
    }

    #[test]
    fn a_line_that_is_wrong_disturbs_no_other() {
        let input = "{\"id\": 1, \"text\": \"a\"}\n\n{\"id\": 2}\nnonsense\n[3, \"c\"]\n{\"text\": \"d\"}\n{\"id\": \"e\", \"text\": \"e\"}";
        let lines = read(input.as_bytes());
        let ids: Vec<&Value> = lines.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [&json!(1), &json!(2), &Value::Null, &Value::Null, &Value::Null, &json!("e")]);
        let good: Vec<&str> = lines.iter().filter_map(|(_, asked)| asked.as_deref().ok()).collect();
        assert_eq!(good, ["a", "e"]);
        let told: Vec<&str> = lines.iter().filter_map(|(_, asked)| asked.as_ref().err().map(String::as_str)).collect();
        assert!(told[0].starts_with("line 3: missing field `text`"), "{told:?}");
        assert!(told[1].starts_with("line 4: not JSON"), "{told:?}");
        assert_eq!(told[2..], ["line 5: not a JSON object", "line 6: it has no id"]);
    }

    #[test]
    fn a_line_over_the_limit_is_told_and_passed_over() {
        let line = |bytes: usize| {
            let frame = "{\"id\": 1, \"text\": \"\"}".len();
            format!("{{\"id\": 1, \"text\": \"{}\"}}\n", "x".repeat(bytes - frame))
        };
        let lines = read((line(LINE_BYTES_MAX) + &line(LINE_BYTES_MAX + 1) + &line(30)).as_bytes());
        let lengths: Vec<Option<usize>> = lines.iter().map(|(_, asked)| asked.as_ref().ok().map(String::len)).collect();
        assert!(lengths[0].is_some() && lengths[1].is_none() && lengths[2].is_some(), "{lengths:?}");
        assert!(lines[1].1.as_ref().unwrap_err().contains("more than 16777216 bytes"), "{:?}", lines[1].1);
    }

    #[test]
    fn an_input_that_breaks_off_ends_with_an_error() {
        /// An input that fails when it is read on.
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is gone"))
            }
        }
        let lines = read(BufReader::new(b"{\"id\": 1, \"text\": \"a\"}\n".chain(Broken)));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].1.is_ok());
        assert_eq!(lines[1].1.as_ref().unwrap_err(), "line 2 cannot be read: the disk is gone");
    }
}
