//! Pages to passages: pieces of about 300 tokens along headings, clauses, list items and tables.
//!
//! The text is first cut into units (sentences, headings, rows: [`units`]); then the cheapest way to part the row of units is
//! computed, where a passage costs the more the further its length is from the target, the weaker the place at which it begins
//! is, and the more headings it holds inside. No passage goes across a running head or foot, so that a page number never
//! stands within a passage's sentence.

mod sentences;
mod units;

use std::cell::Cell;

use crate::event::IngestError;
use crate::page::{Block, BlockKind, PAGE_SEPARATOR, Page, canonical_text, page_starts};
use units::{Begins, Unit, title, units};

/// Longest piece whose tokens are counted, in bytes; a longer one is longer than any passage may be.
const COUNTED_BYTES_MAX: usize = 1 << 16;
/// Units between two questions whether to stop.
const UNITS_PER_TICK: usize = 1_024;
/// Deepest path of headings.
const PATH_MAX: usize = 8;

/// How long passages are to be, in tokens of the model that will read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOptions {
    /// Length aimed at.
    pub tokens_target: usize,
    /// Length kept, except where a single character is longer.
    pub tokens_max: usize,
    /// Pieces shorter than this are joined with a neighbour where they may be.
    pub tokens_min: usize,
}

impl Default for CutOptions {
    fn default() -> Self {
        CutOptions { tokens_target: 300, tokens_max: 350, tokens_min: 60 }
    }
}

/// A piece of a document that is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// First character in the canonical text.
    pub start: u32,
    /// After its last character in the canonical text.
    pub end: u32,
    /// Page on which it begins, counted from 1.
    pub page: u32,
    /// What more there is to say about the place: the page's own, or the paragraph for formats without layout.
    pub place: Option<String>,
    /// Headings above its first running text, outermost first; its own heading included.
    pub heading_path: Vec<String>,
    /// The canonical text from `start` to `end`.
    pub text: String,
}

/// Cuts a document into passages, in order, without overlap. `pages` must be in ascending order of their numbers.
///
/// Every character of the text that is not white space lies in a passage, except running heads and feet.
///
/// `cancel` is asked all along; when it says yes the cutting ends with [`IngestError::Cancelled`], its only error.
pub fn cut(
    pages: &[Page],
    options: &CutOptions,
    count_tokens: &dyn Fn(&str) -> usize,
    cancel: &dyn Fn() -> bool,
) -> Result<Vec<Passage>, IngestError> {
    let stopped = Cell::new(false);
    let stop = || {
        stopped.set(stopped.get() || cancel());
        stopped.get()
    };
    // Once stopped, everything counts nothing: what is under way ends at once, and its result is thrown away.
    let count = |text: &str| if stop() { 0 } else { count_tokens(text) };
    let check = || if stop() { Err(IngestError::Cancelled) } else { Ok(()) };
    let text = canonical_text(pages);
    let starts = byte_starts(pages);
    let tokens_max = options.tokens_max.max(1);
    let units = units(pages, &starts, tokens_max, &count);
    check()?;
    let tokens = unit_tokens(&units, &text, &count);
    check()?;
    let mut bounds = Vec::new();
    let mut first = 0;
    while first < units.len() {
        let end = (first + 1..units.len()).find(|at| units[*at].apart).unwrap_or(units.len());
        let ranges = part(&units[first..end], &tokens[first..end], options, &check)?;
        bounds.extend(ranges.into_iter().map(|(a, b)| (a + first, b + first)));
        first = end;
    }
    let checked = bounds.into_iter().flat_map(|range| fit(range, &units, &text, tokens_max, &count));
    let passages = finish(checked, &units, pages, &starts, &text);
    check().map(|()| passages)
}

fn byte_starts(pages: &[Page]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(pages.len());
    let (mut offset, mut next) = (0, 1);
    for page in pages {
        offset += PAGE_SEPARATOR.len() * (page.number.saturating_sub(next)) as usize;
        next = page.number.max(next);
        starts.push(offset);
        offset += page.text.len();
    }
    starts
}

/// Tokens of each unit with the blanks before it, so that sums estimate joined lengths.
fn unit_tokens(units: &[Unit], text: &str, count: &dyn Fn(&str) -> usize) -> Vec<usize> {
    let mut before = None;
    units
        .iter()
        .map(|unit| {
            let from = before.filter(|end| *end <= unit.start && !unit.apart).unwrap_or(unit.start);
            before = Some(unit.end);
            count(&text[from..unit.end]).max(1)
        })
        .collect()
}

/// Parts a row of units at the cheapest places; ranges of units in order.
fn part(
    units: &[Unit],
    tokens: &[usize],
    options: &CutOptions,
    check: &dyn Fn() -> Result<(), IngestError>,
) -> Result<Vec<(usize, usize)>, IngestError> {
    let mut best = vec![f64::INFINITY; units.len() + 1];
    let mut from = vec![0; units.len() + 1];
    best[0] = 0.0;
    for start in 0..units.len() {
        if start % UNITS_PER_TICK == 0 {
            check()?;
        }
        let base = best[start] + begin_cost(units[start].begins, start);
        let (mut length, mut headings) = (0, 0.0);
        // Whether all units of the passage before this one are headings.
        let mut leads = true;
        for end in start + 1..=units.len() {
            let unit = &units[end - 1];
            length += tokens[end - 1];
            if length > options.tokens_max && end > start + 1 {
                break;
            }
            if unit.heading.is_some() && end - 1 > start && !leads {
                headings += 0.6;
            }
            leads &= unit.heading.is_some();
            let open_end = if unit.heading.is_some() && end < units.len() { 4.0 } else { 0.0 };
            let cost = base + length_cost(length, options) + headings + open_end;
            if cost < best[end] {
                best[end] = cost;
                from[end] = start;
            }
        }
    }
    let mut ranges = Vec::new();
    let mut end = units.len();
    while end > 0 {
        ranges.push((from[end], end));
        end = from[end];
    }
    ranges.reverse();
    Ok(ranges)
}

