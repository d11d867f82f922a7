//! Internet messages: header lines, body, attachments.

use std::panic::catch_unwind;

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::event::FaultCode;
use crate::flow::Flow;
use crate::html;
use crate::page::{BlockKind, Remarks};
use crate::read::{Fault, Sink};
use crate::text::unix_lines;

/// Most addresses shown of a field.
const ADDRESSES_MAX: usize = 200;
/// Longest header line shown, in characters.
const FIELD_CHARS_MAX: usize = 4_000;

/// Reads a message as one page; attachments are delivered beside it.
pub(crate) fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    let bytes = without_envelope(bytes);
    let broken = || Fault::new(FaultCode::Damaged, "the message cannot be taken apart");
    let parsed = catch_unwind(|| MessageParser::default().parse(bytes)).map_err(|_| broken())?;
    let message = parsed.ok_or_else(broken)?;
    sink.started(None, message.subject().map(|s| s.chars().take(300).collect()));
    if sink.begin_page(1)? {
        let mut remarks = Remarks::default();
        let mut flow = Flow::new(sink.limits().page_text_bytes_max);
        header(&message, &mut flow);
        body(&message, &mut flow, &mut remarks.missing);
        attachments(&message, sink, &mut remarks.missing);
        sink.page(flow.page(1, remarks))?;
    }
    Ok(())
}

/// The message without the separator line that a mailbox file puts before it.
fn without_envelope(bytes: &[u8]) -> &[u8] {
    let line = bytes.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
    if bytes.starts_with(b"From ") { &bytes[line..] } else { bytes }
}

fn header(message: &Message<'_>, flow: &mut Flow) {
    let people = |address: Option<&Address<'_>>| address.map(addresses).unwrap_or_default();
    let date = message.date().filter(|d| d.is_valid()).map(mail_parser::DateTime::to_rfc822);
    // A date that cannot be understood is shown as it stands.
    let date = date.or_else(|| message.header_raw("Date").map(str::to_owned)).unwrap_or_default();
    let rows = [
        ("From", people(message.from())),
        ("To", people(message.to())),
        ("Cc", people(message.cc())),
        ("Date", date),
        ("Subject", message.subject().unwrap_or_default().to_owned()),
    ];
    for (field, value) in rows {
        let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() {
            flow.open(BlockKind::MailHeader, 0);
            let shown: String = line.chars().take(FIELD_CHARS_MAX).collect();
            flow.words(&format!("{field}: {shown}"));
            flow.close();
        }
    }
}

fn addresses(address: &Address<'_>) -> String {
    let one = |addr: &mail_parser::Addr<'_>| match (addr.name(), addr.address()) {
        (Some(name), Some(mail)) if name != mail => format!("{name} <{mail}>"),
        (_, Some(mail)) => mail.to_owned(),
        (Some(name), None) => name.to_owned(),
        (None, None) => String::new(),
    };
    address.iter().take(ADDRESSES_MAX).map(one).filter(|a| !a.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The body: each part as plain text where the sender gave one, else the HTML.
fn body(message: &Message<'_>, flow: &mut Flow, missing: &mut Vec<String>) {
    for part in message.text_bodies() {
        if part.is_encoding_problem {
            missing.push("a part's encoding is damaged; its text may not be whole".to_owned());
        }
        match &part.body {
            PartType::Text(text) => plain(text, flow),
            PartType::Html(source) => match html::append(source, flow) {
                Ok(true) => {}
                Ok(false) => missing.push("the body nests deeper than is read; part of it is left out".to_owned()),
                Err(fault) => missing.push(format!("the body could not be read: {}", fault.message)),
            },
            PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => {}
        }
    }
}

/// Plain text of a mail keeps its lines: quotations and signatures live by them.
fn plain(text: &str, flow: &mut Flow) {
    for block in unix_lines(text).split("\n\n") {
        let body = block.trim_matches('\n');
        if !body.trim().is_empty() {
            flow.open(BlockKind::Paragraph, 0);
            flow.verbatim(body);
            flow.close();
        }
    }
}

fn attachments(message: &Message<'_>, sink: &mut Sink<'_>, missing: &mut Vec<String>) {
    for (nth, part) in message.attachments().enumerate() {
        let (name, bytes) = match &part.body {
            PartType::Message(inner) => {
                let subject = inner.subject().unwrap_or("message");
                (named(part).unwrap_or_else(|| format!("{subject}.eml")), inner.raw_message().to_vec())
            }
            _ => (named(part).unwrap_or_else(|| format!("attachment-{}", nth + 1)), part.contents().to_vec()),
        };
        if bytes.is_empty() {
            continue;
        }
        let name = base_name(&name);
        if !sink.attachment(name.clone(), bytes) {
            missing.push(format!("the attachment {name} and those after it are more than is read"));
            return;
        }
    }
}

fn named(part: &MessagePart<'_>) -> Option<String> {
    part.attachment_name().map(str::to_owned).filter(|name| !name.trim().is_empty())
}

/// A name without folders and control characters.
fn base_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let clean: String = last.chars().filter(|c| !c.is_control()).take(200).collect();
    let trimmed = clean.trim().trim_start_matches('.').to_owned();
    if trimmed.is_empty() { "attachment".to_owned() } else { trimmed }
}
