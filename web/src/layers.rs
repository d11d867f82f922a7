//! What every answer goes through: name, log line, counters, headers, the check of where a request was made.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::state::AppState;

/// The page's policy: everything from this server, pdf.js' worker included; images also from memory.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The policy of everything that is not the page: nothing may be loaded or run.
const DATA_POLICY: &str = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox";

/// As [`DATA_POLICY`], for PDFs shown by the browser's own viewer, which does not work in a sandbox.
const PDF_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Headers that are the same everywhere.
const FIXED: [(HeaderName, HeaderValue); 6] = [
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ),
];

const POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer. The log line holds no query string and no body, so neither questions nor names of documents.
pub(crate) async fn around(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = format!("{:08x}", state.next_request());
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = {
        let _in_flight = state.metrics.begin();
        next.run(request).await
    };
    let mut response = named(response, &id);
    secure(response.headers_mut(), &path);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    state.metrics.served(known(&method), status, begun.elapsed());
    tracing::info!(request = id, %method, path, status, milliseconds = begun.elapsed().as_millis() as u64, "request");
    response
}

/// The method for a label; methods we do not know are one.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Writes the request's name into a problem.
fn named(mut response: Response, id: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let mut renamed = problem.with_instance(id).into_response();
    for (name, value) in response.headers() {
        if !renamed.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            renamed.headers_mut().append(name, value.clone());
        }
    }
    renamed
}

fn secure(headers: &mut HeaderMap, path: &str) {
    for (name, value) in FIXED {
        headers.insert(name, value);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let policy = match (path.starts_with("/api/"), kind) {
        (true, "application/pdf") => PDF_POLICY,
        (true, _) => DATA_POLICY,
        (false, _) => PAGE_POLICY,
    };
    headers.insert(POLICY, HeaderValue::from_static(policy));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Refuses unsafe requests that a page of another origin makes. Browsers say by `Origin` where a request was made;
/// programs do not send it.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_own(request.headers()) {
        return next.run(request).await;
    }
    let detail = "the request was made by a page of another origin";
    Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail).into_response()
}

fn is_own(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return headers.get("sec-fetch-site").is_none_or(|site| site != "cross-site");
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}

/// Gives a request [`crate::Limits::request_timeout`].
pub(crate) async fn in_time(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if let Ok(response) = tokio::time::timeout(state.limits.request_timeout, next.run(request)).await {
        return response;
    }
    // The work runs on a thread that cannot be stopped: to say that it failed would be wrong.
    let detail = "the request took too long; what it began goes on, so look at the state before trying again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], own: bool) {
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(is_own(&map), own, "{headers:?}");
    }

    #[test]
    fn only_the_own_origin_and_programs_pass() {
        check(&[("host", "127.0.0.1:8080")], true);
        check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], true);
        check(&[("host", "docs.example"), ("origin", "https://docs.example")], true);
        check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9999")], false);
        check(&[("host", "127.0.0.1:8080"), ("origin", "null")], false);
        check(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "http://127.0.0.1:8080")], false);
    }
}
