//! Text, pages and boxes: of what is current, or of a version.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, documents::locate};
use crate::{
    DocumentId, IndexError, Level, PageInput, PageOutcome, PageWord, StoredPage, Visible,
    packing::{checked_text, unpack_blocks, unpack_strings, unpack_words},
};

/// What stands between two pages of the canonical text.
pub(super) const PAGE_SEPARATOR: &str = "\n\u{c}";
/// Its length in Unicode scalar values.
pub(super) const SEPARATOR_CHARS: u32 = 2;
/// Two words are on one line when their overlap is at least this share of the lower one's height.
const LINE_OVERLAP: f32 = 0.5;
/// Words of one line are joined over gaps up to this many line heights; wider ones are columns.
const LINE_GAP: f32 = 2.0;

const PAGE: &str = "number, place, width, height, text, checksum, start, words, blocks, outcome, reason, problems";

/// Column values of a page before they are unpacked.
struct RawPage {
    page: PageInput,
    start: u32,
    checksum: i64,
    words: Vec<u8>,
    blocks: String,
    problems: String,
}

fn raw_page(row: &Row<'_>) -> rusqlite::Result<RawPage> {
    let outcome: String = row.get(9)?;
    let page = PageInput {
        number: row.get(0)?,
        place: row.get(1)?,
        width: row.get(2)?,
        height: row.get(3)?,
        text: row.get(4)?,
        blocks: Vec::new(),
        words: Vec::new(),
        outcome: PageOutcome::from_word(&outcome).unwrap_or(PageOutcome::Failed),
        reason: row.get(10)?,
        problems: Vec::new(),
    };
    let (checksum, start, words) = (row.get(5)?, row.get(6)?, row.get(7)?);
    Ok(RawPage { page, start, checksum, words, blocks: row.get(8)?, problems: row.get(11)? })
}

fn unpack(raw: RawPage) -> Result<StoredPage, IndexError> {
    let mut page = raw.page;
    page.text = checked_text("the text of a page", page.text, raw.checksum)?;
    page.words = unpack_words(&raw.words)?;
    page.blocks = unpack_blocks(&raw.blocks)?;
    page.problems = unpack_strings(&raw.problems)?;
    Ok(StoredPage { page, start: raw.start })
}

/// All pages of a version, by number.
pub(super) fn pages_of(view: &Connection, version: i64) -> Result<Vec<StoredPage>, IndexError> {
    let sql = format!("SELECT {PAGE} FROM pages WHERE version = ?1 ORDER BY number");
    let mut statement = view.prepare_cached(&sql)?;
    let raw: Vec<RawPage> = statement.query_map([version], raw_page)?.collect::<Result<_, _>>()?;
    raw.into_iter().map(unpack).collect()
}

/// The canonical text of a version; numbers that are missing count as empty pages.
pub(super) fn canonical_text(view: &Connection, version: i64) -> Result<String, IndexError> {
    let mut statement =
        view.prepare_cached("SELECT number, text, checksum FROM pages WHERE version = ?1 ORDER BY number")?;
    let mut rows = statement.query([version])?;
    let (mut text, mut last) = (String::new(), 1_u32);
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        for _ in last..number {
            text.push_str(PAGE_SEPARATOR);
        }
        last = number.max(last);
        text.push_str(&checked_text("the text of a page", row.get(1)?, row.get(2)?)?);
    }
    Ok(text)
}

/// Boxes of the words of a version that overlap `start..end` of the canonical text.
pub(super) fn boxes_of(view: &Connection, version: i64, start: u32, end: u32) -> Result<Vec<[f32; 5]>, IndexError> {
    let mut statement = view.prepare_cached(
        "SELECT number, start, words FROM pages
         WHERE version = ?1 AND start < ?3 AND start + chars > ?2 AND length(words) > 1 ORDER BY number",
    )?;
    let mut rows = statement.query((version, start, end))?;
    let mut boxes = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, page_start): (u32, u32) = (row.get(0)?, row.get(1)?);
        let words = unpack_words(row.get_ref(2)?.as_blob().unwrap_or_default())?;
        let from = start.saturating_sub(page_start);
        let to = end - page_start;
        let inside: Vec<PageWord> = words.into_iter().filter(|w| w.start < to && w.end > from).collect();
        boxes.extend(merge_lines(&inside).into_iter().map(|b| [number as f32, b[0], b[1], b[2], b[3]]));
    }
    Ok(boxes)
}

