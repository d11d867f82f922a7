//! Uploads: names, duplicates, limits, bodies that break off.

use axum::body::Body;
use axum::http::StatusCode;
use cloister_web::Limits;
use serde_json::{Value, json};

use crate::house::{House, Session, multipart, run};

async fn names(house: &House, session: &Session, collection: &str) -> Vec<String> {
    let listed = house.get(session, &format!("/api/v1/collections/{collection}/documents")).await.json();
    let documents = listed["documents"].as_array().unwrap().clone();
    documents.iter().map(|document| document["name"].as_str().unwrap().to_owned()).collect()
}

fn statuses(uploads: &Value) -> Vec<(&str, &str)> {
    let uploads = uploads["uploads"].as_array().unwrap();
    uploads.iter().map(|item| (item["name"].as_str().unwrap(), item["status"].as_str().unwrap())).collect()
}

#[test]
fn files_are_queued_under_their_names() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let parts: [(&str, Option<&str>, &[u8]); 4] = [
            ("file", Some("a.txt"), b"first"),
            ("file", Some("folder/b.txt"), b"second"),
            ("name", None, b"other/c.txt"),
            ("file", Some("ignored.txt"), b"third"),
        ];
        let answer = house.upload(&session, &collection, &parts).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        let uploads = answer.json();
        let expected = [("a.txt", "queued"), ("folder/b.txt", "queued"), ("other/c.txt", "queued")];
        assert_eq!(statuses(&uploads), expected);
        assert!(uploads["uploads"][0]["job"].is_string());
        assert_eq!(names(&house, &session, &collection).await, ["a.txt", "folder/b.txt", "other/c.txt"]);
    });
}

#[test]
fn same_bytes_are_known_again() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        house.upload(&session, &collection, &[("file", Some("a.txt"), b"text")]).await;
        let again = house.upload(&session, &collection, &[("file", Some("a.txt"), b"text")]).await.json();
        assert_eq!(statuses(&again), [("a.txt", "unchanged")]);
        let other = house.upload(&session, &collection, &[("file", Some("b.txt"), b"text")]).await.json();
        assert_eq!(statuses(&other), [("b.txt", "duplicate")]);
        assert_eq!(other["uploads"][0]["duplicate_of"], "a.txt");
        let parts: [(&str, Option<&str>, &[u8]); 2] =
            [("keep_duplicates", None, b"true"), ("file", Some("c.txt"), b"text")];
        let kept = house.upload(&session, &collection, &parts).await.json();
        assert_eq!(statuses(&kept), [("c.txt", "queued")]);
    });
}

#[test]
fn a_file_over_the_limit_is_refused_and_says_what_came_before() {
    run(async {
        let house = House::with(Limits::default(), 1_000);
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let large = vec![b'x'; 1_001];
        let exact = vec![b'y'; 1_000];
        let parts: [(&str, Option<&str>, &[u8]); 2] =
            [("file", Some("exact.txt"), &exact), ("file", Some("large.txt"), &large)];
        let answer = house.upload(&session, &collection, &parts).await;
        answer.expect_problem(413, "too_large");
        assert_eq!(statuses(&answer.json()), [("exact.txt", "queued")]);
        assert_eq!(names(&house, &session, &collection).await, ["exact.txt"]);
    });
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let body = multipart(&[("file", Some("half.txt"), &vec![b'x'; 100_000])], false);
        let answer = house.upload_body(&session, &collection, Body::from(body)).await;
        answer.expect_problem(400, "broken_upload");
        assert_eq!(names(&house, &session, &collection).await, Vec::<String>::new());
    });
}

#[test]
fn limits_on_files_and_fields_hold() {
    run(async {
        let house = House::with(Limits { upload_files_max: 2, ..Limits::default() }, 1 << 20);
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let parts: [(&str, Option<&str>, &[u8]); 3] =
            [("file", Some("a"), b"a"), ("file", Some("b"), b"b"), ("file", Some("c"), b"c")];
        house.upload(&session, &collection, &parts).await.expect_problem(413, "too_many_files");
        assert_eq!(names(&house, &session, &collection).await, ["a", "b"]);
        let long = vec![b'n'; 5_000];
        house.upload(&session, &collection, &[("name", None, &long)]).await.expect_problem(400, "invalid");
        house.upload(&session, &collection, &[("other", None, b"x")]).await.expect_problem(400, "invalid");
    });
}

#[test]
fn a_bad_name_fails_its_file_alone() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let parts: [(&str, Option<&str>, &[u8]); 2] =
            [("file", Some("../../etc/passwd"), b"one"), ("file", Some("good.txt"), b"two")];
        let answer = house.upload(&session, &collection, &parts).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        let names = names(&house, &session, &collection).await;
        assert!(names.contains(&"good.txt".to_owned()), "{names:?}");
        assert!(names.iter().all(|name| !name.contains("..")), "{names:?}");
    });
}

#[test]
fn an_upload_needs_a_collection_that_is_there() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let answer = house.upload(&session, "nowhere", &[("file", Some("a.txt"), b"text")]).await;
        answer.expect_problem(404, "not_found");
        let collection = house.collection(&session, "c").await;
        let path = format!("/api/v1/collections/{collection}/documents");
        house.post(&session, &path, json!({})).await.expect_problem(400, "invalid");
    });
}
