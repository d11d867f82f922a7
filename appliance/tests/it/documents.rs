//! Taking in, viewing, searching, removing.

use cloister_appliance::{DocumentStatus, ErrorKind, SearchMode, SearchQuery, UploadOptions};

use crate::support::{CONTRACT, Fixture, NOTE, operator};

#[test]
fn each_file_gets_its_result() {
    let fixture = Fixture::bare();
    let statuses = |files: &[(&str, &[u8])]| -> Vec<(String, &'static str)> {
        fixture.ingest("c", files).into_iter().map(|result| (result.name, result.status)).collect()
    };
    let row = |name: &str, status| (name.to_owned(), status);
    let first = statuses(&[("a.txt", CONTRACT.as_bytes()), ("empty.txt", b""), ("sub/b.txt", NOTE.as_bytes())]);
    assert_eq!(first, [row("a.txt", "added"), row("empty.txt", "failed"), row("sub/b.txt", "added")]);
    let again = statuses(&[
        ("a.txt", CONTRACT.as_bytes()),
        ("sub/b.txt", b"The pond is deep."),
        ("c.txt", CONTRACT.as_bytes()),
    ]);
    assert_eq!(again, [row("a.txt", "unchanged"), row("c.txt", "duplicate"), row("sub/b.txt", "updated")]);
    let detail = fixture.app().document(&operator(), "a.txt", Some("c")).unwrap();
    assert_eq!(detail.names, ["a.txt", "c.txt"]);
    let changed = fixture.app().document(&operator(), "sub/b.txt", Some("c")).unwrap();
    assert_eq!((changed.info.version, changed.versions.len()), (2, 2));
    assert_eq!(fixture.app().document_text(&operator(), "sub/b.txt", None).unwrap(), "The pond is deep.");
    // The replaced version can still be looked at, and one that never was is not there.
    let (app, id) = (fixture.app(), &changed.info.id);
    assert!(changed.versions.iter().all(|version| version.since.is_some() && version.format == "text"), "{changed:?}");
    assert_eq!(app.document_text_at(&operator(), id, Some(1)).unwrap(), NOTE);
    assert_eq!(app.document_page(&operator(), id, 1, Some(1)).unwrap().text, NOTE);
    assert_eq!(app.document_original(&operator(), id, Some(1)).unwrap().bytes, NOTE.len() as u64);
    for error in [
        app.document_text_at(&operator(), id, Some(3)).unwrap_err(),
        app.document_page(&operator(), id, 1, Some(3)).unwrap_err(),
        app.document_boxes(&operator(), id, 0, 4, Some(3)).unwrap_err(),
        app.document_original(&operator(), id, Some(3)).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::NotFound, "no such version: 3 of sub/b.txt")
        );
    }
}

#[test]
fn a_failed_file_says_why_and_disturbs_no_other() {
    let fixture = Fixture::bare();
    let results = fixture.ingest(
        "c",
        &[
            ("bad.pdf", b"%PDF-1.7\nnot really"),
            ("good.txt", CONTRACT.as_bytes()),
            ("odd.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ],
    );
    let codes: Vec<Option<&str>> =
        results.iter().map(|result| result.error.as_ref().map(|error| error.code.as_str())).collect();
    assert_eq!(codes, [Some("damaged"), None, Some("unsupported")]);
    assert!(results[1].passages > 0);
    let failed = fixture.app().document(&operator(), "bad.pdf", Some("c")).unwrap().info;
    assert_eq!(failed.status, DocumentStatus::Failed);
    assert_eq!(failed.error.unwrap().code, "damaged");
}

#[test]
fn text_and_offsets_are_the_file_s_own() {
    let fixture = Fixture::bare();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes()), ("note.txt", NOTE.as_bytes())]);
    let app = fixture.app();
    assert_eq!(app.document_text(&operator(), "supply.txt", None).unwrap(), CONTRACT);
    let query = SearchQuery { text: "notice to terminate".to_owned(), mode: SearchMode::Keyword, ..Default::default() };
    let found = app.search(&operator(), &query).unwrap();
    let best = &found.passages[0];
    let chars: Vec<char> = CONTRACT.chars().collect();
    assert_eq!(best.text, chars[best.start as usize..best.end as usize].iter().collect::<String>());
    assert_eq!((best.rank, best.page, best.name.as_str()), (1, 1, "supply.txt"));
    assert_eq!((found.coverage.documents, found.coverage.unread.len()), (2, 0));
    let scoped = SearchQuery { documents: vec!["note.txt".to_owned()], ..query.clone() };
    assert!(app.search(&operator(), &scoped).unwrap().passages.iter().all(|passage| passage.name == "note.txt"));
    let lost = SearchQuery { documents: vec!["gone.txt".to_owned()], ..query };
    assert_eq!(app.search(&operator(), &lost).unwrap_err().kind(), ErrorKind::NotFound);
    let page = app.document_page(&operator(), &best.document, 1, None).unwrap();
    assert_eq!((page.start, page.text.as_str()), (0, CONTRACT));
}

