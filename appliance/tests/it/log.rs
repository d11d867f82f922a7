//! What is done is in the log, and the log can be checked by others.

use cloister_appliance::{AuditFilter, AuditFormat, CancelFlag, Question, SearchQuery, verify_export};

use crate::support::{CONTRACT, Fixture, operator};

#[test]
fn every_use_case_leaves_its_record() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let document = app.document(&operator(), "supply.txt", Some("c")).unwrap().info.id;
    app.document_page(&operator(), &document, 1).unwrap();
    app.document_original(&operator(), &document).unwrap();
    let query = SearchQuery { text: "Delaware".to_owned(), ..Default::default() };
    let found = app.search(&operator(), &query).unwrap();
    let question = Question { text: "Which law governs?".to_owned(), ..Default::default() };
    let asked = app.ask(&operator(), &question, &CancelFlag::new(), &mut |_| ());
    assert!(asked.is_err(), "there is no model to answer");
    app.remove_document(&operator(), &document, None).unwrap();
    let actions = fixture.actions();
    for wanted in [
        "system.open ok",
        "collection.add ok",
        "document.upload ok",
        "document.ingest ok",
        "document.view ok",
        "search ok",
        "question ok",
        "answer failed",
        "document.remove ok",
        "document.removed ok",
    ] {
        assert!(actions.iter().any(|action| action == wanted), "{wanted} is not in {actions:?}");
    }
    let filter = AuditFilter { action: Some("search".to_owned()), ..Default::default() };
    let record = app.audit_records(&operator(), &filter).unwrap().records.remove(0);
    assert_eq!(record.seq, found.audit);
    assert_eq!((record.actor.as_str(), record.detail["query"].as_str()), ("local:tester", Some("Delaware")));
    assert_eq!(record.detail["passages"][0]["document"].as_str(), Some(document.as_str()));
}

#[test]
fn an_export_is_verified_alone_and_a_changed_one_refused() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let mut export = Vec::new();
    let count = app.audit_export(&operator(), AuditFormat::Jsonl, None, None, &mut export).unwrap();
    assert!(count >= 5, "{count}");
    let key = app.public_key_path();
    let verdict = verify_export(&mut export.as_slice(), &key).unwrap();
    assert!(verdict.ok && verdict.records == count, "{verdict:?}");
    assert!(app.audit_verify(&operator()).unwrap().ok);
    let text = String::from_utf8(export).unwrap();
    let changed = text.replacen("supply.txt", "supplx.txt", 1);
    assert_ne!(changed, text);
    assert!(!verify_export(&mut changed.as_bytes(), &key).unwrap().ok);
    let cut: String = text.split_inclusive('\n').take(3).collect();
    assert!(!verify_export(&mut cut.as_bytes(), &key).unwrap().ok);
}

#[test]
fn the_doctor_looks_everywhere() {
    let fixture = Fixture::bare();
    let checks = fixture.app().doctor();
    let bad: Vec<&str> = checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    for name in
        ["data directory", "disk", "installation key", "processor", "reader sandbox", "clock", "vectors", "audit log"]
    {
        assert!(checks.iter().any(|check| check.name == name), "{name} was not looked at");
    }
    for name in ["model generator", "model embedder"] {
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert!(!check.ok && check.mend.is_some(), "there are no models here: {check:?}");
    }
    let fences = checks.iter().find(|check| check.name == "reader sandbox").unwrap();
    assert!(fences.detail.contains("hold"), "a reader child was asked: {fences:?}");
    assert!(!bad.contains(&"audit log") && !bad.contains(&"data directory"), "{bad:?}");
    fixture.pass(-1000);
    assert!(fixture.app().doctor().iter().any(|check| check.name == "clock" && !check.ok));
}
