//! The body of a document: paragraphs, tables, notes where they are referred to, revisions as accepted.

use std::collections::HashMap;

use super::styles::{Properties, Styles};
use super::xml::{Element, Node};
use crate::flow::Flow;
use crate::page::BlockKind;

/// Most characters of a note or comment that are kept.
const NOTE_CHARS_MAX: usize = 20_000;

/// Notes and comments by their number, as text.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Footnotes.
    pub(super) footnotes: HashMap<String, String>,
    /// Endnotes.
    pub(super) endnotes: HashMap<String, String>,
    /// Comments, with their authors.
    pub(super) comments: HashMap<String, String>,
}

/// Writes a part's paragraphs and tables into a flow.
pub(super) struct Body<'f> {
    flow: &'f mut Flow,
    styles: &'f mut Styles,
    notes: &'f Notes,
    /// Role of all blocks, where the part is a running head or foot.
    role: Option<BlockKind>,
    paragraph: Option<Paragraph>,
    /// Paragraphs around a text box that is open, innermost last.
    around: Vec<Option<Paragraph>>,
    /// Elements whose content is left out, open now: deletions, fallbacks, hidden runs.
    skipped: u32,
    in_properties: u32,
    in_text: bool,
    run_hidden: bool,
    notes_due: Vec<String>,
    notes_seen: u32,
    /// Runs that are hidden and were left out.
    pub(super) hidden: u32,
}

#[derive(Default)]
struct Paragraph {
    properties: Properties,
    /// Whether its block is open.
    begun: bool,
    /// Whether its number was counted.
    counted: bool,
}

impl<'f> Body<'f> {
    /// A writer for the main part, or for a running head or foot if `role` says so.
    pub(super) fn new(flow: &'f mut Flow, styles: &'f mut Styles, notes: &'f Notes, role: Option<BlockKind>) -> Self {
        Body {
            flow,
            styles,
            notes,
            role,
            paragraph: None,
            around: Vec::new(),
            skipped: 0,
            in_properties: 0,
            in_text: false,
            run_hidden: false,
            notes_due: Vec::new(),
            notes_seen: 0,
            hidden: 0,
        }
    }

    /// Takes a node of the part.
    pub(super) fn take(&mut self, node: &Node<'_>) {
        match node {
            Node::Begins(element) => self.begins(element),
            Node::Ends(name) => self.ends(name),
            Node::Text(text) => {
                if self.in_text && self.skipped == 0 && !self.run_hidden {
                    self.words(text);
                }
            }
        }
    }

    fn begins(&mut self, element: &Element<'_>) {
        let name = element.name();
        if is_left_out(name) || self.skipped > 0 {
            self.skipped += u32::from(is_left_out(name));
            return;
        }
        match name {
            b"p" => {
                self.finish_paragraph();
                self.paragraph = Some(Paragraph::default());
            }
            b"pPr" | b"rPr" | b"sectPr" | b"tblPr" | b"tcPr" => self.in_properties += 1,
            b"r" => self.run_hidden = false,
            b"t" if self.in_properties == 0 => self.in_text = true,
            b"tab" | b"ptab" if self.in_properties == 0 => {
                if self.paragraph.as_ref().is_some_and(|p| p.begun) {
                    self.flow.tab();
                }
            }
            b"br" | b"cr" if self.in_properties == 0 => self.flow.line(),
            b"noBreakHyphen" => self.words("-"),
            b"sym" => self.symbol(element),
            b"txbxContent" => {
                let outer = self.paragraph.take();
                if outer.as_ref().is_some_and(|p| p.begun) {
                    self.flow.close();
                }
                self.around.push(outer.map(|p| Paragraph { begun: false, ..p }));
            }
            b"tbl" => {
                self.finish_paragraph();
                self.flow.table_begins();
            }
            b"tr" => self.flow.row_begins(),
            b"tc" => self.flow.cell_begins(),
            b"gridBefore" => self.flow.columns_skipped(number(element)),
            b"gridSpan" => self.flow.cell_spans(number(element)),
            b"footnoteReference" => self.refer(element, |notes| &notes.footnotes),
            b"endnoteReference" => self.refer(element, |notes| &notes.endnotes),
            b"commentReference" => self.refer(element, |notes| &notes.comments),
            _ => self.property(element),
        }
    }

    fn property(&mut self, element: &Element<'_>) {
        if self.in_properties == 0 {
            return;
        }
        if element.name() == b"vanish"
            && element.is_on()
            && self.paragraph.as_ref().is_some_and(|p| p.begun || self.in_properties == 1)
        {
            self.run_hidden = true;
        }
        let Some(paragraph) = self.paragraph.as_mut() else { return };
        let own = &mut paragraph.properties;
        match element.name() {
            b"pStyle" => own.style = element.value(),
            b"outlineLvl" => own.outline = element.value().and_then(|v| v.parse().ok()),
            b"numId" => own.list = element.value(),
            b"ilvl" => own.list_level = element.value().and_then(|v| v.parse().ok()),
            _ => {}
        }
    }

