//! HTTP/1.0 over a socket: answers end with the connection, so there is nothing to unchunk.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Silence after which a test fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// A client with its session.
#[derive(Clone)]
pub(crate) struct Http {
    address: SocketAddr,
    cookie: String,
    csrf: String,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookie: String::new(), csrf: String::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, "", &[])
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, "application/json", body.to_string().as_bytes())
    }

    /// Makes the first administrator, or signs in, and keeps the session.
    #[track_caller]
    pub(crate) fn sign_in(&mut self, path: &str, body: &Value) {
        let answer = self.post(path, body).is(200);
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default();
        assert!(cookie.starts_with("cloister_session="), "{cookie}");
        cookie.clone_into(&mut self.cookie);
        answer.json()["csrf"].as_str().unwrap().clone_into(&mut self.csrf);
    }

    /// Uploads files as one multipart body.
    pub(crate) fn upload(&self, collection: &str, files: &[(&str, &[u8])]) -> Response {
        const BOUNDARY: &str = "----cloister-test-boundary";
        let mut body = Vec::new();
        for (name, bytes) in files {
            write!(body, "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                .unwrap();
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        write!(body, "--{BOUNDARY}--\r\n").unwrap();
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.request("POST", &format!("/api/v1/collections/{collection}/documents"), &kind, &body)
    }

    /// Reads server-sent events until `enough` says so; gives all of them, name and data.
    pub(crate) fn events(&self, path: &str, mut enough: impl FnMut(&str, &Value) -> bool) -> Vec<(String, Value)> {
        let (mut reader, head) = self.send("GET", path, "", &[]);
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), "text/event-stream");
        let (mut events, mut name) = (Vec::new(), String::new());
        loop {
            let mut line = String::new();
            let count = reader.read_line(&mut line).expect("events come in time");
            assert!(count > 0, "the stream ended after {events:?}");
            if let Some(said) = line.strip_prefix("event: ") {
                said.trim_end().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let value = serde_json::from_str(data).unwrap();
                let last = enough(&name, &value);
                events.push((name.clone(), value));
                if last {
                    return events;
                }
            }
        }
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Response {
        let (mut reader, mut head) = self.send(method, path, kind, body);
        reader.read_to_end(&mut head.body).unwrap();
        head
    }

    /// Sends a request and reads the head of its answer.
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (BufReader<TcpStream>, Response) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head =
            format!("{method} {path} HTTP/1.0\r\nhost: {}\r\ncontent-length: {}\r\n", self.address, body.len());
        for (name, value) in [("content-type", kind), ("cookie", &self.cookie), ("x-cloister-csrf", &self.csrf)] {
            if !value.is_empty() {
                head.extend([name, ": ", value, "\r\n"]);
            }
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader);
        (reader, head)
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Response {
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer comes in time");
        line.trim_end().to_owned()
    };
    let first = next();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{first:?}"));
    let mut headers = Vec::new();
    loop {
        let line = next();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Response { status, headers, body: Vec::new() }
}
