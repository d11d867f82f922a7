//! Errors on the wire: RFC 9457 `application/problem+json`.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use cloister_appliance::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::wire::UploadItem;

/// Why a request was not carried out.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemBody>);

/// Why a request was not carried out. `code` is stable for programs, `detail` is for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `urn:cloister:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened and, where the caller can do something, what.
    detail: String,
    /// Stable word.
    code: String,
    /// Names this request in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Of an upload that was broken off: what was taken in before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uploads: Vec<UploadItem>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of that status, code and text.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemBody {
            kind: format!("urn:cloister:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            instance: None,
            uploads: Vec::new(),
            retry_after_s: None,
        }))
    }

    pub(crate) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// All places for this kind of work are taken.
    pub(crate) fn busy() -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the appliance is busy, try again");
        problem.0.retry_after_s = Some(5);
        problem
    }

    /// A defect; `private` goes to the log only.
    pub(crate) fn internal(private: &str) -> Self {
        tracing::error!(error = private, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "an internal error; the log has the details")
    }

    pub(crate) fn with_uploads(mut self, uploads: Vec<UploadItem>) -> Self {
        self.0.uploads = uploads;
        self
    }

    /// The same, naming the request.
    pub(crate) fn with_instance(mut self, request: &str) -> Self {
        self.0.instance = Some(format!("urn:cloister:request:{request}"));
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        if status.is_server_error() {
            tracing::error!(code = error.code(), error = %error, "a use case failed");
        }
        let mut problem = Self::new(status, error.code(), error.public());
        if let Error::Throttled { seconds } = error {
            problem.0.retry_after_s = Some(seconds);
        }
        problem
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    /// The problem also travels as an extension, so that the outermost layer can add the request's name to it.
    fn into_response(self) -> Response {
        const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(seconds) = self.0.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.status == StatusCode::UNAUTHORIZED.as_u16() {
            const CHALLENGE: HeaderName = axum::http::header::WWW_AUTHENTICATE;
            response.headers_mut().insert(CHALLENGE, HeaderValue::from_static("Bearer realm=\"cloister\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}
