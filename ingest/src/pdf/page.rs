//! One page: from collected glyphs to text, blocks and word boxes.

use std::collections::{BTreeMap, HashSet};

use super::blocks::{Draft, Style, draft, is_rtl, logical};
use super::fragments::{ASCENT, DESCENT, Fragment, Frame, Word, degrees, fragments, stands_alone};
use super::glyphs::{Collected, Glyph, GlyphText};
use super::order::{Cell, Row, arrange, usual_size};
use crate::page::{Block, BlockKind, Page, PageOutcome, Remarks, WordBox};

/// Widest gap, in ems, that is a blank in a line that is no row of a table.
const LINE_GAP: f64 = 3.0;
/// Most directions of text on a page that are told apart; glyphs of further ones are left out.
const DIRECTIONS_MAX: usize = 24;
/// Share of glyphs without a character above which a page needs optical recognition.
const UNKNOWN_SHARE_MAX: f64 = 0.4;
/// Share of glyphs without a character above which a page counts as read in part.
const UNKNOWN_SHARE_WHOLE: f64 = 0.1;
/// Share of the page covered by images above which a page with little text needs optical recognition.
const IMAGE_SHARE: f64 = 0.3;
/// Number of letters below which a page of images counts as having no text layer.
const FEW_LETTERS: usize = 16;
/// Most painted paths of a page that counts as empty.
const PATHS_OF_EMPTY: u32 = 40;

/// Builds a page from what was collected.
pub(super) fn build(number: u32, width: f64, height: f64, collected: &Collected) -> Page {
    let mut writer = Writer::new();
    let total = collected.glyphs.iter().filter(|g| !g.text.is_blank()).count();
    let unknown = collected.glyphs.iter().filter(|g| g.text == GlyphText::Unknown).count();
    let directions = directions(&collected.glyphs);
    let mut remarks = Remarks::default();
    if directions.len() > DIRECTIONS_MAX {
        remarks.missing.push("the page has text in more directions than are read".to_owned());
    }
    for (frame, picked) in directions.into_iter().take(DIRECTIONS_MAX) {
        let all = fragments(&collected.glyphs, &picked, frame);
        write_direction(&mut writer, all, frame);
    }
    let mut page = writer.page(number, width as f32, height as f32);
    if collected.overflow {
        remarks.missing.push("the page has more glyphs than are read; the rest is left out".to_owned());
    }
    page.outcome = outcome(&page, collected, total, unknown);
    if unknown > 0 && page.outcome == PageOutcome::Text {
        let told = format!("{unknown} of {total} glyphs have no known character");
        let many = unknown as f64 > UNKNOWN_SHARE_WHOLE * total as f64;
        if many { remarks.missing.push(told) } else { remarks.notes.push(told) }
    }
    page.remark(remarks);
    page
}

/// Glyphs by direction of their baseline, the commonest first.
fn directions(glyphs: &[Glyph]) -> Vec<(Frame, Vec<usize>)> {
    let mut by_angle: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, glyph) in glyphs.iter().enumerate() {
        by_angle.entry(degrees(glyph)).or_default().push(at);
    }
    let mut all: Vec<(i32, Vec<usize>)> = by_angle.into_iter().collect();
    all.sort_by_key(|(angle, picked)| (std::cmp::Reverse(picked.len()), *angle));
    all.into_iter().map(|(angle, picked)| (Frame::new(angle), picked)).collect()
}

fn write_direction(writer: &mut Writer, all: Vec<Fragment>, frame: Frame) {
    let chars: usize = all.iter().map(Fragment::chars).sum();
    let of = |pick: fn(&Word) -> bool| -> usize {
        let words = all.iter().flat_map(|f| &f.words);
        words.filter(|w| pick(w)).map(|w| w.text.chars().count()).sum()
    };
    let rtl = of(|word| is_rtl(&word.text)) * 2 > chars;
    let style = Style { body: usual_size(&all), bold: of(|word| word.bold) * 2 > chars };
    let (artifacts, body): (Vec<Fragment>, Vec<Fragment>) = all.into_iter().partition(|f| f.artifact);
    let middle = body.iter().map(|f| f.base).sum::<f64>() / body.len().max(1) as f64;
    let (heads, feet): (Vec<Fragment>, Vec<Fragment>) = artifacts.into_iter().partition(|f| f.base < middle);
    for (part, kind) in [(heads, Some(BlockKind::Header)), (body, None), (feet, Some(BlockKind::Footer))] {
        for region in arrange(part, rtl) {
            for block in draft(region, style) {
                let kind = kind.unwrap_or(block.kind);
                writer.write(&block, kind, frame, rtl);
            }
        }
    }
}

/// What becomes of a page with this text and these pictures.
fn outcome(page: &Page, collected: &Collected, total: usize, unknown: usize) -> PageOutcome {
    let letters = page.text.chars().filter(|c| c.is_alphanumeric()).count();
    let area = f64::from(page.width) * f64::from(page.height);
    let pictured = collected.image_area > IMAGE_SHARE * area;
    if total > 0 && unknown as f64 > UNKNOWN_SHARE_MAX * total as f64 {
        return PageOutcome::NeedsOcr(format!("{unknown} of {total} glyphs have no known character"));
    }
    if letters < FEW_LETTERS && pictured {
        return PageOutcome::NeedsOcr("the page is a picture without a text layer".to_owned());
    }
    if letters > 0 || page.text.chars().any(|c| !c.is_whitespace()) {
        return PageOutcome::Text;
    }
    if collected.images > 0 {
        return PageOutcome::NeedsOcr("the page holds pictures and no text".to_owned());
    }
    if collected.paths > PATHS_OF_EMPTY {
        return PageOutcome::NeedsOcr("the page is drawn with lines and curves and holds no text".to_owned());
    }
    PageOutcome::Empty
}

