//! Search and questions without models: what is refused, what is answered all the same, what is recorded.

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::house::{House, request, run};

#[test]
fn wrong_questions_are_refused_with_their_status() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let ask = |body| house.post(&session, "/api/v1/ask", body);
        ask(json!({"question": "  "})).await.expect_problem(422, "invalid");
        ask(json!({"question": "x".repeat(4_001)})).await.expect_problem(422, "invalid");
        ask(json!({"question": "what?", "collection": "nowhere"})).await.expect_problem(404, "not_found");
        let search = |body| house.post(&session, "/api/v1/search", body);
        search(json!({"query": "x", "mode": "magic"})).await.expect_problem(400, "invalid");
        search(json!({"query": "x", "documents": ["nowhere"]})).await.expect_problem(404, "not_found");
    });
}

#[test]
fn an_empty_collection_is_searched_by_words_and_the_search_is_recorded() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        house.collection(&session, "c").await;
        let found = house
            .post(&session, "/api/v1/search", json!({"collection": "c", "query": "rent", "mode": "keyword"}))
            .await
            .json();
        assert_eq!(found["passages"], json!([]));
        assert_eq!(found["coverage"]["documents"], 0);
        let records = house.get(&session, "/api/v1/audit?limit=1000").await.json();
        let records = records["records"].as_array().unwrap().clone();
        let search = records
            .iter()
            .find(|record| record["action"] == "search")
            .or_else(|| records.iter().find(|record| record["action"].as_str().unwrap().contains("search")));
        assert_eq!(search.unwrap()["actor"], "ada");
    });
}

#[test]
fn the_log_is_exported_whole_and_verified() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        house.collection(&session, "c").await;
        let export = house.get(&session, "/api/v1/audit/export").await;
        assert_eq!(export.header("content-type"), "application/jsonl");
        assert_eq!(export.header("content-disposition"), "attachment; filename=\"audit.jsonl\"");
        let public = house.appliance.public_key_path();
        let verdict = cloister_appliance::verify_export(&mut export.bytes.as_slice(), &public).unwrap();
        assert!(verdict.ok, "{verdict:?}");
        let cut = &export.bytes[..export.bytes.len() * 2 / 3];
        let verdict = cloister_appliance::verify_export(&mut &cut[..], &public);
        assert!(verdict.is_err() || verdict.is_ok_and(|verdict| !verdict.ok), "a cut export is refused");
        let verify = request(Method::POST, "/api/v1/audit/verify", Some(&session)).body(Body::empty()).unwrap();
        assert_eq!(house.send(verify).await.json()["ok"], true);
        house.get(&session, "/api/v1/audit/export?format=xml").await.expect_problem(400, "invalid");
        house.get(&session, "/api/v1/audit/export?from=yesterday").await.expect_problem(422, "invalid");
    });
}
