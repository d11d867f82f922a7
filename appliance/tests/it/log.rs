//! What is done is in the log, and the log can be checked by others.

use cloister_appliance::airgap::audit::AUDIT_FILE;
use cloister_appliance::{Appliance, AuditFilter, AuditFormat, CancelFlag, Question, SearchQuery, verify_export};

use crate::support::{CONTRACT, Fixture, operator};

#[test]
fn every_use_case_leaves_its_record() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let document = app.document(&operator(), "supply.txt", Some("c")).unwrap().info.id;
    app.document_page(&operator(), &document, 1, None).unwrap();
    app.document_original(&operator(), &document, None).unwrap();
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

#[test]
fn a_changed_last_record_gets_its_verdict() {
    let mut fixture = Fixture::bare();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let query = SearchQuery { text: "Delaware".to_owned(), ..Default::default() };
    let last = fixture.app().search(&operator(), &query).unwrap().audit;
    fixture.close();
    let path = fixture.dir.path().join("data/audit").join(AUDIT_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<usize> =
        bytes.windows(8).enumerate().filter(|(_, found)| found == b"Delaware").map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the record lies in the file as text");
    places.iter().for_each(|at| bytes[at + 7] = b'f');
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(Appliance::open(fixture.config()).err().unwrap().code(), "audit_unavailable");
    let app = Appliance::open_for_audit(fixture.config()).unwrap();
    let verdict = app.audit_verify(&operator()).unwrap();
    assert!(!verdict.ok);
    assert_eq!(verdict.bad.unwrap().seq, Some(last));
    let listed = app.audit_records(&operator(), &AuditFilter { limit: 1000, ..Default::default() }).unwrap();
    assert_eq!(listed.records.last().map(|record| record.seq), Some(last));
    let refused = app.audit_export(&operator(), AuditFormat::Jsonl, None, None, &mut Vec::new()).unwrap_err();
    assert!(refused.to_string().contains(&format!("record {last}")), "{refused}");
    let check = app.doctor().into_iter().find(|check| check.name == "audit log").unwrap();
    assert!(!check.ok && check.detail.contains(&last.to_string()), "{check:?}");
    assert!(app.search(&operator(), &query).is_err(), "what must be recorded is refused");
}

#[test]
fn an_unbroken_log_is_opened_for_audit_as_always() {
    let mut fixture = Fixture::bare();
    fixture.close();
    let app = Appliance::open_for_audit(fixture.config()).unwrap();
    assert!(app.audit_verify(&operator()).unwrap().ok);
    let actions = app.audit_records(&operator(), &AuditFilter::default()).unwrap().records;
    assert_eq!(actions.iter().filter(|record| record.action == "system.open").count(), 2);
}

#[test]
fn a_search_that_goes_by_words_alone_says_so() {
    let fixture = Fixture::bare();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let query = SearchQuery { text: "Delaware".to_owned(), ..Default::default() };
    let found = fixture.app().search(&operator(), &query).unwrap();
    let page = fixture.app().audit_records(&operator(), &AuditFilter { limit: 1000, ..Default::default() }).unwrap();
    let detail = &page.records.iter().find(|record| record.seq == found.audit).unwrap().detail;
    assert_eq!((detail["mode"].as_str(), detail["way"]["mode"].as_str()), (Some("hybrid"), Some("keyword")));
    assert!(detail["way"]["why"].as_str().unwrap().contains("all-minilm-l6-v2"), "{detail}");
}
