//! Rows to blocks: paragraphs, headings, list items and tables, told by spacing, indents, sizes and marks.

use std::collections::HashMap;

use super::fragments::{Fragment, Word};
use super::order::{Region, Row};
use crate::marks::{ends_sentence, list_mark, numbering};
use crate::page::BlockKind;

/// Longest heading, in characters.
const HEADING_CHARS_MAX: usize = 200;
/// Most lines of a heading.
const HEADING_LINES_MAX: usize = 4;

/// A block before its text is written.
#[derive(Debug)]
pub(super) struct Draft {
    /// Role.
    pub(super) kind: BlockKind,
    /// Depth of a heading or list item.
    pub(super) level: u8,
    /// Its lines; for a table, its rows.
    pub(super) lines: Vec<Row>,
}

impl Draft {
    /// All fragments of the block.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        self.lines.iter().flatten().flatten()
    }
}

/// What is usual on the page, to tell what stands out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Size of running text.
    pub(super) body: f64,
    /// Whether running text is bold.
    pub(super) bold: bool,
}

/// Cuts a region into blocks.
pub(super) fn draft(region: Region, style: Style) -> Vec<Draft> {
    let leading = usual_leading(&region.rows);
    let right = region.rows.iter().map(right_of).fold(f64::MIN, f64::max);
    let left = region.rows.iter().map(left_of).fold(f64::MAX, f64::min);
    let tables = table_runs(&region.rows);
    let mut drafts: Vec<Draft> = Vec::new();
    let mut open: Vec<Row> = Vec::new();
    for (at, row) in region.rows.into_iter().enumerate() {
        let table = tables[at];
        if let Some(run) = table {
            if run == at {
                settle(&mut open, &mut drafts, style);
                drafts.push(Draft { kind: BlockKind::Table, level: 0, lines: Vec::new() });
            }
            drafts.last_mut().expect("a table was opened at its first row").lines.push(row);
            continue;
        }
        if let Some(last) = open.last()
            && breaks(last, &row, Measure { leading: leading_at(&leading, &row), left, right }, &open)
        {
            settle(&mut open, &mut drafts, style);
        }
        open.push(row);
    }
    settle(&mut open, &mut drafts, style);
    drafts
}

/// For each row, the first row of the table that it is part of.
fn table_runs(rows: &[Row]) -> Vec<Option<usize>> {
    let mut runs = vec![None; rows.len()];
    let mut at = 0;
    while at < rows.len() {
        let mut end = at;
        let mut many = 0;
        while end < rows.len() && (rows[end].len() >= 2 || (end > at && is_inner_row(rows, end))) {
            many += usize::from(rows[end].len() >= 2);
            end += 1;
        }
        if many >= 2 && aligned(&rows[at..end]) {
            runs[at..end].iter_mut().for_each(|run| *run = Some(at));
        }
        at = end.max(at + 1);
    }
    runs
}

/// A row of one cell between rows of several, close to both: a row heading or a wrapped cell.
fn is_inner_row(rows: &[Row], at: usize) -> bool {
    let Some(next) = rows.get(at + 1) else { return false };
    let (row, before) = (&rows[at], &rows[at - 1]);
    next.len() >= 2
        && before.len() >= 2
        && chars_of(row) < 60
        && top_of(row) - bottom_of(before) < size_of(row) * 1.2
        && top_of(next) - bottom_of(row) < size_of(row) * 1.2
}

/// Whether cells of at least two rows start, end or are centred at the same place.
fn aligned(rows: &[Row]) -> bool {
    let edges = |row: &Row| -> Vec<(f64, f64)> {
        row.iter().skip(1).filter_map(|cell| cell.first()).map(|f| (f.x0, f.x1)).collect()
    };
    rows.windows(2).any(|pair| {
        let (a, b) = (edges(&pair[0]), edges(&pair[1]));
        a.iter().any(|(x0, x1)| {
            b.iter()
                .any(|(y0, y1)| (x0 - y0).abs() < 3.0 || (x1 - y1).abs() < 3.0 || ((x0 + x1) - (y0 + y1)).abs() < 6.0)
        })
    })
}

/// Lines of a region that a break is measured by.
#[derive(Debug, Clone, Copy)]
struct Measure {
    leading: f64,
    left: f64,
    right: f64,
}

