//! PDF: order, boxes, blocks, pages without text, damage.

use cloister_ingest::{BlockKind, FaultCode, Page, PageOutcome};

use crate::make::{PdfPage, blocks, pdf, piece, read, show};

fn one(page: PdfPage) -> Page {
    let told = read(&pdf(&[page]), "x.pdf");
    assert_eq!(told.format, "pdf");
    told.pages.into_iter().next().expect("the page is read")
}

/// The box of a word.
fn word_box(page: &Page, wanted: &str) -> [f32; 4] {
    let chars: Vec<char> = page.text.chars().collect();
    let found =
        page.words.iter().find(|w| chars[w.start as usize..w.end as usize].iter().collect::<String>() == wanted);
    let w = found.unwrap_or_else(|| panic!("{wanted} has no box in {:?}", page.text));
    [w.x0, w.y0, w.x1, w.y1]
}

fn near(found: [f32; 4], expected: [f32; 4]) {
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 3.5);
    assert!(close, "{found:?} is not {expected:?}");
}

#[test]
fn words_lie_where_the_page_shows_them() {
    // "Hello" in Helvetica 20 is 45.6 points wide; its baseline stands 92 points below the top.
    let content = show(&[(72.0, 700.0, 20.0, "Hello world")]);
    let upright = one(PdfPage::new(content.clone()));
    assert_eq!((upright.width, upright.height), (612.0, 792.0));
    near(word_box(&upright, "Hello"), [72.0, 77.0, 117.6, 96.0]);

    let turned = |rotate: &str| one(PdfPage { content: content.clone(), extra: rotate.to_owned() });
    let right = turned("/Rotate 90");
    assert_eq!((right.width, right.height), (792.0, 612.0));
    near(word_box(&right, "Hello"), [696.0, 72.0, 715.6, 117.6]);
    let down = turned("/Rotate 180");
    near(word_box(&down, "Hello"), [612.0 - 117.6, 696.0, 540.0, 715.6]);
    let left = turned("/Rotate 270");
    near(word_box(&left, "Hello"), [77.0, 612.0 - 117.6, 96.0, 540.0]);
    for page in [&right, &down, &left] {
        assert_eq!(page.text, "Hello world");
    }

    let cropped = turned("/MediaBox[0 0 700 900]/CropBox[50 100 650 800]");
    assert_eq!((cropped.width, cropped.height), (600.0, 700.0));
    near(word_box(&cropped, "Hello"), [22.0, 85.0, 67.6, 104.0]);
}

#[test]
fn columns_are_read_one_after_the_other_however_they_were_drawn() {
    let left: Vec<String> = (0..9).map(|n| format!("left column line {n} with some words of text")).collect();
    let right: Vec<String> = (0..9).map(|n| format!("right column line {n} with more words")).collect();
    let line = |n: usize, side: f64| (side, 600.0 - 14.0 * n as f64, 10.0);
    let by_column: Vec<_> = left
        .iter()
        .enumerate()
        .map(|(n, t)| (line(n, 60.0), t))
        .chain(right.iter().enumerate().map(|(n, t)| (line(n, 330.0), t)))
        .collect();
    let by_row: Vec<_> = (0..9).flat_map(|n| [(line(n, 60.0), &left[n]), (line(n, 330.0), &right[n])]).collect();
    for order in [by_column, by_row] {
        let mut lines = vec![(60.0, 700.0, 18.0, "A title across both columns of the page")];
        lines.extend(order.iter().map(|((x, y, size), text)| (*x, *y, *size, text.as_str())));
        let page = one(PdfPage::new(show(&lines)));
        let at = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text} in {}", page.text));
        assert!(at("A title") < at("left column line 0"));
        assert!(at("left column line 8") < at("right column line 0"), "{}", page.text);
    }
}

#[test]
fn rows_of_a_table_stay_together() {
    let rows =
        [["Item", "Price", "Date"], ["Paper", "12.50", "1 May"], ["Ink", "7.00", "2 May"], ["Pens", "3.20", "3 May"]];
    let mut lines = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        for (x, cell) in [72.0, 250.0, 400.0].iter().zip(row) {
            lines.push((*x, 600.0 - 16.0 * n as f64, 11.0, *cell));
        }
    }
    let page = one(PdfPage::new(show(&lines)));
    let found = blocks(&page);
    assert_eq!(found[0].0, BlockKind::Table);
    assert_eq!(found[2], (BlockKind::TableRow, "Paper\t12.50\t1 May".to_owned()));
    assert_eq!(found.len(), 5);
}

#[test]
fn paragraphs_headings_and_lists_are_told_apart() {
    let page = one(PdfPage::new(show(&[
        (72.0, 720.0, 20.0, "Terms of Service"),
        (72.0, 690.0, 10.0, "This agreement is made between the parties and sets out the terms on which exam-"),
        (72.0, 678.0, 10.0, "ples are given to the customer by the supplier during the period agreed by both."),
        (72.0, 650.0, 10.0, "A second paragraph follows after a gap and says something else that matters here."),
        (72.0, 630.0, 10.0, "\u{2022} first item of the list"),
        (72.0, 618.0, 10.0, "(a) second item of the list"),
    ])));
    let found = blocks(&page);
    let kinds: Vec<BlockKind> = found.iter().map(|(kind, _)| *kind).collect();
    use BlockKind::{Heading, ListItem, Paragraph};
    assert_eq!(kinds, [Heading, Paragraph, Paragraph, ListItem, ListItem], "{found:?}");
    assert!(found[1].1.contains("on which examples are given"), "{found:?}");
    // The two halves of the word have a box each.
    near(word_box(&page, "exam"), [416.0, 94.0, 443.8, 104.0]);
}

