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

#[test]
fn behind_a_proxy_clients_are_told_apart_and_metrics_need_a_sign_in() {
    run(async {
        let house = House::behind_tls();
        let administrator = house.set_up().await;
        let near = std::net::SocketAddr::from(([127, 0, 0, 1], 4711));
        let send = |path: &str, client: &str, key: &str| {
            let request = request(Method::GET, path, None)
                .header("x-forwarded-for", format!("192.0.2.99, {client}"))
                .header("authorization", format!("Bearer {key}"))
                .extension(axum::extract::ConnectInfo(near));
            house.send(request.body(Body::empty()).unwrap())
        };
        let body = serde_json::json!({"label": "script"});
        let key = house.post(&administrator, "/api/v1/keys", body).await.json()["key"].as_str().unwrap().to_owned();
        for _ in 0..5 {
            send("/api/v1/collections", "192.0.2.1", "cloister_made_up").await.expect_problem(401, "unauthenticated");
        }
        let refused = send("/api/v1/collections", "192.0.2.1", "cloister_made_up").await;
        refused.expect_problem(429, "too_many_attempts");
        let other = send("/api/v1/collections", "192.0.2.2", "cloister_made_up").await;
        other.expect_problem(401, "unauthenticated");
        assert_eq!(send("/api/v1/collections", "192.0.2.1", &key).await.status, StatusCode::OK, "a known key goes on");
        let anonymous = request(Method::GET, "/metrics", None).extension(axum::extract::ConnectInfo(near));
        house.send(anonymous.body(Body::empty()).unwrap()).await.expect_problem(401, "unauthenticated");
        assert_eq!(send("/metrics", "192.0.2.1", &key).await.status, StatusCode::OK);
    });
}
