//! Styles and numbering: what makes a paragraph a heading, and which number stands before it.

use std::collections::{HashMap, HashSet};

use super::xml::{Node, Package};
use crate::page::Remarks;
use crate::read::Fault;

/// Most styles, list definitions and lists that are kept.
const DEFINITIONS_MAX: usize = 20_000;
/// Longest chain of styles based on one another.
const CHAIN_MAX: usize = 20;
/// Levels of a list.
const LEVELS: usize = 9;

/// A paragraph style, as far as reading needs it.
#[derive(Debug, Clone, Default)]
struct Style {
    name: String,
    based_on: Option<String>,
    outline: Option<u8>,
    list: Option<String>,
    list_level: Option<u8>,
}

/// A level of a list.
#[derive(Debug, Clone)]
struct Level {
    start: u32,
    format: String,
    text: String,
}

impl Default for Level {
    fn default() -> Self {
        Level { start: 1, format: "decimal".to_owned(), text: String::new() }
    }
}

/// A list: its definition, and where its levels start anew.
#[derive(Debug, Clone, Default)]
struct List {
    definition: String,
    starts: HashMap<usize, u32>,
}

/// Styles and lists of a document, and how far each list has been counted.
#[derive(Debug, Default)]
pub(super) struct Styles {
    by_id: HashMap<String, Style>,
    definitions: HashMap<String, Vec<Level>>,
    lists: HashMap<String, List>,
    counters: HashMap<String, [Option<u32>; LEVELS]>,
    begun: HashSet<String>,
}

/// What a paragraph says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    /// Its style.
    pub(super) style: Option<String>,
    /// Its outline level, 0 the highest.
    pub(super) outline: Option<u8>,
    /// Its list; "0" takes it out of its style's list.
    pub(super) list: Option<String>,
    /// Its level in the list.
    pub(super) list_level: Option<u8>,
}

impl Styles {
    /// Reads the parts that hold styles and numbering; what is broken in them is left out. Styles are looks, but the numbers
    /// of clauses are part of what a reader of the document sees.
    pub(super) fn read(package: &mut Package<'_>, styles: &str, numbering: &str) -> (Styles, Remarks) {
        let mut all = Styles::default();
        let mut remarks = Remarks::default();
        if let Err(fault) = all.read_styles(package, styles) {
            remarks.notes.push(format!("{styles}: {}", fault.message));
        }
        if let Err(fault) = all.read_numbering(package, numbering) {
            remarks.missing.push(format!("{numbering}: {}; numbers of clauses are missing", fault.message));
        }
        (all, remarks)
    }

    fn read_styles(&mut self, package: &mut Package<'_>, part: &str) -> Result<(), Fault> {
        let Some(part) = package.part(part) else { return Ok(()) };
        let mut open: Option<(String, Style)> = None;
        part.each(&mut |node| match node {
            Node::Begins(element) => match (element.name(), open.as_mut()) {
                (b"style", _) => open = element.attribute("styleId").map(|id| (id, Style::default())),
                (b"name", Some((_, style))) => style.name = element.value().unwrap_or_default().to_lowercase(),
                (b"basedOn", Some((_, style))) => style.based_on = element.value(),
                (b"outlineLvl", Some((_, style))) => style.outline = element.value().and_then(|v| v.parse().ok()),
                (b"numId", Some((_, style))) => style.list = element.value(),
                (b"ilvl", Some((_, style))) => style.list_level = element.value().and_then(|v| v.parse().ok()),
                _ => {}
            },
            Node::Ends(b"style") => {
                if let Some((id, style)) = open.take()
                    && self.by_id.len() < DEFINITIONS_MAX
                {
                    self.by_id.insert(id, style);
                }
            }
            Node::Ends(_) | Node::Text(_) => {}
        })
    }

    fn read_numbering(&mut self, package: &mut Package<'_>, part: &str) -> Result<(), Fault> {
        let Some(part) = package.part(part) else { return Ok(()) };
        let mut definition: Option<(String, Vec<Level>)> = None;
        let mut list: Option<(String, List)> = None;
        let mut level = 0_usize;
        part.each(&mut |node| match node {
            Node::Begins(element) => {
                let value = || element.value().unwrap_or_default();
                match element.name() {
                    b"abstractNum" => {
                        definition = element.attribute("abstractNumId").map(|id| (id, vec![Level::default(); LEVELS]));
                    }
                    b"num" => list = element.attribute("numId").map(|id| (id, List::default())),
                    b"lvl" | b"lvlOverride" => {
                        level = element.attribute("ilvl").and_then(|v| v.parse().ok()).unwrap_or(0).min(LEVELS - 1);
                    }
                    b"abstractNumId" => {
                        if let Some((_, list)) = list.as_mut() {
                            list.definition = value();
                        }
                    }
                    b"startOverride" => {
                        if let Some((_, list)) = list.as_mut() {
                            list.starts.insert(level, value().parse().unwrap_or(1));
                        }
                    }
                    name => {
                        if let Some((_, levels)) = definition.as_mut() {
                            set_level(&mut levels[level], name, value());
                        }
                    }
                }
            }
            Node::Ends(b"abstractNum") => {
                if let Some((id, levels)) = definition.take()
                    && self.definitions.len() < DEFINITIONS_MAX
                {
                    self.definitions.insert(id, levels);
                }
            }
            Node::Ends(b"num") => {
                if let Some((id, list)) = list.take()
                    && self.lists.len() < DEFINITIONS_MAX
                {
                    self.lists.insert(id, list);
                }
            }
            Node::Ends(_) | Node::Text(_) => {}
        })
    }

