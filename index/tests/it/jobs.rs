//! Jobs go on where a kill stopped them.

use std::time::Duration;

use cloister_index::{IndexError, JobFilter, Stage};

use crate::help::{Room, carry, open, page};

#[test]
fn jobs_are_taken_in_order_and_pages_stay() {
    let room = Room::new();
    room.place("a", b"a");
    room.place("b", b"b");
    let first = room.store.next_job(Duration::MAX).unwrap().unwrap();
    let second = room.store.next_job(Duration::MAX).unwrap().unwrap();
    assert_eq!((first.name.as_str(), second.name.as_str()), ("a", "b"));
    assert!(room.store.next_job(Duration::MAX).unwrap().is_none());
    room.store.save_page(&first.id, &page(1, "one")).unwrap();
    room.store.save_page(&first.id, &page(2, "two")).unwrap();
    let room = room.again();
    assert_eq!(room.store.report().jobs_resumed, 2);
    let taken = room.store.next_job(Duration::MAX).unwrap().unwrap();
    assert_eq!((taken.id.clone(), taken.pages_done, taken.stage), (first.id, 2, Stage::Reading));
    let kept = room.store.saved_pages(&taken.id).unwrap();
    assert_eq!(kept.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(), vec!["one", "two"]);
    assert_eq!(kept[1], page(2, "two"));
}

#[test]
fn a_job_that_ends_the_process_again_and_again_is_given_up() {
    let mut room = Room::new();
    room.place("poison", b"p");
    for attempt in 1..=10 {
        let taken = room.store.next_job(Duration::MAX).unwrap();
        assert_eq!(taken.map(|job| job.name).as_deref(), Some("poison"), "attempt {attempt}");
        room = room.again();
    }
    room.place("good", b"g");
    assert_eq!(room.store.report().jobs_crashed, 1);
    let poison = room.store.document(&room.all, "poison", None).unwrap();
    assert_eq!(poison.error.unwrap().code, "crashed");
    assert_eq!(room.store.next_job(Duration::MAX).unwrap().unwrap().name, "good");
}

#[test]
fn a_suspect_waits_until_it_is_alone_and_the_process_has_lived_a_while() {
    let mut room = Room::new();
    room.place("suspect", b"s");
    for _ in 0..3 {
        room.store.next_job(Duration::ZERO).unwrap().unwrap();
        room = room.again();
    }
    room.place("good", b"g");
    let good = room.store.next_job(Duration::from_mins(1)).unwrap().unwrap();
    assert_eq!(good.name, "good");
    assert!(room.store.next_job(Duration::from_mins(1)).unwrap().is_none(), "not beside another");
    room.store.fail_job(&good.id, "damaged", "it is").unwrap();
    assert!(room.store.next_job(Duration::from_secs(9)).unwrap().is_none(), "not at once");
    assert_eq!(room.store.next_job(Duration::from_secs(10)).unwrap().unwrap().name, "suspect");
    assert_eq!(room.store.next_job(Duration::MAX).unwrap().map(|job| job.name), None);
}

#[test]
fn a_job_that_gets_further_is_not_given_up() {
    let mut room = Room::new();
    room.place("long", b"p");
    for number in 1..=6 {
        let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
        room.store.save_page(&job.id, &page(number, "text")).unwrap();
        room = room.again();
    }
    assert_eq!(room.store.next_job(Duration::MAX).unwrap().unwrap().pages_done, 6);
}

#[test]
fn a_limit_counts_what_may_be_seen_alone() {
    let room = Room::new();
    room.place("mine", b"mine");
    let other = room.store.add_collection("other").unwrap();
    let all = room.store.visible(&cloister_index::Actor::Operator).unwrap();
    for name in ["x", "y", "z"] {
        crate::help::place_in(&room.store, &all, &other.id, name, name.as_bytes());
    }
    let newest = JobFilter { limit: Some(2), ..JobFilter::default() };
    let names = |visible| -> Vec<String> {
        room.store.jobs(visible, &newest).unwrap().into_iter().map(|job| job.name).collect()
    };
    // The snapshot of the room was taken before the other collection was added: it does not see it.
    assert_eq!(names(&room.all), ["mine"]);
    assert_eq!(names(&all), ["y", "z"]);
}

#[test]
fn a_cancelled_job_takes_nothing_more() {
    let room = Room::new();
    room.place("a", b"a");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    room.store.set_stage(&job.id, Stage::Embedding).unwrap();
    assert!(room.store.set_stage(&job.id, Stage::Done).is_err());
    room.store.cancel_job(&room.all, &job.id).unwrap();
    assert!(matches!(room.store.save_page(&job.id, &page(1, "x")), Err(IndexError::Cancelled)));
    assert_eq!(room.store.job(&job.id).unwrap().stage, Stage::Cancelled);
    assert!(room.store.jobs(&room.all, &JobFilter { unfinished: true, ..JobFilter::default() }).unwrap().is_empty());
    let again = room.store.retry(&room.all, &job.document).unwrap();
    assert_ne!(again, job.id);
}

#[test]
fn a_committed_job_is_done_and_a_second_commit_changes_nothing() {
    let room = Room::new();
    room.place("a", b"a");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    carry(&room.store, &job, &["alpha"]);
    assert_eq!(room.store.job(&job.id).unwrap().stage, Stage::Done);
    assert!(matches!(room.store.commit_document(&job.id, &[], &[]), Err(IndexError::Cancelled)));
    room.store.fail_job(&job.id, "late", "too late").unwrap();
    assert_eq!(room.store.job(&job.id).unwrap().stage, Stage::Done);
}

#[test]
fn retrying_what_is_there_reads_it_as_a_new_version() {
    let room = Room::new();
    let id = room.add("a", &["alpha"]);
    let job = room.store.retry(&room.all, &id).unwrap();
    assert_eq!(room.keyword("alpha").len(), 1);
    let taken = room.store.next_job(Duration::MAX).unwrap().unwrap();
    assert_eq!((taken.id.clone(), taken.version), (job, 2));
    carry(&room.store, &taken, &["alpha read better"]);
    assert_eq!(room.keyword("alpha"), vec!["alpha read better"]);
    room.well();
}

#[test]
fn limits_of_a_page_are_kept() {
    let room = Room::new();
    room.place("a", b"a");
    let job = room.store.next_job(Duration::MAX).unwrap().unwrap();
    let mut bad = page(1, "text");
    bad.words[0].end = 99;
    assert!(matches!(room.store.save_page(&job.id, &bad), Err(IndexError::Invalid { .. })));
    assert!(matches!(room.store.save_page(&job.id, &page(0, "x")), Err(IndexError::Invalid { .. })));
    assert!(matches!(room.store.save_page(&job.id, &page(100_001, "x")), Err(IndexError::Limit { .. })));
    let mut many = page(1, "text");
    many.words = vec![many.words[0]; 500_001];
    assert!(matches!(room.store.save_page(&job.id, &many), Err(IndexError::Limit { .. })));
}

#[test]
fn two_workers_take_different_jobs() {
    let room = Room::new();
    for n in 0..20 {
        room.place(&format!("d{n}"), format!("{n}").as_bytes());
    }
    let store = &room.store;
    let mut names: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut names = Vec::new();
            while let Some(job) = store.next_job(Duration::MAX).unwrap() {
                carry(store, &job, &[&format!("text of {} alpha", job.name)]);
                names.push(job.name);
            }
            names
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 20);
    room.well();
    let dir = room.dir.path().to_owned();
    let copy = room.again();
    assert_eq!(copy.store.report().jobs_resumed, 0);
    drop(copy.store);
    crate::help::well(&open(&dir));
}
