//! Records as rows for spreadsheets (RFC 4180), harmless to those who open them.

use super::Record;
use crate::canonical;

pub(super) const HEADER: &str = "seq,time,boot,actor,action,object,outcome,detail,prev,hash\r\n";

/// One row with its line end. Every text is quoted; a text that a spreadsheet would run as a formula gets an apostrophe.
pub(super) fn row(record: &Record) -> String {
    let event = &record.event;
    let detail = canonical::to_string(&event.detail);
    let texts = [&record.time, &record.boot, &event.actor, &event.action, &event.object, &event.outcome, &detail];
    let mut row = record.seq.to_string();
    for text in texts {
        row.push(',');
        row.push_str(&cell(text));
    }
    format!("{row},\"{}\",\"{}\"\r\n", record.previous, record.hash)
}

/// A quoted cell. Spreadsheets take `=`, `+`, `-`, `@` and their wide forms, a tab or a line end at the start for a formula.
fn cell(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_run_are_guarded_and_all_are_quoted() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("", "\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+49 30", "\"'+49 30\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("\n=x", "\"'\n=x\""),
            ("\u{ff1d}x", "\"'\u{ff1d}x\""),
            ("a,b;\"c\"\nd", "\"a,b;\"\"c\"\"\nd\""),
            ("a=b", "\"a=b\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