fn begin_cost(begins: Begins, at: usize) -> f64 {
    if at == 0 {
        return 0.0;
    }
    match begins {
        Begins::Heading => 0.0,
        Begins::Clause => 0.05,
        Begins::Item => 0.2,
        Begins::Paragraph => 0.15,
        Begins::Row => 0.5,
        Begins::Sentence => 0.6,
        Begins::Inside => 3.0,
    }
}

fn length_cost(length: usize, options: &CutOptions) -> f64 {
    let (length, target) = (length as f64, options.tokens_target.max(1) as f64);
    let off = (length - target) / target;
    let tiny = if length < options.tokens_min as f64 { 0.3 } else { 0.0 };
    off * off + tiny
}

/// Cuts a range again where joining made it longer than the sum of its units.
fn fit(
    range: (usize, usize),
    units: &[Unit],
    text: &str,
    tokens_max: usize,
    count: &dyn Fn(&str) -> usize,
) -> Vec<(usize, usize)> {
    let mut done = Vec::new();
    let mut open = vec![range];
    while let Some((first, end)) = open.pop() {
        let piece = &text[units[first].start..units[end - 1].end];
        let over = end - first > 1 && (piece.len() > COUNTED_BYTES_MAX || count(piece) > tokens_max);
        if !over {
            done.push((first, end));
            continue;
        }
        let middle = (first + end).div_ceil(2);
        let cut = (first + 1..end).max_by_key(|at| (units[*at].begins, std::cmp::Reverse(at.abs_diff(middle))));
        let cut = cut.unwrap_or(middle);
        open.push((cut, end));
        open.push((first, cut));
    }
    done
}

fn finish(
    ranges: impl Iterator<Item = (usize, usize)>,
    units: &[Unit],
    pages: &[Page],
    starts: &[usize],
    text: &str,
) -> Vec<Passage> {
    let char_starts = page_starts(pages);
    let mut path: Vec<(u8, String)> = Vec::new();
    let mut cursor = Cursor { page: usize::MAX, byte: 0, char: 0 };
    let paragraphs: Vec<Vec<u32>> = pages.iter().map(paragraph_starts).collect();
    let mut out = Vec::new();
    for (first, end) in ranges {
        let mut frozen: Option<Vec<String>> = None;
        for unit in &units[first..end] {
            match unit.heading {
                Some(level) => climb(&mut path, level, title(&text[unit.start..unit.end])),
                None if frozen.is_none() => frozen = Some(titles(&path)),
                None => {}
            }
        }
        let (start, last) = (&units[first], &units[end - 1]);
        let body = &text[start.start..last.end];
        let page = start.page;
        let at = cursor.seek(page, start.start, starts, &char_starts, text);
        out.push(Passage {
            start: at,
            end: at + body.chars().count() as u32,
            page: pages[page].number,
            place: pages[page].place.clone().or_else(|| paragraph(&paragraphs[page], at - char_starts[page])),
            heading_path: frozen.unwrap_or_else(|| titles(&path)),
            text: body.to_owned(),
        });
    }
    out
}

/// What more there is to say about the place of a character of a page: the page's own place, or the paragraph for formats
/// without layout.
pub fn place_at(page: &Page, at: u32) -> Option<String> {
    page.place.clone().or_else(|| paragraph(&paragraph_starts(page), at))
}

/// Where the paragraphs of a page without layout begin, ascending, if it has several blocks; else nothing.
fn paragraph_starts(page: &Page) -> Vec<u32> {
    if page.width > 0.0 || page.blocks.len() < 2 {
        return Vec::new();
    }
    let counted = |block: &&Block| !matches!(block.kind, BlockKind::TableRow | BlockKind::Header | BlockKind::Footer);
    let mut starts: Vec<u32> = page.blocks.iter().filter(counted).map(|block| block.start).collect();
    starts.sort_unstable();
    starts
}

/// The number of the paragraph at a character of its page.
fn paragraph(starts: &[u32], at: u32) -> Option<String> {
    let nth = starts.partition_point(|start| *start <= at);
    (nth > 0).then(|| format!("paragraph {nth}"))
}

fn climb(path: &mut Vec<(u8, String)>, level: u8, title: String) {
    while path.last().is_some_and(|(own, _)| *own >= level) {
        path.pop();
    }
    if path.len() < PATH_MAX {
        path.push((level, title));
    }
}

fn titles(path: &[(u8, String)]) -> Vec<String> {
    path.iter().map(|(_, title)| title.clone()).collect()
}

/// Walks along the text to turn bytes into characters without counting from the beginning each time.
struct Cursor {
    page: usize,
    byte: usize,
    char: u32,
}

impl Cursor {
    fn seek(&mut self, page: usize, byte: usize, starts: &[usize], char_starts: &[u32], text: &str) -> u32 {
        if page != self.page || byte < self.byte {
            *self = Cursor { page, byte: starts[page], char: char_starts[page] };
        }
        self.char += text[self.byte..byte].chars().count() as u32;
        self.byte = byte;
        self.char
    }
}
