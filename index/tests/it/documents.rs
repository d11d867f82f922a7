//! Names, versions, duplicates, text, pages and boxes.

use std::time::Duration;

use cloister_index::{DocumentStatus, Duplicates, IndexError, Mode, PageOutcome, Placed};

use crate::help::{Room, blob, carry, page, request};

#[test]
fn a_document_goes_in_and_comes_out() {
    let room = Room::new();
    let id = room.add("a/one.txt", &["The notice period is thirty days.\n\nRent is due monthly.", "", "Last page."]);
    let document = room.store.document(&room.all, "a/one.txt", Some(&room.collection.id)).unwrap();
    assert_eq!(document.id, id);
    assert_eq!((document.status, document.pages, document.passages), (DocumentStatus::Ready, 3, 3));
    assert_eq!((document.version, document.names.len(), document.format.as_deref()), (1, 1, Some("text")));
    let text = room.store.text(&room.all, &id).unwrap();
    assert_eq!(text, "The notice period is thirty days.\n\nRent is due monthly.\n\u{c}\n\u{c}Last page.");
    let found = room.find("notice period", Mode::Hybrid);
    let hit = &found.hits[0];
    let chars: Vec<char> = text.chars().collect();
    let slice: String = chars[hit.start as usize..hit.end as usize].iter().collect();
    assert_eq!((hit.text.as_str(), slice.as_str()), ("The notice period is thirty days.", hit.text.as_str()));
    assert_eq!((hit.page, hit.version, hit.name.as_str()), (1, 1, "a/one.txt"));
    assert_eq!(hit.boxes, vec![[1.0, 50.0, 70.0, 50.0 + 33.0 * 6.0, 80.0]]);
    let last = room.store.page(&room.all, &id, 3).unwrap();
    assert_eq!(last.page.text, "Last page.");
    assert_eq!(chars[last.start as usize], 'L');
    assert_eq!(
        room.store.boxes(&room.all, &id, last.start + 5, last.start + 9).unwrap(),
        vec![[3.0, 80.0, 70.0, 110.0, 80.0]]
    );
    room.well();
}

#[test]
fn a_missing_page_counts_as_an_empty_one() {
    let room = Room::new();
    room.place("gap.pdf", b"pdf");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.save_page(&job.id, &page(1, "one")).unwrap();
    room.store.save_page_failure(&job.id, 3, "limit", "took too long").unwrap();
    room.store.save_page(&job.id, &page(4, "four")).unwrap();
    room.store.commit_document(&job.id, &[], &[]).unwrap();
    let id = room.store.document(&room.all, "gap.pdf", None).unwrap();
    assert_eq!(room.store.text(&room.all, &id.id).unwrap(), "one\n\u{c}\n\u{c}\n\u{c}four");
    assert_eq!(room.store.page(&room.all, &id.id, 4).unwrap().start, 9);
    assert_eq!(id.status, DocumentStatus::Partial);
    assert_eq!((id.gaps.len(), id.gaps[0].page, id.gaps[0].reason.as_str()), (1, 3, "limit: took too long"));
    let outcomes: Vec<PageOutcome> =
        room.store.ledger(&room.all, &id.id).unwrap().into_iter().map(|line| line.outcome).collect();
    assert_eq!(outcomes, vec![PageOutcome::Text, PageOutcome::Failed, PageOutcome::Text]);
    let coverage = room.store.coverage(&room.all, None, &[]).unwrap();
    assert_eq!((coverage.documents, coverage.pages, coverage.unread.len()), (1, 2, 1));
}

#[test]
fn a_page_read_in_part_can_be_found_and_counts_as_a_gap() {
    let room = Room::new();
    room.place("torn.docx", b"torn");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    let mut torn = page(1, "The half that is there.");
    torn.outcome = PageOutcome::Partial;
    torn.reason = Some("read in part: the rest could not be read".to_owned());
    assert!(torn.outcome.is_gap());
    room.store.save_page(&job.id, &torn).unwrap();
    room.store.commit_document(&job.id, &[], &[]).unwrap();
    let document = room.store.document(&room.all, "torn.docx", None).unwrap();
    assert_eq!(document.status, DocumentStatus::Partial);
    assert_eq!(document.gaps[0].reason, "read in part: the rest could not be read");
    assert_eq!(room.store.text(&room.all, &document.id).unwrap(), "The half that is there.");
    assert_eq!(room.store.ledger(&room.all, &document.id).unwrap()[0].outcome, PageOutcome::Partial);
    let coverage = room.store.coverage(&room.all, None, &[]).unwrap();
    assert_eq!((coverage.pages, coverage.unread.len(), coverage.unread[0].page), (1, 1, 1));
}

