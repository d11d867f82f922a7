//! The embedded page, health and metrics.

use axum::body::Body;
use axum::http::{Method, StatusCode};

use crate::house::{House, request, run};

#[test]
fn the_page_is_sent_with_its_policy_and_a_tag() {
    run(async {
        let house = House::new();
        let get = |tag: Option<String>| {
            let request = request(Method::GET, "/", None);
            let request = match tag {
                Some(tag) => request.header("if-none-match", tag),
                None => request,
            };
            house.send(request.body(Body::empty()).unwrap())
        };
        let page = get(None).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.text().to_lowercase().contains("<!doctype html>"));
        let policy = page.header("content-security-policy");
        for needed in ["script-src 'self'", "worker-src 'self'", "img-src 'self' blob: data:", "connect-src 'self'"] {
            assert!(policy.contains(needed), "{needed} is missing in {policy}");
        }
        let again = get(Some(page.header("etag").to_owned())).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert!(again.bytes.is_empty());
    });
}

#[test]
fn paths_cannot_leave_the_page() {
    run(async {
        let house = House::new();
        for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/assets/../../Cargo.toml", "/index.html/x"] {
            let answer = house.send(request(Method::GET, path, None).body(Body::empty()).unwrap()).await;
            answer.expect_problem(404, "not_found");
        }
    });
}

#[test]
fn health_says_alive_and_readiness_what_is_missing() {
    run(async {
        let house = House::new();
        let get = |path: &str| house.send(request(Method::GET, path, None).body(Body::empty()).unwrap());
        assert_eq!(get("/healthz").await.text(), "ok\n");
        assert_eq!(get("/api/v1/health").await.json()["status"], "ok");
        let ready = get("/readyz").await;
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
        let ready = ready.json();
        assert_eq!(ready["ready"], false);
        let states: Vec<_> = ready["checks"].as_array().unwrap().iter().map(|check| check["ok"].clone()).collect();
        assert_eq!(states, [true, false, false], "there are no models in this house: {ready}");
    });
}

#[test]
fn metrics_of_another_machine_need_the_right_role() {
    run(async {
        let house = House::new();
        let administrator = house.set_up().await;
        let member = house.join(&administrator, "mel", "member").await;
        let anonymous = request(Method::GET, "/metrics", None).body(Body::empty()).unwrap();
        house.send(anonymous).await.expect_problem(401, "unauthenticated");
        house.get(&member, "/metrics").await.expect_problem(403, "denied");
        let text = house.get(&administrator, "/metrics").await.text();
        for name in ["cloister_build_info{", "cloister_http_requests_total{", "cloister_documents 0"] {
            assert!(text.contains(name), "{name} is missing in {text}");
        }
        assert!(!text.contains("ada") && !text.contains("mel"), "no user's name: {text}");
    });
}