const MAIL: &str = "From: Ada <ada@example.org>\r\nTo: Eve <eve@example.org>\r\nSubject: The pond\r\nDate: Mon, 6 Jan 2020 10:00:00 +0000\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the attached measurements.\r\n\
    --b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=\"depth.txt\"\r\n\r\nThe pond is 140 cm deep.\r\n--b--\r\n";

#[test]
fn attachments_become_documents_of_their_own() {
    let fixture = Fixture::bare();
    let results = fixture.ingest("c", &[("mail.eml", MAIL.as_bytes())]);
    let names: Vec<(&str, &str)> = results.iter().map(|result| (result.name.as_str(), result.status)).collect();
    assert_eq!(names, [("mail.eml", "added"), ("mail.eml/depth.txt", "added")]);
    let text = fixture.app().document_text(&operator(), "mail.eml/depth.txt", Some("c")).unwrap();
    assert!(text.contains("140 cm"), "{text}");
}

/// Names and states of results.
fn told(results: &[cloister_appliance::IngestResult]) -> Vec<(&str, &str)> {
    results.iter().map(|result| (result.name.as_str(), result.status)).collect()
}

#[test]
fn an_attachment_lives_and_dies_with_its_mail_whatever_else_has_its_bytes() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    let measures: (&str, &[u8]) = ("depth.txt", b"The pond is 140 cm deep.");
    let mail = ("mail.eml", MAIL.as_bytes());
    // Before the mail, and after it in another collection: the order makes no difference.
    assert_eq!(told(&fixture.ingest("c", &[measures, mail])).len(), 3);
    fixture.ingest("d", &[mail]);
    assert_eq!(told(&fixture.ingest("d", &[measures])), [("depth.txt", "added")]);
    let child = "mail.eml/depth.txt";
    for collection in ["c", "d"] {
        app.remove_document(&operator(), "depth.txt", Some(collection)).unwrap();
        let text = app.document_text(&operator(), child, Some(collection)).unwrap();
        assert!(text.contains("140 cm"), "{collection}: {text}");
        let results = fixture.ingest(collection, &[mail]);
        assert_eq!(told(&results), [("mail.eml", "unchanged"), (child, "unchanged")]);
        app.remove_document(&operator(), child, Some(collection)).unwrap();
        let results = fixture.ingest(collection, &[mail]);
        assert_eq!(told(&results), [("mail.eml", "updated"), (child, "added")], "it is brought back");
        fixture.ingest(collection, &[measures]);
        let removed = app.remove_document(&operator(), "mail.eml", Some(collection)).unwrap();
        assert_eq!(removed.probe_hits, 0);
        assert!(app.document_text(&operator(), child, Some(collection)).is_err(), "it goes with the mail");
        assert!(app.document_text(&operator(), "depth.txt", Some(collection)).is_ok(), "and nothing else");
    }
}

#[test]
fn an_attachment_that_cannot_be_read_is_no_lack_of_the_mail() {
    let fixture = Fixture::bare();
    let mail =
        MAIL.replace("depth.txt", "logo.png").replace("The pond is 140 cm deep.", "\u{89}PNG\r\n\u{1a}\n\0\0\0\rIHDR");
    let first = fixture.ingest("c", &[("mail.eml", mail.as_bytes())]);
    assert_eq!(told(&first), [("mail.eml", "added"), ("mail.eml/logo.png", "failed")]);
    let again = fixture.ingest("c", &[("mail.eml", mail.as_bytes())]);
    assert_eq!(told(&again), [("mail.eml", "unchanged"), ("mail.eml/logo.png", "failed")]);
    let found = fixture.app().document(&operator(), "mail.eml", Some("c")).unwrap();
    assert_eq!(found.info.version, 1);
}

#[test]
fn an_attachment_that_the_mail_no_longer_carries_goes() {
    let fixture = Fixture::bare();
    fixture.ingest("c", &[("mail.eml", MAIL.as_bytes())]);
    let other = MAIL.replace("depth.txt", "width.txt").replace("deep", "wide");
    let results = fixture.ingest("c", &[("mail.eml", other.as_bytes())]);
    assert_eq!(told(&results), [("mail.eml", "updated"), ("mail.eml/width.txt", "added")]);
    assert!(fixture.app().document_text(&operator(), "mail.eml/depth.txt", Some("c")).is_err());
}