#[test]
fn a_passage_that_is_not_its_text_is_refused_and_nothing_is_seen() {
    let room = Room::new();
    room.place("x.txt", b"x");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.save_page(&job.id, &page(1, "some text")).unwrap();
    let mut passages = crate::help::passages(&["some text"]);
    passages[0].text = "other tex".to_owned();
    assert!(matches!(room.store.commit_document(&job.id, &passages, &[]), Err(IndexError::Invalid { .. })));
    passages[0].text = "some text".to_owned();
    passages[0].end = 10_000;
    assert!(matches!(room.store.commit_document(&job.id, &passages, &[]), Err(IndexError::Invalid { .. })));
    assert!(matches!(room.store.commit_document(&job.id, &[], &[vec![0.0; 3]]), Err(IndexError::Invalid { .. })));
    assert_eq!(room.store.edition().unwrap(), 0);
    let id = room.store.document(&room.all, "x.txt", None).unwrap().id;
    assert!(matches!(room.store.text(&room.all, &id), Err(IndexError::NotFound { .. })));
}

#[test]
fn the_same_bytes_under_the_same_name_are_unchanged() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha"]);
    assert_eq!(room.place("x.txt", b"alpha"), Placed::Unchanged { document: id, job: None });
    assert!(room.store.next_job(Duration::MAX).unwrap().is_none());
}

#[test]
fn other_bytes_under_the_same_name_are_a_new_version() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha first"]);
    let Placed::Updated { document, version, job } = room.place("x.txt", b"beta second") else { panic!() };
    assert_eq!((&document, version), (&id, 2));
    // Until the commit the first version stays findable, and nothing of the second is seen.
    assert_eq!(room.keyword("alpha"), vec!["alpha first"]);
    let taken = room.store.next_job(Duration::MAX).unwrap().unwrap();
    assert_eq!(taken.id, job);
    room.store.save_page(&taken.id, &page(1, "beta second")).unwrap();
    assert!(room.keyword("beta").is_empty());
    assert_eq!(room.store.text(&room.all, &id).unwrap(), "alpha first");
    carry(&room.store, &taken, &["beta second"]);
    assert!(room.keyword("alpha").is_empty());
    assert_eq!(room.keyword("beta"), vec!["beta second"]);
    assert_eq!(room.find("alpha first", Mode::Vector).hits.len(), 1);
    let versions = room.store.versions(&room.all, &id).unwrap();
    assert_eq!(versions.iter().map(|v| (v.version, v.current)).collect::<Vec<_>>(), vec![(2, true), (1, false)]);
    assert!(versions.iter().all(|v| v.committed.is_some()));
    // The text and the bytes of the first version are still there to be looked at.
    assert_eq!(room.store.text_at(&room.all, &id, Some(1)).unwrap(), "alpha first");
    assert_eq!(room.store.page_at(&room.all, &id, 1, Some(1)).unwrap().page.text, "alpha first");
    assert!(!room.store.boxes_at(&room.all, &id, 0, 5, Some(1)).unwrap().is_empty());
    let (mut file, bytes) = room.store.original_at(&room.all, &id, Some(1)).unwrap();
    let mut read = String::new();
    std::io::Read::read_to_string(&mut file, &mut read).unwrap();
    assert_eq!((read.as_str(), bytes), ("alpha first", 11));
    for missing in [0, 3] {
        let error = room.store.text_at(&room.all, &id, Some(missing)).unwrap_err();
        assert!(matches!(error, IndexError::NotFound { what: "version" }), "{error}");
        assert!(room.store.original_at(&room.all, &id, Some(missing)).is_err());
    }
    room.well();
}

