//! The smallest pieces that passages are made of: sentences, headings, table rows; each with how well a passage may begin there.

use crate::marks::{NumberStyle, ends_sentence, list_mark, numbering};
use crate::page::{Block, BlockKind, Page};

use super::sentences::{halve, sentences};

/// Longest line taken for a heading in text without layout, in characters.
const HEADING_CHARS_MAX: usize = 120;
/// Longest heading kept in a path, in characters.
const TITLE_CHARS_MAX: usize = 160;

/// Bytes of a line that are looked at for a mark.
const MARK_BYTES_MAX: usize = 200;

/// How well a passage may begin at a unit, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Begins {
    /// Within a sentence.
    Inside,
    /// At a sentence.
    Sentence,
    /// At a row within a table or a line within a code block.
    Row,
    /// At a paragraph or the text of a new page.
    Paragraph,
    /// At a list item or lettered clause.
    Item,
    /// At a numbered clause.
    Clause,
    /// At a heading.
    Heading,
}

/// A piece of the canonical text that is not cut further.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// First byte in the canonical text.
    pub(super) start: usize,
    /// After its last byte.
    pub(super) end: usize,
    /// Index of its page.
    pub(super) page: usize,
    /// How well a passage may begin here.
    pub(super) begins: Begins,
    /// Depth, if it is a heading.
    pub(super) heading: Option<u8>,
    /// Whether no passage may go on from the unit before to this one.
    pub(super) apart: bool,
}

/// Makes the units of a document. `starts` are the bytes of the canonical text at which the pages' texts begin.
pub(super) fn units(pages: &[Page], starts: &[usize], tokens_max: usize, count: &dyn Fn(&str) -> usize) -> Vec<Unit> {
    let mut maker = Maker { out: Vec::new(), apart: false, tokens_max, count };
    for (index, page) in pages.iter().enumerate() {
        if index > 0 && page.number != pages[index - 1].number.saturating_add(1) {
            maker.apart = true;
        }
        maker.page(index, page, starts[index]);
    }
    maker.out
}

struct Maker<'c> {
    out: Vec<Unit>,
    apart: bool,
    tokens_max: usize,
    count: &'c dyn Fn(&str) -> usize,
}

/// A stretch of a page's text in bytes, and where it comes from.
struct Stretch<'p> {
    text: &'p str,
    /// Its first byte in the canonical text.
    at: usize,
    page: usize,
}

impl Maker<'_> {
    fn page(&mut self, index: usize, page: &Page, at: usize) {
        let bytes = ByteIndex::new(&page.text);
        let mut done = 0;
        for block in leaves(page) {
            let (start, end) = (bytes.at(block.start), bytes.at(block.end));
            if end <= start || start < done {
                continue;
            }
            // Text that no block covers counts as a paragraph, so that nothing is lost.
            self.paragraph(&stretch(page, done, start, at, index));
            let piece = stretch(page, start, end, at, index);
            match block.kind {
                BlockKind::Header | BlockKind::Footer => self.apart = true,
                BlockKind::Heading => self.heading(&piece, block.level),
                BlockKind::Table | BlockKind::Code => self.lines(&piece),
                BlockKind::TableRow => self.row(&piece),
                BlockKind::ListItem => self.text(&piece, Begins::Item),
                BlockKind::Paragraph | BlockKind::Note | BlockKind::MailHeader => self.paragraph(&piece),
            }
            done = end;
        }
        self.paragraph(&stretch(page, done, page.text.len(), at, index));
    }

    fn heading(&mut self, piece: &Stretch<'_>, level: u8) {
        if piece.text.chars().count() > 4 * HEADING_CHARS_MAX {
            return self.text(piece, Begins::Paragraph);
        }
        let first = self.out.len();
        self.push_all(piece, &[(0, piece.text.len())], Begins::Heading);
        if let Some(unit) = self.out.get_mut(first) {
            unit.heading = Some(level.max(1));
        }
    }

    /// A row of a table. The tabs of empty cells before its first text belong to it, because they say which columns follow.
    fn row(&mut self, piece: &Stretch<'_>) {
        let first = self.out.len();
        self.push_all(piece, &[(0, piece.text.len())], Begins::Row);
        if let Some(unit) = self.out.get_mut(first) {
            let lead = &piece.text[..unit.start - piece.at];
            unit.start -= lead.len() - lead.trim_end_matches('\t').len();
        }
    }

    fn lines(&mut self, piece: &Stretch<'_>) {
        let mut at = 0;
        for line in piece.text.split_inclusive('\n') {
            let begins = if at == 0 { Begins::Paragraph } else { Begins::Row };
            self.push_all(piece, &[(at, at + line.len())], begins);
            at += line.len();
        }
    }

    /// A paragraph, which in text with hard line ends may hold headings and clauses of its own.
    fn paragraph(&mut self, piece: &Stretch<'_>) {
        let longest = piece.text.lines().map(|line| line.trim_end().len()).max().unwrap_or(0);
        let mut start = 0;
        let mut at = 0;
        let mut before: Option<&str> = None;
        for line in piece.text.split_inclusive('\n') {
            if let Some(last) = before
                && hard_break(last, line, longest)
            {
                self.part(piece, start, at);
                start = at;
            }
            if !line.trim().is_empty() {
                before = Some(line);
            }
            at += line.len();
        }
        self.part(piece, start, piece.text.len());
    }

    fn part(&mut self, piece: &Stretch<'_>, start: usize, end: usize) {
        let part = Stretch { text: &piece.text[start..end], at: piece.at + start, page: piece.page };
        match heading_line(part.text) {
            Some(level) => self.heading(&part, level),
            None => self.text(&part, Begins::Paragraph),
        }
    }

    /// Running text: sentences, with clause marks noted at the beginnings of sentences.
    fn text(&mut self, piece: &Stretch<'_>, begins: Begins) {
        for (nth, (start, end)) in sentences(piece.text).into_iter().enumerate() {
            let floor = if nth == 0 { begins } else { Begins::Sentence };
            self.push_all(piece, &[(start, end)], mark_at(&piece.text[start..]).unwrap_or(floor).max(floor));
        }
    }

    fn push_all(&mut self, piece: &Stretch<'_>, ranges: &[(usize, usize)], begins: Begins) {
        for &(start, end) in ranges {
            let text = &piece.text[start..end];
            for (nth, (a, b)) in halve(text, self.tokens_max, self.count).into_iter().enumerate() {
                let apart = std::mem::take(&mut self.apart);
                self.out.push(Unit {
                    start: piece.at + start + a,
                    end: piece.at + start + b,
                    page: piece.page,
                    begins: if nth == 0 { begins } else { Begins::Inside },
                    heading: None,
                    apart,
                });
            }
        }
    }
}

