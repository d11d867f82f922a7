//! Word processing documents (Office Open XML, DOCX).
//!
//! The format has no pages; the whole is one page, and passages name their paragraph. Insertions that are tracked are text,
//! deletions are not. Notes and comments stand after the paragraph that refers to them; running heads and feet stand at the
//! beginning and the end. Numbers of lists and headings are counted as a word processor shows them.

mod body;
mod styles;
mod xml;

use std::collections::HashMap;

use crate::event::FaultCode;
use crate::flow::Flow;
use crate::page::{BlockKind, Remarks};
use crate::read::{Fault, Sink};
use body::{Body, Notes, notes_of};
use styles::Styles;
use xml::{Node, Package};

/// Most running heads and feet that are read.
const HEADS_MAX: usize = 60;

/// Names of the parts of a document.
#[derive(Debug)]
struct Parts {
    main: String,
    by_kind: HashMap<String, String>,
    headers: Vec<String>,
    footers: Vec<String>,
}

/// Reads a DOCX file as one page.
pub(crate) fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    let mut package = Package::open(bytes)?;
    let parts = parts(&mut package)?;
    let title = title(&mut package);
    sink.started(None, title);
    if !sink.begin_page(1)? {
        return Ok(());
    }
    let part = |kind: &str| parts.by_kind.get(kind).cloned().unwrap_or_default();
    let (mut styles, mut remarks) = Styles::read(&mut package, &part("styles"), &part("numbering"));
    let notes = notes(&mut package, &parts, &mut remarks.missing);
    let mut flow = Flow::new(sink.limits().page_text_bytes_max);
    heads(&mut package, &parts.headers, BlockKind::Header, &mut flow);
    let mut body = Body::new(&mut flow, &mut styles, &notes, None);
    let missing = || Fault::new(FaultCode::Damaged, "the document's main part cannot be unpacked");
    let damage = package.part(&parts.main).ok_or_else(missing)?.each(&mut |node| body.take(&node)).err();
    if body.hidden > 0 {
        remarks.notes.push(format!("{} hidden pieces of text are left out", body.hidden));
    }
    heads(&mut package, &parts.footers, BlockKind::Footer, &mut flow);
    if let Some(fault) = damage {
        if fault.code == FaultCode::Limit || flow.is_empty() {
            return Err(fault);
        }
        remarks.missing.push(format!("the rest could not be read: {}", fault.message));
    }
    sink.page(flow.page(1, remarks))
}

/// Finds the main part and what belongs to it by the package's relationships; well-known names where they are broken.
fn parts(package: &mut Package<'_>) -> Result<Parts, Fault> {
    let roots = relations(package, "_rels/.rels", "");
    let main = roots.into_iter().find(|(kind, _)| kind == "officeDocument").map(|(_, target)| target);
    let main = main.filter(|name| package.has(name)).unwrap_or_else(|| "word/document.xml".to_owned());
    if !package.has(&main) {
        return Err(Fault::new(FaultCode::Damaged, "the document's main part is missing"));
    }
    let (folder, file) = main.rsplit_once('/').unwrap_or(("", &main));
    let rels = if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
    let mut parts = Parts { main: main.clone(), by_kind: HashMap::new(), headers: Vec::new(), footers: Vec::new() };
    for (kind, target) in relations(package, &rels, folder) {
        match kind.as_str() {
            "header" if parts.headers.len() < HEADS_MAX => parts.headers.push(target),
            "footer" if parts.footers.len() < HEADS_MAX => parts.footers.push(target),
            _ => {
                parts.by_kind.entry(kind).or_insert(target);
            }
        }
    }
    for (kind, name) in [("styles", "styles.xml"), ("numbering", "numbering.xml")] {
        parts.by_kind.entry(kind.to_owned()).or_insert_with(|| format!("{folder}/{name}"));
    }
    Ok(parts)
}

/// Kind and target of each relationship within the package.
fn relations(package: &mut Package<'_>, name: &str, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Some(part) = package.part(name) else { return found };
    let read = part.each(&mut |node| {
        if let Node::Begins(element) = node
            && element.name() == b"Relationship"
            && element.attribute("TargetMode").as_deref() != Some("External")
            && let (Some(kind), Some(target)) = (element.attribute("Type"), element.attribute("Target"))
            && found.len() < 10_000
        {
            let kind = kind.rsplit('/').next().unwrap_or("").to_owned();
            let target = match target.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None if folder.is_empty() => target,
                None => format!("{folder}/{target}"),
            };
            found.push((kind, target));
        }
    });
    // What was found before the damage is used; the main part decides whether the file can be read.
    drop(read);
    found
}

fn notes(package: &mut Package<'_>, parts: &Parts, missing: &mut Vec<String>) -> Notes {
    let mut notes = Notes::default();
    let rows: [(&str, &'static [u8], &mut HashMap<String, String>); 3] = [
        ("footnotes", b"footnote", &mut notes.footnotes),
        ("endnotes", b"endnote", &mut notes.endnotes),
        ("comments", b"comment", &mut notes.comments),
    ];
    for (kind, element, out) in rows {
        let Some(name) = parts.by_kind.get(kind).filter(|name| package.has(name)) else { continue };
        let mut cut = 0;
        let read = match package.part(name) {
            Some(part) => part.each(&mut notes_of(element, out, &mut cut)).map_err(|fault| fault.message),
            None => Err("the part cannot be unpacked".to_owned()),
        };
        if let Err(message) = read {
            missing.push(format!("{kind}: {message}"));
        }
        if cut > 0 {
            missing.push(format!("{kind}: the ends of {cut} long ones are left out"));
        }
    }
    notes
}

/// Writes running heads or feet, each text once.
fn heads(package: &mut Package<'_>, names: &[String], role: BlockKind, flow: &mut Flow) {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let mut own = Flow::new(1 << 16);
        let (mut styles, notes) = (Styles::default(), Notes::default());
        let mut body = Body::new(&mut own, &mut styles, &notes, Some(role));
        if let Some(part) = package.part(name) {
            // A broken running head loses nothing of the text.
            drop(part.each(&mut |node| body.take(&node)));
        }
        let text = own.page(1, Remarks::default()).text;
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() && !seen.contains(&line) {
            flow.open(role, 0);
            flow.words(&line);
            flow.close();
            seen.push(line);
        }
    }
}

fn title(package: &mut Package<'_>) -> Option<String> {
    let mut title = String::new();
    let mut inside = false;
    let part = package.part("docProps/core.xml")?;
    let read = part.each(&mut |node| match node {
        Node::Begins(element) => inside = element.name() == b"title",
        Node::Ends(_) => inside = false,
        Node::Text(text) if inside && title.len() < 300 => title.push_str(text),
        Node::Text(_) => {}
    });
    let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
    read.ok().filter(|()| !line.is_empty()).map(|()| line)
}
