//! `tojson` as Python's `json.dumps(value, ensure_ascii=False)` writes it: models were trained on that form.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};

/// Deepest nesting of a value.
const DEPTH_MAX: usize = 64;

/// The filter: `value | tojson` or `value | tojson(indent=2)`.
pub(super) fn filter(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent").ok();
    let _ = options.get::<Value>("ensure_ascii");
    let _ = options.get::<Value>("sort_keys");
    options.assert_all_used()?;
    let value = serde_json::to_value(&value).map_err(|error| failed(&error.to_string()))?;
    let mut out = String::new();
    write(&value, indent.map(|width| width.min(16)), 0, &mut out)?;
    Ok(out)
}

fn failed(why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {why}"))
}

fn write(value: &serde_json::Value, indent: Option<usize>, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(failed("nested too deeply"));
    }
    match value {
        serde_json::Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(at, indent, depth + 1, out);
                write(item, indent, depth + 1, out)?;
            }
            close(']', indent, depth, out);
        }
        serde_json::Value::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (at, (key, item)) in fields.iter().enumerate() {
                separate(at, indent, depth + 1, out);
                out.push_str(&serde_json::Value::String(key.clone()).to_string());
                out.push_str(": ");
                write(item, indent, depth + 1, out)?;
            }
            close('}', indent, depth, out);
        }
        plain => out.push_str(&plain.to_string()),
    }
    Ok(())
}

fn separate(at: usize, indent: Option<usize>, depth: usize, out: &mut String) {
    match indent {
        None if at > 0 => out.push_str(", "),
        None => {}
        Some(width) => {
            out.push_str(if at > 0 { ",\n" } else { "\n" });
            out.push_str(&" ".repeat(width * depth));
        }
    }
}

fn close(bracket: char, indent: Option<usize>, depth: usize, out: &mut String) {
    if let Some(width) = indent {
        out.push('\n');
        out.push_str(&" ".repeat(width * depth));
    }
    out.push(bracket);
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_python_writes_it() {
        let value = serde_json::json!({"a": [1, 2.5, null, "<é\"\n"], "b": {}, "c": []});
        let mut out = String::new();
        super::write(&value, None, 0, &mut out).expect("shallow");
        assert_eq!(out, r#"{"a": [1, 2.5, null, "<é\"\n"], "b": {}, "c": []}"#);
        out.clear();
        super::write(&serde_json::json!({"a": [1]}), Some(2), 0, &mut out).expect("shallow");
        assert_eq!(out, "{\n  \"a\": [\n    1\n  ]\n}");
    }
}
