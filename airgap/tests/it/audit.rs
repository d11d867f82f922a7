//! The audit log: what is written is read back, and every change is found.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloister_airgap::audit::{AUDIT_FILE, AuditLog, Clock, Event, Filter, Format, Verdict, verify_export};
use cloister_airgap::{AirgapError, SecretKey};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

/// A clock that goes on by one second with every question.
fn clock() -> Clock {
    let seconds = AtomicU64::new(0);
    Arc::new(move || {
        let now = seconds.fetch_add(1, Ordering::Relaxed);
        format!("2026-03-01T10:{:02}:{:02}+01:00", now / 60, now % 60)
    })
}

fn event(number: u64) -> Event {
    Event {
        actor: if number.is_multiple_of(3) { "anna".into() } else { "ben".into() },
        action: if number.is_multiple_of(2) { "question.asked".into() } else { "document.viewed".into() },
        object: format!("object {number}"),
        outcome: "ok".into(),
        detail: json!({"question": format!("What is clause {number}?"), "score": 0.25, "passages": [number, null, true]}),
    }
}

/// A log of `records` records, the first being the one that begins it.
fn log(records: u64) -> (TempDir, AuditLog) {
    log_of(records, key())
}

fn log_of(records: u64, key: SecretKey) -> (TempDir, AuditLog) {
    let dir = TempDir::new().unwrap();
    let log = AuditLog::open(dir.path(), key, clock(), "boot-1").unwrap();
    for number in 1..records {
        assert_eq!(log.append(&event(number)).unwrap().seq, number);
    }
    (dir, log)
}

fn exported(log: &AuditLog, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    log.export(format, None, None, &mut bytes).unwrap();
    bytes
}

fn check_export(bytes: &[u8]) -> Result<Verdict, AirgapError> {
    verify_export(&mut &bytes[..], &key().public())
}

/// The number of the first bad record, `None` where the fault is not tied to one. Panics when nothing is found.
fn first_bad(result: Result<Verdict, AirgapError>) -> Option<u64> {
    match result {
        Err(AirgapError::AuditBroken { seq, .. }) => seq,
        other => panic!("no fault was found: {other:?}"),
    }
}

/// Runs SQL on a closed log as somebody would who has the file.
fn tamper(dir: &Path, sql: &str) {
    let connection = Connection::open(dir.join(AUDIT_FILE)).unwrap();
    connection.execute_batch("DROP TRIGGER IF EXISTS records_stay; DROP TRIGGER IF EXISTS records_remain;").unwrap();
    connection.execute_batch(sql).unwrap();
}

