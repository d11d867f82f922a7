//! Set-up, sessions, keys, rights.

use cloister_appliance::{AuditFilter, Error, ErrorKind, Level, NewUser, Role, SearchQuery, UploadOptions};

use crate::support::{CONTRACT, Fixture, operator};

const PASSWORD: &str = "correct horse battery";

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("it must be refused").kind()
}

#[test]
fn the_set_up_code_makes_one_administrator() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    assert!(app.setup_needed().unwrap());
    let code = app.setup_code().unwrap().unwrap();
    assert_eq!(app.setup_code().unwrap().unwrap(), code, "one code a start");
    assert_eq!(kind(app.set_up("wrong", "ada", PASSWORD, "10.0.0.1")), ErrorKind::Unauthenticated);
    assert_eq!(kind(app.set_up(&code, "a b", PASSWORD, "10.0.0.1")), ErrorKind::Invalid);
    assert_eq!(kind(app.set_up(&code, "ada", "short", "10.0.0.1")), ErrorKind::Invalid);
    let typed = code.to_uppercase().replace('-', " ");
    let login = app.set_up(&typed, "ada", PASSWORD, "10.0.0.1").unwrap();
    assert_eq!(login.user.role, Role::Administrator);
    assert!(!app.setup_needed().unwrap() && app.setup_code().unwrap().is_none());
    assert_eq!(kind(app.set_up(&code, "eve", PASSWORD, "10.0.0.1")), ErrorKind::Unauthenticated, "it works once");
    let found = app.authenticate_session(&login.token, "10.0.0.1").unwrap();
    assert_eq!((found.csrf.as_str(), found.user.name.as_str()), (login.csrf.as_str(), "ada"));
}

#[test]
fn logins_fail_alike_and_are_slowed_down() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    let user = NewUser { name: "ada".to_owned(), role: Role::Member, password: PASSWORD.to_owned() };
    app.add_user(&operator(), &user).unwrap();
    let unknown = app.login("eve", PASSWORD, "10.0.0.2").unwrap_err();
    let wrong = app.login("ada", "not the password", "10.0.0.3").unwrap_err();
    assert_eq!((unknown.code(), unknown.to_string()), (wrong.code(), wrong.to_string()));
    assert_eq!(wrong.code(), "bad_credentials");
    for _ in 0..4 {
        assert_eq!(app.login("ada", "not the password", "10.0.0.3").unwrap_err().code(), "bad_credentials");
    }
    assert_eq!(app.login("ada", PASSWORD, "10.0.0.4").unwrap_err().code(), "too_many_attempts");
    assert_eq!(app.login("eve", PASSWORD, "10.0.0.3").unwrap_err().code(), "too_many_attempts", "the address too");
    fixture.pass(3);
    app.login("ada", PASSWORD, "10.0.0.4").unwrap();
    assert!(fixture.actions().iter().filter(|action| *action == "login denied").count() >= 8);
}

#[test]
fn strangers_cannot_fill_the_log_nor_borrow_a_name() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    for _ in 0..200 {
        app.login("system", "not a password", "10.0.0.2").unwrap_err();
    }
    let filter = AuditFilter { limit: 1000, action: Some("login".to_owned()), ..Default::default() };
    let records = app.audit_records(&operator(), &filter).unwrap().records;
    assert_eq!(records.len(), 6, "five failures and the first that was refused");
    for record in &records {
        assert_eq!((record.actor.as_str(), record.object.as_str()), ("unknown", "system"));
    }
    assert_eq!(records[5].detail["why"], "throttled");
    fixture.pass(3);
    app.login("system", "not a password", "10.0.0.2").unwrap_err();
    app.login("system", "not a password", "10.0.0.2").unwrap_err();
    assert_eq!(app.audit_records(&operator(), &filter).unwrap().records.len(), 8, "a new wait, a new line");
    for name in ["system", "Setup", "UNKNOWN", "local:root", "Local:root", "ｓｙｓｔｅｍ"] {
        let new = NewUser { name: name.to_owned(), role: Role::Member, password: PASSWORD.to_owned() };
        assert_eq!(kind(app.add_user(&operator(), &new)), ErrorKind::Invalid, "{name}");
    }
}

#[test]
fn a_known_key_is_not_shut_out_with_unknown_ones() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    let ada = fixture.user("ada", Role::Member).caller;
    let key = app.add_key(&ada, "scanner", None).unwrap().key;
    for _ in 0..5 {
        assert_eq!(kind(app.authenticate_key("cloister_made_up", "10.0.0.2")), ErrorKind::Unauthenticated);
    }
    assert_eq!(kind(app.authenticate_key("cloister_made_up", "10.0.0.2")), ErrorKind::Throttled);
    assert_eq!(app.authenticate_key(&key, "10.0.0.2").unwrap().name(), "ada");
}

