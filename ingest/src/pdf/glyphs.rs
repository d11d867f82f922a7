//! Glyphs with their characters and places, collected while a page's content is interpreted.

use std::collections::HashSet;

use hayro_interpret::font::{Glyph as FontGlyph, GlyphRun};
use hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro_interpret::kurbo::{Affine, BezPath, Point, Rect, Shape, Vec2};
use hayro_interpret::{BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask};
use hayro_syntax::object::{Dict, Name, String as PdfString};

use super::unicode::{FontMaps, text_string};

/// Most glyphs of a page; a page of the densest print has some 20,000.
pub(super) const GLYPHS_MAX: usize = 400_000;
/// Most rules (thin lines and boxes) kept of a page.
const RULES_MAX: usize = 20_000;
/// Deepest nesting of clips that is followed.
const CLIPS_MAX: usize = 1_024;
/// Deepest nesting of marked content that is followed.
const MARKS_MAX: usize = 256;

/// A glyph as drawn, in page space (points, origin top left, y downwards).
#[derive(Debug, Clone)]
pub(super) struct Glyph {
    /// Its characters; empty where they are given by a neighbour.
    pub(super) text: GlyphText,
    /// Start of the baseline.
    pub(super) origin: Point,
    /// End of the baseline, after the advance.
    pub(super) end: Point,
    /// Height of an em, measured across the baseline.
    pub(super) size: f64,
    /// Whether the font runs downwards.
    pub(super) vertical: bool,
    /// Whether it stands in a part that the producer marked as a running head or foot.
    pub(super) artifact: bool,
    /// Whether the font looks bold.
    pub(super) bold: bool,
}

/// The characters of a glyph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GlyphText {
    /// One character, the common case.
    One(char),
    /// A ligature or a replacement text.
    Many(String),
    /// No character is known.
    Unknown,
}

impl GlyphText {
    /// Whether it is nothing but white space.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            GlyphText::One(c) => c.is_whitespace() || *c == '\u{200b}',
            GlyphText::Many(s) => s.chars().all(char::is_whitespace),
            GlyphText::Unknown => false,
        }
    }
}

/// What a page draws, as far as reading needs it.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Glyphs in the order in which they are drawn.
    pub(super) glyphs: Vec<Glyph>,
    /// Sum of the areas of images, in square points, each clipped to the page.
    pub(super) image_area: f64,
    /// Number of images.
    pub(super) images: u32,
    /// Horizontal and vertical rules.
    pub(super) rules: Vec<Rect>,
    /// Number of paths painted (a page of outlined text has thousands).
    pub(super) paths: u32,
    /// Whether glyphs were left out because there were too many.
    pub(super) overflow: bool,
}

/// A part of the content that the producer marked.
struct Mark {
    first: usize,
    actual_text: Option<String>,
    artifact: bool,
}

/// Device of the interpreter that draws nothing and notes glyphs.
pub(super) struct Collector<'m> {
    out: Collected,
    page: Rect,
    fonts: &'m mut FontMaps,
    marks: Vec<Mark>,
    marks_skipped: usize,
    /// Boxes that drawing is clipped to, each within the one before.
    clips: Vec<Rect>,
    clips_skipped: usize,
    seen: HashSet<(i64, i64, u32)>,
}

impl<'m> Collector<'m> {
    /// A collector for a page of the given size.
    pub(super) fn new(width: f64, height: f64, fonts: &'m mut FontMaps) -> Self {
        Collector {
            out: Collected::default(),
            page: Rect::new(0.0, 0.0, width, height),
            fonts,
            marks: Vec::new(),
            marks_skipped: 0,
            clips: Vec::new(),
            clips_skipped: 0,
            seen: HashSet::new(),
        }
    }

    /// What was collected.
    pub(super) fn finish(mut self) -> Collected {
        while let Some(mark) = self.marks.pop() {
            self.apply_mark(mark);
        }
        self.out
    }

    fn clip(&mut self, bounds: Rect) {
        if self.clips.len() >= CLIPS_MAX {
            self.clips_skipped += 1;
            return;
        }
        let outer = self.clips.last().copied();
        self.clips.push(outer.map_or(bounds, |outer| outer.intersect(bounds)));
    }

