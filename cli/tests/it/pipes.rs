//! Ends of pipes that go away: silence where only telling was left, never where work was left.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::support::{Home, Ran, Server};

/// Files of an ingest that is not over when the first is told.
const FILES: usize = 40;

/// Runs the command with a standard output that nobody reads.
fn unread(mut command: Command) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    Ran::of_child(child)
}

fn with_files() -> Home {
    let home = Home::bare();
    for number in 0..FILES {
        home.write(&format!("in/{number:03}.txt"), format!("Record {number}. ").repeat(4_000));
    }
    home
}

/// What only tells ends in silence; an ingest that was broken off does not, and a second one does the rest.
fn check(home: &Home) {
    for arguments in [&["audit", "list"][..], &["audit", "export"], &["document", "list"], &["doctor"]] {
        let ran = unread(home.command(arguments)).done();
        assert!(ran.stderr().is_empty(), "{arguments:?}: {}", ran.stderr());
    }
    unread(home.command(&["ingest", "--collection", "Records", "in"])).ended(1).says("cancelled");
    let before = home.lines(&["document", "list"]).len();
    assert!(before < FILES, "all was taken in");
    let total = home.lines(&["ingest", "--collection", "Records", "in"]).pop().unwrap();
    assert_eq!((&total["total"]["files"], &total["total"]["failed"]), (&FILES.into(), &0.into()));
    // When all is done already there is nothing left to tell of.
    assert_eq!(home.lines(&["document", "list"]).len(), FILES);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_unless_work_is_left() {
    let home = with_files();
    home.line(&["collection", "add", "Records"]);
    check(&home);
}

#[test]
fn the_same_behind_a_server() {
    let home = with_files();
    home.line(&["collection", "add", "Records"]);
    let server = Server::start(&home);
    check(&home);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_server_that_goes_away_is_a_failure() {
    let home = Home::bare();
    std::fs::create_dir_all(home.data()).unwrap();
    let listener = UnixListener::bind(home.data().join("cloister.sock")).unwrap();
    let hang_up = std::thread::spawn(move || drop(listener.accept().unwrap()));
    // More than fits into the socket, so that the client still writes when the other end closes.
    let password = "x".repeat(3 << 20);
    let ran = home.run_with_stdin(&["user", "password", "anna", "--password-stdin"], &password).ended(1);
    ran.says("the server on this data directory went away");
    hang_up.join().unwrap();
}