fn lines(bytes: &[u8]) -> Vec<String> {
    std::str::from_utf8(bytes).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

#[test]
fn records_read_back_and_the_chain_verifies_by_hand() {
    let (_dir, log) = log(5);
    let listing = log.list(&Filter::default()).unwrap();
    assert_eq!(listing.records.len(), 5);
    assert_eq!(listing.records[0].event.action, "log.created");
    assert_eq!(listing.records[2].event, event(2));
    assert_eq!(listing.records[2].time, "2026-03-01T09:00:02.000Z");
    assert_eq!(listing.records[2].boot, "boot-1");
    assert_eq!(log.record(3).unwrap().unwrap(), listing.records[3]);
    assert_eq!(log.record(5).unwrap(), None);
    let verdict = log.verify().unwrap();
    assert_eq!((verdict.records, verdict.first, verdict.last), (5, Some(0), Some(4)));
    assert_eq!(verdict.head, listing.head);

    // What anyone can do without this program: hash each line and look for the hash in the next.
    let export = exported(&log, Format::JsonLines);
    let lines = lines(&export);
    assert_eq!(lines.len(), 6);
    for pair in lines[..5].windows(2) {
        let hash = cloister_airgap::Hash::of(pair[0].trim_end().as_bytes());
        assert!(pair[1].contains(&format!("\"prev\":\"{hash}\"")));
    }
    assert_eq!(check_export(&export).unwrap(), verdict);
}

#[test]
fn the_form_of_a_line_stays_as_it_is() {
    let (_dir, log) = log(2);
    let export = exported(&log, Format::JsonLines);
    let expected = concat!(
        r#"{"action":"document.viewed","actor":"ben","boot":"boot-1","#,
        r#""detail":{"passages":[1,null,true],"question":"What is clause 1?","score":0.25},"object":"object 1","outcome":"ok","#,
        r#""prev":"e1e4495f19b3b38630e4c55c4d0231c664ea376c72a99d59f5e3cb0a2d1f0cc3","seq":1,"time":"2026-03-01T09:00:01.000Z","v":1}"#,
        "\n"
    );
    let first = cloister_airgap::Hash::of(lines(&export)[0].trim_end().as_bytes()).to_string();
    assert_eq!(lines(&export)[1], expected, "the first line's hash is {first}");
}

#[test]
fn a_log_goes_on_after_a_restart_and_beside_another_writer() {
    let (dir, first) = log(3);
    let second = AuditLog::open(dir.path(), key(), clock(), "boot-2").unwrap();
    assert_eq!(second.append(&event(3)).unwrap().seq, 3);
    assert_eq!(first.append(&event(4)).unwrap().seq, 4);
    drop((first, second));
    let third = AuditLog::open(dir.path(), key(), clock(), "boot-3").unwrap();
    assert_eq!(third.verify().unwrap().records, 5);
    assert_eq!(third.record(3).unwrap().unwrap().boot, "boot-2");
}

#[test]
fn many_threads_leave_one_chain() {
    let (_dir, log) = log(1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..25 {
                    log.append(&event(thread * 25 + n)).unwrap();
                }
            });
        }
    });
    assert_eq!(log.verify().unwrap().records, 101);
}

#[test]
fn filters_select_and_pages_follow_one_another() {
    let (_dir, log) = log(30);
    let numbers =
        |filter: &Filter| -> Vec<u64> { log.list(filter).unwrap().records.iter().map(|record| record.seq).collect() };
    let newest = Filter { newest_first: true, limit: 4, ..Filter::default() };
    assert_eq!(numbers(&newest), [29, 28, 27, 26]);
    assert_eq!(numbers(&Filter { after: log.list(&newest).unwrap().next, ..newest }), [25, 24, 23, 22]);
    assert_eq!(numbers(&Filter { action: Some("document.viewed".into()), limit: 3, ..Filter::default() }), [1, 3, 5]);
    assert_eq!(numbers(&Filter { action: Some("question.*".into()), limit: 2, ..Filter::default() }), [2, 4]);
    assert_eq!(numbers(&Filter { actor: Some("anna".into()), after: Some(20), ..Filter::default() }), [21, 24, 27]);
    let times = Filter {
        from: Some("2026-03-01T09:00:05Z".into()),
        to: Some("2026-03-01T09:00:07Z".into()),
        ..Filter::default()
    };
    assert_eq!(numbers(&times), [5, 6, 7]);
    assert_eq!(log.list(&Filter { limit: 30, ..Filter::default() }).unwrap().next, None);
    assert!(matches!(
        log.list(&Filter { from: Some("yesterday".into()), ..Filter::default() }),
        Err(AirgapError::AuditRequest { .. })
    ));
}

#[test]
fn long_and_odd_values_are_kept_in_a_safe_form() {
    let (_dir, log) = log(1);
    let long = "\u{20ac}".repeat(10_000);
    let odd = Event {
        actor: "x".repeat(5000),
        detail: json!({"question": long, "seed": u64::MAX, "ok": 9_007_199_254_740_991_u64, "nul": "a\u{0}b\u{202e}\u{2028}", "tiny": 5e-324}),
        ..event(1)
    };
    log.append(&odd).unwrap();
    let record = log.record(1).unwrap().unwrap();
    let detail = &record.event.detail;
    assert_eq!(detail["question"]["bytes"], 30_000);
    assert_eq!(detail["question"]["sha256"], cloister_airgap::Hash::of(long.as_bytes()).to_string());
    assert!(long.starts_with(detail["question"]["start"].as_str().unwrap()));
    assert_eq!(detail["seed"], "18446744073709551615");
    assert_eq!(detail["ok"], 9_007_199_254_740_991_u64);
    assert_eq!(detail["nul"], "a\u{0}b\u{202e}\u{2028}");
    assert!(record.event.actor.len() < 1200 && record.event.actor.contains("SHA-256"));
    assert_eq!(log.verify().unwrap().records, 2);
    assert_eq!(check_export(&exported(&log, Format::JsonLines)).unwrap().records, 2);
    assert_eq!(check_export(&exported(&log, Format::Csv)).unwrap().records, 2);
}

