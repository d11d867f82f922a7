//! Running heads and feet: lines at the edges of pages that come again on the pages around.

use std::collections::VecDeque;

use crate::marks::{NumberStyle, numbering};
use crate::page::{Block, BlockKind, Page};
use crate::read::{Fault, Sink};

/// Pages held back until their neighbours are known.
const AHEAD: usize = 2;
/// Blocks looked at from each edge of a page.
const EDGE_BLOCKS: usize = 3;
/// Longest running head, in characters.
const HEAD_CHARS_MAX: usize = 160;
/// Part of the page's height at either edge in which running heads stand.
const EDGE: f32 = 0.14;
/// How far apart, in points, a running head may stand on two pages.
const SHIFT: f32 = 6.0;

/// A line at the edge of a page.
#[derive(Debug, Clone, PartialEq)]
struct Edge {
    /// What is compared with other pages: with its numbers where they tell divisions apart ("Schedule 1", "Schedule 2"), with
    /// numbers made equal where they count pages.
    text: String,
    /// The line with numbers made equal.
    shape: String,
    y: f32,
}

/// Holds pages back until their neighbours tell which lines are running heads.
#[derive(Default)]
pub(super) struct Heads {
    waiting: VecDeque<Page>,
    past: VecDeque<Vec<Edge>>,
}

impl Heads {
    /// Takes the next page and passes on the one whose neighbours are now known.
    pub(super) fn push(&mut self, page: Page, sink: &mut Sink<'_>) -> Result<(), Fault> {
        self.waiting.push_back(page);
        if self.waiting.len() > AHEAD { self.pass(sink) } else { Ok(()) }
    }

    /// Passes on what is held back.
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        while !self.waiting.is_empty() {
            self.pass(sink)?;
        }
        Ok(())
    }

    fn pass(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let Some(mut page) = self.waiting.pop_front() else { return Ok(()) };
        let own = edges(&page);
        let others: Vec<Edge> =
            self.past.iter().flatten().cloned().chain(self.waiting.iter().flat_map(edges)).collect();
        mark(&mut page, &others);
        self.past.push_back(own);
        if self.past.len() > AHEAD {
            self.past.pop_front();
        }
        sink.page(page)
    }
}

fn candidates(page: &Page) -> impl Iterator<Item = (usize, &Block)> {
    let outer: Vec<(usize, &Block)> =
        page.blocks.iter().enumerate().filter(|(_, b)| b.kind != BlockKind::TableRow).collect();
    let count = outer.len();
    let height = page.height;
    outer.into_iter().enumerate().filter_map(move |(at, (index, block))| {
        let [_, y0, _, y1] = block.bounds?;
        let near =
            (at < EDGE_BLOCKS && y1 < EDGE * height) || (at + EDGE_BLOCKS >= count && y0 > (1.0 - EDGE) * height);
        (near && block.end - block.start <= HEAD_CHARS_MAX as u32).then_some((index, block))
    })
}

fn edges(page: &Page) -> Vec<Edge> {
    candidates(page).map(|(_, block)| edge(page, block)).collect()
}

fn edge(page: &Page, block: &Block) -> Edge {
    let chars = page.text.chars().skip(block.start as usize).take((block.end - block.start) as usize);
    let line: String = chars.collect();
    let (mut raw, mut shape) = (String::new(), String::new());
    for c in line.chars().filter(|c| !c.is_whitespace()) {
        raw.extend(c.to_lowercase());
        if !c.is_ascii_digit() {
            shape.extend(c.to_lowercase());
        } else if !shape.ends_with('#') {
            shape.push('#');
        }
    }
    let named = numbering(&line).is_some_and(|number| number.style == NumberStyle::Named);
    let divides = named || (block.kind == BlockKind::Heading && !is_page_label(&shape));
    Edge { text: if divides { raw } else { shape.clone() }, shape, y: block.bounds.map_or(0.0, |b| b[1]) }
}

fn mark(page: &mut Page, others: &[Edge]) {
    let found: Vec<(usize, BlockKind)> = candidates(page)
        .filter_map(|(index, block)| {
            let own = edge(page, block);
            let upper = own.y < page.height / 2.0;
            let again = others.iter().any(|other| other.text == own.text && (other.y - own.y).abs() < SHIFT);
            let lone_number = is_page_of(&own.shape);
            let kind = if upper { BlockKind::Header } else { BlockKind::Footer };
            (again || lone_number).then_some((index, kind))
        })
        .collect();
    for (index, kind) in found {
        page.blocks[index].kind = kind;
        page.blocks[index].level = 0;
    }
}

/// Whether a line with numbers made equal is so short that it can be nothing but a label of a page: "A-#".
fn is_page_label(shape: &str) -> bool {
    is_page_of(shape) || (shape.len() <= 5 && shape.contains('#'))
}

/// "page # of #" and its like in a few languages.
fn is_page_of(text: &str) -> bool {
    let bare = text.trim_matches(['-', '\u{2013}', '|', '.', '(', ')']);
    matches!(bare, "#" | "page#" | "page#of#" | "#of#" | "#/#" | "seite#" | "seite#von#" | "p.#" | "pg#" | "page#/#")
}