#[test]
fn spaces_are_found_where_none_were_drawn() {
    let content = "BT /F1 10 Tf 72 700 Td [(No)-300(blanks)-280(here)] TJ 0 -30 Td (W) Tj 9.44 0 Td (ide) Tj ET";
    let page = one(PdfPage::new(content));
    assert_eq!(page.text, "No blanks here\n\nWide");
}

#[test]
fn ligatures_are_taken_apart_and_doubled_print_is_read_once() {
    // Bold by printing twice a little apart; F3 tells code a to be a letter of Hebrew, drawn from left to right as shown.
    let content = "BT /F1 12 Tf 72 700 Td (Notice) Tj 0.3 0 Td (Notice) Tj /F3 12 Tf 0 -40 Td (cba) Tj ET";
    let page = one(PdfPage::new(content));
    assert_eq!(page.text, "Notice\n\n\u{5e9}\u{5dc}\u{5de}");
}

#[test]
fn running_heads_and_page_numbers_are_marked() {
    let pages: Vec<PdfPage> = (1..=4)
        .map(|n| {
            PdfPage::new(show(&[
                (72.0, 760.0, 9.0, "Acme Corporation - Annual Report"),
                (72.0, 600.0, 10.0, &format!("What page {n} has to say is not what the others say, number {n}.")),
                (300.0, 30.0, 9.0, &format!("Page {n} of 4")),
            ]))
        })
        .collect();
    let told = read(&pdf(&pages), "x.pdf");
    assert_eq!((told.pages.len(), told.finished), (4, Some(4)));
    for page in &told.pages {
        let kinds: Vec<BlockKind> = page.blocks.iter().map(|b| b.kind).collect();
        assert_eq!(kinds, [BlockKind::Header, BlockKind::Paragraph, BlockKind::Footer], "{}", page.text);
        assert!(piece(page, &page.blocks[2]).starts_with("Page "));
    }
}

#[test]
fn pages_without_text_say_why() {
    let told = read(
        &pdf(&[
            PdfPage::new("q 612 0 0 792 0 0 cm /I1 Do Q"),
            PdfPage::new(""),
            PdfPage::new(show(&[(72.0, 700.0, 10.0, "Some text")])),
        ]),
        "scan.pdf",
    );
    assert!(matches!(&told.pages[0].outcome, PageOutcome::NeedsOcr(reason) if reason.contains("picture")));
    assert_eq!(told.pages[1].outcome, PageOutcome::Empty);
    assert_eq!(told.pages[2].outcome, PageOutcome::Text);
}

#[test]
fn damage_is_mended_or_told() {
    let sound = pdf(&[PdfPage::new(show(&[(72.0, 700.0, 10.0, "Still readable")]))]);
    let text = String::from_utf8_lossy(&sound).into_owned();
    let wrong_start = text.replace("startxref\n", "startxref\n9");
    assert_eq!(read(wrong_start.as_bytes(), "x.pdf").text(), "Still readable");
    let cut = &sound[..text.find("xref\n0").unwrap_or(0)];
    assert_eq!(read(cut, "x.pdf").text(), "Still readable");
    assert_eq!(read(b"%PDF-1.7\nnothing of a PDF follows", "x.pdf").code(), Some(FaultCode::Damaged));
    let behind = [b"job ticket\n".as_slice(), &sound].concat();
    assert_eq!(read(&behind, "x.pdf").text(), "Still readable");
}

#[test]
fn hidden_and_outside_text_does_not_stand_in_the_way() {
    // Clipped away: the reader does not see it.
    let content =
        "q 0 0 300 400 re W n BT /F1 10 Tf 72 700 Td (invisible) Tj ET Q BT /F1 10 Tf 72 600 Td (visible) Tj ET";
    assert_eq!(one(PdfPage::new(content)).text, "visible");
}

#[test]
fn titles_with_numbers_at_the_tops_of_pages_are_no_running_heads() {
    let pages: Vec<PdfPage> = (1..=4)
        .map(|n| {
            PdfPage::new(show(&[
                (72.0, 780.0, 7.0, "Exhibit 10.1"),
                (72.0, 755.0, 10.0, &format!("Schedule {n}")),
                (72.0, 725.0, 18.0, &format!("Delivery plan {n}")),
                (72.0, 600.0, 10.0, &format!("What page {n} has to say is not what the others say, number {n}.")),
                (300.0, 30.0, 9.0, &format!("Page {n} of 4")),
            ]))
        })
        .collect();
    let told = read(&pdf(&pages), "x.pdf");
    for page in &told.pages {
        let found = blocks(page);
        let kind = |text: &str| found.iter().find(|(_, own)| own.starts_with(text)).map(|(kind, _)| *kind);
        for title in ["Schedule", "Delivery plan"] {
            assert!(!matches!(kind(title), None | Some(BlockKind::Header)), "{title}: {found:?}");
        }
        assert_eq!(kind("Exhibit 10.1"), Some(BlockKind::Header), "the same on every page: {found:?}");
        assert_eq!(kind("Page "), Some(BlockKind::Footer), "{found:?}");
    }
}