#[test]
fn events_over_the_limits_are_refused_and_leave_no_trace() {
    let (_dir, log) = log(2);
    let much = Event { detail: json!(vec!["x".repeat(16_000); 100]), ..event(2) };
    assert!(matches!(log.append(&much), Err(AirgapError::AuditTooLarge { .. })));
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert!(matches!(log.append(&Event { detail: deep, ..event(2) }), Err(AirgapError::AuditRequest { .. })));
    assert_eq!(log.append(&event(2)).unwrap().seq, 2);
    assert_eq!(log.verify().unwrap().records, 3);
}

#[test]
fn every_flipped_bit_of_an_export_is_found() {
    let (_dir, log) = log(4);
    for format in [Format::JsonLines, Format::Csv] {
        let whole = exported(&log, format);
        check_export(&whole).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            first_bad(check_export(&bytes));
        }
    }
}

#[test]
fn every_flipped_bit_of_the_stored_values_is_found() {
    let (dir, log) = log(6);
    log.checkpoint().unwrap();
    // The cells as blobs, so that a flip may also leave bytes that are no text.
    let cells = [
        ("records", "line", "seq = 3"),
        ("records", "line", "seq = 0"),
        ("records", "line", "seq = 5"),
        ("records", "actor", "seq = 2"),
        ("records", "action", "seq = 2"),
        ("checkpoints", "note", "size = 6"),
        ("head", "note", "id = 1"),
        ("head", "peaks", "id = 1"),
        ("head", "last", "id = 1"),
    ];
    tamper(dir.path(), "");
    let connection = Connection::open(dir.path().join(AUDIT_FILE)).unwrap();
    connection.execute_batch("PRAGMA synchronous = off").unwrap();
    let mut tried = 0;
    for (table, column, row) in cells {
        let read = format!("SELECT CAST({column} AS BLOB), typeof({column}) FROM {table} WHERE {row}");
        let (bytes, kind): (Vec<u8>, String) =
            connection.query_row(&read, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let write = format!("UPDATE {table} SET {column} = CAST(?1 AS {kind}) WHERE {row}");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            connection.execute(&write, [&changed]).unwrap();
            let seq = first_bad(log.verify());
            if let ("records", Some(number)) = (table, row.strip_prefix("seq = ")) {
                assert_eq!(seq, number.parse().ok(), "{table}.{column} {row} bit {bit}");
            }
            tried += 1;
        }
        connection.execute(&write, [&bytes]).unwrap();
    }
    for (sql, seq) in [("seq = 60 WHERE seq = 5", 5), ("at_ms = at_ms + 1 WHERE seq = 4", 4)] {
        connection.execute_batch(&format!("SAVEPOINT a; UPDATE records SET {sql}; RELEASE a;")).unwrap();
        assert_eq!(first_bad(log.verify()), Some(seq));
        let undo = if seq == 5 { "seq = 5 WHERE seq = 60" } else { "at_ms = at_ms - 1 WHERE seq = 4" };
        connection.execute_batch(&format!("UPDATE records SET {undo}")).unwrap();
    }
    assert!(tried > 10_000);
    log.verify().unwrap();
}

#[test]
fn flipped_bytes_of_the_file_are_found_or_change_nothing() {
    let (dir, log) = log(12);
    let intact = log.list(&Filter::default()).unwrap();
    drop(log);
    let path = dir.path().join(AUDIT_FILE);
    let whole = fs::read(&path).unwrap();
    let mut found = 0;
    for place in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x04;
        fs::write(&path, &bytes).unwrap();
        for side in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("{AUDIT_FILE}{side}")));
        }
        let opened = AuditLog::open(dir.path(), key(), clock(), "boot-2");
        match opened.and_then(|log| Ok((log.verify()?, log.list(&Filter::default())?))) {
            Ok((verdict, listing)) => {
                assert_eq!(verdict.records, 12);
                assert_eq!(listing, intact, "byte {place}");
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > 100, "only {found} flips were found");
}