#[test]
fn sessions_end() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    let user = NewUser { name: "ada".to_owned(), role: Role::Member, password: PASSWORD.to_owned() };
    app.add_user(&operator(), &user).unwrap();
    let login = |()| app.login("ada", PASSWORD, "x").unwrap().token;
    let seen = |token: &str| app.authenticate_session(token, "x").map(|found| found.caller);
    let idle = login(());
    fixture.pass(3601);
    seen(&idle).unwrap();
    fixture.pass(3601);
    seen(&idle).unwrap();
    fixture.pass(7201);
    assert_eq!(kind(seen(&idle)), ErrorKind::Unauthenticated, "idle for two hours");
    let long = login(());
    for _ in 0..11 {
        fixture.pass(3600);
        seen(&long).unwrap();
    }
    fixture.pass(3601);
    assert_eq!(kind(seen(&long)), ErrorKind::Unauthenticated, "twelve hours are the end");
    let left = login(());
    app.logout(&seen(&left).unwrap(), &left).unwrap();
    assert_eq!(kind(seen(&left)), ErrorKind::Unauthenticated);
    let changed = login(());
    app.set_password(&seen(&changed).unwrap(), "ada", "another password").unwrap();
    assert_eq!(kind(seen(&changed)), ErrorKind::Unauthenticated, "a new password ends sessions");
    assert_eq!(app.login("ada", PASSWORD, "x").unwrap_err().code(), "bad_credentials");
    let last = app.login("ada", "another password", "x").unwrap().token;
    app.disable_user(&operator(), "ada").unwrap();
    assert_eq!(kind(seen(&last)), ErrorKind::Unauthenticated);
    assert_eq!(app.login("ada", "another password", "x").unwrap_err().code(), "bad_credentials");
    assert_eq!(kind(seen("made up")), ErrorKind::Unauthenticated);
}

#[test]
fn keys_act_for_their_user_until_revoked() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    let ada = fixture.user("ada", Role::Member).caller;
    let eve = fixture.user("eve", Role::Member).caller;
    let key = app.add_key(&ada, "scanner", None).unwrap();
    assert_eq!(app.authenticate_key(&key.key, "x").unwrap().name(), "ada");
    assert_eq!(kind(app.authenticate_key("cloister_00", "x")), ErrorKind::Unauthenticated);
    assert_eq!(kind(app.add_key(&ada, "for eve", Some("eve"))), ErrorKind::Denied);
    assert_eq!(kind(app.add_key(&operator(), "whose", None)), ErrorKind::Invalid);
    assert!(app.keys(&eve).unwrap().is_empty());
    assert_eq!(kind(app.revoke_key(&eve, &key.id)), ErrorKind::NotFound);
    assert_eq!(app.keys(&operator()).unwrap()[0].user, "ada");
    app.revoke_key(&ada, &key.id).unwrap();
    assert_eq!(kind(app.authenticate_key(&key.key, "x")), ErrorKind::Unauthenticated);
}

#[test]
fn rights_reach_as_far_as_they_are_granted() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    fixture.ingest("contracts", &[("supply.txt", CONTRACT.as_bytes())]);
    let member = fixture.user("ada", Role::Member).caller;
    let query = SearchQuery { text: "governing law".to_owned(), ..Default::default() };
    assert!(app.search(&member, &query).unwrap().passages.is_empty());
    assert!(app.collections(&member).unwrap().is_empty());
    assert_eq!(kind(app.document(&member, "supply.txt", None)), ErrorKind::NotFound);
    assert_eq!(kind(app.document_text(&member, "supply.txt", Some("contracts"))), ErrorKind::NotFound);
    app.grant(&operator(), "contracts", "ada", Level::Read).unwrap();
    assert_eq!(app.search(&member, &query).unwrap().passages.len(), 1);
    let options = UploadOptions::default();
    assert_eq!(kind(app.upload(&member, "contracts", "x.txt", &mut &b"x"[..], &options)), ErrorKind::Denied);
    assert_eq!(kind(app.remove_document(&member, "supply.txt", None)), ErrorKind::Denied);
    assert_eq!(kind(app.grant(&member, "contracts", "ada", Level::Manage)), ErrorKind::Denied);
    for refused in [kind(app.users(&member)), kind(app.add_collection(&member, "own")), kind(app.audit_verify(&member))]
    {
        assert_eq!(refused, ErrorKind::Denied);
    }
    app.revoke(&operator(), "contracts", "ada").unwrap();
    assert!(app.search(&member, &query).unwrap().passages.is_empty());
    let auditor = fixture.user("ann", Role::Auditor).caller;
    assert!(app.audit_verify(&auditor).unwrap().ok);
    let denied = fixture.actions().iter().filter(|action| action.ends_with(" denied")).count();
    assert!(denied >= 6, "refusals are in the log: {:?}", fixture.actions());
}