#[test]
fn a_version_that_could_not_be_read_is_told() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha first"]);
    room.add("y.txt", &["gamma"]);
    let unread = |documents: &[cloister_index::DocumentId]| -> Vec<(String, u32, String)> {
        let found = room.store.coverage(&room.all, Some(&room.collection.id), documents).unwrap();
        assert_eq!(found.pages, if documents.is_empty() { 2 } else { 1 });
        found.unread.into_iter().map(|line| (line.name, line.page, line.reason)).collect()
    };
    assert!(unread(&[]).is_empty());
    room.place("x.txt", b"beta second");
    let line = |why: &str| vec![("x.txt".to_owned(), 0, format!("version 2: {why}; version 1 is searched"))];
    assert_eq!(unread(&[]), line("not read yet"));
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.fail_job(&job.id, "damaged", "no page tree").unwrap();
    assert_eq!(unread(&[]), line("damaged: no page tree"));
    assert_eq!(unread(std::slice::from_ref(&id)), line("damaged: no page tree"));
    room.store.retry(&room.all, &id).unwrap();
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    carry(&room.store, &job, &["beta second"]);
    assert!(unread(&[]).is_empty());
}

#[test]
fn a_collection_is_summed_up_by_itself() {
    let room = Room::new();
    room.add("x.txt", &["alpha", "beta"]);
    let summary = room.store.collection_summary(&room.all, &room.collection.id).unwrap();
    assert_eq!((summary.documents, summary.pages, summary.unread), (1, 2, 0));
    assert_eq!(room.store.list_collections(&room.all).unwrap(), [summary]);
}

#[test]
fn the_same_bytes_under_another_name_are_a_duplicate() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha"]);
    assert_eq!(
        room.place("y.txt", b"alpha"),
        Placed::Duplicate { of: id.clone(), name: "x.txt".to_owned(), job: None }
    );
    assert_eq!(room.place("y.txt", b"alpha"), Placed::Unchanged { document: id.clone(), job: None });
    let document = room.store.document(&room.all, "y.txt", None).unwrap();
    assert_eq!((document.id, document.names), (id.clone(), vec!["x.txt".to_owned(), "y.txt".to_owned()]));
    let bytes = blob(&room.store, b"alpha");
    let kept = room.store.place(&room.all, &room.collection.id, "z.txt", &bytes, Duplicates::Keep).unwrap();
    assert!(matches!(kept, Placed::Added { document, .. } if document != id));
    let other = room.store.add_collection("other").unwrap();
    let all = room.store.visible(&cloister_index::Actor::Operator).unwrap();
    let placed = crate::help::place_in(&room.store, &all, &other.id, "x.txt", b"alpha");
    assert!(matches!(placed, Placed::Added { document, .. } if document != id), "collections share no document");
}

#[test]
fn a_further_name_with_bytes_of_its_own_leaves_its_document() {
    let room = Room::new();
    let first = room.add("x.txt", &["alpha"]);
    room.place("y.txt", b"alpha");
    let Placed::Updated { document, .. } = room.place("y.txt", b"gamma") else { panic!() };
    assert_ne!(document, first);
    assert_eq!(room.store.document(&room.all, "x.txt", None).unwrap().names, vec!["x.txt".to_owned()]);
    let taken = room.store.next_job(Duration::MAX).unwrap().unwrap();
    carry(&room.store, &taken, &["gamma"]);
    assert_eq!(room.keyword("gamma alpha").len(), 2);
    room.well();
}