    /// Whether a glyph lies within what may be drawn on; one that touches it counts.
    fn is_shown(&self, glyph: &Glyph) -> bool {
        let Some(clip) = self.clips.last() else { return true };
        let room = glyph.size * 0.5;
        let (a, b) = (glyph.origin, glyph.end);
        a.x.max(b.x) > clip.x0 - room
            && a.x.min(b.x) < clip.x1 + room
            && a.y.max(b.y) > clip.y0 - room
            && a.y.min(b.y) - glyph.size < clip.y1 + room
    }

    fn artifact(&self) -> bool {
        self.marks.iter().any(|mark| mark.artifact)
    }

    /// Puts the replacement text of a marked part in the place of its glyphs, where they form one line.
    fn apply_mark(&mut self, mark: Mark) {
        let Some(actual) = mark.actual_text else { return };
        let Some(glyphs) = self.out.glyphs.get_mut(mark.first..) else { return };
        let Some(first) = glyphs.first().cloned() else { return };
        let level = glyphs.iter().all(|g| {
            (g.origin - first.origin).cross(baseline(&first)).abs() < first.size * 0.6 && g.vertical == first.vertical
        });
        let known: String = glyphs.iter().map(|g| plain(&g.text)).collect();
        if !level || same_letters(&known, &actual) {
            return;
        }
        let last = glyphs.last().map_or(first.end, |g| g.end);
        self.out.glyphs.truncate(mark.first);
        if !actual.is_empty() {
            self.out.glyphs.push(Glyph { text: GlyphText::Many(actual), end: last, ..first });
        }
    }
}

/// Unit vector along the baseline of a glyph.
pub(super) fn baseline(glyph: &Glyph) -> Vec2 {
    let along = glyph.end - glyph.origin;
    if along.hypot() > 1e-6 { along.normalize() } else { Vec2::new(1.0, 0.0) }
}

fn plain(text: &GlyphText) -> String {
    match text {
        GlyphText::One(c) => c.to_string(),
        GlyphText::Many(s) => s.clone(),
        GlyphText::Unknown => String::new(),
    }
}

fn same_letters(a: &str, b: &str) -> bool {
    let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    letters(a) == letters(b)
}

/// Character, place and font of one glyph of a run, in page space.
struct Placed {
    origin: Point,
    along: Vec2,
    up: Vec2,
    ratio: f64,
    advance: f64,
}

fn place(glyph_transform: Affine, draw: Affine, advance: f64) -> Placed {
    let full = draw * glyph_transform;
    let origin = full * Point::ZERO;
    let along = (full * Point::new(1000.0, 0.0)) - origin;
    let up = (full * Point::new(0.0, 1000.0)) - origin;
    let ratio = if up.hypot() > 1e-9 { along.hypot() / up.hypot() } else { 1.0 };
    Placed { origin, along, up, ratio, advance }
}