fn breaks(last: &Row, next: &Row, region: Measure, open: &[Row]) -> bool {
    let size = size_of(last).max(size_of(next));
    let step = base_of(next) - base_of(last);
    let ratio = size_of(next) / size_of(last).max(1e-6);
    if step > region.leading.max(size * 1.0) * 1.35 + 0.5 || step < -size {
        return true;
    }
    if !(0.9..1.12).contains(&ratio) || all_bold(last) != all_bold(next) {
        return true;
    }
    let start = text_of(next);
    let before = text_of(last);
    if list_mark(&start).is_some() {
        return true;
    }
    let width = (region.right - region.left).max(1.0);
    let short = right_of(last) < region.right - 0.18 * width;
    if numbering(&start).is_some() && (short || ends_sentence(&before) || open.len() == 1) {
        return true;
    }
    let indented = left_of(next) - left_of(last) > 0.8 * size;
    (ends_sentence(&before) && (short || indented)) || (short && indented && open.len() > 1)
}

fn settle(open: &mut Vec<Row>, drafts: &mut Vec<Draft>, style: Style) {
    if open.is_empty() {
        return;
    }
    let lines = std::mem::take(open);
    let first = text_of(&lines[0]);
    let text_chars: usize = lines.iter().map(chars_of).sum();
    if let Some(level) = heading_level(&lines, text_chars, style) {
        drafts.push(Draft { kind: BlockKind::Heading, level, lines });
    } else if list_mark(&first).is_some() {
        drafts.push(Draft { kind: BlockKind::ListItem, level: 1, lines });
    } else {
        drafts.push(Draft { kind: BlockKind::Paragraph, level: 0, lines });
    }
}

/// How high a heading these lines are, if they are one.
fn heading_level(lines: &[Row], chars: usize, style: Style) -> Option<u8> {
    let one_cell = lines.iter().all(|line| line.len() == 1);
    if lines.len() > HEADING_LINES_MAX || !(2..=HEADING_CHARS_MAX).contains(&chars) || !one_cell {
        return None;
    }
    let text: String = lines.iter().map(text_of).collect::<Vec<_>>().join(" ");
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if letters < 2 || letters * 2 < chars || text.ends_with([',', ';']) {
        return None;
    }
    let ratio = size_of(&lines[0]) / style.body.max(1e-6);
    let bold = lines.iter().all(all_bold) && !style.bold;
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    let capitals = upper >= 4 && upper * 10 >= letters * 9;
    let closed = ends_sentence(&text) && !text.ends_with(':');
    let by_number = numbering(&text).map(|number| number.level);
    if ratio >= 1.6 {
        Some(1)
    } else if ratio >= 1.15 && !(closed && lines.len() > 2) {
        Some(by_number.unwrap_or(2))
    } else if (bold || capitals) && lines.len() <= 2 && !closed && chars <= 120 {
        Some(by_number.map_or(3, |level| level.saturating_add(1)))
    } else {
        None
    }
}

/// The usual distance of baselines between neighbouring lines, by the size of their letters in half points.
fn usual_leading(rows: &[Row]) -> HashMap<i64, f64> {
    let mut steps: HashMap<i64, Vec<f64>> = HashMap::new();
    for pair in rows.windows(2) {
        let (step, size) = (base_of(&pair[1]) - base_of(&pair[0]), size_of(&pair[0]));
        if size_key(size) == size_key(size_of(&pair[1])) && (0.5 * size..2.6 * size).contains(&step) {
            steps.entry(size_key(size)).or_default().push(step);
        }
    }
    let third = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 3]
    };
    steps.into_iter().map(|(key, all)| (key, third(all))).collect()
}

fn leading_at(leading: &HashMap<i64, f64>, row: &Row) -> f64 {
    leading.get(&size_key(size_of(row))).copied().unwrap_or(0.0)
}

fn size_key(size: f64) -> i64 {
    (size * 2.0).round() as i64
}

fn fragments_of(row: &Row) -> impl Iterator<Item = &Fragment> {
    row.iter().flatten()
}

fn base_of(row: &Row) -> f64 {
    fragments_of(row).map(|f| f.base).fold(f64::MIN, f64::max)
}

fn size_of(row: &Row) -> f64 {
    fragments_of(row).max_by_key(|f| f.chars()).map_or(1.0, |f| f.size)
}

