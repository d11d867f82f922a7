//! Originals with range requests (RFC 9110, section 14): one range; several at once are answered with the whole.

use std::fmt::Write as _;
use std::io::SeekFrom;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::response::{IntoResponse, Response};
use cloister_appliance::Original;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::problem::Problem;

/// Bytes read from the disk at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The part of a file that is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// First and last byte.
    Range(u64, u64),
    Unsatisfiable,
}

/// Answers with the original: a PDF for the page's viewer, everything else as an attachment.
pub(crate) async fn respond(original: Original, headers: &HeaderMap, download: bool) -> Result<Response, Problem> {
    let etag = format!("\"{}\"", original.sha256);
    let inline = original.format == "pdf" && !download;
    let common = [
        (ETAG, header(&etag)),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CONTENT_DISPOSITION, header(&disposition(&original.name, inline))),
        (CONTENT_TYPE, HeaderValue::from_static(content_type(&original.format))),
    ];
    if headers.get(IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    match part(headers, &etag, original.bytes) {
        Part::Whole => {
            let body = body(original, 0, None).await?;
            Ok((StatusCode::OK, common, body).into_response())
        }
        Part::Range(first, last) => {
            let range = format!("bytes {first}-{last}/{}", original.bytes);
            let body = body(original, first, Some(last)).await?;
            Ok((StatusCode::PARTIAL_CONTENT, common, [(CONTENT_RANGE, header(&range))], body).into_response())
        }
        Part::Unsatisfiable => {
            let range = format!("bytes */{}", original.bytes);
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", "the range lies outside the file");
            Ok(([(CONTENT_RANGE, header(&range))], problem).into_response())
        }
    }
}

async fn body(
    original: Original,
    first: u64,
    last: Option<u64>,
) -> Result<([(HeaderName, HeaderValue); 1], Body), Problem> {
    let length = last.map_or(original.bytes, |last| last + 1).saturating_sub(first);
    let mut file = File::from_std(original.file);
    file.seek(SeekFrom::Start(first)).await.map_err(|error| Problem::internal(&error.to_string()))?;
    let chunks = stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
        let count = file.read(&mut chunk).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(count);
        Ok::<_, std::io::Error>(Some((Bytes::from(chunk), (file, left - count as u64))))
    });
    Ok(([(CONTENT_LENGTH, HeaderValue::from(length))], Body::from_stream(chunks)))
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Types are sent only for what a browser shows without running it.
fn content_type(format: &str) -> &'static str {
    match format {
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

fn part(headers: &HeaderMap, etag: &str, bytes: u64) -> Part {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return Part::Whole;
    };
    if headers.get(IF_RANGE).is_some_and(|sent| sent.as_bytes() != etag.as_bytes()) {
        return Part::Whole;
    }
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => satisfiable(first, u64::MAX, bytes),
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Part::Unsatisfiable,
            _ => satisfiable(bytes.saturating_sub(suffix), u64::MAX, bytes),
        },
        (Some(first), Some(last)) if first <= last => satisfiable(first, last, bytes),
        _ => Part::Whole,
    }
}

fn satisfiable(first: u64, last: u64, bytes: u64) -> Part {
    if first < bytes { Part::Range(first, last.min(bytes - 1)) } else { Part::Unsatisfiable }
}

/// Digits alone; [`str::parse`] would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `content-disposition` (RFC 6266): the base name, once in ASCII and once as it is.
fn disposition(name: &str, inline: bool) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let kind = if inline { "inline" } else { "attachment" };
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => exact.push(byte as char),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(exact, "%{byte:02X}");
            }
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

fn is_plain(c: char) -> bool {
    c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &'static str, expected: &Part) {
        let headers = [(RANGE, HeaderValue::from_static(range))].into_iter().collect();
        assert_eq!(part(&headers, "\"tag\"", 100), *expected, "{range}");
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        check("bytes=0-9", &Part::Range(0, 9));
        check("bytes=90-", &Part::Range(90, 99));
        check("bytes=90-500", &Part::Range(90, 99));
        check("bytes=-10", &Part::Range(90, 99));
        check("bytes=-500", &Part::Range(0, 99));
        check("bytes=0-0", &Part::Range(0, 0));
    }

    #[test]
    fn what_lies_outside_is_refused() {
        check("bytes=100-", &Part::Unsatisfiable);
        check("bytes=-0", &Part::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_is_answered_with_the_whole() {
        for range in ["bytes=9-1", "bytes=0-1,5-6", "lines=0-9", "bytes=+1-2", "bytes=-", "bytes=a-b"] {
            check(range, &Part::Whole);
        }
    }

    #[test]
    fn a_range_of_another_version_is_answered_with_the_whole() {
        let headers = [(RANGE, HeaderValue::from_static("bytes=0-1")), (IF_RANGE, HeaderValue::from_static("\"old\""))]
            .into_iter()
            .collect();
        assert_eq!(part(&headers, "\"tag\"", 100), Part::Whole);
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(
            disposition("a/b/Vertrag \"neu\"\r\nx: ü.pdf", false),
            "attachment; filename=\"Vertrag _neu___x: _.pdf\"; filename*=UTF-8''Vertrag%20%22neu%22%0D%0Ax%3A%20%C3%BC.pdf"
        );
    }
}
