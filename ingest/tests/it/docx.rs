//! DOCX: what a reader of the document sees.

use cloister_ingest::{BlockKind, FaultCode, PageOutcome};

use crate::make::{archive, blocks, docx, read};

fn p(properties: &str, text: &str) -> String {
    format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r></w:p>")
}

const STYLES: &str = r#"
    <w:style w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
    <w:style w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
    <w:style w:styleId="Mine"><w:name w:val="My heading"/><w:basedOn w:val="H2"/></w:style>"#;

const NUMBERING: &str = r#"
    <w:abstractNum w:abstractNumId="7">
      <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
      <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>
      <w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%3)"/></w:lvl>
    </w:abstractNum>
    <w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="&#xF0B7;"/></w:lvl></w:abstractNum>
    <w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>
    <w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num>"#;

#[test]
fn headings_and_lists_carry_the_numbers_that_are_shown() {
    let item = |level: u8, text: &str| {
        p(&format!("<w:numPr><w:ilvl w:val=\"{level}\"/><w:numId w:val=\"1\"/></w:numPr>"), text)
    };
    let body = [
        p("<w:pStyle w:val=\"H1\"/>", "Definitions"),
        p("<w:pStyle w:val=\"H2\"/>", "Terms"),
        item(2, "first"),
        item(2, "second"),
        p("<w:pStyle w:val=\"Mine\"/>", "More terms"),
        item(2, "third"),
        p("<w:pStyle w:val=\"H1\"/>", "Payment"),
        p("<w:numPr><w:ilvl w:val=\"0\"/><w:numId w:val=\"2\"/></w:numPr>", "a point"),
    ]
    .concat();
    let told = read(&docx(&body, &[("styles", STYLES), ("numbering", NUMBERING)]), "x.docx");
    let expected = "1. Definitions\n\n1.1 Terms\n\n(a) first\n(b) second\n\n1.2 More terms\n\n(a) third\n\n2. Payment\n\n\u{2022} a point";
    assert_eq!(told.text(), expected);
    let levels: Vec<(BlockKind, u8)> = told.pages[0].blocks.iter().map(|b| (b.kind, b.level)).collect();
    assert_eq!(levels[0], (BlockKind::Heading, 1));
    assert_eq!(levels[1], (BlockKind::Heading, 2));
    assert_eq!(levels[2], (BlockKind::ListItem, 3));
    assert_eq!(levels[4], (BlockKind::Heading, 2));
}

#[test]
fn insertions_are_text_and_deletions_are_not() {
    let body = "<w:p><w:r><w:t>The fee is </w:t></w:r><w:del><w:r><w:delText>ten</w:delText></w:r></w:del>\
        <w:ins><w:r><w:t>twelve</w:t></w:r></w:ins><w:r><w:t> euros</w:t></w:r>\
        <w:moveFrom><w:r><w:t> moved away</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>, moved here</w:t></w:r></w:moveTo>\
        <w:r><w:rPr><w:vanish/></w:rPr><w:t> secret</w:t></w:r><w:r><w:t>.</w:t></w:r></w:p>";
    let told = read(&docx(body, &[]), "x.docx");
    assert_eq!(told.text(), "The fee is twelve euros, moved here.");
    assert_eq!(told.pages[0].problems.len(), 1, "hidden text is told");
    assert_eq!(told.pages[0].outcome, PageOutcome::Text, "what is hidden is not missing");
}

