//! Sessions, keys, CSRF, origins, headers, and what is refused before a use case is reached.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use cloister_web::{Limits, Options, router};
use serde_json::json;

use crate::house::{House, PASSWORD, request, run};

#[test]
fn set_up_works_once_and_with_the_code_only() {
    run(async {
        let house = House::new();
        let needed = house.send(request(Method::GET, "/api/v1/setup", None).body(Body::empty()).unwrap()).await;
        assert_eq!(needed.json(), json!({"needed": true}));
        let body = json!({"code": "wrong", "name": "eve", "password": PASSWORD}).to_string();
        let wrong = request(Method::POST, "/api/v1/setup", None).header("content-type", "application/json");
        let refused = house.send(wrong.body(Body::from(body)).unwrap()).await;
        assert!(refused.status.is_client_error(), "{}", refused.text());
        let session = house.set_up().await;
        assert_eq!(house.get(&session, "/api/v1/session").await.json()["user"]["role"], "administrator");
        assert!(house.appliance.setup_code().unwrap().is_none());
    });
}

#[test]
fn the_cookie_is_for_this_server_and_no_script() {
    run(async {
        let house = House::new();
        house.set_up().await;
        let body = json!({"name": "ada", "password": PASSWORD}).to_string();
        let login = request(Method::POST, "/api/v1/login", None).header("content-type", "application/json");
        let answer = house.send(login.body(Body::from(body)).unwrap()).await;
        let cookie = answer.header("set-cookie");
        for needed in ["cloister_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
            assert!(cookie.contains(needed), "{needed} is missing in {cookie}");
        }
        assert_eq!(answer.header("cache-control"), "no-store");
    });
}

#[test]
fn a_session_without_its_csrf_value_changes_nothing() {
    run(async {
        let house = House::new();
        let mut session = house.set_up().await;
        session.csrf = "0".repeat(session.csrf.len());
        house.post(&session, "/api/v1/collections", json!({"name": "x"})).await.expect_problem(403, "csrf");
        let listed = house.get(&session, "/api/v1/collections").await;
        assert_eq!(listed.json()["collections"], json!([]));
    });
}

#[test]
fn a_page_of_another_origin_is_refused() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let request = request(Method::POST, "/api/v1/collections", Some(&session))
            .header("origin", "http://elsewhere.example")
            .header("content-type", "application/json");
        let answer = house.send(request.body(Body::from(r#"{"name":"x"}"#)).unwrap()).await;
        answer.expect_problem(403, "cross_origin");
    });
}

#[test]
fn a_key_acts_for_its_user_until_it_is_revoked() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let made = house.post(&session, "/api/v1/keys", json!({"label": "script"})).await.json();
        let by_key = |method, path: &str| {
            request(method, path, None).header("authorization", format!("Bearer {}", made["key"].as_str().unwrap()))
        };
        let add = by_key(Method::POST, "/api/v1/collections").header("content-type", "application/json");
        let added = house.send(add.body(Body::from(r#"{"name":"by key"}"#)).unwrap()).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
        let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
        let revoke = request(Method::DELETE, &path, Some(&session)).body(Body::empty()).unwrap();
        assert_eq!(house.send(revoke).await.status, StatusCode::NO_CONTENT);
        let list = by_key(Method::GET, "/api/v1/collections").body(Body::empty()).unwrap();
        house.send(list).await.expect_problem(401, "unauthenticated");
    });
}

#[test]
fn a_session_ends_with_logout() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let logout = request(Method::POST, "/api/v1/logout", Some(&session)).body(Body::empty()).unwrap();
        let answer = house.send(logout).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(answer.header("set-cookie").contains("Max-Age=0"));
        house.get(&session, "/api/v1/session").await.expect_problem(401, "unauthenticated");
    });
}

#[test]
fn bodies_that_are_wrong_are_problems() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let post = |kind: &'static str, body: String| {
            let request = request(Method::POST, "/api/v1/collections", Some(&session)).header("content-type", kind);
            house.send(request.body(Body::from(body)).unwrap())
        };
        post("application/json", "{".to_owned()).await.expect_problem(400, "invalid");
        post("application/json", r#"{"nam":"x"}"#.to_owned()).await.expect_problem(422, "invalid");
        post("text/plain", r#"{"name":"x"}"#.to_owned()).await.expect_problem(415, "media_type");
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(2 << 20));
        post("application/json", long).await.expect_problem(413, "too_large");
    });
}

#[test]
fn addresses_and_methods_that_are_not_there_are_problems() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        house.get(&session, "/api/v1/nowhere").await.expect_problem(404, "not_found");
        house.get(&session, "/v1/chat/completions").await.expect_problem(404, "not_found");
        let put = request(Method::PUT, "/api/v1/collections", Some(&session)).body(Body::empty()).unwrap();
        house.send(put).await.expect_problem(405, "method_not_allowed");
    });
}

#[test]
fn every_answer_carries_the_security_headers() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        for path in ["/", "/api/v1/session", "/api/v1/nowhere", "/healthz", "/readyz"] {
            let answer = house.get(&session, path).await;
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), value, "{path}: {name}");
            }
        }
    });
}

#[test]
fn what_takes_long_is_not_called_failed_while_it_goes_on() {
    run(async {
        let mut house = House::new();
        let session = house.set_up().await;
        house.collection(&session, "c").await;
        // Without a place no work ends, so each request outlasts its limit if it has one.
        let limits = Limits { request_timeout: Duration::from_millis(1), general_max: 0, ..Limits::default() };
        house.app = router(house.appliance.clone(), &Options { limits, behind_tls: false }, &house.stop);
        let listed = house.get(&session, "/api/v1/collections").await;
        listed.expect_problem(503, "timeout");
        assert!(listed.json()["detail"].as_str().unwrap().contains("goes on"), "{}", listed.text());
        for (method, path) in [
            (Method::POST, "/api/v1/audit/verify"),
            (Method::DELETE, "/api/v1/documents/d"),
            (Method::DELETE, "/api/v1/collections/c"),
        ] {
            let sent = house.send(request(method, path, Some(&session)).body(Body::empty()).unwrap());
            assert!(tokio::time::timeout(Duration::from_millis(50), sent).await.is_err(), "{path} was given up");
        }
    });
}
