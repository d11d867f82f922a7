//! Glyphs to words, and words to fragments: stretches of one line without a gap that could part columns or cells.
//!
//! All lengths here are in points of a frame that is turned so that the text runs along x; y grows downwards.

use hayro_interpret::kurbo::{Point, Vec2};

use super::blocks::is_rtl;
use super::glyphs::{Glyph, GlyphText, baseline};

/// Gap, in ems, above which two neighbouring glyphs belong to different words.
const WORD_GAP: f64 = 0.13;
/// The same where the fragment holds blanks as glyphs, so that gaps mean less.
const WORD_GAP_WITH_BLANKS: f64 = 0.2;
/// Widest gap, in ems, that is taken for letters spaced out.
const TRACKING_MAX: f64 = 0.35;
/// Widest gap, in ems, within a fragment as drawn.
const FRAGMENT_GAP: f64 = 1.3;
/// The same where a blank was drawn between.
const FRAGMENT_GAP_BLANK: f64 = 1.8;
/// Widest gap, in ems, that is closed between fragments drawn apart.
const MERGE_GAP: f64 = 0.7;
/// Height of letters above and below the baseline, in ems.
pub(super) const ASCENT: f64 = 0.78;
/// See [`ASCENT`].
pub(super) const DESCENT: f64 = 0.22;

/// A rotation of the page that makes a direction of text run along x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    cos: f64,
    sin: f64,
}

impl Frame {
    /// The frame of text whose baseline runs along `degrees` (clockwise from rightwards, as y grows downwards).
    pub(super) fn new(degrees: i32) -> Frame {
        let (sin, cos) = match degrees.rem_euclid(360) {
            0 => (0.0, 1.0),
            90 => (1.0, 0.0),
            180 => (0.0, -1.0),
            270 => (-1.0, 0.0),
            other => f64::from(other).to_radians().sin_cos(),
        };
        Frame { cos, sin }
    }

    fn enter(self, p: Point) -> Point {
        Point::new(p.x * self.cos + p.y * self.sin, p.y * self.cos - p.x * self.sin)
    }

    fn leave(self, p: Point) -> Point {
        Point::new(p.x * self.cos - p.y * self.sin, p.x * self.sin + p.y * self.cos)
    }

    /// A box of the frame as the box around it on the page: `[x0, y0, x1, y1]`.
    pub(super) fn to_page(self, x0: f64, y0: f64, x1: f64, y1: f64) -> [f64; 4] {
        let corners = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)].map(|(x, y)| self.leave(Point::new(x, y)));
        let by = |pick: fn(&Point) -> f64, low: bool| {
            corners.iter().map(pick).fold(if low { f64::MAX } else { f64::MIN }, if low { f64::min } else { f64::max })
        };
        [by(|p| p.x, true), by(|p| p.y, true), by(|p| p.x, false), by(|p| p.y, false)]
    }
}

/// Direction of a glyph's baseline in whole degrees; near multiples of 90 are those.
pub(super) fn degrees(glyph: &Glyph) -> i32 {
    let along: Vec2 = baseline(glyph);
    let angle = along.y.atan2(along.x).to_degrees().round() as i32;
    let quarter = (f64::from(angle) / 90.0).round() as i32 * 90;
    let angle = if (angle - quarter).abs() <= 3 { quarter } else { (f64::from(angle) / 5.0).round() as i32 * 5 };
    angle.rem_euclid(360)
}

/// A word (or, in scripts without blanks, a character) with its place in the frame.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Its characters in reading order.
    pub(super) text: String,
    /// Left edge.
    pub(super) x0: f64,
    /// Right edge.
    pub(super) x1: f64,
    /// Baseline.
    pub(super) base: f64,
    /// Height of an em.
    pub(super) size: f64,
    /// Whether a blank stands before it within its line.
    pub(super) spaced: bool,
    /// Whether the font looks bold.
    pub(super) bold: bool,
}

/// A stretch of one line.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    /// Its words from left to right.
    pub(super) words: Vec<Word>,
    /// Left edge.
    pub(super) x0: f64,
    /// Right edge.
    pub(super) x1: f64,
    /// Baseline of its larger part.
    pub(super) base: f64,
    /// Height of an em of its larger part.
    pub(super) size: f64,
    /// Place of its first glyph in the order of drawing.
    pub(super) seq: usize,
    /// Whether the producer marked it as a running head or foot.
    pub(super) artifact: bool,
}

impl Fragment {
    /// Upper edge.
    pub(super) fn top(&self) -> f64 {
        self.base - ASCENT * self.size
    }

    /// Lower edge.
    pub(super) fn bottom(&self) -> f64 {
        self.base + DESCENT * self.size
    }