/// Writes text, blocks and word boxes side by side.
struct Writer {
    text: String,
    chars: u32,
    words: Vec<WordBox>,
    blocks: Vec<Block>,
    known: HashSet<String>,
}

impl Writer {
    fn new() -> Writer {
        Writer { text: String::new(), chars: 0, words: Vec::new(), blocks: Vec::new(), known: HashSet::new() }
    }

    fn page(self, number: u32, width: f32, height: f32) -> Page {
        Page {
            number,
            place: None,
            width,
            height,
            text: self.text,
            blocks: self.blocks,
            words: self.words,
            outcome: PageOutcome::Text,
            problems: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.chars += text.chars().count() as u32;
    }

    fn write(&mut self, block: &Draft, kind: BlockKind, frame: Frame, rtl: bool) {
        for word in block.fragments().flat_map(|f| &f.words) {
            if word.text.contains('-') && self.known.len() < 20_000 {
                self.known.insert(letters(&word.text));
            }
        }
        if !self.text.is_empty() {
            self.push("\n\n");
        }
        let start = self.chars;
        let mut rows = Vec::new();
        for (at, row) in block.lines.iter().enumerate() {
            let table = block.kind == BlockKind::Table;
            if at > 0 && table {
                self.push("\n");
            }
            let row_start = self.chars;
            self.row(row, at > 0 && !table, if table { 0.0 } else { LINE_GAP }, frame, rtl);
            if table {
                rows.push(self.block(BlockKind::TableRow, 0, row_start, row, frame));
            }
        }
        if self.chars == start {
            return;
        }
        let lines: Row = block.lines.iter().flatten().cloned().collect();
        let outer = self.block(kind, block.level, start, &lines, frame);
        self.blocks.push(outer);
        self.blocks.extend(rows);
    }

    fn block(&self, kind: BlockKind, level: u8, start: u32, row: &Row, frame: Frame) -> Block {
        let all = || row.iter().flatten();
        let low = |pick: fn(&Fragment) -> f64| all().map(pick).fold(f64::MAX, f64::min);
        let high = |pick: fn(&Fragment) -> f64| all().map(pick).fold(f64::MIN, f64::max);
        let edges = frame.to_page(low(|f| f.x0), low(Fragment::top), high(|f| f.x1), high(Fragment::bottom));
        Block { kind, level, start, end: self.chars, bounds: Some(edges.map(|edge| edge as f32)) }
    }

    /// Writes the cells of a row; `goes_on` says whether it continues the line before. Gaps of less than `blank_ems` are
    /// blanks, wider ones tabs.
    fn row(&mut self, row: &Row, goes_on: bool, blank_ems: f64, frame: Frame, rtl: bool) {
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                let near = gap(&row[at - 1], cell).is_some_and(|ems| ems < blank_ems);
                self.push(if near { " " } else { "\t" });
            }
            for (line, fragment) in cell.iter().enumerate() {
                let continued = (line > 0) || (at == 0 && goes_on);
                self.fragment(fragment, continued, frame, rtl);
            }
        }
    }

    fn fragment(&mut self, fragment: &Fragment, continued: bool, frame: Frame, rtl: bool) {
        let words = logical(&fragment.words, rtl);
        for (at, word) in words.iter().enumerate() {
            if at == 0 && continued {
                self.line_end(&word.text);
            } else if at > 0 && word.spaced {
                self.push(" ");
            }
            let start = self.chars;
            self.push(&word.text);
            let (y0, y1) = (word.base - ASCENT * word.size, word.base + DESCENT * word.size);
            let edges = frame.to_page(word.x0, y0, word.x1, y1).map(|edge| edge as f32);
            let [x0, y0, x1, y1] = edges;
            self.words.push(WordBox { start, end: self.chars, x0, y0, x1, y1 });
        }
    }

    /// Between two lines of a paragraph: a blank, or nothing where a hyphen or a script without blanks asks for it.
    fn line_end(&mut self, next: &str) {
        let mut before = self.text.chars().rev();
        let (last, second) = (before.next(), before.next());
        let begins_small = next.chars().next().is_some_and(char::is_lowercase);
        match last {
            Some('\u{ad}') => self.drop_hyphen(),
            Some('-' | '\u{2010}') if second.is_some_and(char::is_alphabetic) && begins_small => {
                let head = self.text.rsplit(char::is_whitespace).next().unwrap_or("");
                let whole = format!("{}{}", letters(head), letters(next));
                if !self.known.contains(&whole) {
                    self.drop_hyphen();
                }
            }
            Some('-' | '\u{2010}') if second.is_some_and(char::is_alphanumeric) => {}
            Some(c) if stands_alone(c) && next.chars().next().is_some_and(stands_alone) => {}
            None => {}
            _ => self.push(" "),
        }
    }

    fn drop_hyphen(&mut self) {
        self.text.pop();
        self.chars -= 1;
        if let Some(word) = self.words.last_mut() {
            word.end = word.end.min(self.chars).max(word.start);
        }
    }
}

/// The gap between two cells in ems.
fn gap(a: &Cell, b: &Cell) -> Option<f64> {
    let (a, b) = (a.last()?, b.first()?);
    Some((a.x0.max(b.x0) - a.x1.min(b.x1)) / a.size.max(b.size).max(1e-6))
}

/// The letters and digits of a word in lower case, to compare hyphenated forms.
fn letters(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
