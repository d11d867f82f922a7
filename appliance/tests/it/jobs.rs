//! Jobs outlive the process, can be stopped and taken up again.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::time::Duration;

use cloister_appliance::{
    Appliance, CancelFlag, DocumentStatus, ErrorKind, IngestEvent, JobState, UploadOptions, UploadStatus,
};

use crate::support::{CONTRACT, Fixture, NOTE, operator};

fn wait_for(app: &std::sync::Arc<Appliance>, job: &str) -> JobState {
    let (sender, events) = channel();
    let sink = move |info: &cloister_appliance::JobInfo| {
        if sender.send((info.id.clone(), info.state)).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    app.subscribe(&operator(), Box::new(sink)).unwrap();
    app.start_workers();
    loop {
        let (id, state) = events.recv_timeout(Duration::from_mins(1)).expect("a small job ends within a minute");
        if id == job && state.is_finished() {
            return state;
        }
    }
}

#[test]
fn a_queued_job_goes_on_after_a_restart() {
    let mut fixture = Fixture::bare();
    fixture.app().add_collection(&operator(), "c").unwrap();
    let placed = fixture.upload(&operator(), "c", "supply.txt", CONTRACT.as_bytes());
    assert_eq!(placed.status, UploadStatus::Queued);
    let job = placed.job.unwrap();
    assert_eq!(fixture.app().jobs(&operator(), None).unwrap()[0].state, JobState::Queued);
    fixture.open();
    let app = fixture.app();
    assert_eq!(wait_for(app, &job), JobState::Ready);
    app.shutdown();
    let listed = app.documents(&operator(), "c", None, 10).unwrap().documents;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].status, listed[0].job.as_deref()), (DocumentStatus::Ready, None));
}

#[test]
fn a_cancelled_job_can_be_retried() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    app.add_collection(&operator(), "c").unwrap();
    let placed = fixture.upload(&operator(), "c", "note.txt", NOTE.as_bytes());
    let job = placed.job.unwrap();
    app.cancel_job(&operator(), &job).unwrap();
    assert_eq!(app.jobs(&operator(), Some("c")).unwrap()[0].state, JobState::Cancelled);
    let again = app.retry(&operator(), &placed.document).unwrap();
    assert_eq!(wait_for(app, &again), JobState::Ready);
    app.shutdown();
    assert_eq!(app.cancel_job(&operator(), "no such job").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_data_directory_has_one_owner() {
    let mut fixture = Fixture::bare();
    let error = Appliance::open(fixture.config()).err().unwrap();
    assert_eq!(error.code(), "in_use");
    fixture.close();
    Appliance::open(fixture.config()).unwrap();
}

#[test]
fn where_workers_run_they_do_the_work_alone() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    app.start_workers();
    let results = fixture.ingest("c", &[("a.txt", CONTRACT.as_bytes()), ("b.txt", NOTE.as_bytes())]);
    assert!(results.iter().all(|result| result.status == "added"), "{results:?}");
    // Were there helpers of the call's own, it would go on without the workers.
    let file = fixture.dir.path().join("late.txt");
    std::fs::write(&file, "too late").unwrap();
    let ended =
        app.ingest_paths(&operator(), "c", &[file], &UploadOptions::default(), &CancelFlag::new(), &mut |event| {
            if matches!(event, IngestEvent::Found { .. }) {
                app.shutdown();
            }
        });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    let job = app.jobs(&operator(), None).unwrap().remove(0);
    assert_eq!((job.name.as_str(), job.state), ("late.txt", JobState::Queued));
}
