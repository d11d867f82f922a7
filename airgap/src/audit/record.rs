//! The one byte form of a record, and what an event may be.

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::{Event, Record};
use crate::{AirgapError, Hash, canonical};

/// Form of the records that this program writes.
const FORM: u64 = 1;
/// Longest line of a record in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest string that is stored whole; of a longer one the start, the length and the hash are stored.
pub(super) const STRING_BYTES_MAX: usize = 16 * 1024;
/// Longest actor, action, object and outcome.
pub(super) const WORD_BYTES_MAX: usize = 1024;
/// What is stored of a longer string.
const START_BYTES: usize = 4096;
/// Deepest nesting of an event's detail.
const DEPTH_MAX: usize = 32;

/// The fields of a line that tie it to its neighbours and to the columns beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) at_ms: i64,
    pub(super) previous: Hash,
    pub(super) hash: Hash,
}

/// Builds the line of a record. The event's long strings are cut (see [`STRING_BYTES_MAX`]).
pub(super) fn line(event: &Event, seq: u64, time: &str, boot: &str, previous: &Hash) -> Result<String, AirgapError> {
    let value = json!({
        "v": FORM,
        "seq": seq,
        "time": time,
        "boot": word(boot),
        "actor": word(&event.actor),
        "action": word(&event.action),
        "object": word(&event.object),
        "outcome": word(&event.outcome),
        "detail": limited(&event.detail, 0)?,
        "prev": previous.to_string(),
    });
    let line = canonical::to_string(&value);
    if line.len() > LINE_BYTES_MAX {
        return Err(AirgapError::AuditTooLarge { bytes: line.len(), limit: LINE_BYTES_MAX });
    }
    Ok(line)
}

/// Reads a line; `None` when it is not a record of a known form.
pub(super) fn parse(line: &str) -> Option<Record> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    let Value::Object(mut fields) = serde_json::from_str(line).ok()? else { return None };
    if fields.len() != 10 || fields.get("v")?.as_u64()? != FORM {
        return None;
    }
    Some(Record {
        seq: fields.get("seq")?.as_u64()?,
        previous: Hash::parse(fields.get("prev")?.as_str()?)?,
        time: text(&mut fields, "time")?,
        boot: text(&mut fields, "boot")?,
        event: Event {
            actor: text(&mut fields, "actor")?,
            action: text(&mut fields, "action")?,
            object: text(&mut fields, "object")?,
            outcome: text(&mut fields, "outcome")?,
            detail: fields.remove("detail")?,
        },
        hash: Hash::of(line.as_bytes()),
    })
}

impl Record {
    /// What ties the record to its neighbours; `None` when its time is none.
    pub(super) fn link(&self) -> Option<Link> {
        Some(Link { seq: self.seq, at_ms: milliseconds(&self.time)?, previous: self.previous, hash: self.hash })
    }
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A time as records carry it: UTC, three decimals of a second. `None` when `time` is not RFC 3339.
pub(super) fn normal_time(time: &str) -> Option<String> {
    let at = OffsetDateTime::parse(time, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, milli) = at.to_hms_milli();
    Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month)))
}

/// Milliseconds since 1970 of an RFC 3339 time.
pub(super) fn milliseconds(time: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A short text, cut with its hash when it is not short.
fn word(text: &str) -> String {
    if text.len() <= WORD_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}\u{2026} (cut; SHA-256 {})", start(text, WORD_BYTES_MAX / 2), Hash::of(text.as_bytes()))
}

fn start(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A detail in which every string and number has a form that all readers keep: see [`STRING_BYTES_MAX`] and
/// [`canonical::INTEGER_MAX`] (a larger integer becomes a string of digits).
fn limited(value: &Value, depth: usize) -> Result<Value, AirgapError> {
    if depth > DEPTH_MAX {
        return Err(AirgapError::AuditRequest {
            why: format!("the detail of an event is nested deeper than {DEPTH_MAX}"),
        });
    }
    Ok(match value {
        Value::String(text) if text.len() > STRING_BYTES_MAX => {
            json!({"cut": true, "start": start(text, START_BYTES), "bytes": text.len(), "sha256": Hash::of(text.as_bytes()).to_string()})
        }
        Value::Number(number) if is_long_integer(number) => Value::String(number.to_string()),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| limited(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| Ok((key.clone(), limited(member, depth + 1)?)))
                .collect::<Result<_, AirgapError>>()?,
        ),
        other => other.clone(),
    })
}

fn is_long_integer(number: &serde_json::Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    magnitude.is_some_and(|magnitude| magnitude > canonical::INTEGER_MAX)
}