    /// Middle from left to right.
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.x0, self.x1)
    }

    /// Number of characters.
    pub(super) fn chars(&self) -> usize {
        self.words.iter().map(|word| word.text.chars().count()).sum()
    }
}

/// A glyph in its frame.
struct Set<'g> {
    text: &'g GlyphText,
    x0: f64,
    x1: f64,
    base: f64,
    size: f64,
    seq: usize,
    bold: bool,
    artifact: bool,
    blank_before: bool,
}

/// Makes fragments of the glyphs at `picked` (indices into `glyphs`, in the order of drawing).
pub(super) fn fragments(glyphs: &[Glyph], picked: &[usize], frame: Frame) -> Vec<Fragment> {
    let mut done = Vec::new();
    let mut chain: Vec<Set<'_>> = Vec::new();
    let mut blank = false;
    for &seq in picked {
        let glyph = &glyphs[seq];
        if glyph.text.is_blank() {
            blank = true;
            continue;
        }
        let mut set = set(glyph, seq, frame);
        if let Some(last) = chain.last() {
            if follows(last, &set, blank) {
                set.blank_before = blank;
            } else {
                finish(&mut chain, &mut done);
            }
        }
        blank = false;
        chain.push(set);
    }
    finish(&mut chain, &mut done);
    // Stretches without a single known character say nothing; the page tells how many glyphs there were.
    done.retain(|fragment| fragment.words.iter().any(|word| word.text.chars().any(|c| c != '\u{fffd}')));
    merge(done)
}

fn set(glyph: &Glyph, seq: usize, frame: Frame) -> Set<'_> {
    let (a, b) = (frame.enter(glyph.origin), frame.enter(glyph.end));
    let (x0, x1) = (a.x.min(b.x), a.x.max(b.x));
    // A vertical font's baseline runs down the middle of its characters; shift it to where a horizontal one would be.
    let base = if glyph.vertical { a.y + glyph.size * 0.3 } else { a.y };
    Set {
        text: &glyph.text,
        x0,
        x1,
        base,
        size: glyph.size,
        seq,
        bold: glyph.bold,
        artifact: glyph.artifact,
        blank_before: false,
    }
}

fn follows(last: &Set<'_>, next: &Set<'_>, blank: bool) -> bool {
    let size = last.size.max(next.size);
    let gap = next.x0 - last.x1;
    let widest = if blank { FRAGMENT_GAP_BLANK } else { FRAGMENT_GAP };
    (next.base - last.base).abs() < 0.5 * size
        && next.size < last.size * 3.0
        && last.size < next.size * 3.0
        && gap > -0.4 * size.min(last.x1 - last.x0 + 0.3 * size)
        && gap < widest * size
        && last.artifact == next.artifact
}

fn finish(chain: &mut Vec<Set<'_>>, done: &mut Vec<Fragment>) {
    if chain.is_empty() {
        return;
    }
    let limit = word_gap(chain);
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    for (at, set) in chain.iter().enumerate() {
        let gap = if at == 0 { 0.0 } else { (set.x0 - chain[at - 1].x1) / set.size.max(chain[at - 1].size) };
        let parted = at > 0 && (gap > limit || (set.blank_before && gap > -0.3));
        let own: &str = &text_of(set.text);
        let solo = own.chars().all(stands_alone);
        if open && !parted && !solo {
            let word = words.last_mut().expect("a word is open only after one was pushed");
            extend(word, set, own);
        } else {
            words.push(Word {
                text: own.to_owned(),
                x0: set.x0,
                x1: set.x1,
                base: set.base,
                size: set.size,
                spaced: parted,
                bold: set.bold,
            });
        }
        open = !solo;
    }
    let first = &chain[0];
    let widest = chain.iter().max_by(|a, b| a.size.total_cmp(&b.size)).unwrap_or(first);
    done.push(Fragment {
        x0: words.iter().map(|w| w.x0).fold(f64::MAX, f64::min),
        x1: words.iter().map(|w| w.x1).fold(f64::MIN, f64::max),
        base: widest.base,
        size: widest.size,
        seq: first.seq,
        artifact: first.artifact,
        words,
    });
    chain.clear();
}

fn extend(word: &mut Word, set: &Set<'_>, own: &str) {
    word.text.push_str(own);
    word.x0 = word.x0.min(set.x0);
    word.x1 = word.x1.max(set.x1);
    if set.size > word.size {
        word.size = set.size;
        word.base = set.base;
    }
}

fn text_of(text: &GlyphText) -> std::borrow::Cow<'_, str> {
    match text {
        GlyphText::One(c) => c.to_string().into(),
        // Words of right-to-left scripts are turned as a whole later; what one glyph stands for must come out as it was.
        GlyphText::Many(s) if is_rtl(s) => s.chars().rev().collect::<String>().into(),
        GlyphText::Many(s) => s.into(),
        GlyphText::Unknown => "\u{fffd}".into(),
    }
}

