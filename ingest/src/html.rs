//! HTML: the text that a reader sees, with headings, lists and tables.

use encoding_rs::Encoding;
use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

use crate::event::FaultCode;
use crate::flow::Flow;
use crate::page::{BlockKind, Remarks};
use crate::read::{Fault, Sink};
use crate::text::{decode, unix_lines};

/// Deepest nesting of elements that is followed.
const DEPTH_MAX: usize = 4_000;
/// Most elements and texts that are looked at.
const NODES_MAX: usize = 4_000_000;
/// Deepest nesting of open tags in the source; the parser's time grows with its square.
const OPEN_TAGS_MAX: usize = 8_000;
/// Longest tag in the source, in bytes; the parser compares each attribute with all others.
const TAG_BYTES_MAX: usize = 200_000;
/// Bytes in which the declaration of the encoding may stand.
const PRESCAN: usize = 4096;

/// Reads an HTML file as one page.
pub(crate) fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    let source = unix_lines(&characters(bytes));
    let mut flow = Flow::new(sink.limits().page_text_bytes_max);
    let mut remarks = Remarks::default();
    check_shape(&source)?;
    let dom = parse(&source);
    let title = find_title(&dom.document);
    sink.started(None, title.clone());
    if !sink.begin_page(1)? {
        return Ok(());
    }
    if let Some(title) = &title {
        flow.open(BlockKind::Heading, 1);
        flow.words(title);
        flow.close();
    }
    if !walk(&dom.document, &mut flow) {
        remarks.missing.push("the page nests deeper than is read; part of it is left out".to_owned());
    }
    sink.page(flow.page(1, remarks))
}

/// Adds the text of an HTML fragment (the body of a mail) to a flow. False where part was left out.
pub(crate) fn append(source: &str, flow: &mut Flow) -> Result<bool, Fault> {
    check_shape(source)?;
    Ok(walk(&parse(source).document, flow))
}

fn parse(source: &str) -> RcDom {
    parse_document(RcDom::default(), ParseOpts::default()).one(source)
}

/// Bytes as characters: byte order mark, then the document's own declaration, then a guess.
fn characters(bytes: &[u8]) -> String {
    if Encoding::for_bom(bytes).is_none() && std::str::from_utf8(bytes).is_err() {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN)]).to_ascii_lowercase();
        let declared = head.find("charset=").and_then(|at| {
            let value = head[at + 8..].trim_start_matches(['"', '\'', ' ']);
            let label: String =
                value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:.".contains(*c)).collect();
            Encoding::for_label(label.as_bytes())
        });
        // A declaration that is read as single bytes cannot be true if it says UTF-16, nor UTF-8 here.
        if let Some(encoding) = declared.filter(|e| e.is_ascii_compatible() && *e != encoding_rs::UTF_8) {
            return encoding.decode_without_bom_handling(bytes).0.into_owned();
        }
    }
    decode(bytes)
}

/// Refuses sources on which the parser would spend minutes: endless nesting, endless tags.
fn check_shape(source: &str) -> Result<(), Fault> {
    let bytes = source.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|b| *b == b'<') {
        at += found + 1;
        match bytes.get(at) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b) if b.is_ascii_alphabetic() => {
                let end = bytes[at..].iter().position(|b| *b == b'>').unwrap_or(bytes.len() - at);
                if end > TAG_BYTES_MAX && !source[..at].ends_with("data:") && many_attributes(&bytes[at..at + end]) {
                    return Err(Fault::new(FaultCode::Limit, "a tag has more attributes than are read"));
                }
                let name: Vec<u8> = bytes[at..]
                    .iter()
                    .take(8)
                    .take_while(|b| b.is_ascii_alphanumeric())
                    .map(u8::to_ascii_lowercase)
                    .collect();
                let leaf = matches!(
                    &name[..],
                    b"br"
                        | b"img"
                        | b"hr"
                        | b"input"
                        | b"meta"
                        | b"link"
                        | b"p"
                        | b"li"
                        | b"td"
                        | b"th"
                        | b"tr"
                        | b"option"
                        | b"col"
                        | b"dd"
                        | b"dt"
                        | b"wbr"
                        | b"area"
                        | b"source"
                );
                let closed = end > 0 && bytes.get(at + end - 1) == Some(&b'/');
                depth += usize::from(!leaf && !closed);
            }
            _ => {}
        }
        if depth > OPEN_TAGS_MAX {
            return Err(Fault::new(FaultCode::Limit, format!("elements nest more than {OPEN_TAGS_MAX} deep")));
        }
    }
    Ok(())
}

fn many_attributes(tag: &[u8]) -> bool {
    tag.iter().filter(|b| **b == b' ' || **b == b'\n').count() > 5_000
}

fn local(handle: &Handle) -> Option<String> {
    match &handle.data {
        NodeData::Element { name, .. } => Some(name.local.to_string()),
        _ => None,
    }
}

