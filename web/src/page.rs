//! The page, as embedded by `build.rs`.

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// A file of the page.
pub(crate) struct PageFile {
    /// Path below the root, without a leading slash.
    path: &'static str,
    content_type: &'static str,
    /// Whether the name changes with the content.
    immutable: bool,
    /// Quoted tag of the content.
    etag: &'static str,
    bytes: &'static [u8],
    /// The same, compressed when the page was built.
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Answers with a file of the page; the root is its `index.html`.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        other => other,
    };
    match FILES.iter().find(|file| file.path == path) {
        Some(file) => respond(file, &headers),
        None => Problem::not_found("there is nothing at this address").into_response(),
    }
}

fn respond(file: &PageFile, headers: &HeaderMap) -> Response {
    let caching = if file.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common = [
        (CONTENT_TYPE, HeaderValue::from_static(file.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ETAG, HeaderValue::from_static(file.etag)),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if names(headers, &IF_NONE_MATCH, file.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    match file.gzip.filter(|_| names(headers, &ACCEPT_ENCODING, "gzip")) {
        Some(gzip) => (common, [(CONTENT_ENCODING, "gzip")], gzip).into_response(),
        None => (common, file.bytes).into_response(),
    }
}

/// Whether a comma-separated header holds `value` (parameters such as `;q=1` left aside, `;q=0` taken at its word).
fn names(headers: &HeaderMap, header: &axum::http::HeaderName, value: &str) -> bool {
    headers.get_all(header).iter().filter_map(|held| held.to_str().ok()).flat_map(|held| held.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().trim_start_matches("W/");
        name.eq_ignore_ascii_case(value) && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0"))
    })
}
