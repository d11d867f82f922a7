//! The Jinja environment of chat templates: what models expect of it, and its limits.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind};

use super::strftime::Moment;
use super::{FUEL, RECURSION_MAX, json};

pub(super) fn new(moment: &Moment) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", json::filter);
    set_moment(&mut environment, moment);
    environment
}

pub(super) fn set_moment(environment: &mut Environment<'static>, moment: &Moment) {
    let moment = *moment;
    environment.add_function("strftime_now", move |format: String| moment.format(&format));
}

/// The message of an error with the messages of its causes.
pub(super) fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Turns `{% generation %}` and `{% endgeneration %}`, which mark the model's part for training, into blocks that do
/// nothing, with the same treatment of white space.
pub(super) fn without_generation_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        // The end is looked for after the beginning: in `{%}` the two would share a sign.
        let Some((inner, after)) = tag[2..].split_once("%}") else {
            rest = tag;
            break;
        };
        let word = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let replaced = match word {
            "generation" => inner.replace("generation", "if true"),
            "endgeneration" => inner.replace("endgeneration", "endif"),
            _ => inner.to_owned(),
        };
        out.push_str("{%");
        out.push_str(&replaced);
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Collects output up to a limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Bounded {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    pub(super) fn into_text(self) -> Result<String, String> {
        String::from_utf8(self.bytes).map_err(|_| "the output is not UTF-8".to_owned())
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(io::Error::other(format!("the output is longer than {} bytes", self.max)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_blocks_become_blocks_that_do_nothing() {
        let rows = [
            ("a{% generation %}b{% endgeneration %}c", "a{% if true %}b{% endif %}c"),
            ("{%- generation -%}x{%- endgeneration -%}", "{%- if true -%}x{%- endif -%}"),
            ("{% if add_generation_prompt %}y{% endif %}", "{% if add_generation_prompt %}y{% endif %}"),
            ("no tags, {% unfinished", "no tags, {% unfinished"),
            ("{%}", "{%}"),
            ("{%}{% generation %}", "{%}{% generation %}"),
            ("{%%}", "{%%}"),
        ];
        for (source, wanted) in rows {
            assert_eq!(without_generation_blocks(source), wanted);
        }
    }
}