#[test]
fn records_removed_moved_or_added_in_the_database_are_found() {
    let swap = "UPDATE records SET seq = 99 WHERE seq = 4; UPDATE records SET seq = 4 WHERE seq = 5; UPDATE records SET seq = 5 WHERE seq = 99;";
    for (sql, seq) in [
        ("DELETE FROM records WHERE seq = 4", Some(4)),
        ("DELETE FROM records WHERE seq = 4; UPDATE records SET seq = seq - 1 WHERE seq > 4", Some(4)),
        ("DELETE FROM records WHERE seq = 0", Some(0)),
        ("DELETE FROM records WHERE seq = 9", Some(9)),
        ("DELETE FROM records WHERE seq > 5", Some(6)),
        (swap, Some(4)),
        ("INSERT INTO records SELECT 10, at_ms, actor, action, line FROM records WHERE seq = 9", Some(10)),
        ("UPDATE records SET line = replace(line, 'clause 4', 'clause 5') WHERE seq = 4", Some(4)),
        ("UPDATE records SET line = replace(line, 'clause 9', 'clause 8') WHERE seq = 9", Some(9)),
        ("DELETE FROM head", None),
    ] {
        let (dir, log) = log(10);
        drop(log);
        tamper(dir.path(), sql);
        let found = AuditLog::open(dir.path(), key(), clock(), "boot-2").and_then(|log| log.verify());
        assert_eq!(first_bad(found), seq, "{sql}");
    }
}

#[test]
fn a_broken_log_takes_no_more_records_and_gives_no_export() {
    let (dir, log) = log(10);
    tamper(dir.path(), "UPDATE records SET line = replace(line, 'clause 9', 'clause 8') WHERE seq = 9");
    assert_eq!(first_bad(log.append(&event(10)).map(|_| unreachable!())), Some(9));
    let mut bytes = Vec::new();
    assert_eq!(first_bad(log.export(Format::JsonLines, None, None, &mut bytes)), Some(9));
    first_bad(check_export(&bytes));
}

#[test]
fn a_log_with_a_broken_end_opens_to_be_verified() {
    for (sql, bad) in [
        ("DELETE FROM head", None),
        ("UPDATE head SET note = replace(note, '10', '11')", None),
        ("DELETE FROM records WHERE seq = 9", Some(9)),
    ] {
        let (dir, log) = log(10);
        drop(log);
        tamper(dir.path(), sql);
        let log = AuditLog::open_as_it_is(dir.path(), key(), clock(), "boot-2").unwrap();
        assert_eq!(first_bad(log.verify()), bad, "{sql}");
        assert!(log.append(&event(10)).is_err(), "{sql}");
    }
}

