//! Reading order: columns are found by gutters, tables by rows that were drawn cell by cell.
//!
//! Where the geometry allows two readings (columns side by side, or rows of a table), the order in which the producer drew
//! decides: text that changes sides at every line is a table, text that changes once is two columns.

use super::fragments::{Fragment, same_line};

/// Narrowest gutter, in ems of the usual size.
const GUTTER: f64 = 0.9;
/// Narrowest gap between the cells of a row, in ems.
const CELL_GAP: f64 = 0.9;
/// Deepest nesting of columns.
const DEPTH_MAX: u32 = 12;
/// Most rows for which gutters are searched; beyond, rows are read from left to right.
const ROWS_MAX: usize = 1_500;

/// A piece of a line that stands alone in its row, or the lines of a table cell from top to bottom.
pub(super) type Cell = Vec<Fragment>;

/// Cells that stand side by side, in reading order.
pub(super) type Row = Vec<Cell>;

/// Rows read from top to bottom, one column or an undivided part of the page.
#[derive(Debug, Default)]
pub(super) struct Region {
    /// Its rows.
    pub(super) rows: Vec<Row>,
}

/// Brings fragments into reading order. `rtl` tells whether columns and cells run from right to left.
pub(super) fn arrange(fragments: Vec<Fragment>, rtl: bool) -> Vec<Region> {
    let mut out = Vec::new();
    let em = usual_size(&fragments);
    divide(rows_of(fragments), em, rtl, 0, &mut out);
    out
}

/// The size most characters have.
pub(super) fn usual_size(fragments: &[Fragment]) -> f64 {
    let mut sizes: Vec<(f64, usize)> = fragments.iter().map(|f| (f.size, f.chars())).collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = sizes.iter().map(|s| s.1).sum::<usize>() / 2;
    let mut seen = 0;
    for (size, chars) in &sizes {
        seen += chars;
        if seen > half {
            return *size;
        }
    }
    sizes.last().map_or(10.0, |s| s.0)
}

/// A line of the page across all columns.
type Line = Vec<Fragment>;

