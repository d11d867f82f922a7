//! Who may call what: every operation of the API by every role, as a golden table.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::house::{House, Session, multipart, request, run};

const BOUNDARY_TYPE: &str = "multipart/form-data; boundary=------------------------cloister";

/// The description that programs rely on does not change unnoticed.
#[test]
fn the_description_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&cloister_web::openapi()).unwrap();
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("openapi", text);
    });
}

/// Every operation of the description is called as each role; an operation that is added shows up here by itself.
#[test]
fn every_role_gets_what_the_table_says() {
    let description = serde_json::to_value(cloister_web::openapi()).unwrap();
    let mut table = format!(
        "{:<8}{:<48}{:>10}{:>8}{:>9}{:>15}\n",
        "method", "path", "anonymous", "member", "auditor", "administrator"
    );
    run(async {
        for (path, operations) in description["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let statuses = statuses(&method.to_uppercase(), path, operation).await;
                let [anonymous, member, auditor, administrator] = statuses;
                writeln!(
                    table,
                    "{:<8}{path:<48}{anonymous:>10}{member:>8}{auditor:>9}{administrator:>15}",
                    method.to_uppercase()
                )
                .unwrap();
            }
        }
    });
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("roles", table);
    });
}

/// The status for each role, the strongest last: what is refused leaves the thing for the next.
async fn statuses(method: &str, path: &str, operation: &Value) -> [u16; 4] {
    let house = House::new();
    let administrator = house.set_up().await;
    let member = house.join(&administrator, "mel", "member").await;
    let auditor = house.join(&administrator, "aud", "auditor").await;
    let things = Things::of(&house, &administrator).await;
    let mut found = [0; 4];
    for (place, session) in [None, Some(&member), Some(&auditor), Some(&administrator)].into_iter().enumerate() {
        found[place] = status(&house, session, method, &things.fill(path), operation).await;
    }
    house.stop.stop();
    found
}

async fn status(house: &House, session: Option<&Session>, method: &str, path: &str, operation: &Value) -> u16 {
    use tower::ServiceExt as _;
    let content = operation["requestBody"]["content"].as_object();
    let request = request(Method::from_bytes(method.as_bytes()).unwrap(), path, session);
    let request = match content.and_then(|content| content.keys().next()).map(String::as_str) {
        None => request.body(Body::empty()),
        Some("multipart/form-data") => {
            let body = multipart(&[("file", Some("new.txt"), b"new")], true);
            request.header("content-type", BOUNDARY_TYPE).body(Body::from(body))
        }
        Some(_) => {
            let body = body(method, path).to_string();
            request.header("content-type", "application/json").body(Body::from(body))
        }
    };
    // The head is enough: event streams do not end.
    house.app.clone().oneshot(request.unwrap()).await.unwrap().status().as_u16()
}

/// Ids that stand in paths.
struct Things {
    collection: String,
    document: String,
    job: String,
    key: String,
    user: String,
}

impl Things {
    /// Things of the administrator that no one else was granted.
    async fn of(house: &House, administrator: &Session) -> Self {
        let collection = house.collection(administrator, "Contracts").await;
        let uploaded = house.upload(administrator, &collection, &[("file", Some("a.txt"), b"some text")]).await.json();
        let uploaded = &uploaded["uploads"][0];
        let key = house.post(administrator, "/api/v1/keys", json!({"label": "script"})).await.json();
        let users = house.get(administrator, "/api/v1/users").await.json();
        let users = users["users"].as_array().unwrap().clone();
        let user = users.iter().find(|user| user["name"] == "aud").unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            document: text(&uploaded["document"]),
            job: text(&uploaded["job"]),
            key: text(&key["id"]),
            user: text(&user["id"]),
            collection,
        }
    }

    fn fill(&self, path: &str) -> String {
        let id = ["collections", "documents", "jobs", "keys", "users"]
            .into_iter()
            .zip([&self.collection, &self.document, &self.job, &self.key, &self.user])
            .find(|(kind, _)| path.starts_with(&format!("/api/v1/{kind}/")))
            .map_or("", |(_, id)| id);
        let query = if path.ends_with("/boxes") { "?start=0&end=4" } else { "" };
        path.replace("{id}", id).replace("{page}", "1").replace("{audit}", "1") + query
    }
}

/// A body that is right for the operation.
fn body(method: &str, path: &str) -> Value {
    match path.rsplit('/').next().unwrap_or_default() {
        "setup" => json!({"code": "wrong", "name": "eve", "password": "a long enough password"}),
        "login" => json!({"name": "nobody", "password": "a long enough password"}),
        "users" => json!({"name": "new", "role": "member", "password": "a long enough password"}),
        "password" => json!({"password": "another long password"}),
        "keys" => json!({"label": "new"}),
        "collections" => json!({"name": format!("made by {}", line!())}),
        "grants" if method == "DELETE" => json!({"user": "mel"}),
        "grants" => json!({"user": "mel", "level": "read"}),
        "search" => json!({"query": "text", "mode": "keyword"}),
        "ask" => json!({"question": "what?"}),
        other => panic!("no body for {method} {other}"),
    }
}