#[test]
fn a_chain_made_to_fit_without_the_key_is_found() {
    // Somebody writes record 300 of 600 anew and mends every link behind it, but cannot sign.
    let (dir, log) = log(600);
    let mut lines = lines(&exported(&log, Format::JsonLines));
    lines.pop();
    lines[300] = lines[300].replace("clause 300", "clause 999");
    for n in 301..600 {
        let hash = cloister_airgap::Hash::of(lines[n - 1].trim_end().as_bytes()).to_string();
        let at = lines[n].find("\"prev\":\"").unwrap() + 8;
        lines[n].replace_range(at..at + 64, &hash);
    }
    let connection = Connection::open(dir.path().join(AUDIT_FILE)).unwrap();
    connection.execute_batch("DROP TRIGGER records_stay").unwrap();
    for (n, line) in lines.iter().enumerate() {
        connection.execute("UPDATE records SET line = ?1 WHERE seq = ?2", (line.trim_end(), n as i64)).unwrap();
    }
    let head = cloister_airgap::Hash::of(lines[599].trim_end().as_bytes()).to_string();
    connection.execute("UPDATE head SET last = ?1", [head]).unwrap();
    // The checkpoint over 256 records still fits, the one over 512 does not.
    match log.verify() {
        Err(AirgapError::AuditBroken { seq: Some(256), why }) => assert!(why.contains("256 to 511"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_at_a_checkpoint_is_still_named() {
    for seq in [254, 255, 256, 257, 300] {
        let (dir, log) = log(301);
        tamper(
            dir.path(),
            &format!("UPDATE records SET line = replace(line, 'clause {seq}', 'clause 1') WHERE seq = {seq}"),
        );
        assert_eq!(first_bad(log.verify()), Some(seq));
    }
}

#[test]
fn another_installations_log_or_records_are_refused() {
    let other_key = SecretKey::from_seed(&[8; 32]);
    let (other_dir, other) = log_of(6, other_key);
    let (_dir, own) = log(6);
    let (own_lines, other_lines) =
        (lines(&exported(&own, Format::JsonLines)), lines(&exported(&other, Format::JsonLines)));
    first_bad(check_export(other_lines.concat().as_bytes()));
    let spliced = [&own_lines[..3], &other_lines[3..6], &own_lines[6..]].concat().concat();
    // Both sides of the seam are whole in themselves: the record before it is named.
    assert_eq!(first_bad(check_export(spliced.as_bytes())), Some(2));
    drop(other);
    first_bad(AuditLog::open(other_dir.path(), key(), clock(), "boot-2").map(|_| unreachable!()));
}

#[test]
fn changed_exports_name_the_first_bad_record() {
    let (_dir, log) = log(8);
    let whole = lines(&exported(&log, Format::JsonLines));
    let without = |n: usize| [&whole[..n], &whole[n + 1..]].concat();
    let mut moved = whole.clone();
    moved.swap(3, 4);
    let mut doubled = whole.clone();
    doubled.insert(4, whole[4].clone());
    let mut edited = whole.clone();
    edited[5] = edited[5].replace("\"ok\"", "\"no\"");
    let mut last_edited = whole.clone();
    last_edited[7] = last_edited[7].replace("\"ok\"", "\"no\"");
    let mut first_edited = whole[1..].to_vec();
    first_edited[0] = first_edited[0].replace("\"ok\"", "\"no\"");
    for (name, lines, seq) in [
        ("one removed", without(3), Some(3)),
        ("the first removed", without(0), Some(0)),
        ("the last removed", without(7), Some(6)),
        ("moved", moved, Some(3)),
        ("doubled", doubled, Some(5)),
        ("edited", edited, Some(5)),
        ("the last edited", last_edited, Some(7)),
        ("the first edited and the one before removed", first_edited, Some(1)),
        ("cut before the trailer", whole[..8].to_vec(), Some(8)),
        ("cut in the middle", whole[..4].to_vec(), Some(4)),
        ("cut within a line", [&whole[..4], &[whole[4][..20].to_owned()]].concat(), None),
        ("only the trailer", whole[8..].to_vec(), Some(0)),
        ("something behind the trailer", [&whole[..], &["{}\n".to_owned()]].concat(), None),
        ("nothing", vec![], None),
    ] {
        assert_eq!(first_bad(check_export(lines.concat().as_bytes())), seq, "{name}");
    }
    first_bad(verify_export(&mut whole.concat().as_bytes(), &SecretKey::from_seed(&[1; 32]).public()));
}

#[test]
fn every_cut_of_an_export_is_found() {
    let (_dir, log) = log(4);
    for format in [Format::JsonLines, Format::Csv] {
        let whole = exported(&log, format);
        for length in 0..whole.len() {
            first_bad(check_export(&whole[..length]));
        }
    }
}

#[test]
fn an_export_of_a_time_range_verifies_alone() {
    let (_dir, log) = log(20);
    for format in [Format::JsonLines, Format::Csv] {
        for (from, to, expected) in [
            (Some("2026-03-01T09:00:05Z"), Some("2026-03-01T11:00:09+02:00"), (5, Some(5), Some(9))),
            (Some("2026-03-01T09:00:18Z"), None, (2, Some(18), Some(19))),
            (None, Some("2026-03-01T09:00:00Z"), (1, Some(0), Some(0))),
            (Some("2027-01-01T00:00:00Z"), None, (0, None, None)),
        ] {
            let mut bytes = Vec::new();
            let said = log.export(format, from, to, &mut bytes).unwrap();
            let verdict = check_export(&bytes).unwrap();
            assert_eq!((verdict.records, verdict.first, verdict.last), expected);
            assert_eq!(said, verdict);
        }
    }
    assert!(log.export(Format::Csv, Some("tomorrow"), None, &mut Vec::new()).is_err());
}

#[test]
fn a_log_cut_back_or_replaced_is_found_by_a_checkpoint_kept_elsewhere() {
    let (dir, log) = log(10);
    let early = log.checkpoint().unwrap();
    drop(log);
    let copy = TempDir::new().unwrap();
    fs::copy(dir.path().join(AUDIT_FILE), copy.path().join(AUDIT_FILE)).unwrap();
    let log = AuditLog::open(dir.path(), key(), clock(), "boot-2").unwrap();
    log.append(&event(10)).unwrap();
    let late = log.checkpoint().unwrap();
    log.verify_against(&[&early, &late]).unwrap();
    // The older copy is whole by itself; only what was kept elsewhere tells.
    let restored = AuditLog::open(copy.path(), key(), clock(), "boot-3").unwrap();
    restored.verify().unwrap();
    assert_eq!(first_bad(restored.verify_against(&[&late])), Some(10));
    restored.append(&event(99)).unwrap();
    assert_eq!(first_bad(restored.verify_against(&[&late])), Some(10));
}

#[test]
fn the_log_is_for_its_owner_alone_and_a_newer_form_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, log) = log(2);
    let mode = fs::metadata(dir.path().join(AUDIT_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(log);
    tamper(dir.path(), "PRAGMA user_version = 7");
    let opened = AuditLog::open(dir.path(), key(), clock(), "boot-2");
    assert!(matches!(opened, Err(AirgapError::AuditUnavailable { why, .. }) if why.contains("form 7")));
    fs::write(dir.path().join(AUDIT_FILE), b"this is no database, it is a text of some length").unwrap();
    assert!(AuditLog::open(dir.path(), key(), clock(), "boot-2").is_err());
}

#[test]
fn a_csv_export_holds_formulas_as_text() {
    let (_dir, log) = log(1);
    for text in
        ["=HYPERLINK(\"x\")", "+1", "-1", "@A1", "\tx", "line\nbreak, \"quoted\"", "\n\"# cloister-audit-export {}"]
    {
        log.append(&Event { object: text.into(), actor: text.into(), ..event(1) }).unwrap();
    }
    let export = exported(&log, Format::Csv);
    let text = std::str::from_utf8(&export).unwrap();
    assert!(text.starts_with("seq,time,boot,actor,action,object,outcome,detail,prev,hash\r\n0,\"2026"));
    assert!(text.contains(",\"'=HYPERLINK(\"\"x\"\")\","));
    for start in ["=", "+", "-", "@", "\t"] {
        assert!(!text.contains(&format!("\"{start}")), "a cell starts with {start:?}");
    }
    assert_eq!(check_export(&export).unwrap().records, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_stays_one_record_in_every_form(texts in proptest::collection::vec(any::<String>(), 1..8)) {
        let (_dir, log) = log(1);
        for text in &texts {
            let odd = Event { actor: text.clone(), action: text.clone(), object: text.clone(), outcome: text.clone(), detail: json!({text.clone(): text}) };
            log.append(&odd).unwrap();
            prop_assert_eq!(log.list(&Filter { newest_first: true, limit: 1, ..Filter::default() }).unwrap().records[0].event.clone(), odd);
        }
        let export = exported(&log, Format::JsonLines);
        prop_assert_eq!(lines(&export).len(), texts.len() + 2);
        prop_assert_eq!(check_export(&export).unwrap().records, texts.len() as u64 + 1);
        prop_assert_eq!(check_export(&exported(&log, Format::Csv)).unwrap().records, texts.len() as u64 + 1);
    }
}
