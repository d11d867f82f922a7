//! Passages: what they cover, where they begin, which headings stand above them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use cloister_ingest::{
    Block, BlockKind, CutOptions, IngestError, PAGE_SEPARATOR, Page, Passage, canonical_text, cut as cut_until,
};
use proptest::prelude::*;

use crate::make::read;

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn options(target: usize, max: usize, min: usize) -> CutOptions {
    CutOptions { tokens_target: target, tokens_max: max, tokens_min: min }
}

fn cut(pages: &[Page], options: &CutOptions, count: &dyn Fn(&str) -> usize) -> Vec<Passage> {
    cut_until(pages, options, count, &|| false).expect("nobody stops it")
}

fn cut_text(text: &str, target: usize, max: usize) -> Vec<Passage> {
    cut(&read(text.as_bytes(), "x.txt").pages, &options(target, max, 5), &words)
}

/// What must hold for any document: order, offsets, text, cover, length.
fn check(pages: &[Page], options: &CutOptions, count: &dyn Fn(&str) -> usize) -> Result<Vec<Passage>, TestCaseError> {
    let text = canonical_text(pages);
    let chars: Vec<char> = text.chars().collect();
    let passages = cut(pages, options, count);
    let mut covered = vec![false; chars.len()];
    let mut last = 0;
    for passage in &passages {
        let (start, end) = (passage.start as usize, passage.end as usize);
        prop_assert!(last <= start && start < end && end <= chars.len());
        last = end;
        prop_assert_eq!(&chars[start..end].iter().collect::<String>(), &passage.text);
        prop_assert_eq!(passage.text.trim(), passage.text.as_str());
        let lone = passage.text.chars().count() == 1;
        prop_assert!(count(&passage.text) <= options.tokens_max || lone, "too long: {:?}", passage.text);
        covered[start..end].iter_mut().for_each(|c| *c = true);
        let before = text.chars().take(start).collect::<String>();
        prop_assert_eq!(before.matches('\u{c}').count() as u32 + 1, passage.page);
    }
    let mut offset = 0;
    for page in pages {
        while text.chars().take(offset).filter(|c| *c == '\u{c}').count() + 1 < page.number as usize {
            offset += PAGE_SEPARATOR.len();
        }
        for (at, c) in page.text.chars().enumerate() {
            let head = page.blocks.iter().any(|b| {
                matches!(b.kind, BlockKind::Header | BlockKind::Footer)
                    && (b.start as usize..b.end as usize).contains(&at)
            });
            prop_assert!(
                c.is_whitespace() || head || covered[offset + at],
                "{:?} at {} is in no passage",
                c,
                offset + at
            );
        }
        offset += page.text.chars().count();
    }
    Ok(passages)
}

fn block_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "([A-Z][a-zé]{0,8} ([a-zü]{1,9} ){0,30}[a-z]{1,6}[.!?;] ?){1,6}",
        1 => "[0-9]{1,2}\\.[0-9] [A-Z][a-z]{2,10}( [a-z]{1,8}){0,20}\\.",
        1 => "\\([a-d]\\) ([a-z]{1,8} ){1,20}",
        1 => "[A-Z]{4,12}( [A-Z]{2,9}){0,4}",
        1 => "[\u{4e00}-\u{4e20}]{1,60}。[\u{4e00}-\u{4e20}]{1,9}",
        1 => "[a-z]{100,400}",
        1 => "([a-z]{1,8}\t){1,6}[0-9]{1,9}",
        1 => "[ -~]{1,80}(\n[ -~]{1,80}){0,6}",
    ]
}

fn kinds() -> impl Strategy<Value = BlockKind> {
    use BlockKind::{Code, Footer, Header, Heading, ListItem, MailHeader, Note, Paragraph, Table, TableRow};
    prop_oneof![
        8 => Just(Paragraph), 2 => Just(Heading), 2 => Just(ListItem), 1 => Just(Header), 1 => Just(Footer), 1 => Just(Table),
        1 => Just(TableRow), 1 => Just(Note), 1 => Just(Code), 1 => Just(MailHeader),
    ]
}

