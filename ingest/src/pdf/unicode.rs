//! Characters of glyphs: what fonts forget to say, and ligatures taken apart.

use std::collections::HashMap;

use hayro_interpret::font::Glyph as FontGlyph;
use hayro_interpret::hayro_cmap::BfString;
use hayro_syntax::page::Page;
use skrifa::{FontRef, MetadataProvider};
use unicode_normalization::UnicodeNormalization;

use super::glyphs::GlyphText;
use super::mute::MuteFonts;

/// Most fonts whose character maps are turned round.
const FONTS_MAX: usize = 512;
/// Most entries of a character map that are turned round.
const MAP_MAX: usize = 70_000;

/// What is known about the fonts of a document beyond what the interpreter tells.
#[derive(Default)]
pub(super) struct FontMaps {
    /// Font program to its glyph-to-character map.
    reversed: HashMap<u128, HashMap<u32, char>>,
    /// Font program to whether its weight is that of a bold face.
    bold: HashMap<usize, bool>,
    mute: MuteFonts,
}

impl FontMaps {
    /// The character of a glyph whose font has no usable table of characters.
    pub(super) fn guess(&mut self, glyph: &FontGlyph<'_>) -> GlyphText {
        let code = glyph.char_code();
        // Fonts without data here are simple ones, whose codes mostly are characters.
        let FontGlyph::Outline(outline) = glyph else { return ascii(code) };
        let Some(font) = outline.font_data() else { return ascii(code) };
        let mute = font.postscript_name.as_deref().and_then(|name| self.mute.get(name));
        if let Some(found) = mute.and_then(|font| font.lookup(code)) {
            return match found {
                BfString::Char(c) => Self::clean(c),
                BfString::String(s) => Self::clean_many(&s),
            };
        }
        if !self.reversed.contains_key(&font.cache_key) && self.reversed.len() < FONTS_MAX {
            self.reversed.insert(font.cache_key, reverse_map((*font.data).as_ref()));
        }
        let found = self.reversed.get(&font.cache_key).and_then(|map| map.get(&outline.glyph_id().to_u32()));
        match found {
            Some(c) => Self::clean(*c),
            None if mute.is_none() && self.simple(font.postscript_name.as_deref()) => ascii(code),
            None => GlyphText::Unknown,
        }
    }

    /// Notes the fonts of a page, before its content is read.
    pub(super) fn note(&mut self, page: &Page<'_>) {
        self.mute.note(page);
    }

    fn simple(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.mute.is_simple(name))
    }

    /// A character as it goes into the text: controls dropped, ligatures and presentation forms taken apart.
    pub(super) fn clean(c: char) -> GlyphText {
        match c {
            '\t' | '\n' | '\r' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{3000}' => GlyphText::One(' '),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffd}' | '\u{fffe}' | '\u{ffff}' => GlyphText::Unknown,
            '\u{e000}'..='\u{f8ff}' => private(c),
            '\u{fb00}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' => {
                let apart: String = std::iter::once(c).nfkc().collect();
                one_or_many(apart)
            }
            _ => GlyphText::One(c),
        }
    }

    /// The same for several characters of one glyph.
    pub(super) fn clean_many(text: &str) -> GlyphText {
        let mut out = String::new();
        for c in text.chars().take(64) {
            match Self::clean(c) {
                GlyphText::One(c) => out.push(c),
                GlyphText::Many(s) => out.push_str(&s),
                GlyphText::Unknown => {}
            }
        }
        one_or_many(out)
    }

    /// Whether the glyph's font calls itself bold.
    pub(super) fn is_bold(&mut self, glyph: &FontGlyph<'_>) -> bool {
        let FontGlyph::Outline(outline) = glyph else { return false };
        let Some(font) = outline.font_data() else { return false };
        let key = (*font.data).as_ref().as_ptr() as usize;
        *self.bold.entry(key).or_insert_with(|| {
            let named = font.postscript_name.as_deref().unwrap_or("").to_ascii_lowercase();
            font.weight.is_some_and(|weight| weight >= 600)
                || ["bold", "black", "heavy", "demi"].iter().any(|word| named.contains(word))
        })
    }
}

/// Where nothing is known, a code that is a printable ASCII character is taken for that character.
fn ascii(code: u32) -> GlyphText {
    match char::from_u32(code) {
        Some(c) if (' '..='~').contains(&c) => GlyphText::One(c),
        _ => GlyphText::Unknown,
    }
}

fn one_or_many(text: String) -> GlyphText {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => GlyphText::Unknown,
        (Some(c), None) => GlyphText::One(c),
        _ => GlyphText::Many(text),
    }
}

/// Symbol fonts put their codes at U+F000; bullets are the only ones of use in text.
fn private(c: char) -> GlyphText {
    match c as u32 {
        0xf0b7 | 0xf0a7 | 0xf0a8 | 0xf076 | 0xf0d8 => GlyphText::One('\u{2022}'),
        code @ 0xf020..=0xf07e => GlyphText::One(char::from_u32(code - 0xf000).unwrap_or(' ')),
        _ => GlyphText::Unknown,
    }
}

/// Glyph number to character, from a font program's own character map.
fn reverse_map(data: &[u8]) -> HashMap<u32, char> {
    let mut map = HashMap::new();
    let Ok(font) = FontRef::new(data) else { return map };
    for (code, glyph) in font.charmap().mappings().take(MAP_MAX) {
        let Some(c) = char::from_u32(code) else { continue };
        let better = |old: &char| rank(c) < rank(*old);
        match map.get(&glyph.to_u32()) {
            Some(old) if !better(old) => {}
            _ => {
                map.insert(glyph.to_u32(), c);
            }
        }
    }
    map
}

/// Which of several characters of one glyph is the likelier in text.
fn rank(c: char) -> u8 {
    match c {
        ' '..='~' => 0,
        '\u{a1}'..='\u{24f}' => 1,
        '\u{e000}'..='\u{f8ff}' => 4,
        '\u{2e80}'..='\u{2fdf}' | '\u{f900}'..='\u{faff}' => 3,
        _ => 2,
    }
}

/// A PDF text string: UTF-16 or UTF-8 with its mark, else taken as Latin 1 (section 7.9.2.2 of ISO 32000-2).
pub(super) fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
}