fn left_of(row: &Row) -> f64 {
    fragments_of(row).map(|f| f.x0).fold(f64::MAX, f64::min)
}

fn right_of(row: &Row) -> f64 {
    fragments_of(row).map(|f| f.x1).fold(f64::MIN, f64::max)
}

fn top_of(row: &Row) -> f64 {
    fragments_of(row).map(Fragment::top).fold(f64::MAX, f64::min)
}

fn bottom_of(row: &Row) -> f64 {
    fragments_of(row).map(Fragment::bottom).fold(f64::MIN, f64::max)
}

fn chars_of(row: &Row) -> usize {
    fragments_of(row).map(Fragment::chars).sum()
}

fn all_bold(row: &Row) -> bool {
    fragments_of(row).flat_map(|f| &f.words).all(|word| word.bold)
}

/// The text of a row, for looking at only.
pub(super) fn text_of(row: &Row) -> String {
    let mut text = String::new();
    for fragment in fragments_of(row) {
        for (at, word) in fragment.words.iter().enumerate() {
            if !text.is_empty() && (at == 0 || word.spaced) {
                text.push(' ');
            }
            text.push_str(&word.text);
        }
    }
    text
}

/// Words of a fragment in reading order: those of right-to-left scripts are turned from the order in which they stand.
pub(super) fn logical(words: &[Word], rtl: bool) -> Vec<Word> {
    let turned = |word: &Word| is_rtl(&word.text);
    if !words.iter().any(turned) {
        return if rtl { reverse_runs(words, |_| false) } else { words.to_vec() };
    }
    if rtl { reverse_runs(words, turned) } else { turn_runs(words, turned) }
}

/// Right-to-left line: all words in reverse, but runs of left-to-right words keep their order.
fn reverse_runs(words: &[Word], turned: impl Fn(&Word) -> bool) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = words.len();
    while at > 0 {
        let mut first = at - 1;
        if turned(&words[first]) {
            push_run(&mut out, vec![turn(&words[first])]);
        } else {
            while first > 0 && !turned(&words[first - 1]) {
                first -= 1;
            }
            push_run(&mut out, words[first..at].to_vec());
        }
        at = first;
    }
    out
}

/// Left-to-right line: runs of right-to-left words are turned.
fn turn_runs(words: &[Word], turned: impl Fn(&Word) -> bool) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let mut end = at + 1;
        if turned(&words[at]) {
            while end < words.len() && turned(&words[end]) {
                end += 1;
            }
            for word in words[at..end].iter().rev() {
                push_run(&mut out, vec![turn(word)]);
            }
        } else {
            push_run(&mut out, vec![words[at].clone()]);
        }
        at = end;
    }
    out
}

fn push_run(out: &mut Vec<Word>, mut run: Vec<Word>) {
    if let Some(first) = run.first_mut() {
        first.spaced = !out.is_empty();
    }
    out.extend(run);
}

fn turn(word: &Word) -> Word {
    use unicode_segmentation::UnicodeSegmentation;
    let mut text = String::with_capacity(word.text.len());
    let mut kept = String::new();
    for cluster in word.text.graphemes(true).rev() {
        // Numbers and words of other scripts keep their direction within a word that is turned.
        let joins = !kept.is_empty() && cluster.chars().all(|c| matches!(c, '.' | ',' | '/' | '-' | '@' | '_'));
        if joins || (cluster.chars().all(char::is_alphanumeric) && !is_rtl(cluster)) {
            kept.insert_str(0, cluster);
            continue;
        }
        text.push_str(&kept);
        kept.clear();
        text.extend(cluster.chars().map(mirrored));
    }
    text.push_str(&kept);
    Word { text, ..word.clone() }
}

/// Brackets face the other way in a line that runs from right to left.
fn mirrored(c: char) -> char {
    const PAIRS: [(char, char); 5] = [('(', ')'), ('[', ']'), ('{', '}'), ('<', '>'), ('\u{ab}', '\u{bb}')];
    PAIRS.iter().find_map(|(a, b)| if c == *a { Some(*b) } else { (c == *b).then_some(*a) }).unwrap_or(c)
}

/// Whether a text holds letters of a right-to-left script. Its digits run from left to right.
pub(super) fn is_rtl(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
            && !matches!(c, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
    })
}
