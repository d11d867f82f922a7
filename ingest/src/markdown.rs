//! Markdown: the text stays the file's own, so that offsets are too; the parser only tells the blocks.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::page::{Block, BlockKind, Page};
use crate::read::{Fault, Sink};
use crate::text::{decode, paragraphs, unix_lines};

/// Longest file whose blocks are parsed; longer ones are cut at empty lines only.
const PARSED_BYTES_MAX: usize = 16 << 20;

/// Reads a Markdown file: one page whose text is the file's.
pub(crate) fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    let text = unix_lines(&decode(bytes));
    let blocks = if text.len() <= PARSED_BYTES_MAX { blocks(&text) } else { paragraphs(&text) };
    let title = blocks.iter().find(|b| b.kind == BlockKind::Heading && b.level == 1).map(|block| {
        let line: String = text.chars().skip(block.start as usize).take((block.end - block.start) as usize).collect();
        line.trim_matches(['#', ' ', '=', '\n']).lines().next().unwrap_or("").to_owned()
    });
    sink.started(None, title.filter(|t| !t.is_empty()));
    if !sink.begin_page(1)? {
        return Ok(());
    }
    sink.page(Page::flowing(1, text, blocks))
}

/// A block in bytes.
struct Span {
    kind: BlockKind,
    level: u8,
    start: usize,
    end: usize,
}

fn blocks(text: &str) -> Vec<Block> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    let mut spans: Vec<Span> = Vec::new();
    let (mut lists, mut items) = (0_u8, 0_u32);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let mut add = |kind, level| spans.push(Span { kind, level, start: range.start, end: range.end });
        match event {
            Event::Start(Tag::Heading { level, .. }) => add(BlockKind::Heading, depth(level)),
            Event::Start(Tag::Paragraph) if items == 0 => add(BlockKind::Paragraph, 0),
            Event::Start(Tag::CodeBlock(_) | Tag::HtmlBlock) if items == 0 => add(BlockKind::Code, 0),
            Event::Start(Tag::FootnoteDefinition(_)) => add(BlockKind::Note, 0),
            Event::Start(Tag::Table(_)) => add(BlockKind::Table, 0),
            Event::Start(Tag::TableHead | Tag::TableRow) => add(BlockKind::TableRow, 0),
            Event::Start(Tag::List(_)) => lists = lists.saturating_add(1),
            Event::End(TagEnd::List(_)) => lists = lists.saturating_sub(1),
            Event::Start(Tag::Item) => {
                items += 1;
                add(BlockKind::ListItem, lists);
            }
            Event::End(TagEnd::Item) => items = items.saturating_sub(1),
            _ => {}
        }
    }
    settle(spans, text)
}

fn depth(level: HeadingLevel) -> u8 {
    level as u8
}

/// Makes blocks that do not overlap: an item ends where an inner one begins; white space at the ends is cut.
fn settle(mut spans: Vec<Span>, text: &str) -> Vec<Block> {
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    for at in 0..spans.len().saturating_sub(1) {
        let next = spans[at + 1].start;
        let holds = spans[at].kind == BlockKind::Table && spans[at + 1].kind == BlockKind::TableRow;
        if !holds && spans[at].end > next {
            spans[at].end = next;
        }
    }
    let (mut byte, mut char) = (0, 0_u32);
    let mut at_char = |at: usize| {
        if at < byte {
            (byte, char) = (0, 0);
        }
        char += text[byte..at].chars().count() as u32;
        byte = at;
        char
    };
    let mut blocks = Vec::new();
    for span in spans {
        let piece = &text[span.start..span.end];
        let body = piece.trim();
        if body.is_empty() {
            continue;
        }
        let lead = piece.len() - piece.trim_start().len();
        let start = at_char(span.start + lead);
        let end = start + body.chars().count() as u32;
        blocks.push(Block { kind: span.kind, level: span.level, start, end, bounds: None });
    }
    blocks
}
