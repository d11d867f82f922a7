//! `user`, `key`, `collection`: what scripts need to install without a page.

use serde_json::json;

use crate::support::{Home, column, keys};

const PASSWORD: &str = "correct horse battery staple\n";

fn add(home: &Home, name: &str, role: &str) {
    let line =
        &home.run_with_stdin(&["user", "add", name, "--role", role, "--password-stdin"], PASSWORD).done().lines()[0];
    assert_eq!((&line["name"], &line["role"], &line["disabled"]), (&json!(name), &json!(role), &json!(false)));
}

#[test]
fn users_are_added_listed_and_shut_out() {
    let home = Home::bare();
    add(&home, "anna", "administrator");
    add(&home, "mark", "member");
    add(&home, "audrey", "auditor");
    assert_eq!(column(&home.lines(&["user", "list"]), "name").len(), 3);
    home.line(&["user", "disable", "mark"]);
    let disabled: Vec<_> = home.lines(&["user", "list"]).into_iter().filter(|user| user["disabled"] == true).collect();
    assert_eq!(column(&disabled, "name"), ["mark"]);
    home.run_with_stdin(&["user", "password", "anna", "--password-stdin"], "another long password\n").done();
    home.run_with_stdin(&["user", "add", "anna", "--role", "member", "--password-stdin"], PASSWORD)
        .ended(1)
        .says("anna");
}

#[test]
fn bad_users_are_wrong_usage() {
    let home = Home::bare();
    home.run_with_stdin(&["user", "add", "x", "--role", "king", "--password-stdin"], PASSWORD).ended(2).says("king");
    home.run_with_stdin(&["user", "add", "x", "--role", "member", "--password-stdin"], "").ended(2).says("password");
    home.run_with_stdin(&["user", "add", "x", "--role", "member", "--password-stdin"], "short\n").ended(2);
    assert!(home.lines(&["user", "list"]).is_empty());
}

#[test]
fn keys_are_shown_once() {
    let home = Home::bare();
    add(&home, "anna", "administrator");
    let made = home.line(&["key", "add", "backup script", "--user", "anna"]);
    assert_eq!(keys(&made), ["id", "key"]);
    let listed = home.line(&["key", "list"]);
    assert_eq!((&listed["id"], &listed["label"]), (&made["id"], &json!("backup script")));
    assert!(!listed.to_string().contains(made["key"].as_str().unwrap()), "the key is shown again");
    home.line(&["key", "revoke", made["id"].as_str().unwrap()]);
    assert!(home.lines(&["key", "list"]).is_empty());
}

#[test]
fn collections_are_granted_and_removed() {
    let home = Home::bare();
    add(&home, "mark", "member");
    home.line(&["collection", "add", "Leases"]);
    home.run(&["collection", "add", "Leases"]).ended(1).says("Leases");
    let granted = home.line(&["collection", "grant", "Leases", "mark", "--level", "write"]);
    assert_eq!(granted, json!({"collection": "Leases", "user": "mark", "level": "write"}));
    home.run(&["collection", "grant", "Leases", "mark", "--level", "own"]).ended(2).says("own");
    home.run(&["collection", "grant", "Leases", "nobody"]).ended(1).says("nobody");
    home.line(&["collection", "revoke", "Leases", "mark"]);
    home.line(&["collection", "remove", "Leases"]);
    assert!(home.lines(&["collection", "list"]).is_empty());
}