#[test]
fn tables_notes_heads_and_text_boxes_have_their_places() {
    let cell = |text: &str| format!("<w:tc>{}</w:tc>", p("", text));
    let body = format!(
        "{}<w:p><w:r><w:t>Before</w:t></w:r><w:r><w:footnoteReference w:id=\"2\"/></w:r>\
         <w:r><w:txbxContent>{}</w:txbxContent></w:r><w:r><w:t>after the box</w:t></w:r>\
         <w:r><w:commentReference w:id=\"5\"/></w:r></w:p>\
         <w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
        p("", "Opening"),
        p("", "In the box"),
        cell("Name"),
        cell("Sum"),
        cell("Rent"),
        cell("900 &amp; more")
    );
    let notes = "<w:footnote w:id=\"0\" w:type=\"separator\"><w:p/></w:footnote>\
        <w:footnote w:id=\"2\"><w:p><w:r><w:t>A footnote.</w:t></w:r></w:p></w:footnote>";
    let comments = "<w:comment w:id=\"5\" w:author=\"Ada\"><w:p><w:r><w:t>Check this.</w:t></w:r></w:p></w:comment>";
    let parts = [("footnotes", notes), ("comments", comments), ("header1", "<w:p><w:r><w:t>Draft</w:t></w:r></w:p>")];
    let told = read(&docx(&body, &parts), "x.docx");
    let found = blocks(&told.pages[0]);
    use BlockKind::{Header, Note, Paragraph, Table, TableRow};
    let expected = [
        (Header, "Draft"),
        (Paragraph, "Opening"),
        (Paragraph, "Before"),
        (Note, "A footnote."),
        (Paragraph, "In the box"),
        (Paragraph, "after the box"),
        (Note, "[Ada] Check this."),
        (Table, "Name\tSum\nRent\t900 & more"),
        (TableRow, "Name\tSum"),
        (TableRow, "Rent\t900 & more"),
    ];
    assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn hostile_packages_end_with_a_word() {
    let entities = "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"aaaaaaaa\"><!ENTITY x SYSTEM \"file:///etc/hostname\">]>\
        <w:document xmlns:w=\"x\"><w:body><w:p><w:r><w:t>safe &a;&x;</w:t></w:r></w:p></w:body></w:document>";
    let told = read(&archive(&[("word/document.xml", entities.as_bytes())]), "x.docx");
    assert_eq!(told.text(), "safe");

    let deep = format!("<w:document xmlns:w=\"x\">{}</w:document>", "<w:tbl>".repeat(5_000));
    assert_eq!(read(&archive(&[("word/document.xml", deep.as_bytes())]), "x.docx").code(), Some(FaultCode::Limit));

    let mut bomb = b"<w:document xmlns:w=\"x\"><w:p><w:r><w:t>".to_vec();
    bomb.resize(100 << 20, b' ');
    assert_eq!(read(&archive(&[("word/document.xml", &bomb)]), "x.docx").code(), Some(FaultCode::Limit));

    let broken = "<w:document xmlns:w=\"x\"><w:body><w:p><w:r><w:t>kept</w:t></w:r></w:p><w:p <<<";
    let told = read(&archive(&[("word/document.xml", broken.as_bytes())]), "x.docx");
    assert_eq!(told.text(), "kept");
    assert_eq!(told.pages[0].problems.len(), 1);

    assert!(matches!(&told.pages[0].outcome, PageOutcome::Partial(why) if why.contains("the rest")), "{told:?}");

    assert_eq!(read(b"PK\x03\x04 word/ but no archive", "x.docx").code(), Some(FaultCode::Damaged));
}

#[test]
fn parts_that_break_off_are_told_as_missing() {
    let body = "<w:p><w:r><w:t>Rent</w:t><w:footnoteReference w:id=\"2\"/></w:r></w:p>";
    let note = |text: &str| format!("<w:footnote w:id=\"2\"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:footnote>");
    let long = note("nine hundred ").replace("nine hundred ", &"<w:t>nine hundred </w:t>".repeat(2_000));
    let rows: [(&str, &str, Option<&str>); 5] = [
        ("footnotes", &note("Nine hundred."), None),
        ("footnotes", "<w:footnote w:id=\"2\"><w:p>", Some("footnotes: ")),
        ("footnotes", &long, Some("the ends of 1 ")),
        ("numbering", "<w:abstractNum <", Some("numbers of clauses")),
        ("styles", "<w:style <", None),
    ];
    for (part, xml, missing) in rows {
        let told = read(&docx(body, &[(part, xml)]), "x.docx");
        assert!(told.text().starts_with("Rent"), "{told:?}");
        match (&told.pages[0].outcome, missing) {
            (PageOutcome::Text, None) => {}
            (PageOutcome::Partial(why), Some(missing)) => assert!(why.contains(missing), "{part}: {why}"),
            (other, _) => panic!("{part}: {other:?}"),
        }
    }
    let cut = "<w:document xmlns:w=\"x\"><w:body><w:p><w:r><w:t>kept</w:t></w:r></w:p>";
    let told = read(&archive(&[("word/document.xml", cut.as_bytes())]), "x.docx");
    assert!(matches!(&told.pages[0].outcome, PageOutcome::Partial(why) if why.contains("ends within")), "{told:?}");
}

#[test]
fn cells_keep_their_columns() {
    let cell = |properties: &str, text: &str| format!("<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>", p("", text));
    let body = format!(
        "<w:tbl><w:tr>{}{}{}</w:tr><w:tr>{}{}</w:tr><w:tr><w:trPr><w:gridBefore w:val=\"1\"/></w:trPr>{}</w:tr></w:tbl>",
        cell("", ""),
        cell("", "2023"),
        cell("", "2022"),
        cell("<w:gridSpan w:val=\"2\"/>", "Both"),
        cell("", "90"),
        cell("", "later"),
    );
    assert_eq!(read(&docx(&body, &[]), "x.docx").text(), "\t2023\t2022\nBoth\t\t90\n\tlater");
}