fn rows_of(mut fragments: Vec<Fragment>) -> Vec<Line> {
    fragments.sort_by(|a, b| a.base.total_cmp(&b.base).then(a.x0.total_cmp(&b.x0)));
    let mut rows: Vec<Line> = Vec::new();
    for fragment in fragments {
        match rows.iter_mut().rev().take(6).find(|row| same_line(&row[0], &fragment)) {
            Some(row) => row.push(fragment),
            None => rows.push(vec![fragment]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.x0.total_cmp(&b.x0).then(a.seq.cmp(&b.seq)));
    }
    rows.sort_by(|a, b| a[0].base.total_cmp(&b[0].base));
    rows
}

/// Rows `first..end` that share a gutter from `left` to `right`.
#[derive(Debug, Clone, Copy)]
struct Gutter {
    first: usize,
    end: usize,
    middle: f64,
}

fn divide(mut rows: Vec<Line>, em: f64, rtl: bool, depth: u32, out: &mut Vec<Region>) {
    let found = if depth < DEPTH_MAX && rows.len() <= ROWS_MAX { find_gutter(&rows, em) } else { None };
    let Some(gutter) = found else {
        if !rows.is_empty() {
            out.push(Region { rows: band_rows(rows, em, rtl) });
        }
        return;
    };
    let below = rows.split_off(gutter.end);
    let columns = rows.split_off(gutter.first);
    divide(rows, em, rtl, depth + 1, out);
    let (left, right): (Vec<Fragment>, Vec<Fragment>) =
        columns.into_iter().flatten().partition(|f| f.middle() < gutter.middle);
    let sides = if rtl { [right, left] } else { [left, right] };
    for side in sides {
        divide(rows_of(side), em, rtl, depth + 1, out);
    }
    divide(below, em, rtl, depth + 1, out);
}

/// The longest stretch of rows that a gutter parts into columns.
fn find_gutter(rows: &[Line], em: f64) -> Option<Gutter> {
    let mut best: Option<(usize, Gutter)> = None;
    for first in 0..rows.len() {
        let most = rows.len() - first;
        if best.is_some_and(|(length, _)| length >= most) {
            break;
        }
        let (end, gaps) = longest(rows, first, em);
        if best.is_some_and(|(length, _)| length >= end - first) {
            continue;
        }
        let stretch = &rows[first..end];
        let choice = gaps
            .iter()
            .filter(|gap| is_columns(stretch, f64::midpoint(gap.0, gap.1)))
            .max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
        if let Some(gap) = choice {
            best = Some((end - first, Gutter { first, end, middle: f64::midpoint(gap.0, gap.1) }));
        }
    }
    best.map(|(_, gutter)| gutter)
}

/// Extends a stretch downwards for as long as some gap runs through it; its end and the gaps left.
fn longest(rows: &[Line], first: usize, em: f64) -> (usize, Vec<(f64, f64)>) {
    let narrowest = GUTTER * em;
    let mut gaps = vec![(f64::MIN, f64::MAX)];
    let mut span = (f64::MAX, f64::MIN);
    let mut end = first;
    for row in &rows[first..] {
        let mut left: Vec<(f64, f64)> = gaps.clone();
        for fragment in row {
            left = left.iter().flat_map(|gap| without(*gap, fragment.x0, fragment.x1)).collect();
            left.retain(|gap| gap.1 - gap.0 >= narrowest);
        }
        let wide = row.iter().fold(span, |s, f| (s.0.min(f.x0), s.1.max(f.x1)));
        let inner = left.iter().any(|gap| gap.0 > f64::MIN && gap.1 < f64::MAX);
        let outer_only = !inner && end > first + 1 && gaps.iter().any(|g| g.0 > f64::MIN && g.1 < f64::MAX);
        if outer_only {
            break;
        }
        gaps = left;
        span = wide;
        end += 1;
    }
    gaps.retain(|gap| gap.0 > f64::MIN && gap.1 < f64::MAX);
    (end, gaps)
}

fn without(gap: (f64, f64), x0: f64, x1: f64) -> impl Iterator<Item = (f64, f64)> {
    let parts = if x1 <= gap.0 || x0 >= gap.1 { [Some(gap), None] } else { [Some((gap.0, x0)), Some((x1, gap.1))] };
    parts.into_iter().flatten().filter(|(a, b)| a < b)
}

/// Whether the two sides of `x` are columns rather than cells of rows.
fn is_columns(rows: &[Line], x: f64) -> bool {
    let mut sides: Vec<(usize, bool, usize)> = Vec::new();
    let (mut left_rows, mut right_rows) = (0, 0);
    for row in rows {
        let left = row.iter().any(|f| f.middle() < x);
        let right = row.iter().any(|f| f.middle() >= x);
        left_rows += usize::from(left);
        right_rows += usize::from(right);
        sides.extend(row.iter().map(|f| (f.seq, f.middle() < x, f.chars())));
    }
    let fewer = left_rows.min(right_rows);
    if fewer < 2 {
        return false;
    }
    sides.sort_unstable();
    let changes = sides.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    changes <= 1 + fewer / 4 || is_prose(&sides, left_rows, right_rows)
}

/// Whether both sides hold long lines only, as columns of running text do whatever order they were drawn in.
fn is_prose(sides: &[(usize, bool, usize)], left_rows: usize, right_rows: usize) -> bool {
    let mean = |left: bool, rows: usize| {
        sides.iter().filter(|side| side.1 == left).map(|side| side.2).sum::<usize>() / rows.max(1)
    };
    left_rows >= 8 && right_rows >= 8 && mean(true, left_rows) >= 28 && mean(false, right_rows) >= 28
}

/// Turns lines into rows of cells; lines of a table row whose cells wrap become one row.
fn band_rows(lines: Vec<Line>, em: f64, rtl: bool) -> Vec<Row> {
    let mut out = Vec::new();
    let mut band: Vec<Line> = Vec::new();
    for line in lines {
        if band.last().is_some_and(|last| !linked(last, &line, em)) {
            close(&mut band, em, rtl, &mut out);
        }
        band.push(line);
    }
    close(&mut band, em, rtl, &mut out);
    out
}

/// Whether two neighbouring lines belong to one table row: something in the upper was drawn after something in the lower.
fn linked(upper: &Line, lower: &Line, em: f64) -> bool {
    let near = lower[0].base - upper[0].base < 2.2 * em.max(upper[0].size);
    let after = upper.iter().any(|a| lower.iter().any(|b| a.seq > b.seq && (a.x0 >= b.x1 || b.x0 >= a.x1)));
    near && after && (upper.len() > 1 || lower.len() > 1)
}

fn close(band: &mut Vec<Line>, em: f64, rtl: bool, out: &mut Vec<Row>) {
    let lines = std::mem::take(band);
    if lines.len() > 1
        && let Some(mut cells) = wrapped_cells(&lines, em)
    {
        if rtl {
            cells.reverse();
        }
        out.push(cells);
        return;
    }
    for line in lines {
        let mut row: Row = line.into_iter().map(|fragment| vec![fragment]).collect();
        if rtl {
            row.reverse();
        }
        out.push(row);
    }
}

/// The cells of a table row of several lines, if each was drawn in one go.
fn wrapped_cells(lines: &[Line], em: f64) -> Option<Row> {
    let mut all: Vec<&Fragment> = lines.iter().flatten().collect();
    all.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    let mut cells: Vec<Vec<&Fragment>> = Vec::new();
    let mut right = f64::MIN;
    for fragment in all {
        if fragment.x0 - right > CELL_GAP * em || cells.is_empty() {
            cells.push(Vec::new());
        }
        right = right.max(fragment.x1);
        cells.last_mut().expect("a cell was pushed above").push(fragment);
    }
    if cells.len() < 2 {
        return None;
    }
    let mut spans: Vec<(usize, usize)> = cells
        .iter()
        .map(|cell| {
            let seqs = cell.iter().map(|f| f.seq);
            (seqs.clone().min().unwrap_or(0), seqs.max().unwrap_or(0))
        })
        .collect();
    spans.sort_unstable();
    if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return None;
    }
    Some(
        cells
            .into_iter()
            .map(|cell| rows_of(cell.into_iter().cloned().collect()).into_iter().flatten().collect())
            .collect(),
    )
}
