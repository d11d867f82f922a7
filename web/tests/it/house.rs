//! An appliance for one test: an administrator, a collection, and helpers to send requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use cloister_appliance::{Appliance, Clock, Config, Random};
use cloister_web::{Limits, Options, Stop};
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;
use tower::ServiceExt as _;

/// Most bytes of an answer that a test reads.
const ANSWER_BYTES_MAX: usize = 16 << 20;

pub(crate) const PASSWORD: &str = "a long enough password";

pub(crate) struct House {
    pub(crate) app: Router,
    pub(crate) appliance: Arc<Appliance>,
    pub(crate) stop: Stop,
    _folder: TempDir,
}

/// A signed-in user as the browser holds it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Fails unless the answer is this problem.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:cloister:problem:{code}"));
        assert!(problem["instance"].as_str().unwrap().starts_with("urn:cloister:request:"), "{problem}");
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), 1 << 20)
    }

    /// A house behind a proxy.
    pub(crate) fn behind_tls() -> Self {
        Self::serving(Options { behind_tls: true, ..Options::default() }, 1 << 20)
    }

    pub(crate) fn with(limits: Limits, upload_bytes_max: u64) -> Self {
        Self::serving(Options { limits, behind_tls: false }, upload_bytes_max)
    }

    fn serving(options: Options, upload_bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let appliance = appliance(&folder, upload_bytes_max);
        let stop = Stop::new();
        let app = cloister_web::router(appliance.clone(), &options, &stop);
        Self { app, appliance, stop, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        read(self.app.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn get(&self, session: &Session, path: &str) -> Answer {
        self.send(request(Method::GET, path, Some(session)).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, session: &Session, path: &str, body: Value) -> Answer {
        let request = request(Method::POST, path, Some(session)).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Makes the first administrator.
    pub(crate) async fn set_up(&self) -> Session {
        let code = self.appliance.setup_code().unwrap().unwrap();
        let body = serde_json::json!({"code": code, "name": "ada", "password": PASSWORD});
        self.open("/api/v1/setup", &body).await
    }

    /// Adds a user of that role and signs them in.
    pub(crate) async fn join(&self, administrator: &Session, name: &str, role: &str) -> Session {
        let body = serde_json::json!({"name": name, "role": role, "password": PASSWORD});
        let added = self.post(administrator, "/api/v1/users", body).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
        self.open("/api/v1/login", &serde_json::json!({"name": name, "password": PASSWORD})).await
    }

    async fn open(&self, path: &str, body: &Value) -> Session {
        let request = request(Method::POST, path, None).header("content-type", "application/json");
        let answer = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Session { cookie, csrf: answer.json()["csrf"].as_str().unwrap().to_owned() }
    }

    /// Adds a collection and returns its id.
    pub(crate) async fn collection(&self, session: &Session, name: &str) -> String {
        let added = self.post(session, "/api/v1/collections", serde_json::json!({ "name": name })).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
        added.json()["id"].as_str().unwrap().to_owned()
    }

    /// Uploads parts (name of the field, file name, content).
    pub(crate) async fn upload(&self, session: &Session, collection: &str, parts: &[Part<'_>]) -> Answer {
        self.upload_body(session, collection, Body::from(multipart(parts, true))).await
    }

    pub(crate) async fn upload_body(&self, session: &Session, collection: &str, body: Body) -> Answer {
        let path = format!("/api/v1/collections/{collection}/documents");
        let request = request(Method::POST, &path, Some(session))
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        self.send(request.body(body).unwrap()).await
    }
}

/// A part of an upload: field, file name, content.
pub(crate) type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

const BOUNDARY: &str = "------------------------cloister";

/// A multipart body; without `whole` the last part and the body break off.
pub(crate) fn multipart(parts: &[Part<'_>], whole: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{field}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        if whole {
            body.extend_from_slice(b"\r\n");
        }
    }
    if whole {
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    }
    body
}

/// A request of a browser on this server.
pub(crate) fn request(method: Method, path: &str, session: Option<&Session>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
    match session {
        Some(session) => request.header("cookie", &session.cookie).header("x-cloister-csrf", &session.csrf),
        None => request,
    }
}

pub(crate) async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// The workers are not started, so uploads stay queued.
fn appliance(folder: &TempDir, upload_bytes_max: u64) -> Arc<Appliance> {
    let clock: Clock = Arc::new(|| OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
    let state = AtomicU64::new(1);
    let random: Random = Arc::new(move |bytes| {
        for byte in bytes {
            let next = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = ((next ^ (next >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8;
        }
    });
    let (data, models) = (folder.path().join("data"), folder.path().join("models"));
    let mut config = Config::new(data, models, folder.path().join("no-reader"), clock, random);
    config.upload_bytes_max = upload_bytes_max;
    Appliance::open(config).unwrap()
}

/// Runs a test on a runtime of its own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