/// The gap, in ems, that parts words in this chain: wider where the letters are spaced out.
fn word_gap(chain: &[Set<'_>]) -> f64 {
    let mut gaps: Vec<f64> = chain
        .windows(2)
        .filter(|pair| !pair[1].blank_before && is_letter(pair[0].text) && is_letter(pair[1].text))
        .map(|pair| (pair[1].x0 - pair[0].x1) / pair[1].size.max(pair[0].size))
        .collect();
    let blanks = chain.iter().any(|set| set.blank_before);
    let floor = if blanks { WORD_GAP_WITH_BLANKS } else { WORD_GAP };
    if gaps.len() < 4 {
        return floor;
    }
    gaps.sort_by(f64::total_cmp);
    let low = gaps[gaps.len() * 2 / 5];
    // Letters that stand further apart than words do are words by themselves.
    if low > TRACKING_MAX { floor } else { floor + low.max(0.0) * 1.3 }
}

fn is_letter(text: &GlyphText) -> bool {
    match text {
        GlyphText::One(c) => c.is_alphanumeric(),
        GlyphText::Many(s) => s.chars().all(char::is_alphanumeric),
        GlyphText::Unknown => false,
    }
}

/// Characters of scripts that put no blanks between words: each is a box of its own.
pub(super) fn stands_alone(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fdf}' | '\u{3001}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff01}'..='\u{ff60}' | '\u{20000}'..='\u{3134f}')
}

/// Joins fragments that stand side by side on one line but were drawn apart.
fn merge(mut all: Vec<Fragment>) -> Vec<Fragment> {
    all.sort_by(|a, b| a.base.total_cmp(&b.base).then(a.x0.total_cmp(&b.x0)));
    let mut rows: Vec<Vec<Fragment>> = Vec::new();
    for fragment in all {
        let row = rows.iter_mut().rev().take(12).find(|row| {
            let head = &row[0];
            same_line(head, &fragment)
        });
        match row {
            Some(row) => row.push(fragment),
            None => rows.push(vec![fragment]),
        }
    }
    let mut out = Vec::new();
    for mut row in rows {
        row.sort_by(|a, b| a.x0.total_cmp(&b.x0).then(a.seq.cmp(&b.seq)));
        let mut joined: Vec<Fragment> = Vec::new();
        for fragment in row {
            if joined.last().is_some_and(|last| is_double(last, &fragment)) {
                continue;
            }
            match joined.last_mut() {
                Some(last) if touches(last, &fragment) => join(last, fragment),
                _ => joined.push(fragment),
            }
        }
        out.extend(joined);
    }
    out
}

/// Whether two fragments stand on one line: their letters overlap by half of the smaller one's height.
pub(super) fn same_line(a: &Fragment, b: &Fragment) -> bool {
    let overlap = a.bottom().min(b.bottom()) - a.top().max(b.top());
    let ratio = a.size.max(b.size) / a.size.min(b.size).max(1e-6);
    overlap > 0.5 * a.size.min(b.size) && ratio < 3.0 && (a.base - b.base).abs() < 0.5 * a.size.max(b.size)
}

/// Whether a fragment is the one before printed once more, a little apart, to look bold.
fn is_double(last: &Fragment, next: &Fragment) -> bool {
    let close = (next.x0 - last.x0).abs() < 0.2 * last.size && (next.base - last.base).abs() < 0.2 * last.size;
    close && last.words.len() == next.words.len() && last.words.iter().zip(&next.words).all(|(a, b)| a.text == b.text)
}

fn touches(last: &Fragment, next: &Fragment) -> bool {
    let size = last.size.max(next.size);
    let gap = next.x0 - last.x1;
    gap > -0.3 * size && gap < MERGE_GAP * size && last.artifact == next.artifact
}

fn join(last: &mut Fragment, mut next: Fragment) {
    let size = last.size.max(next.size);
    let gap = (next.x0 - last.x1) / size;
    let mut rest = std::mem::take(&mut next.words).into_iter();
    if let Some(mut first) = rest.next() {
        let tail = last.words.last_mut();
        let solo = first.text.chars().all(stands_alone);
        match tail {
            Some(tail) if gap < 0.1 && !solo && !tail.text.chars().all(stands_alone) => {
                tail.text.push_str(&first.text);
                tail.x1 = tail.x1.max(first.x1);
                tail.x0 = tail.x0.min(first.x0);
            }
            _ => {
                first.spaced = gap >= 0.1;
                last.words.push(first);
            }
        }
    }
    last.words.extend(rest);
    last.x1 = last.x1.max(next.x1);
    last.x0 = last.x0.min(next.x0);
    last.seq = last.seq.min(next.seq);
    if next.size > last.size {
        last.size = next.size;
        last.base = next.base;
    }
}
