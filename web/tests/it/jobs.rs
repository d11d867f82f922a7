//! Jobs and their event stream.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use cloister_web::Limits;
use futures_util::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::house::{House, Session, request, run};

fn events(session: &Session) -> axum::http::Request<Body> {
    request(Method::GET, "/api/v1/jobs/events", Some(session)).body(Body::empty()).unwrap()
}

#[test]
fn a_new_listener_hears_of_every_unfinished_job_and_the_stop_ends_the_stream() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        house.upload(&session, &collection, &[("file", Some("a.txt"), b"text")]).await;
        let response = house.app.clone().oneshot(events(&session)).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut frames = response.into_body().into_data_stream();
        let frame = String::from_utf8(frames.next().await.unwrap().unwrap().to_vec()).unwrap();
        let (name, data) = frame.trim_end().split_once('\n').unwrap();
        assert_eq!(name, "event: job");
        let job: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((job["name"].as_str(), job["state"].as_str()), (Some("a.txt"), Some("queued")));
        house.stop.stop();
        assert!(frames.next().await.is_none(), "the stream ends when the server stops");
    });
}

#[test]
fn a_stranger_hears_nothing_of_the_job() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let stranger = house.join(&session, "mel", "member").await;
        let collection = house.collection(&session, "c").await;
        house.upload(&session, &collection, &[("file", Some("a.txt"), b"text")]).await;
        let listed = house.get(&stranger, "/api/v1/jobs").await.json();
        assert_eq!(listed["jobs"], serde_json::json!([]));
        let response = house.app.clone().oneshot(events(&stranger)).await.unwrap();
        house.stop.stop();
        let heard: Vec<_> = response.into_body().into_data_stream().collect().await;
        assert!(heard.is_empty(), "{heard:?}");
    });
}

#[test]
fn event_streams_have_a_bound() {
    run(async {
        let house = House::with(Limits { event_streams_max: 1, ..Limits::default() }, 1 << 20);
        let session = house.set_up().await;
        let first = house.app.clone().oneshot(events(&session)).await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let second = house.send(events(&session)).await;
        second.expect_problem(503, "busy");
        assert_eq!(second.header("retry-after"), "5");
        drop(first);
        let third = house.app.clone().oneshot(events(&session)).await.unwrap();
        assert_eq!(third.status(), StatusCode::OK);
    });
}

#[test]
fn a_cancelled_job_is_no_longer_waiting() {
    run(async {
        let house = House::new();
        let session = house.set_up().await;
        let collection = house.collection(&session, "c").await;
        let uploads = house.upload(&session, &collection, &[("file", Some("a.txt"), b"text")]).await.json();
        let path = format!("/api/v1/jobs/{}/cancel", uploads["uploads"][0]["job"].as_str().unwrap());
        let cancel = request(Method::POST, &path, Some(&session)).body(Body::empty()).unwrap();
        let answer = house.send(cancel).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
        let jobs = house.get(&session, "/api/v1/jobs").await.json();
        let states: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["state"].clone()).collect();
        assert!(states.iter().all(|state| *state != "queued"), "{jobs}");
    });
}