#[test]
fn results_come_in_the_order_of_the_files() {
    let fixture = Fixture::bare();
    let names: Vec<String> = (0..12).map(|number| format!("{number:02}.txt")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let folder = fixture.dir.path().join("files");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let mut told = Vec::new();
    let (options, cancel) = (UploadOptions::default(), cloister_appliance::CancelFlag::new());
    let mut on_event = |event| {
        if let cloister_appliance::IngestEvent::File(result) = event {
            told.push(result.name);
        }
    };
    fixture.app().ingest_paths(&operator(), "c", &[folder], &options, &cancel, &mut on_event).unwrap();
    assert_eq!(told, names);
}

#[test]
fn removal_leaves_nothing_and_a_certificate() {
    let fixture = Fixture::bare();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let app = fixture.app();
    let removed = app.remove_document(&operator(), "supply.txt", Some("c")).unwrap();
    assert_eq!((removed.probe_hits, removed.bytes), (0, CONTRACT.len() as u64));
    assert!(removed.passages > 0);
    let query = SearchQuery { text: "Delaware".to_owned(), ..Default::default() };
    assert!(app.search(&operator(), &query).unwrap().passages.is_empty());
    let actions = fixture.actions();
    for wanted in ["document.remove ok", "document.removed ok"] {
        assert!(actions.iter().any(|action| action == wanted), "{wanted} is not in {actions:?}");
    }
}

#[test]
fn uploads_have_limits() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    app.add_collection(&operator(), "c").unwrap();
    let options = UploadOptions::default();
    let refused = |name: &str| app.upload(&operator(), "c", name, &mut &b"x"[..], &options).unwrap_err().kind();
    for name in ["", "../x", "a/../../b", "a\u{7}b"] {
        assert_eq!(refused(name), ErrorKind::Invalid, "{name:?}");
    }
    let mut config = fixture.config();
    config.data_dir = fixture.dir.path().join("small");
    config.upload_bytes_max = 1000;
    let small = cloister_appliance::Appliance::open(config).unwrap();
    small.add_collection(&operator(), "c").unwrap();
    let error = small.upload(&operator(), "c", "x.txt", &mut std::io::repeat(b'x'), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let listed = small.documents(&operator(), "c", None, 10).unwrap();
    assert!(listed.documents.is_empty(), "nothing is left of it");
}

#[test]
fn what_is_known_to_be_missing_is_a_gap_and_the_rest_is_found() {
    let fixture = Fixture::bare();
    let torn = format!("<html><body><p>The pond is deep.</p>{}The rent is 900.", "<div>".repeat(5_000));
    let results = fixture.ingest("c", &[("torn.html", torn.as_bytes()), ("whole.txt", NOTE.as_bytes())]);
    let told: Vec<(&str, usize)> = results.iter().map(|result| (result.status, result.gaps.len())).collect();
    assert_eq!(told, [("partial", 1), ("added", 0)]);
    let app = fixture.app();
    let detail = app.document(&operator(), "torn.html", Some("c")).unwrap();
    assert_eq!(detail.info.status, DocumentStatus::Partial);
    assert_eq!((detail.ledger.len(), detail.ledger[0].outcome.as_str()), (1, "partial"));
    let reason = detail.ledger[0].reason.clone().unwrap();
    assert!(reason.starts_with("read in part: ") && reason.contains("deeper"), "{reason}");
    let query = SearchQuery { text: "how deep is the pond".to_owned(), ..Default::default() };
    let found = app.search(&operator(), &query).unwrap();
    assert!(found.passages.iter().any(|passage| passage.name == "torn.html"));
    let unread: Vec<(&str, u32)> = found.coverage.unread.iter().map(|row| (row.name.as_str(), row.page)).collect();
    assert_eq!(unread, [("torn.html", 1)]);
}

#[test]
fn a_nearly_full_disk_takes_no_uploads_and_lets_deletions_through() {
    let mut fixture = Fixture::bare();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    fixture.close();
    let mut config = fixture.config();
    config.disk_reserve_bytes = u64::MAX;
    let app = cloister_appliance::Appliance::open(config).unwrap();
    let error = app.upload(&operator(), "c", "x.txt", &mut &b"x"[..], &UploadOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::DiskFull, "disk_full"));
    assert_eq!(app.remove_document(&operator(), "supply.txt", Some("c")).unwrap().probe_hits, 0);
}

#[test]
fn a_document_without_text_says_why() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    app.add_collection(&operator(), "c").unwrap();
    let id = fixture.upload(&operator(), "c", "queued.txt", b"later").document;
    for error in [
        app.document_text(&operator(), "queued.txt", Some("c")).unwrap_err(),
        app.document_page(&operator(), &id, 1, None).unwrap_err(),
        app.document_boxes(&operator(), &id, 0, 4, None).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "not_read"));
        assert_eq!(error.to_string(), "queued.txt is not read yet");
    }
    fixture.ingest("c", &[("bad.pdf", b"%PDF-1.7\nnot really"), ("good.txt", b"here")]);
    let failed = app.document_text(&operator(), "bad.pdf", Some("c")).unwrap_err();
    assert!(failed.to_string().starts_with("bad.pdf could not be read: damaged: "), "{failed}");
    let good = app.document(&operator(), "good.txt", Some("c")).unwrap().info.id;
    let missing = app.document_page(&operator(), &good, 2, None).unwrap_err();
    assert_eq!((missing.kind(), missing.to_string().as_str()), (ErrorKind::NotFound, "no such page: 2"));
}
