//! `serve`: the API over HTTP, and the command line behind the server's socket.

use serde_json::{Value, json};

use crate::support::{Home, Http, Ran, Server, column, keys, stands, word};

const PASSWORD: &str = "correct horse battery staple";

/// Signed in as the first administrator.
fn set_up(server: &Server) -> Http {
    let code = server.setup_code();
    let mut http = server.http();
    let body = |code: &str| json!({"code": code, "name": "anna", "password": PASSWORD});
    assert_eq!(http.get("/api/v1/setup").is(200).json(), json!({"needed": true}));
    assert_eq!(http.post("/api/v1/setup", &body("wrong-code")).status / 100, 4);
    http.sign_in("/api/v1/setup", &body(&code));
    assert_eq!(http.post("/api/v1/setup", &body(&code)).status / 100, 4, "the code works once");
    http
}

/// Uploads and waits until all of it can be searched; gives the document ids.
fn upload(http: &Http, files: &[(&str, &[u8])]) -> Vec<String> {
    let answer = http.upload("Papers", files).is(202).json();
    let ids: Vec<String> =
        column(answer["uploads"].as_array().unwrap(), "document").iter().map(|id| (*id).to_owned()).collect();
    for id in &ids {
        let path = format!("/api/v1/documents/{id}");
        let unfinished = |http: &Http| {
            ["queued", "reading", "indexing"].contains(&http.get(&path).json()["status"].as_str().unwrap())
        };
        if unfinished(http) {
            // The stream tells every unfinished job when it begins, so what ends in between is seen here or there.
            http.events("/api/v1/jobs/events", |name, job| {
                assert_eq!(name, "job");
                let ended = ["ready", "partial", "failed"].contains(&job["state"].as_str().unwrap());
                (job["document"] == id.as_str() && ended) || !unfinished(http)
            });
        }
        assert_eq!(http.get(&path).is(200).json()["status"], "ready");
    }
    ids
}

#[test]
fn a_server_is_set_up_used_and_ended() {
    let home = Home::bare();
    let server = Server::start(&home);
    let http = server.http();
    assert_eq!(http.get("/healthz").is(200).text(), "ok\n");
    let ready = http.get("/readyz").is(503).json();
    assert_eq!((&ready["ready"], &ready["checks"][0]["ok"]), (&json!(false), &json!(true)), "no models, but a store");
    assert_eq!(http.get("/api/v1/collections").is(401).header("content-type"), "application/problem+json");
    let http = set_up(&server);
    http.post("/api/v1/collections", &json!({"name": "Papers"})).is(201);
    let ids = upload(&http, &[("a.txt", b"The heron stands in the reeds."), ("sub/b.txt", b"A pike.")]);
    let found = http.post("/api/v1/search", &json!({"collection": "Papers", "query": "heron"})).is(200).json();
    assert_eq!((&found["passages"][0]["document"], &found["passages"][0]["name"]), (&json!(ids[0]), &json!("a.txt")));
    assert_eq!(http.get(&format!("/api/v1/documents/{}/text", ids[1])).is(200).text(), "A pike.");
    let page = server.http().get("/");
    assert!(page.header("content-security-policy").contains("script-src 'self'"), "{:?}", page.headers);
    http.post("/api/v1/logout", &json!({})).is(204);
    http.get("/api/v1/session").is(401);
    let mut again = server.http();
    again.sign_in("/api/v1/login", &json!({"name": "anna", "password": PASSWORD}));
    assert_eq!(again.get("/api/v1/session").is(200).json()["user"]["name"], "anna");
    server.http().post("/api/v1/login", &json!({"name": "anna", "password": "wrong"})).is(401);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!home.data().join("cloister.sock").exists(), "the socket stays behind");
    assert_eq!(home.text(&ids[0]).iter().collect::<String>(), "The heron stands in the reeds.");
}

/// Lines without what differs from run to run.
fn lasting(ran: Ran) -> Vec<Value> {
    let mut lines = ran.done().lines();
    for line in &mut lines {
        for changing in ["milliseconds", "seconds", "time", "seq", "hash"] {
            line.as_object_mut().unwrap().remove(changing);
        }
        if let Some(total) = line.get_mut("total") {
            total.as_object_mut().unwrap().remove("seconds");
        }
    }
    lines
}