#[test]
fn further_names_keep_their_bytes_when_the_first_name_moves_on() {
    let room = Room::new();
    let first = room.add("x.txt", &["alpha"]);
    room.place("y.txt", b"alpha");
    room.place("z.txt", b"alpha");
    room.place("x.txt", b"delta");
    let split = room.store.document(&room.all, "y.txt", None).unwrap();
    assert_ne!(split.id, first);
    assert_eq!(split.names, vec!["y.txt".to_owned(), "z.txt".to_owned()]);
    while let Some(job) = room.store.next_job(Duration::MAX).unwrap() {
        let text = if job.document == first { "delta" } else { "alpha" };
        carry(&room.store, &job, &[text]);
    }
    let found = room.find("alpha delta", Mode::Keyword);
    let names: std::collections::BTreeSet<(String, String)> =
        found.hits.into_iter().map(|hit| (hit.name, hit.text)).collect();
    let expected = [("x.txt", "delta"), ("y.txt", "alpha")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(names, expected.into());
    room.well();
}

#[test]
fn a_newer_upload_overtakes_the_job_of_an_older_one() {
    let room = Room::new();
    let id = room.add("x.txt", &["alpha"]);
    room.place("x.txt", b"beta");
    let slow = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.save_page(&slow.id, &page(1, "beta")).unwrap();
    room.place("x.txt", b"gamma");
    assert!(matches!(room.store.save_page(&slow.id, &page(2, "late")), Err(IndexError::Cancelled)));
    assert!(matches!(room.store.commit_document(&slow.id, &[], &[]), Err(IndexError::Cancelled)));
    let taken = room.store.next_job(Duration::MAX).unwrap().unwrap();
    carry(&room.store, &taken, &["gamma"]);
    assert_eq!(room.store.text(&room.all, &id).unwrap(), "gamma");
    room.well();
}

#[test]
fn what_failed_is_tried_again_when_it_is_dropped_again() {
    let room = Room::new();
    room.place("x.pdf", b"broken");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.fail_job(&job.id, "encrypted", "a password is needed").unwrap();
    let document = room.store.document(&room.all, "x.pdf", None).unwrap();
    assert_eq!(document.status, DocumentStatus::Failed);
    assert_eq!(document.error.unwrap().code, "encrypted");
    assert!(matches!(room.place("x.pdf", b"broken"), Placed::Added { version: 1, .. }));
    let id = room.store.retry(&room.all, &document.id).unwrap();
    assert_eq!(room.store.next_job(Duration::MAX).unwrap().unwrap().id, id);
    let unread = room.store.coverage(&room.all, None, &[]).unwrap().unread;
    assert_eq!((unread.len(), unread[0].page), (1, 0));
}

#[test]
fn what_holds_no_text_is_no_gap_and_what_was_not_read_is_not_looked_at() {
    let room = Room::new();
    let fail = |name: &str, code: &str, picture: bool| {
        room.place(name, name.as_bytes());
        let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
        if picture {
            room.store.save_page_failure(&job.id, 1, "needs_ocr", "it is a picture").unwrap();
        }
        room.store.fail_job(&job.id, code, "it holds no text").unwrap();
    };
    fail("empty.txt", "empty", false);
    let coverage = room.store.coverage(&room.all, None, &[]).unwrap();
    assert_eq!((coverage.documents, coverage.unread.len()), (0, 0));
    fail("scan.pdf", "empty", true);
    fail("locked.pdf", "encrypted", false);
    room.add("x.txt", &["alpha"]);
    let coverage = room.store.coverage(&room.all, None, &[]).unwrap();
    let names: Vec<&str> = coverage.unread.iter().map(|line| line.name.as_str()).collect();
    assert_eq!((coverage.documents, coverage.pages, names), (1, 1, vec!["scan.pdf", "locked.pdf"]));
}

#[test]
fn names_are_checked_and_listed_in_order() {
    let room = Room::new();
    let bytes = blob(&room.store, b"x");
    for bad in ["", "a\u{0}b", &"x".repeat(1001)] {
        let placed = room.store.place(&room.all, &room.collection.id, bad, &bytes, Duplicates::Alias);
        assert!(matches!(placed, Err(IndexError::Invalid { .. })), "{bad:?}");
    }
    for name in ["c", "a", "b/ü", "b"] {
        room.place(name, name.as_bytes());
    }
    let first = room.store.list_documents(&room.all, &room.collection.id, None, 3).unwrap();
    let names = |list: &cloister_index::DocumentList| list.documents.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), first.next.as_deref()), (vec!["a".into(), "b".into(), "b/ü".into()], Some("b/ü")));
    let rest = room.store.list_documents(&room.all, &room.collection.id, first.next.as_deref(), 3).unwrap();
    assert_eq!((names(&rest), rest.next), (vec!["c".to_owned()], None));
}

#[test]
fn an_original_comes_back_and_damage_is_seen() {
    use std::io::Read;
    let room = Room::new();
    let id = room.add("x.txt", &["alpha"]);
    let (mut file, bytes) = room.store.original(&room.all, &id).unwrap();
    let mut read = String::new();
    file.read_to_string(&mut read).unwrap();
    assert_eq!((read.as_str(), bytes), ("alpha", 5));
    let sha256 = room.store.document(&room.all, "x.txt", None).unwrap().sha256;
    let path = room.store.blobs().path(&sha256).unwrap();
    std::fs::write(&path, b"alphb").unwrap();
    let bad: Vec<_> = room.store.verify().into_iter().filter(|c| !c.ok).collect();
    assert_eq!((bad.len(), bad[0].name), (1, "originals"));
    // The same upload again heals it.
    blob(&room.store, b"alpha");
    room.well();
    assert_eq!(room.store.search(&room.all, &request("alpha", Mode::Hybrid)).unwrap().hits.len(), 1);
}