fn attribute(handle: &Handle, key: &str) -> Option<String> {
    match &handle.data {
        NodeData::Element { attrs, .. } => {
            attrs.borrow().iter().find(|a| &*a.name.local == key).map(|a| a.value.to_string())
        }
        _ => None,
    }
}

fn find_title(document: &Handle) -> Option<String> {
    let mut open = vec![document.clone()];
    let mut seen = 0;
    while let Some(node) = open.pop() {
        seen += 1;
        if seen > 2_000 {
            return None;
        }
        if local(&node).as_deref() == Some("title") {
            let text: String = node.children.borrow().iter().filter_map(text_of).collect();
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            return (!line.is_empty()).then(|| line.chars().take(300).collect());
        }
        open.extend(node.children.borrow().iter().rev().cloned());
    }
    None
}

fn text_of(node: &Handle) -> Option<String> {
    match &node.data {
        NodeData::Text { contents } => Some(contents.borrow().to_string()),
        _ => None,
    }
}

/// A step of the walk: into an element, or out of it.
enum Step {
    Enter(Handle, usize),
    Leave(String),
}

/// State that the walk keeps beside the tree.
#[derive(Default)]
struct Lists {
    /// Open lists: the next number, or nothing for bullets.
    numbers: Vec<Option<u32>>,
    verbatim: u32,
}

/// Walks the tree without recursion; false where part was left out.
fn walk(document: &Handle, flow: &mut Flow) -> bool {
    let mut steps = vec![Step::Enter(document.clone(), 0)];
    let mut lists = Lists::default();
    let mut whole = true;
    let mut seen = 0;
    while let Some(step) = steps.pop() {
        match step {
            Step::Leave(name) => leave(&name, flow, &mut lists),
            Step::Enter(node, depth) => {
                seen += 1;
                if depth > DEPTH_MAX || seen > NODES_MAX {
                    whole = false;
                    continue;
                }
                if let Some(text) = text_of(&node) {
                    if lists.verbatim > 0 {
                        flow.verbatim(&text);
                    } else {
                        flow.words(&text);
                    }
                    continue;
                }
                if let Some(name) = local(&node) {
                    if !enter(&name, &node, flow, &mut lists) {
                        continue;
                    }
                    steps.push(Step::Leave(name));
                }
                steps.extend(node.children.borrow().iter().rev().map(|child| Step::Enter(child.clone(), depth + 1)));
            }
        }
    }
    whole
}

/// Enters an element; false if what is in it is not shown.
fn enter(name: &str, node: &Handle, flow: &mut Flow, lists: &mut Lists) -> bool {
    match name {
        "script" | "style" | "template" | "title" | "svg" | "noembed" | "object" => return false,
        _ if attribute(node, "hidden").is_some() => return false,
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => flow.open(BlockKind::Heading, name.as_bytes()[1] - b'0'),
        "ul" | "menu" => lists.numbers.push(None),
        "ol" => {
            let start = attribute(node, "start").and_then(|s| s.trim().parse().ok()).unwrap_or(1);
            lists.numbers.push(Some(start));
        }
        "li" => {
            flow.open(BlockKind::ListItem, lists.numbers.len().clamp(1, 9) as u8);
            match lists.numbers.last_mut() {
                Some(Some(number)) => {
                    flow.words(&format!("{number}. "));
                    *number = number.saturating_add(1);
                }
                _ => flow.words("\u{2022} "),
            }
        }
        "pre" | "textarea" => {
            lists.verbatim += 1;
            flow.open(BlockKind::Code, 0);
        }
        "table" => flow.table_begins(),
        "tr" if flow.in_table() => flow.row_begins(),
        "td" | "th" if flow.in_table() => {
            flow.cell_begins();
            if let Some(columns) = attribute(node, "colspan").and_then(|columns| columns.trim().parse().ok()) {
                flow.cell_spans(columns);
            }
        }
        "br" => flow.line(),
        _ if is_block(name) => flow.open(BlockKind::Paragraph, 0),
        _ => {}
    }
    true
}

fn leave(name: &str, flow: &mut Flow, lists: &mut Lists) {
    match name {
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "li" => flow.close(),
        "ul" | "menu" | "ol" => {
            lists.numbers.pop();
            flow.close();
        }
        "pre" | "textarea" => {
            lists.verbatim = lists.verbatim.saturating_sub(1);
            flow.close();
        }
        "table" => flow.table_ends(),
        "tr" if flow.in_table() => flow.row_ends(),
        _ if is_block(name) => flow.close(),
        _ => {}
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "main"
            | "aside"
            | "nav"
            | "blockquote"
            | "figure"
            | "figcaption"
            | "address"
            | "form"
            | "fieldset"
            | "legend"
            | "dl"
            | "dt"
            | "dd"
            | "hr"
            | "caption"
            | "center"
            | "details"
            | "summary"
            | "body"
            | "option"
            | "iframe"
            | "noscript"
            | "hgroup"
            | "search"
    )
}
