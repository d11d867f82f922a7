//! Originals with ranges, and documents that are not there.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::house::{Answer, House, Part, Session, request, run};

const TEXT: &[u8] = b"0123456789abcdefghij";

struct Shelf {
    house: House,
    session: Session,
    document: String,
}

impl Shelf {
    async fn new() -> Self {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let uploads = house.upload(&session, &collection, &[("file", Some("f/t.html"), TEXT)]).await.json();
        let document = uploads["uploads"][0]["document"].as_str().unwrap().to_owned();
        Self { house, session, document }
    }

    async fn get(&self, rest: &str) -> Answer {
        self.house.get(&self.session, &format!("/api/v1/documents/{}{rest}", self.document)).await
    }

    async fn original(&self, headers: &[(&'static str, &str)]) -> Answer {
        let path = format!("/api/v1/documents/{}/original", self.document);
        let mut request = request(Method::GET, &path, Some(&self.session));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.house.send(request.body(Body::empty()).unwrap()).await
    }
}

#[test]
fn an_original_that_is_no_pdf_is_an_attachment_that_nothing_runs() {
    run(async {
        let shelf = Shelf::new().await;
        let answer = shelf.original(&[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.bytes, TEXT);
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"t.html\""));
        assert_eq!(answer.header("content-length"), "20");
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert!(answer.header("content-security-policy").ends_with("sandbox"));
    });
}

#[test]
fn ranges_are_answered_exactly() {
    run(async {
        let shelf = Shelf::new().await;
        for (range, expected, place) in [
            ("bytes=0-3", &b"0123"[..], "bytes 0-3/20"),
            ("bytes=15-", b"fghij", "bytes 15-19/20"),
            ("bytes=-2", b"ij", "bytes 18-19/20"),
            ("bytes=18-400", b"ij", "bytes 18-19/20"),
        ] {
            let answer = shelf.original(&[("range", range)]).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(answer.bytes, expected, "{range}");
            assert_eq!(answer.header("content-range"), place);
        }
        let outside = shelf.original(&[("range", "bytes=20-")]).await;
        outside.expect_problem(416, "range");
        assert_eq!(outside.header("content-range"), "bytes */20");
        let whole = shelf.original(&[("range", "bytes=0-1,4-5")]).await;
        assert_eq!((whole.status, whole.bytes.as_slice()), (StatusCode::OK, TEXT));
    });
}

#[test]
fn what_the_browser_has_is_not_sent_again() {
    run(async {
        let shelf = Shelf::new().await;
        let tag = shelf.original(&[]).await.header("etag").to_owned();
        let again = shelf.original(&[("if-none-match", &tag)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        let same = shelf.original(&[("if-range", &tag), ("range", "bytes=0-0")]).await;
        assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
        let other = shelf.original(&[("if-range", "\"other\""), ("range", "bytes=0-0")]).await;
        assert_eq!(other.status, StatusCode::OK);
    });
}

#[test]
fn an_original_is_had_in_each_of_its_versions() {
    run(async {
        let shelf = Shelf::new().await;
        let collection = shelf.get("").await.json()["collection"].as_str().unwrap().to_owned();
        let parts: [Part<'_>; 1] = [("file", Some("f/t.html"), b"other bytes")];
        let again = shelf.house.upload(&shelf.session, &collection, &parts).await.json();
        assert_eq!(again["uploads"][0]["status"], "updated", "{again}");
        assert_eq!(shelf.get("/original?version=1").await.bytes, TEXT);
        assert_eq!(shelf.get("/original?version=2").await.bytes, b"other bytes");
        // Neither was read, and the newest is the one that readers see.
        assert_eq!(shelf.get("/original").await.bytes, b"other bytes");
        for rest in ["/text?", "/pages/1?", "/boxes?start=0&end=1&", "/original?"] {
            shelf.get(&format!("{rest}version=3")).await.expect_problem(404, "not_found");
            shelf.get(&format!("{rest}version=no")).await.expect_problem(400, "invalid");
        }
        let versions = shelf.get("").await.json()["versions"].clone();
        assert_eq!((&versions[0]["version"], &versions[0]["since"]), (&json!(1), &json!(null)), "{versions}");
    });
}

#[test]
fn the_document_of_another_is_not_there() {
    run(async {
        let shelf = Shelf::new().await;
        let stranger = shelf.house.join(&shelf.session, "mel", "member").await;
        for rest in ["", "/text", "/pages/1", "/boxes?start=0&end=1", "/original"] {
            let path = format!("/api/v1/documents/{}{rest}", shelf.document);
            shelf.house.get(&stranger, &path).await.expect_problem(404, "not_found");
        }
    });
}