fn page_strategy() -> impl Strategy<Value = Page> {
    // Some text stands in no block, as a careless reader might leave it.
    prop::collection::vec((block_text(), kinds(), 1_u8..4, prop::bool::weighted(0.9)), 0..12).prop_map(|parts| {
        let mut text = String::new();
        let mut blocks = Vec::new();
        for (part, kind, level, in_block) in parts {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let start = text.chars().count() as u32;
            text.push_str(&part);
            let end = text.chars().count() as u32;
            if in_block {
                blocks.push(Block { kind, level, start, end, bounds: None });
            }
        }
        Page::flowing(1, text, blocks)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_document_is_cut_soundly(
        pages in prop::collection::vec((page_strategy(), 1_u32..3), 0..4),
        max in 4_usize..80,
        by_chars in any::<bool>(),
    ) {
        let mut number = 0;
        let pages: Vec<Page> = pages.into_iter().map(|(page, step)| { number += step; Page { number, ..page } }).collect();
        let count: &dyn Fn(&str) -> usize = if by_chars { &|text| text.chars().count().div_ceil(3) } else { &words };
        check(&pages, &options(max * 3 / 4, max, max / 5), count)?;
    }
}

#[test]
fn passages_begin_at_headings_and_keep_their_path() {
    let text = "MASTER AGREEMENT\n\nThis agreement is made by two parties who wish to work together for a while.\n\n\
        1. Definitions\n\nIn this agreement the words that follow have the meanings that are given to them here.\n\n\
        1.1 Services means the work that is described in the first schedule to this agreement.\n\n\
        2. Payment\n\nThe customer pays each invoice within thirty days after it was received by him.";
    let passages = cut_text(text, 20, 40);
    let found: Vec<(&str, &[String])> =
        passages.iter().map(|p| (p.text.lines().next().unwrap_or(""), &p.heading_path[..])).collect();
    let start = |text: &str| {
        found.iter().find(|(line, _)| line.starts_with(text)).unwrap_or_else(|| panic!("{text} in {found:?}"))
    };
    assert_eq!(start("1. Definitions").1, ["MASTER AGREEMENT", "1. Definitions"]);
    assert_eq!(start("2. Payment").1, ["MASTER AGREEMENT", "2. Payment"]);
    assert!(passages.iter().all(|p| !p.text.ends_with("Payment")), "no heading stands at the end");
}

#[test]
fn sentences_stay_whole_where_they_fit() {
    let sentence =
        |n: usize| format!("Sentence number {n} has exactly so many words as all the others have, Mr. Smith said.");
    let text = (0..60).map(sentence).collect::<Vec<_>>().join(" ");
    for passage in cut_text(&text, 60, 80) {
        assert!(passage.text.starts_with("Sentence number") && passage.text.ends_with("said."), "{}", passage.text);
        assert!((30..=80).contains(&words(&passage.text)));
    }
}

#[test]
fn hard_wrapped_contracts_are_cut_at_their_clauses() {
    let text = "SUPPLY AGREEMENT\n\n\
        Section 4.01 Delivery. The supplier delivers the goods to the place\nthat is named in the order within the time that is agreed, and bears\n\
        the risk until then.\n     (a)  Goods that are late may be refused by the buyer without any\n     cost to him.\n\
        (b)  Goods that are damaged are replaced at once.\nSection 4.02 Acceptance. The buyer inspects the goods when he gets them\n\
        and tells the supplier of any fault within ten days after that.";
    let passages = cut_text(text, 25, 40);
    let starts: Vec<String> = passages.iter().map(|p| p.text.chars().take(12).collect()).collect();
    assert!(starts.iter().any(|s| s.starts_with("Section 4.02")), "{starts:?}");
    assert!(passages.iter().any(|p| p.text.contains("(a)") && p.text.contains("(b)")), "{passages:?}");
}

#[test]
fn running_heads_stand_in_no_passage_and_part_sentences_of_pages() {
    let page = |number: u32, body: &str| {
        let text = format!("Acme Report\n\n{body}\n\nPage {number}");
        let at = |needle: &str| text.chars().take(text.find(needle).unwrap_or(0)).count() as u32;
        let foot = at("Page");
        let blocks = vec![
            Block { kind: BlockKind::Header, level: 0, start: 0, end: 11, bounds: None },
            Block { kind: BlockKind::Paragraph, level: 0, start: 13, end: foot - 2, bounds: None },
            Block { kind: BlockKind::Footer, level: 0, start: foot, end: foot + 6, bounds: None },
        ];
        Page::flowing(number, text.clone(), blocks)
    };
    let pages = [page(1, "The first page ends within a"), page(2, "sentence that the second one ends.")];
    let passages = cut(&pages, &options(300, 350, 60), &words);
    let texts: Vec<&str> = passages.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(texts, ["The first page ends within a", "sentence that the second one ends."]);
    assert_eq!(passages[1].page, 2);
}

#[test]
fn passages_may_go_over_the_end_of_a_page() {
    let pages: Vec<Page> = [(1, "The first page ends within a"), (2, "sentence that the second one ends.")]
        .into_iter()
        .map(|(number, text)| Page::flowing(number, text.to_owned(), Vec::new()))
        .collect();
    let passages = cut(&pages, &CutOptions::default(), &words);
    assert_eq!(passages.len(), 1);
    assert_eq!(passages[0].text, "The first page ends within a\n\u{c}sentence that the second one ends.");
    assert_eq!(passages[0].page, 1);
}

#[test]
fn rows_of_a_table_are_not_torn() {
    let rows: Vec<String> = (0..40).map(|n| format!("Item {n}\twith a description\t{n}.00")).collect();
    let text = rows.join("\n");
    let mut blocks = vec![Block { kind: BlockKind::Table, level: 0, start: 0, end: text.len() as u32, bounds: None }];
    let mut at = 0;
    for row in &rows {
        blocks.push(Block { kind: BlockKind::TableRow, level: 0, start: at, end: at + row.len() as u32, bounds: None });
        at += row.len() as u32 + 1;
    }
    for passage in cut(&[Page::flowing(1, text, blocks)], &options(40, 50, 10), &words) {
        assert!(passage.text.starts_with("Item ") && passage.text.ends_with(".00"), "{}", passage.text);
    }
}

#[test]
fn a_row_that_begins_with_an_empty_cell_keeps_its_columns() {
    let text = "\t2023\t2022\nRevenue\t100\t90".to_owned();
    let row = |start, end| Block { kind: BlockKind::TableRow, level: 0, start, end, bounds: None };
    let blocks =
        vec![Block { kind: BlockKind::Table, level: 0, start: 0, end: 25, bounds: None }, row(0, 10), row(11, 25)];
    let passages = cut(&[Page::flowing(1, text.clone(), blocks)], &options(300, 350, 60), &words);
    assert_eq!((passages.len(), passages[0].start, &passages[0].text), (1, 0, &text));
}

#[test]
fn texts_made_to_be_slow_are_cut_in_time() {
    let length = 1 << 20;
    let heading = "TITLE IN CAPITALS\n\n";
    let rows = [
        ("initials on a line", "A. ".repeat(length / 3)),
        ("short sentences on a line", "Ab. ".repeat(length / 4)),
        ("one sentence of words", "word ".repeat(length / 5)),
        ("no blank at all", "0f".repeat(length / 2)),
        ("stops alone", ".".repeat(length)),
        ("headings alone", heading.repeat(length / heading.len())),
        ("blanks after stops", format!("A.{}", " ".repeat(8)).repeat(length / 10)),
    ];
    for (what, text) in rows {
        let pages = read(text.as_bytes(), "x.txt").pages;
        let since = Instant::now();
        let passages = cut(&pages, &CutOptions::default(), &words);
        assert!(since.elapsed() < Duration::from_secs(2), "{what}: {:?}", since.elapsed());
        assert!(passages.iter().all(|p| p.text.len() <= 1 << 16), "{what}");
    }
}

#[test]
fn blocks_without_number_are_found_in_time() {
    let text = "ab\n\n".repeat(1 << 18);
    let pages = read(text.as_bytes(), "x.txt").pages;
    assert_eq!(pages[0].blocks.len(), 1 << 18);
    let since = Instant::now();
    assert!(!cut(&pages, &CutOptions::default(), &words).is_empty());
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn cutting_ends_when_it_is_stopped() {
    let pages = read("One sentence. Another one. ".repeat(10_000).as_bytes(), "x.txt").pages;
    for patience in [0, 1, 100, 30_000] {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let result = cut_until(&pages, &CutOptions::default(), &words, &stop);
        assert!(matches!(result, Err(IngestError::Cancelled)), "{patience}");
        assert_eq!(asked.get(), patience + 1, "nobody is asked again once he said yes");
    }
}

#[test]
fn a_place_is_that_of_the_character_asked_for() {
    let block = |start, end| cloister_ingest::Block {
        kind: cloister_ingest::BlockKind::Paragraph,
        level: 0,
        start,
        end,
        bounds: None,
    };
    let page = cloister_ingest::Page::flowing(1, "One.\nTwo.".to_owned(), vec![block(0, 4), block(5, 9)]);
    let place = |at| cloister_ingest::place_at(&page, at).unwrap_or_default();
    assert_eq!(
        (place(0), place(5), place(7)),
        ("paragraph 1".to_owned(), "paragraph 2".to_owned(), "paragraph 2".to_owned())
    );
}
