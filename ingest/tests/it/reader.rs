//! The reader child: what it reads, and what the parent makes of children that misbehave.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloister_ingest::{FaultCode, IngestError, ReadEvent, ReadLimits, ReadReport, ReaderCommand};

use crate::make::{PdfPage, Told, pdf, show};

fn child() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ingest-test-child"))
}

fn limits() -> ReadLimits {
    ReadLimits { page_ms: 10_000, total_ms: 60_000, ..ReadLimits::default() }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("the system gives a file");
    file.write_all(bytes).expect("the file takes the bytes");
    file
}

fn read_by(executable: PathBuf, limits: ReadLimits, bytes: &[u8], name: &str) -> (Told, ReadReport) {
    let mut told = Told::default();
    let command = ReaderCommand { executable, limits };
    let report =
        command.read(&file_of(bytes), name, &|| false, &mut |event| told.take(event)).expect("the child starts");
    assert!(told.fault.is_some() != told.finished.is_some(), "one end: {told:?}");
    (told, report)
}

/// A child that misbehaves: the test program under another name.
fn misbehaving(name: &str, folder: &Path) -> PathBuf {
    let link = folder.join(name);
    std::os::unix::fs::symlink(child(), &link).expect("the folder takes a link");
    link
}

fn read_misbehaving(name: &str, limits: ReadLimits) -> (Told, ReadReport) {
    let folder = tempfile::tempdir().expect("the system gives a folder");
    read_by(misbehaving(name, folder.path()), limits, b"any file", "x.pdf")
}

#[test]
fn a_file_comes_through_the_child_as_it_is_read_here() {
    let pages: Vec<PdfPage> =
        (1..=5).map(|n| PdfPage::new(show(&[(72.0, 700.0, 10.0, &format!("Text of page {n}"))]))).collect();
    let bytes = pdf(&pages);
    let (told, report) = read_by(child(), limits(), &bytes, "x.pdf");
    let here = crate::make::read(&bytes, "x.pdf");
    assert_eq!(told.pages, here.pages);
    assert_eq!((told.finished, report.pages, report.starts, report.fault), (Some(5), 5, 1, None));
    for warning in report.warnings {
        println!("a fence is missing on this machine: {warning}");
    }
}

#[test]
fn faults_and_attachments_come_through_too() {
    let (told, report) = read_by(child(), limits(), b"", "x.pdf");
    assert_eq!((told.code(), report.fault), (Some(FaultCode::Empty), Some(FaultCode::Empty)));
    let mail = b"From: a@b.c\nSubject: s\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nBody\n--x\nContent-Type: text/csv\n\
        Content-Disposition: attachment; filename=t.csv\n\n1,2\n--x--\n";
    let (told, _) = read_by(child(), limits(), mail, "x.eml");
    assert_eq!(told.attachments, [("t.csv".to_owned(), b"1,2".to_vec())]);
    let small = ReadLimits { file_bytes_max: 10, ..limits() };
    let (told, _) = read_by(child(), small, b"more than ten bytes", "x.txt");
    assert_eq!(told.code(), Some(FaultCode::Limit));
}

#[test]
fn a_file_that_needs_more_memory_than_allowed_is_told_so() {
    // A content stream that asks for a gigabyte of run-length data.
    let content = "<80>".repeat(4);
    let mut page = PdfPage::new(content);
    page.extra = "/Unused<</W[0 4000000000 500]>>".to_owned();
    let text = "line of words that fills the memory of the reader\n".repeat(600_000);
    let (told, report) = read_by(child(), ReadLimits { memory_bytes: 90 << 20, ..limits() }, text.as_bytes(), "x.txt");
    assert_eq!((told.code(), report.pages), (Some(FaultCode::Limit), 0), "{told:?}");
    assert_eq!(crate::make::read(&pdf(&[page]), "x.pdf").finished, Some(1));
}

#[test]
fn children_that_misbehave_end_in_a_fault() {
    for name in ["garbage", "dies", "dies-within-a-frame", "lies"] {
        let (told, report) = read_misbehaving(name, limits());
        assert_eq!(told.code(), Some(FaultCode::Crashed), "{name}");
        assert_eq!(report.fault, Some(FaultCode::Crashed), "{name}");
    }
}

#[test]
fn pages_that_nobody_counted_are_not_believed() {
    let (told, _) = read_misbehaving("boasts", ReadLimits { pages_max: 50, ..limits() });
    assert_eq!((told.announced, told.finished), (Some(51), Some(50)));
}

#[test]
fn a_child_that_hangs_is_ended_in_time() {
    let since = Instant::now();
    let (told, report) = read_misbehaving("hangs", ReadLimits { page_ms: 200, ..limits() });
    assert_eq!((told.code(), report.starts), (Some(FaultCode::Limit), 1));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_page_that_breaks_the_child_costs_that_page() {
    let (told, report) = read_misbehaving("breaks-at-2", limits());
    let numbers: Vec<u32> = told.pages.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    assert_eq!(told.failed_pages, [(2, FaultCode::Crashed)]);
    // The first child breaks, the second tries the page once more, the third leaves it out.
    assert_eq!((report.starts, report.pages, report.pages_failed, told.finished), (3, 3, 1, Some(4)));
}

#[test]
fn a_page_that_takes_too_long_costs_that_page() {
    let (told, report) = read_misbehaving("hangs-at-2", ReadLimits { page_ms: 300, ..limits() });
    assert_eq!(told.failed_pages, [(2, FaultCode::Limit)]);
    assert_eq!((told.pages.len(), report.starts), (3, 2));
}

#[test]
fn restarts_are_bounded() {
    let (told, report) = read_misbehaving("breaks-at-2", ReadLimits { restarts_max: 1, ..limits() });
    assert_eq!((told.code(), report.starts), (Some(FaultCode::Crashed), 2));
    assert_eq!(told.failed_pages, []);
}

#[test]
fn cancelling_ends_the_child() {
    let folder = tempfile::tempdir().expect("the system gives a folder");
    let command = ReaderCommand { executable: misbehaving("hangs", folder.path()), limits: limits() };
    let asked = Cell::new(0);
    let cancel = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let since = Instant::now();
    let result = command.read(&file_of(b"x"), "x", &cancel, &mut |event| panic!("nothing was read: {event:?}"));
    assert!(matches!(result, Err(IngestError::Cancelled)));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_missing_program_is_an_error_of_ours() {
    let command = ReaderCommand { executable: PathBuf::from("/does/not/exist"), limits: limits() };
    let result = command.read(&file_of(b"x"), "x", &|| false, &mut |_: ReadEvent| {});
    assert!(matches!(result, Err(IngestError::Start { .. })));
}

#[test]
fn limits_of_pages_and_text_hold() {
    let pages: Vec<PdfPage> =
        (1..=5).map(|n| PdfPage::new(show(&[(72.0, 700.0, 10.0, &format!("Text of page {n}"))]))).collect();
    let bytes = pdf(&pages);
    let (told, _) = read_by(child(), ReadLimits { pages_max: 3, ..limits() }, &bytes, "x.pdf");
    assert_eq!(
        (told.code(), told.pages.len()),
        (Some(FaultCode::Limit), 1),
        "two pages are held back for their running heads"
    );
    let (told, _) = read_by(child(), ReadLimits { text_bytes_max: 40, ..limits() }, &bytes, "x.pdf");
    assert_eq!((told.code(), told.pages.len()), (Some(FaultCode::Limit), 2));
    let (told, _) = read_by(child(), ReadLimits { page_text_bytes_max: 5, ..limits() }, &bytes, "x.pdf");
    assert_eq!(told.failed_pages.len(), 5);
}