#[test]
fn commands_give_the_same_with_and_without_a_server() {
    let home = Home::bare();
    home.write("in/a.txt", "The heron stands in the reeds.");
    home.write("in/b.txt", "The heron fishes.\n\nA pike hides.");
    home.lines(&["ingest", "--collection", "Papers", "in"]);
    home.run_with_stdin(&["user", "add", "anna", "--role", "member", "--password-stdin"], PASSWORD).done();
    let commands: [&[&str]; 10] = [
        &["ingest", "--collection", "Papers", "in"],
        &["search", "--collection", "Papers", "heron"],
        &["search", "--collection", "Papers", "--mode", "keyword", "--limit", "1", "heron"],
        &["document", "list", "--collection", "Papers"],
        &["document", "list"],
        &["document", "show", "a.txt"],
        &["document", "text", "b.txt"],
        &["collection", "list"],
        &["user", "list"],
        &["audit", "list", "--limit", "3"],
    ];
    let alone: Vec<_> = commands.iter().map(|arguments| lasting(home.run(arguments))).collect();
    let server = Server::start(&home);
    for (arguments, alone) in commands.iter().zip(alone) {
        assert_eq!(lasting(home.run(arguments)), alone, "{arguments:?}");
    }
    let queries = home.write("queries.jsonl", "{\"id\": 1, \"collection\": \"Papers\", \"query\": \"heron\"}\n");
    let bench = home.line(&["bench", "search", "--runs", "2", "--queries", word(&queries)]);
    assert_eq!((&bench["what"], &bench["queries"], &bench["runs"]), (&json!("search"), &json!(1), &json!(2)));
    // What fails, fails with the same words and codes; standard input travels.
    home.run(&["document", "text", "missing.txt"]).ended(1).says("missing.txt");
    home.run(&["search", "--queries", "missing.jsonl"]).ended(1).says("missing.jsonl");
    home.run_with_stdin(&["user", "password", "anna", "--password-stdin"], "a new password, long\n").done();
    let mut http = server.http();
    http.sign_in("/api/v1/login", &json!({"name": "anna", "password": "a new password, long"}));
    let export = home.path().join("log.jsonl");
    home.line(&["audit", "export", "--out", word(&export)]);
    assert!(home.line(&["audit", "verify", word(&export)])["records"].as_u64() > Some(5));
    // A file that the command line takes in while the server runs is there over HTTP at once.
    home.write("in/c.txt", "An otter.");
    home.run(&["ingest", "--collection", "Papers", "in/c.txt"]).done();
    assert_eq!(home.lines(&["search", "--collection", "Papers", "otter"]).len(), 1);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_taken_port_is_told() {
    let (first, second) = (Home::bare(), Home::bare());
    let server = Server::start(&first);
    let address = server.address.to_string();
    second.run(&["serve", "--listen", &address]).ended(1).says("port taken").says(&address).says("--listen");
    assert!(!second.data().exists(), "nothing is made before the port is had");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_data_directory_in_use_is_told() {
    let home = Home::bare();
    let server = Server::start(&home);
    home.run(&["serve", "--listen", "127.0.0.1:0"]).ended(1).says("in use").says("hint:");
    std::fs::remove_file(home.data().join("cloister.sock")).unwrap();
    home.run(&["collection", "list"]).ended(1).says("in use").says("hint:");
    assert_eq!(server.terminate().code(), Some(0));
    home.run(&["collection", "list"]).done();
}

#[test]
fn a_socket_left_behind_by_a_killed_server_does_no_harm() {
    let home = Home::bare();
    let server = Server::start(&home);
    home.line(&["collection", "add", "Papers"]);
    drop(server);
    assert!(home.data().join("cloister.sock").exists(), "a killed server cannot take it away");
    assert_eq!(column(&home.lines(&["collection", "list"]), "name"), ["Papers"]);
    let server = Server::start(&home);
    assert_eq!(column(&home.lines(&["collection", "list"]), "name"), ["Papers"]);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn questions_are_answered_over_http_as_events() {
    let Some(home) = Home::with_models("questions_are_answered_over_http_as_events") else { return };
    let server = Server::start(&home);
    let http = set_up(&server);
    http.post("/api/v1/collections", &json!({"name": "Papers"})).is(201);
    let text = "The lease of the boathouse ends on 31 March 2033. The rent is EUR 410 a month.";
    let ids = upload(&http, &[("lease.txt", text.as_bytes())]);
    let body = json!({"collection": "Papers", "question": "When does the lease of the boathouse end?"});
    let answer = http.post("/api/v1/ask", &body).is(200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let told = answer.text();
    let names: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((names.first(), names.last()), (Some(&"retrieved"), Some(&"done")), "{told}");
    let done: Value =
        serde_json::from_str(told.lines().rfind(|l| l.starts_with("data: ")).unwrap().trim_start_matches("data: "))
            .unwrap();
    let stored: Vec<char> = text.chars().collect();
    for citation in done["citations"].as_array().unwrap() {
        assert_eq!(citation["document"], ids[0].as_str());
        assert!(stands(&stored, citation, "quote"), "{citation}");
    }
    let receipt = done["audit"].as_u64().unwrap();
    let kept = http.get(&format!("/api/v1/answers/{receipt}")).is(200).json();
    assert_eq!((keys(&kept), &kept["answer"], &kept["state"]), (keys(&done), &done["answer"], &done["state"]));
    http.get("/readyz").is(200);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_model_named_by_a_relative_path_is_the_callers() {
    let Some(home) = Home::with_models("a_model_named_by_a_relative_path_is_the_callers") else { return };
    let file = home.write("elsewhere/lease.txt", "The lease of the boathouse ends on 31 March 2033.");
    std::os::unix::fs::symlink(home.generator_file(), file.with_file_name("own.gguf")).unwrap();
    home.lines(&["ingest", "--collection", "Papers", word(&file)]);
    let ask = || {
        let mut command =
            home.command(&["ask", "--collection", "Papers", "--model", "./own.gguf", "When does it end?"]);
        command.current_dir(file.parent().unwrap());
        let answer = Ran::of(command).done().lines().remove(0);
        assert_eq!(answer["model"]["sha256"].as_str().unwrap().len(), 64, "{answer}");
    };
    ask();
    let server = Server::start(&home);
    ask();
    home.run(&["ask", "--collection", "Papers", "--model", "./own.gguf", "When?"]).ended(1).says("own.gguf");
    assert_eq!(server.terminate().code(), Some(0));
}