fn stretch(page: &Page, start: usize, end: usize, at: usize, index: usize) -> Stretch<'_> {
    Stretch { text: page.text.get(start..end).unwrap_or(""), at: at + start, page: index }
}

/// Blocks in order that hold no others: rows stand for their tables.
fn leaves(page: &Page) -> Vec<&Block> {
    let rows: Vec<&Block> = page.blocks.iter().filter(|b| b.kind == BlockKind::TableRow).collect();
    let holds_rows = |table: &Block| {
        let at = rows.partition_point(|row| row.start < table.start);
        rows.get(at).is_some_and(|row| row.end <= table.end)
    };
    let mut leaves: Vec<&Block> = page.blocks.iter().filter(|b| b.kind != BlockKind::Table || !holds_rows(b)).collect();
    leaves.sort_by_key(|b| (b.start, b.end));
    leaves
}

fn mark_at(text: &str) -> Option<Begins> {
    let line = text[..text.floor_char_boundary(MARK_BYTES_MAX)].lines().next()?;
    match numbering(line) {
        Some(number) if number.style == NumberStyle::Lettered => Some(Begins::Item),
        Some(_) => Some(Begins::Clause),
        None => list_mark(line).map(|_| Begins::Item),
    }
}

/// Whether a line end within a paragraph parts clauses or items rather than wrapping a line.
fn hard_break(last: &str, next: &str, longest: usize) -> bool {
    let (last, next) = (last.trim(), next.trim());
    let short = last.len() * 10 < longest * 7;
    let marked = mark_at(next).is_some() && (short || ends_sentence(last));
    marked
        || (short && ends_sentence(last))
        || heading_line(last).is_some()
        || (heading_line(next).is_some() && (short || ends_sentence(last)))
}

/// The level of a line that looks like a heading in text without layout.
fn heading_line(text: &str) -> Option<u8> {
    let line = text.trim();
    let chars = line.chars().count();
    if !(3..=HEADING_CHARS_MAX).contains(&chars) || line.contains('\n') || line.ends_with([',', ';']) {
        return None;
    }
    let number = numbering(line);
    let title = number
        .as_ref()
        .map_or(line, |n| line[n.bytes..].trim_start_matches([' ', '.', ':', '-', '\u{2013}', '\u{2014}']));
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    if letters < 3 || letters * 2 < chars {
        return None;
    }
    let upper = line.chars().filter(|c| c.is_uppercase()).count();
    let capitals = upper >= 4 && upper * 10 >= letters * 9;
    let level = match &number {
        Some(n) if n.style == NumberStyle::Named => 1 + n.level,
        Some(n) if n.style == NumberStyle::Decimal => 2 + n.level,
        Some(_) => 5,
        None => 1,
    };
    let ended = ends_sentence(line) && !line.ends_with(':');
    let titled = number.as_ref().is_some_and(|n| n.style != NumberStyle::Lettered) && is_title(title) && chars <= 80;
    ((capitals && (!ended || chars <= 60)) || (titled && !(ended && title.split_whitespace().count() > 6)))
        .then_some(level)
}

/// Whether most words begin with a capital, as in titles.
fn is_title(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().filter(|w| w.len() > 3).collect();
    let capital = words.iter().filter(|w| w.chars().next().is_some_and(|c| !c.is_lowercase())).count();
    text.is_empty() || (words.len() <= 12 && capital * 10 >= words.len() * 7)
}

/// A heading's text for a path: one line, without surrounding blanks.
pub(super) fn title(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TITLE_CHARS_MAX).collect()
}

/// Character offsets of a text as bytes.
struct ByteIndex<'t> {
    text: &'t str,
    ascii: bool,
    /// Byte of each 64th character; empty for ASCII.
    marks: Vec<usize>,
}

impl<'t> ByteIndex<'t> {
    fn new(text: &'t str) -> Self {
        let ascii = text.is_ascii();
        let marks = if ascii { Vec::new() } else { text.char_indices().step_by(64).map(|(byte, _)| byte).collect() };
        ByteIndex { text, ascii, marks }
    }

    /// The byte of a character; the text's length past its end.
    fn at(&self, char: u32) -> usize {
        let char = char as usize;
        if self.ascii {
            return char.min(self.text.len());
        }
        let Some(base) = self.marks.get(char / 64) else { return self.text.len() };
        self.text[*base..].char_indices().nth(char % 64).map_or(self.text.len(), |(byte, _)| base + byte)
    }
}