    fn ends(&mut self, name: &[u8]) {
        if is_left_out(name) {
            self.skipped = self.skipped.saturating_sub(1);
            return;
        }
        if self.skipped > 0 {
            return;
        }
        match name {
            b"p" => self.finish_paragraph(),
            b"pPr" | b"rPr" | b"sectPr" | b"tblPr" | b"tcPr" => {
                self.in_properties = self.in_properties.saturating_sub(1);
                if name == b"pPr" {
                    // A hidden paragraph mark hides no text.
                    self.run_hidden = false;
                }
            }
            b"r" => {
                self.hidden += u32::from(self.run_hidden);
                self.run_hidden = false;
            }
            b"t" => self.in_text = false,
            b"txbxContent" => {
                self.finish_paragraph();
                self.paragraph = self.around.pop().flatten();
            }
            b"tbl" => {
                self.finish_paragraph();
                self.flow.table_ends();
                self.write_notes();
            }
            b"tr" => self.flow.row_ends(),
            _ => {}
        }
    }

    /// Adds words to the paragraph; its block is opened by the first.
    fn words(&mut self, text: &str) {
        let Some(paragraph) = self.paragraph.as_mut() else { return };
        if !paragraph.begun {
            if text.trim().is_empty() {
                return;
            }
            paragraph.begun = true;
            let heading = self.styles.heading(&paragraph.properties);
            let again = std::mem::replace(&mut paragraph.counted, true);
            let count = if again { None } else { self.styles.count(&paragraph.properties) };
            let (kind, level) = match (self.role, heading, &count) {
                (Some(role), _, _) => (role, 0),
                (None, Some(level), _) => (BlockKind::Heading, level),
                (None, None, Some((_, level))) => (BlockKind::ListItem, *level),
                (None, None, None) => (BlockKind::Paragraph, 0),
            };
            self.flow.open(kind, level);
            if let Some((label, _)) = count.filter(|(label, _)| !label.trim().is_empty()) {
                self.flow.words(&label);
                self.flow.words(" ");
            }
        }
        self.flow.words(text);
    }

    fn finish_paragraph(&mut self) {
        self.in_text = false;
        self.in_properties = 0;
        if self.paragraph.take().is_some_and(|p| p.begun) {
            self.flow.close();
        }
        if !self.flow.in_table() {
            self.write_notes();
        }
    }

    /// A character of a symbol font: bullets and ticks come through, others have no character.
    fn symbol(&mut self, element: &Element<'_>) {
        let code = element.attribute("char").and_then(|hex| u32::from_str_radix(&hex, 16).ok());
        let shown = match code {
            Some(0xf0b7 | 0xf0a7 | 0xf0d8 | 0xf076) => Some('\u{2022}'),
            Some(0xf0fc | 0xf0fe) => Some('\u{2713}'),
            Some(0xf0a8 | 0xf06f) => Some('\u{2610}'),
            Some(code @ 0x20..=0xdfff) => char::from_u32(code),
            _ => None,
        };
        if let Some(c) = shown {
            self.words(&c.to_string());
        }
    }

    fn refer(&mut self, element: &Element<'_>, pick: fn(&Notes) -> &HashMap<String, String>) {
        let Some(text) = element.attribute("id").and_then(|id| pick(self.notes).get(&id)) else { return };
        if !text.is_empty() {
            self.notes_seen += 1;
            self.notes_due.push(text.clone());
        }
    }

    /// Notes come right after the paragraph or table that refers to them.
    fn write_notes(&mut self) {
        for text in std::mem::take(&mut self.notes_due) {
            self.flow.open(BlockKind::Note, 0);
            self.flow.words(&text);
            self.flow.close();
        }
    }
}

/// The number that an element holds; 0 where it holds none.
fn number(element: &Element<'_>) -> u32 {
    element.value().and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Elements whose content is not part of the text: deletions, the old place of moved text, doubles for old programs.
fn is_left_out(name: &[u8]) -> bool {
    matches!(name, b"del" | b"moveFrom" | b"Fallback" | b"delText" | b"instrText")
}

/// Reads notes or comments: the text of each by its number. Counts in `cut` those that are too long to be kept whole.
pub(super) fn notes_of(
    element_name: &'static [u8],
    out: &mut HashMap<String, String>,
    cut: &mut u32,
) -> impl FnMut(Node<'_>) {
    let mut open: Option<(String, String)> = None;
    let (mut in_text, mut skipped, mut too_long) = (false, 0_u32, false);
    move |node| match node {
        Node::Begins(element) if element.name() == element_name => {
            let separator = element.attribute("type").is_some_and(|t| t.to_lowercase().contains("separator"));
            let author = element.attribute("author").filter(|a| !a.trim().is_empty());
            let lead = author.map_or_else(String::new, |author| format!("[{author}] "));
            open = element.attribute("id").filter(|_| !separator).map(|id| (id, lead));
        }
        Node::Begins(element) => {
            skipped += u32::from(is_left_out(element.name()));
            in_text = element.name() == b"t";
            if matches!(element.name(), b"p" | b"br" | b"tab")
                && let Some((_, text)) = open.as_mut()
            {
                text.push(' ');
            }
        }
        Node::Ends(name) if name == element_name => {
            if let Some((id, text)) = open.take() {
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                out.insert(id, line);
                *cut += u32::from(std::mem::take(&mut too_long));
            }
        }
        Node::Ends(name) => {
            skipped = skipped.saturating_sub(u32::from(is_left_out(name)));
            in_text = false;
        }
        Node::Text(text) => {
            if let Some((_, own)) = open.as_mut().filter(|_| in_text && skipped == 0) {
                too_long |= own.len() >= NOTE_CHARS_MAX;
                if own.len() < NOTE_CHARS_MAX {
                    own.push_str(text);
                }
            }
        }
    }
}