/// Joins words that follow one another on one line into one box.
fn merge_lines(words: &[PageWord]) -> Vec<[f32; 4]> {
    let mut lines: Vec<[f32; 4]> = Vec::new();
    for word in words {
        let bounds = [word.x0.min(word.x1), word.y0.min(word.y1), word.x0.max(word.x1), word.y0.max(word.y1)];
        match lines.last_mut() {
            Some(line) if same_line(line, &bounds) => {
                *line =
                    [line[0].min(bounds[0]), line[1].min(bounds[1]), line[2].max(bounds[2]), line[3].max(bounds[3])];
            }
            _ => lines.push(bounds),
        }
    }
    lines
}

fn same_line(line: &[f32; 4], word: &[f32; 4]) -> bool {
    let overlap = line[3].min(word[3]) - line[1].max(word[1]);
    let lower = (line[3] - line[1]).min(word[3] - word[1]);
    let height = (line[3] - line[1]).max(word[3] - word[1]);
    let gap = (word[0] - line[2]).max(line[0] - word[2]);
    overlap > 0.0 && overlap >= lower * LINE_OVERLAP && gap <= height * LINE_GAP
}

impl Store {
    /// The canonical text of the version shown: its pages' texts joined by `"\n\f"`.
    ///
    /// Before a version is committed there is no text: the answer is that there is no such document.
    pub fn text(&self, visible: &Visible, document: &DocumentId) -> Result<String, IndexError> {
        self.text_at(visible, document, None)
    }

    /// The canonical text of a version that was read; `None` is the current one.
    pub fn text_at(
        &self,
        visible: &Visible,
        document: &DocumentId,
        version: Option<u32>,
    ) -> Result<String, IndexError> {
        self.catalogue.read("read a text", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            canonical_text(view, at.read(view, version)?)
        })
    }

    /// A page of the current version.
    pub fn page(&self, visible: &Visible, document: &DocumentId, page: u32) -> Result<StoredPage, IndexError> {
        self.page_at(visible, document, page, None)
    }

    /// A page of a version that was read; `None` is the current one.
    pub fn page_at(
        &self,
        visible: &Visible,
        document: &DocumentId,
        page: u32,
        version: Option<u32>,
    ) -> Result<StoredPage, IndexError> {
        self.catalogue.read("read a page", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            let sql = format!("SELECT {PAGE} FROM pages WHERE version = ?1 AND number = ?2");
            let found = view.prepare_cached(&sql)?.query_row((at.read(view, version)?, page), raw_page).optional()?;
            unpack(found.ok_or(IndexError::NotFound { what: "page" })?)
        })
    }

    /// Boxes `[page, x0, y0, x1, y1]` of the words that overlap a span of the canonical text, merged per line.
    pub fn boxes(
        &self,
        visible: &Visible,
        document: &DocumentId,
        start: u32,
        end: u32,
    ) -> Result<Vec<[f32; 5]>, IndexError> {
        self.boxes_at(visible, document, start, end, None)
    }

    /// The same in a version that was read; `None` is the current one.
    pub fn boxes_at(
        &self,
        visible: &Visible,
        document: &DocumentId,
        start: u32,
        end: u32,
        version: Option<u32>,
    ) -> Result<Vec<[f32; 5]>, IndexError> {
        self.catalogue.read("look boxes up", |view| {
            let at = locate(view, visible, document, Level::Read)?;
            boxes_of(view, at.read(view, version)?, start, end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(x0: f32, y0: f32) -> PageWord {
        PageWord { start: 0, end: 1, x0, y0, x1: x0 + 20.0, y1: y0 + 10.0 }
    }

    #[test]
    fn words_of_a_line_become_one_box_and_columns_stay_apart() {
        let words = [word(10.0, 100.0), word(33.0, 101.0), word(10.0, 112.0), word(300.0, 112.0)];
        assert_eq!(
            merge_lines(&words),
            vec![[10.0, 100.0, 53.0, 111.0], [10.0, 112.0, 30.0, 122.0], [300.0, 112.0, 320.0, 122.0]]
        );
    }
}
