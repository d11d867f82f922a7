//! The data directory: who may begin one, and who may read it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Home, Ran, Server};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything in a folder that others may use.
fn loose(dir: &Path) -> Vec<String> {
    let found = Command::new("find").arg(dir).args(["-perm", "/077", "-not", "-type", "l"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The command as somebody runs it whose files others may read.
fn openly(home: &Home, arguments: &[&str]) -> Ran {
    let plain = home.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(home.path());
    Ran::of(command)
}

#[test]
fn what_only_reads_needs_a_data_directory() {
    let home = Home::bare();
    home.write("other/letter.txt", "mine");
    for arguments in [
        &["doctor"][..],
        &["ask", "what?"],
        &["search", "word"],
        &["collection", "list"],
        &["document", "list"],
        &["document", "text", "a.txt"],
        &["audit", "list"],
        &["audit", "verify"],
        &["user", "list"],
        &["key", "list"],
    ] {
        let said = home.run(arguments).ended(1).says("no data directory at").says("--data DIR");
        assert!(said.stdout().is_empty() && said.stderr().contains(&home.data().display().to_string()));
        home.run(&[arguments, &["--data", "other"]].concat()).ended(1).says("holds other things");
    }
    assert!(!home.data().exists());
    assert_eq!(std::fs::read_dir(home.path().join("other")).unwrap().count(), 1);
}

#[test]
fn who_begins_a_data_directory_says_so_once() {
    for arguments in [&["collection", "create", "a"][..], &["ingest", "--collection", "a", "a.txt"]] {
        let home = Home::bare();
        home.write("a.txt", "The lamp is green.");
        home.run(arguments).done().says(&format!("new data directory: {}", home.data().display()));
        let again = home.run(&["ingest", "--collection", "a", "a.txt"]).done();
        assert!(!again.stderr().contains("new data directory"), "{}", again.stderr());
    }
}

#[test]
fn a_new_collection_is_told() {
    let home = Home::bare();
    home.write("a.txt", "The lamp is green.");
    let first = home.run(&["ingest", "--collection", "Lamps", "a.txt"]).done().says("new collection: Lamps");
    assert_eq!(first.lines().last().unwrap()["total"]["new_collection"], true);
    let second = home.run(&["ingest", "--collection", "Lamps", "a.txt"]).done();
    assert!(!second.stderr().contains("new collection"), "{}", second.stderr());
    assert_eq!(second.lines().last().unwrap()["total"]["new_collection"], false);
}

#[test]
fn what_is_made_is_its_owners_alone_whatever_the_umask() {
    let home = Home::bare();
    home.write("a.txt", "The lamp is green.");
    openly(&home, &["ingest", "--collection", "a", "a.txt"]).done();
    assert_eq!((loose(&home.data()), mode(&home.data())), (Vec::new(), 0o700));
    openly(&home, &["audit", "export", "--out", "log.jsonl"]).done();
    assert_eq!(mode(&home.path().join("log.jsonl")), 0o644, "an export has its owner's usual rights");
    let server = Server::start(&home);
    openly(&home, &["audit", "export", "--out", "served.jsonl"]).done();
    assert_eq!(mode(&home.path().join("served.jsonl")), 0o644);
    assert_eq!(loose(&home.data()), Vec::<String>::new());
    server.terminate();
}

#[test]
fn what_an_older_run_left_open_is_closed_with_one_note() {
    let home = Home::bare();
    home.write("a.txt", "The lamp is green.");
    home.run(&["ingest", "--collection", "a", "a.txt"]).done();
    let opened = Command::new("chmod").args(["-R", "go+rX"]).arg(home.data()).status().unwrap();
    assert!(opened.success() && loose(&home.data()).len() > 5);
    let said = home.run(&["document", "list"]).done().says("now only their owner can");
    assert_eq!(said.stderr().lines().count(), 1, "{}", said.stderr());
    assert_eq!(loose(&home.data()), Vec::<String>::new());
    assert_eq!(home.run(&["document", "list"]).done().stderr(), "");
}

#[test]
fn a_second_server_names_the_first() {
    let home = Home::bare();
    let server = Server::start(&home);
    let address = format!("http://{}", server.address);
    home.run(&["serve", "--listen", "127.0.0.1:0"]).ended(1).says("in use").says(&address);
    server.terminate();
    assert!(!home.data().join("cloister.address").exists());
}