    /// The styles of a paragraph, its own first, then those that it is based on.
    fn chain<'s>(&'s self, style: Option<&'s str>) -> impl Iterator<Item = &'s Style> {
        let first = style.and_then(|id| self.by_id.get(id));
        std::iter::successors(first, |style| style.based_on.as_deref().and_then(|id| self.by_id.get(id)))
            .take(CHAIN_MAX)
    }

    /// The depth of a heading, 1 the highest, if the paragraph is one.
    pub(super) fn heading(&self, paragraph: &Properties) -> Option<u8> {
        if let Some(outline) = paragraph.outline {
            return (outline < 9).then_some(outline + 1);
        }
        for style in self.chain(paragraph.style.as_deref()) {
            if style.name == "title" {
                return Some(1);
            }
            if let Some(level) = style.name.strip_prefix("heading ").and_then(|n| n.trim().parse::<u8>().ok()) {
                return Some(level.clamp(1, 9));
            }
            if let Some(outline) = style.outline {
                return (outline < 9).then_some(outline + 1);
            }
        }
        // Files without a styles part still name their styles so.
        let bare = paragraph.style.as_deref().map(str::to_lowercase);
        let level = bare.as_deref().and_then(|id| id.strip_prefix("heading")).and_then(|n| n.parse::<u8>().ok());
        level.filter(|_| self.by_id.is_empty()).map(|n| n.clamp(1, 9))
    }

    /// Counts a paragraph in its list: the mark as shown and the depth, 1 the outermost.
    pub(super) fn count(&mut self, paragraph: &Properties) -> Option<(String, u8)> {
        let (id, level) = self.list_of(paragraph)?;
        let list = self.lists.get(&id)?.clone();
        let levels = self.definitions.get(&list.definition)?.clone();
        let begun = !self.begun.insert(id.clone());
        let counters = self.counters.entry(list.definition.clone()).or_default();
        if !begun {
            for (level, start) in &list.starts {
                counters[*level] = Some(start.saturating_sub(1));
                counters[level + 1..].fill(None);
            }
        }
        counters[level] = Some(counters[level].map_or(levels[level].start, |n| n.saturating_add(1)));
        counters[level + 1..].fill(None);
        let counters = *counters;
        Some((label(&levels, level, &counters), level as u8 + 1))
    }

    fn list_of(&self, paragraph: &Properties) -> Option<(String, usize)> {
        let style = || self.chain(paragraph.style.as_deref()).find(|style| style.list.is_some());
        let id = paragraph.list.clone().or_else(|| style().and_then(|s| s.list.clone())).filter(|id| id != "0")?;
        let level = paragraph.list_level.or_else(|| style().and_then(|s| s.list_level)).unwrap_or(0);
        Some((id, usize::from(level).min(LEVELS - 1)))
    }
}

fn set_level(level: &mut Level, name: &[u8], value: String) {
    match name {
        b"start" => level.start = value.parse().unwrap_or(1),
        b"numFmt" => level.format = value,
        b"lvlText" => level.text = value.chars().take(64).collect(),
        _ => {}
    }
}

fn label(levels: &[Level], level: usize, counters: &[Option<u32>; LEVELS]) -> String {
    if levels[level].format == "bullet" {
        return "\u{2022}".to_owned();
    }
    let mut out = String::new();
    let mut chars = levels[level].text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().and_then(|d| d.to_digit(10))) {
            ('%', Some(digit @ 1..=9)) => {
                chars.next();
                let at = digit as usize - 1;
                let number = counters[at].unwrap_or(levels[at].start);
                out.push_str(&numeral(number, &levels[at].format));
            }
            _ => out.push(c),
        }
    }
    out
}

/// A number in one of the forms that lists use; others are shown in digits.
fn numeral(number: u32, format: &str) -> String {
    match format {
        "lowerLetter" => letters(number),
        "upperLetter" => letters(number).to_uppercase(),
        "lowerRoman" => roman(number),
        "upperRoman" => roman(number).to_uppercase(),
        "decimalZero" => format!("{number:02}"),
        "none" => String::new(),
        _ => number.to_string(),
    }
}

/// a to z, then aa to zz, as word processors count.
fn letters(number: u32) -> String {
    let Some(index) = number.checked_sub(1) else { return "0".to_owned() };
    let letter = char::from(b'a' + (index % 26) as u8);
    std::iter::repeat_n(letter, (index / 26 + 1).min(20) as usize).collect()
}

fn roman(number: u32) -> String {
    const PARTS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    if number > 4999 {
        return number.to_string();
    }
    let mut rest = number;
    let mut out = String::new();
    for (value, sign) in PARTS {
        while rest >= value {
            out.push_str(sign);
            rest -= value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_are_those_of_word_processors() {
        let rows = [
            (1, "lowerLetter", "a"),
            (27, "upperLetter", "AA"),
            (4, "lowerRoman", "iv"),
            (1994, "upperRoman", "MCMXCIV"),
            (7, "decimalZero", "07"),
            (12, "decimal", "12"),
            (3, "chicago", "3"),
        ];
        for (number, format, expected) in rows {
            assert_eq!(numeral(number, format), expected);
        }
    }

    #[test]
    fn labels_take_numbers_of_outer_levels() {
        let mut levels = vec![Level::default(); LEVELS];
        levels[0] = Level { text: "%1.".to_owned(), ..Level::default() };
        levels[1] = Level { text: "%1.%2 (%2)".to_owned(), ..Level::default() };
        let mut counters = [None; LEVELS];
        counters[0] = Some(3);
        counters[1] = Some(2);
        assert_eq!(label(&levels, 0, &counters), "3.");
        assert_eq!(label(&levels, 1, &counters), "3.2 (2)");
    }
}
