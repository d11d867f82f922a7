//! Mail: header, body, attachments.

use std::fmt::Write;

use cloister_ingest::{BlockKind, PageOutcome, ReadLimits};

use crate::make::{blocks, read, read_with};

const MAIL: &str = "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: Ada <ada@example.org>, bo@example.org\r\n\
Date: Tue, 3 Feb 2026 10:00:00 +0100\r\nSubject: =?utf-8?b?UHLDvGZ1bmc=?=\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
--inner\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
Gr=FC=DFe.\r\n\r\nZweiter Absatz\r\nmit zwei Zeilen.\r\n--inner\r\nContent-Type: text/html\r\n\r\n<p>Not shown</p>\r\n--inner--\r\n\
--outer\r\nContent-Type: application/pdf; name=\"../../plan.pdf\"\r\nContent-Disposition: attachment; filename=\"../../plan.pdf\"\r\n\
Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjc=\r\n\
--outer\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@example.org\r\nSubject: Forwarded\r\n\r\nInner text\r\n--outer--\r\n";

#[test]
fn header_body_and_attachments_come_out() {
    let told = read(MAIL.as_bytes(), "x.eml");
    assert_eq!((told.format.as_str(), told.title.as_deref()), ("mail", Some("Prüfung")));
    let text = told.text();
    assert!(
        text.starts_with("From: Jörg <joerg@example.org>\nTo: Ada <ada@example.org>, bo@example.org\nDate: "),
        "{text}"
    );
    assert!(text.ends_with("Subject: Prüfung\n\nGrüße.\n\nZweiter Absatz\nmit zwei Zeilen."), "{text}");
    let kinds: Vec<BlockKind> = blocks(&told.pages[0]).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds[..5],
        [
            BlockKind::MailHeader,
            BlockKind::MailHeader,
            BlockKind::MailHeader,
            BlockKind::MailHeader,
            BlockKind::Paragraph
        ]
    );
    let names: Vec<&str> = told.attachments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["plan.pdf", "Forwarded.eml"]);
    assert_eq!(told.attachments[0].1, b"%PDF-1.7");
    let inner = read(&told.attachments[1].1, "Forwarded.eml");
    assert!(inner.text().contains("Inner text"));
}

#[test]
fn a_body_of_html_alone_is_read_as_html() {
    let mail = b"From: a@example.org\nSubject: s\nContent-Type: text/html; charset=Shift_JIS\n\n<h1>\x8c_\x96\xf1</h1><ul><li>one</ul>";
    let told = read(mail, "x.eml");
    let found = blocks(&told.pages[0]);
    assert_eq!(found[2], (BlockKind::Heading, "契約".to_owned()));
    assert_eq!(found[3], (BlockKind::ListItem, "\u{2022} one".to_owned()));
}

#[test]
fn attachments_stop_at_the_limit_and_that_is_told() {
    let limits = ReadLimits { attachments_max: 1, ..ReadLimits::default() };
    let told = read_with(MAIL.as_bytes(), "x.eml", &limits);
    assert_eq!(told.attachments.len(), 1);
    assert!(told.pages[0].problems.iter().any(|p| p.contains("Forwarded.eml")));
    assert!(matches!(&told.pages[0].outcome, PageOutcome::Partial(why) if why.contains("Forwarded.eml")));
    assert_eq!(read(MAIL.as_bytes(), "x.eml").pages[0].outcome, PageOutcome::Text);
}

#[test]
fn nesting_without_end_comes_to_an_end() {
    let mut mail = String::from("From: a@example.org\nSubject: deep\n");
    for n in 0..3_000 {
        write!(mail, "Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n").expect("a string takes all text");
    }
    mail.push_str("\ninnermost");
    let told = read(mail.as_bytes(), "x.eml");
    assert_eq!(told.pages.len() + usize::from(told.fault.is_some()), 1);
}

#[test]
fn a_memo_keeps_all_its_lines_and_a_mail_its_date() {
    let memo = "TO: All staff\nFROM: The board\nDATE: 3 May\nRE: The pond\nSUBJECT: Fish\n\nIt is deep.";
    let told = read(memo.as_bytes(), "memo.txt");
    assert_eq!((told.format.as_str(), told.text()), ("text", memo));
    let mail = "From: a@example.org\nDate: the third of May\nSubject: s\n\nText";
    for (name, bytes) in [("x.eml", mail.to_owned()), ("x", format!("Message-ID: <1@example.org>\n{mail}"))] {
        let told = read(bytes.as_bytes(), name);
        assert_eq!(told.format, "mail", "{name}");
        assert!(told.text().contains("Date: the third of May\n"), "{}", told.text());
    }
}
