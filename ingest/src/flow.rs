//! Text and blocks of formats that flow: HTML, DOCX, mail. Blanks are put in one place so that all formats look alike.

use crate::page::{Block, BlockKind, Page, Remarks};

/// Writes text and blocks side by side.
///
/// Between blocks stands an empty line, between list items and table rows a line end, between cells a tab.
pub(crate) struct Flow {
    text: String,
    chars: u32,
    blocks: Vec<Block>,
    open: Option<Open>,
    /// What stands before the next text of the open block.
    gap: Gap,
    table: Option<Table>,
    tables_deep: u32,
    bytes_max: usize,
    /// Whether text was left out because there was too much.
    pub(crate) overflow: bool,
}

struct Open {
    kind: BlockKind,
    level: u8,
    start: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Blank,
    Line,
    Tab,
}

struct Table {
    start: Option<u32>,
    at: usize,
    row: Option<Row>,
}

struct Row {
    start: Option<u32>,
    /// Columns from the beginning of the cell that is open to the next one; 0 before the first cell.
    span: u32,
    /// Tabs that stand before the next text, so that it is in its column.
    tabs: u32,
}

/// Most columns that one cell is taken to span.
const SPAN_MAX: u32 = 100;

impl Flow {
    /// An empty flow that takes at most `bytes_max` bytes of text.
    pub(crate) fn new(bytes_max: u64) -> Flow {
        Flow {
            text: String::new(),
            chars: 0,
            blocks: Vec::new(),
            open: None,
            gap: Gap::None,
            table: None,
            tables_deep: 0,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            overflow: false,
        }
    }

    /// Begins a block; the one that is open ends.
    pub(crate) fn open(&mut self, kind: BlockKind, level: u8) {
        if self.in_cell() {
            // Within a cell there are no blocks of their own; paragraphs are parted by a blank.
            self.blank();
            return;
        }
        self.close();
        self.open = Some(Open { kind, level, start: None });
    }

    /// Ends the open block.
    pub(crate) fn close(&mut self) {
        if self.in_cell() {
            self.blank();
            return;
        }
        if let Some(Open { kind, level, start: Some(start) }) = self.open.take() {
            self.blocks.push(Block { kind, level, start, end: self.chars, bounds: None });
        }
        self.gap = Gap::None;
    }