/// Horizontal scale to use instead of each glyph's own where the interpreter stretched the glyphs of a stand-in font.
fn common_ratio(placed: &[Placed]) -> Option<f64> {
    let first = placed.first()?.ratio;
    let stretched = placed.iter().any(|p| (p.ratio - first).abs() > 0.01 * first.max(1e-6));
    stretched.then(|| {
        let mut ratios: Vec<f64> = placed.iter().map(|p| p.ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        if (0.75..1.33).contains(&median) { 1.0 } else { median }
    })
}

impl<'a> Device<'a> for Collector<'_> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, _: &DrawMode) {
        self.out.paths = self.out.paths.saturating_add(1);
        if self.out.rules.len() >= RULES_MAX || path.elements().len() > 12 {
            return;
        }
        let bounds = props.transform.transform_rect_bbox(path.bounding_box());
        let thin = bounds.width().min(bounds.height()) < 3.0;
        if thin && bounds.width().max(bounds.height()) > 8.0 {
            self.out.rules.push(bounds);
        }
    }

    fn push_clip_path(&mut self, clip: &ClipPath) {
        self.clip(clip.path.bounding_box());
    }

    fn push_clip_rect(&mut self, rect: &Rect) {
        self.clip(*rect);
    }

    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        let vertical = matches!(run.writing_mode(), WritingMode::Vertical);
        let artifact = self.artifact();
        let placed: Vec<Placed> = run
            .glyphs()
            .iter()
            .map(|glyph| {
                let advance = match &**glyph {
                    FontGlyph::Outline(outline) => outline.advance_width(),
                    FontGlyph::Type3(type3) => type3.advance_width(),
                };
                place(glyph.transform(), props.transform, f64::from(advance.unwrap_or(500.0)))
            })
            .collect();
        let ratio = common_ratio(&placed);
        for (glyph, at) in run.glyphs().iter().zip(placed) {
            if self.out.glyphs.len() >= GLYPHS_MAX {
                self.out.overflow = true;
                return;
            }
            let along = match ratio {
                Some(ratio) if at.ratio > 1e-9 => at.along * (ratio / at.ratio),
                _ => at.along,
            };
            let Some(noted) = note(glyph, &at, along, vertical, self.fonts) else { continue };
            let key = (
                (noted.origin.x * 8.0).round() as i64,
                (noted.origin.y * 8.0).round() as i64,
                glyph.char_code() ^ ((noted.size * 4.0) as u32) << 20,
            );
            if self.is_shown(&noted) && self.seen.insert(key) {
                self.out.glyphs.push(Glyph { artifact, ..noted });
            }
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let bounds = props.transform.transform_rect_bbox(Rect::new(0.0, 0.0, width, height));
        let unit = props.transform.transform_rect_bbox(Rect::new(0.0, 0.0, 1.0, 1.0));
        let shown = if bounds.area() > self.page.area() * 4.0 { unit } else { bounds };
        self.out.image_area += shown.intersect(self.page).area().max(0.0);
        self.out.images = self.out.images.saturating_add(1);
    }

    fn pop_clip(&mut self) {
        if self.clips_skipped > 0 {
            self.clips_skipped -= 1;
        } else {
            self.clips.pop();
        }
    }

    fn pop_transparency_group(&mut self) {}

    fn begin_marked_content(&mut self, tag: &[u8], properties: Option<&Dict<'_>>) {
        if self.marks.len() >= MARKS_MAX {
            self.marks_skipped += 1;
            return;
        }
        let actual_text = properties
            .and_then(|p| p.get::<PdfString<'_>>(b"ActualText".as_ref()))
            .map(|bytes| text_string(bytes.as_bytes()));
        let artifact = tag == b"Artifact"
            && properties.is_some_and(|p| {
                let named = |key: &[u8], values: &[&[u8]]| {
                    p.get::<Name<'_>>(key).is_some_and(|name| values.contains(&name.as_ref()))
                };
                named(b"Type", &[b"Pagination"]) || named(b"Subtype", &[b"Header", b"Footer"])
            });
        self.marks.push(Mark { first: self.out.glyphs.len(), actual_text, artifact });
    }

    fn end_marked_content(&mut self) {
        if self.marks_skipped > 0 {
            self.marks_skipped -= 1;
        } else if let Some(mark) = self.marks.pop() {
            self.apply_mark(mark);
        }
    }
}

/// Notes a glyph; nothing where it has no finite place or no size.
fn note(glyph: &FontGlyph<'_>, at: &Placed, along: Vec2, vertical: bool, fonts: &mut FontMaps) -> Option<Glyph> {
    let (origin, step, size) = if vertical {
        // The origin of a vertical glyph lies above its middle; its baseline is taken to run down that middle.
        let down = -at.up;
        let top = at.origin + at.up * 0.88 + at.along * 0.5;
        (top, down, at.along.hypot())
    } else {
        let across = if along.hypot() > 1e-9 { at.up.cross(along).abs() / along.hypot() } else { at.up.hypot() };
        (at.origin, along * (at.advance / 1000.0), across)
    };
    let end = origin + step;
    let sound = origin.is_finite() && end.is_finite() && size.is_finite() && size > 0.05;
    if !sound || origin.x.abs() > 1e6 || origin.y.abs() > 1e6 || size > 1e5 {
        return None;
    }
    let text = match glyph.as_unicode() {
        Some(BfString::Char(c)) => FontMaps::clean(c),
        Some(BfString::String(s)) => FontMaps::clean_many(&s),
        None => fonts.guess(glyph),
    };
    let bold = fonts.is_bold(glyph);
    Some(Glyph { text, origin, end, size, vertical, artifact: false, bold })
}
