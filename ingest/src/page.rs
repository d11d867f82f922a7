//! What a reader yields: pages, blocks, word boxes, and the canonical text that all offsets count in.

use serde::{Deserialize, Serialize};

/// What stands between two pages in the canonical text of a document.
pub const PAGE_SEPARATOR: &str = "\n\u{c}";

/// Length of [`PAGE_SEPARATOR`] in Unicode scalar values.
pub const PAGE_SEPARATOR_CHARS: u32 = 2;

/// One page as read. Formats without pages are one page; offsets count Unicode scalar values of `text`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Page number, counted from 1.
    pub number: u32,
    /// What more there is to say about the place (`mail`, `slide 3`), if anything.
    pub place: Option<String>,
    /// Width of the page as shown (crop box, rotated) in PDF points; 0 for formats without layout.
    pub width: f32,
    /// Height of the page as shown in PDF points; 0 for formats without layout.
    pub height: f32,
    /// Text in reading order, line ends as LF.
    pub text: String,
    /// Blocks in the order of the text; they do not overlap, except that rows lie within their table.
    pub blocks: Vec<Block>,
    /// Boxes of the words in the order of the text; empty for formats without layout.
    pub words: Vec<WordBox>,
    /// What became of the page.
    pub outcome: PageOutcome,
    /// What could not be read or was repaired, in words, at most a few dozen lines.
    pub problems: Vec<String>,
}

impl Page {
    /// A page without layout, as formats that flow have it.
    pub fn flowing(number: u32, text: String, blocks: Vec<Block>) -> Page {
        let outcome = if text.trim().is_empty() { PageOutcome::Empty } else { PageOutcome::Text };
        Page {
            number,
            place: None,
            width: 0.0,
            height: 0.0,
            text,
            blocks,
            words: Vec::new(),
            outcome,
            problems: Vec::new(),
        }
    }

    /// Enters what a reader remarked. What is missing turns the page into one that was read in part, unless it must be
    /// recognised optically as a whole.
    pub(crate) fn remark(&mut self, remarks: Remarks) {
        if !remarks.missing.is_empty() && !matches!(self.outcome, PageOutcome::NeedsOcr(_)) {
            let named = remarks.missing.iter().take(MISSING_NAMED_MAX).map(String::as_str).collect::<Vec<_>>();
            self.outcome = PageOutcome::Partial(named.join("; "));
        }
        self.problems.extend(remarks.missing);
        self.problems.extend(remarks.notes);
    }

    /// Length of the text in Unicode scalar values.
    pub fn chars(&self) -> u32 {
        self.text.chars().count() as u32
    }
}

/// Most things missing from a page that its outcome names; all are among its problems.
const MISSING_NAMED_MAX: usize = 5;

/// What a reader remarks about a page beside its text.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    /// What was noticed and loses nothing.
    pub(crate) notes: Vec<String>,
    /// What is known to be there and is not in the text.
    pub(crate) missing: Vec<String>,
}

/// What became of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageOutcome {
    /// The page has text.
    Text,
    /// The page holds neither text nor pictures.
    Empty,
    /// Something that is known to be on the page is not in its text. Holds what and why.
    Partial(String),
    /// The page has pictures or text without usable characters: it must be recognised optically. Holds the reason.
    NeedsOcr(String),
}

/// A piece of a page with one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Its role.
    pub kind: BlockKind,
    /// Depth of a heading (1 = top) or of a list item (1 = outermost); 0 elsewhere.
    pub level: u8,
    /// First character, counted in the page's text.
    pub start: u32,
    /// After its last character.
    pub end: u32,
    /// `[x0, y0, x1, y1]` in PDF points from the page's top left corner, where there is a layout.
    pub bounds: Option<[f32; 4]>,
}

/// Role of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading; `level` says how deep.
    Heading,
    /// Running text.
    Paragraph,
    /// An item of a list, with its mark.
    ListItem,
    /// A whole table; its rows follow as blocks within it.
    Table,
    /// A row of a table; cells are separated by tabs.
    TableRow,
    /// A footnote, an endnote or a comment.
    Note,
    /// A running head.
    Header,
    /// A running foot or a page number.
    Footer,
    /// Text whose line breaks and blanks matter.
    Code,
    /// A header line of a mail.
    MailHeader,
}

impl BlockKind {
    /// The name used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            BlockKind::Heading => "heading",
            BlockKind::Paragraph => "paragraph",
            BlockKind::ListItem => "list_item",
            BlockKind::Table => "table",
            BlockKind::TableRow => "table_row",
            BlockKind::Note => "note",
            BlockKind::Header => "header",
            BlockKind::Footer => "footer",
            BlockKind::Code => "code",
            BlockKind::MailHeader => "mail_header",
        }
    }
}

/// A word and where it lies on the page, in PDF points from the top left corner of the page as shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "WordTuple", into = "WordTuple")]
pub struct WordBox {
    /// First character, counted in the page's text.
    pub start: u32,
    /// After its last character.
    pub end: u32,
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
}

/// How a word box travels: as an array, because a page holds many.
type WordTuple = (u32, u32, f32, f32, f32, f32);

impl From<WordTuple> for WordBox {
    fn from((start, end, x0, y0, x1, y1): WordTuple) -> Self {
        WordBox { start, end, x0, y0, x1, y1 }
    }
}

impl From<WordBox> for WordTuple {
    fn from(word: WordBox) -> Self {
        (word.start, word.end, word.x0, word.y0, word.x1, word.y1)
    }
}

/// The canonical text of a document: its pages' texts in page order, joined by [`PAGE_SEPARATOR`].
///
/// A page number that is missing counts as an empty page, so that the offsets of the others do not
/// depend on whether it could be read. Pages must be in ascending order of their numbers.
pub fn canonical_text(pages: &[Page]) -> String {
    let mut text = String::with_capacity(pages.iter().map(|p| p.text.len() + 2).sum());
    let mut next = 1;
    for page in pages {
        while next < page.number {
            text.push_str(PAGE_SEPARATOR);
            next += 1;
        }
        text.push_str(&page.text);
    }
    text
}

/// Offset in the canonical text at which each page's text begins, in the order of `pages`.
pub fn page_starts(pages: &[Page]) -> Vec<u32> {
    let mut starts = Vec::with_capacity(pages.len());
    let mut offset = 0;
    let mut next = 1;
    for page in pages {
        while next < page.number {
            offset += PAGE_SEPARATOR_CHARS;
            next += 1;
        }
        starts.push(offset);
        offset += page.chars();
    }
    starts
}