    /// Whether nothing was written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn in_cell(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.row.is_some())
    }

    fn blank(&mut self) {
        if self.gap == Gap::None {
            self.gap = Gap::Blank;
        }
    }

    /// Adds text whose runs of white space mean one blank.
    pub(crate) fn words(&mut self, text: &str) {
        if text.starts_with(char::is_whitespace) {
            self.blank();
        }
        let mut first = true;
        for word in text.split_whitespace() {
            if !first {
                self.blank();
            }
            self.raw(word);
            first = false;
        }
        if !first && text.ends_with(char::is_whitespace) {
            self.blank();
        }
    }

    /// Adds text as it is, line ends included.
    pub(crate) fn verbatim(&mut self, text: &str) {
        for (nth, line) in text.split('\n').enumerate() {
            if nth > 0 {
                self.line();
            }
            let indent = line.len() - line.trim_start().len();
            if indent > 0 && self.gap == Gap::Line && !line.trim().is_empty() {
                self.begin();
                self.put(&line[..indent]);
            } else if indent > 0 {
                self.blank();
            }
            self.raw(line.trim());
            if line.trim().len() + indent < line.len() {
                self.blank();
            }
        }
    }

    /// Ends the line within the block.
    pub(crate) fn line(&mut self) {
        if self.in_cell() {
            self.blank();
        } else if self.open.as_ref().is_some_and(|open| open.start.is_some()) {
            self.gap = Gap::Line;
        }
    }

    /// A tab within the block.
    pub(crate) fn tab(&mut self) {
        if self.in_cell() {
            self.blank();
        } else if self.open.as_ref().is_some_and(|open| open.start.is_some()) && self.gap != Gap::Line {
            self.gap = Gap::Tab;
        }
    }

    fn raw(&mut self, word: &str) {
        if !word.is_empty() {
            self.begin();
            self.put(word);
        }
    }

    /// Writes what stands before the next text: the gap, or the separator of blocks.
    fn begin(&mut self) {
        if self.open.is_none() && !self.in_cell() {
            self.open = Some(Open { kind: BlockKind::Paragraph, level: 0, start: None });
        }
        let fresh_row = self.table.as_ref().and_then(|t| t.row.as_ref()).is_some_and(|row| row.start.is_none());
        let fresh_block = !self.in_cell() && self.open.as_ref().is_some_and(|open| open.start.is_none());
        if fresh_row || fresh_block {
            self.separate(fresh_row);
            self.gap = Gap::None;
        }
        let at = self.chars;
        let row = self.table.as_mut().and_then(|t| t.row.as_mut());
        let tabs = row.map_or(0, |row| {
            row.start.get_or_insert(at);
            std::mem::take(&mut row.tabs)
        });
        if let Some(table) = self.table.as_mut() {
            table.start.get_or_insert(at);
        }
        if let Some(open) = self.open.as_mut() {
            open.start.get_or_insert(at);
        }
        self.put(&"\t".repeat((tabs as usize).min(self.bytes_max.saturating_add(1))));
        match std::mem::replace(&mut self.gap, Gap::None) {
            Gap::None => {}
            Gap::Blank if self.text.ends_with(['\t', '\n']) => {}
            Gap::Blank => self.put(" "),
            Gap::Line => self.put("\n"),
            Gap::Tab => self.put("\t"),
        }
    }

    fn separate(&mut self, row: bool) {
        if self.text.is_empty() {
            return;
        }
        let within_table = row && self.table.as_ref().is_some_and(|table| table.start.is_some());
        let item = |kind: Option<BlockKind>| matches!(kind, Some(BlockKind::ListItem | BlockKind::MailHeader));
        let next = self.open.as_ref().map(|open| open.kind);
        let last = self.blocks.last().map(|block| block.kind);
        let close = within_table || (!row && item(next) && last == next);
        self.put(if close { "\n" } else { "\n\n" });
    }

    fn put(&mut self, text: &str) {
        if self.text.len() + text.len() > self.bytes_max {
            self.overflow = true;
            return;
        }
        self.text.push_str(text);
        self.chars += text.chars().count() as u32;
    }

    /// Begins a table. A table within a cell is part of the cell's text.
    pub(crate) fn table_begins(&mut self) {
        self.tables_deep += 1;
        if self.tables_deep == 1 {
            self.close();
            self.open = None;
            self.table = Some(Table { start: None, at: self.blocks.len(), row: None });
        } else {
            self.blank();
        }
    }

    /// Begins a row.
    pub(crate) fn row_begins(&mut self) {
        if self.tables_deep == 1 {
            self.row_ends();
            if let Some(table) = self.table.as_mut() {
                table.row = Some(Row { start: None, span: 0, tabs: 0 });
                self.gap = Gap::None;
            }
        } else {
            self.blank();
        }
    }

    /// Begins a cell.
    pub(crate) fn cell_begins(&mut self) {
        if self.tables_deep != 1 {
            return self.blank();
        }
        if let Some(row) = self.table.as_mut().and_then(|table| table.row.as_mut()) {
            row.tabs = row.tabs.saturating_add(row.span);
            row.span = 1;
        }
        self.gap = Gap::None;
    }

    /// Says over how many columns the cell that is open goes.
    pub(crate) fn cell_spans(&mut self, columns: u32) {
        if self.tables_deep == 1
            && let Some(row) = self.table.as_mut().and_then(|table| table.row.as_mut())
            && row.span > 0
        {
            row.span = columns.clamp(1, SPAN_MAX);
        }
    }

    /// Leaves columns out before the first cell of the row.
    pub(crate) fn columns_skipped(&mut self, columns: u32) {
        if self.tables_deep == 1
            && let Some(row) = self.table.as_mut().and_then(|table| table.row.as_mut())
        {
            row.tabs = row.tabs.saturating_add(columns.min(SPAN_MAX));
        }
    }

    /// Ends a row.
    pub(crate) fn row_ends(&mut self) {
        if self.tables_deep != 1 {
            return self.blank();
        }
        let row = self.table.as_mut().and_then(|table| table.row.take());
        if let Some(Row { start: Some(start), .. }) = row {
            self.blocks.push(Block { kind: BlockKind::TableRow, level: 0, start, end: self.chars, bounds: None });
        }
        self.gap = Gap::None;
    }

    /// Ends a table.
    pub(crate) fn table_ends(&mut self) {
        if self.tables_deep == 1 {
            self.row_ends();
            if let Some(Table { start: Some(start), at, .. }) = self.table.take() {
                let table = Block { kind: BlockKind::Table, level: 0, start, end: self.chars, bounds: None };
                self.blocks.insert(at.min(self.blocks.len()), table);
            }
            self.table = None;
        }
        self.tables_deep = self.tables_deep.saturating_sub(1);
    }

    /// Whether a table is open.
    pub(crate) fn in_table(&self) -> bool {
        self.tables_deep > 0
    }

    /// The page that was written.
    pub(crate) fn page(mut self, number: u32, mut remarks: Remarks) -> Page {
        while self.in_table() {
            self.table_ends();
        }
        self.close();
        if self.overflow {
            remarks.missing.push("there is more text than is read; the rest is left out".to_owned());
        }
        let mut page = Page::flowing(number, self.text, self.blocks);
        page.remark(remarks);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageOutcome;

    fn shown(page: &Page) -> Vec<(BlockKind, String)> {
        let piece = |b: &Block| page.text.chars().skip(b.start as usize).take((b.end - b.start) as usize).collect();
        page.blocks.iter().map(|b| (b.kind, piece(b))).collect()
    }

    #[test]
    fn blocks_cover_what_was_written() {
        let mut flow = Flow::new(1 << 20);
        flow.open(BlockKind::Heading, 1);
        flow.words(" Ein \n Titel ");
        flow.words("");
        flow.open(BlockKind::Paragraph, 0);
        flow.words("Eins, ");
        flow.words("zwei");
        flow.line();
        flow.words("drei");
        flow.table_begins();
        for row in [["a", "b b"], ["", "d"]] {
            flow.row_begins();
            for cell in row {
                flow.cell_begins();
                flow.open(BlockKind::Paragraph, 0);
                flow.words(cell);
                flow.close();
            }
            flow.row_ends();
        }
        flow.table_ends();
        flow.words("Ende");
        let page = flow.page(1, Remarks::default());
        assert_eq!(page.text, "Ein Titel\n\nEins, zwei\ndrei\n\na\tb b\n\td\n\nEnde");
        let kinds =
            [BlockKind::Heading, BlockKind::Paragraph, BlockKind::Table, BlockKind::TableRow, BlockKind::TableRow];
        let found = shown(&page);
        assert_eq!(found.iter().map(|(kind, _)| *kind).take(5).collect::<Vec<_>>(), kinds);
        assert_eq!(found[2].1, "a\tb b\n\td");
        assert_eq!(found[4].1, "\td", "an empty cell keeps its column");
        assert_eq!(found[5], (BlockKind::Paragraph, "Ende".to_owned()));
    }

    #[test]
    fn cells_stay_in_their_columns() {
        let mut flow = Flow::new(1 << 20);
        flow.table_begins();
        let rows: [(u32, &[(u32, &str)]); 5] = [
            (0, &[(1, ""), (1, "2023"), (1, "2022")]),
            (0, &[(1, "Revenue"), (1, "100"), (1, "90")]),
            (0, &[(2, "Note"), (1, "x"), (1, "")]),
            (1, &[(1, ""), (0, "last"), (u32::MAX, "")]),
            (0, &[(1, ""), (1, "")]),
        ];
        for (skipped, cells) in rows {
            flow.row_begins();
            flow.columns_skipped(skipped);
            for (span, cell) in cells {
                flow.cell_begins();
                flow.cell_spans(*span);
                flow.words(cell);
            }
            flow.row_ends();
        }
        flow.table_ends();
        let page = flow.page(1, Remarks::default());
        assert_eq!(page.text, "\t2023\t2022\nRevenue\t100\t90\nNote\t\tx\n\t\tlast");
        assert_eq!(shown(&page)[1], (BlockKind::TableRow, "\t2023\t2022".to_owned()));
    }

    #[test]
    fn too_much_text_is_left_out_and_said() {
        let mut flow = Flow::new(10);
        flow.words("12345 67890 more");
        let page = flow.page(1, Remarks::default());
        assert!(page.text.len() <= 10);
        assert_eq!(page.problems.len(), 1);
        assert_eq!(page.outcome, PageOutcome::Partial(page.problems[0].clone()));
    }
}
