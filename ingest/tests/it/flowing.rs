//! HTML, Markdown, plain text, and what a file is.

use cloister_ingest::{BlockKind, FaultCode, Format, PageOutcome, detect};

use crate::make::{archive, blocks, piece, read};

#[test]
fn plain_text_is_the_files_own_in_any_encoding() {
    let utf16: Vec<u8> = "Grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [b"\xff\xfe".to_vec(), utf16.clone()].concat();
    let long_utf16: Vec<u8> = "plain words, then more".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let rows: [(&[u8], &str); 7] = [
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("Grüße, 中文".as_bytes(), "Grüße, 中文"),
        (b"\xef\xbb\xbfmarked", "marked"),
        (&marked, "Grüße"),
        (&long_utf16, "plain words, then more"),
        (
            b"Die Stra\xdfe ist f\xfcr alle da, und die Gr\xfc\xdfe auch.",
            "Die Straße ist für alle da, und die Grüße auch.",
        ),
        (b"\x93\xfa\x96{\x8c\xea\x82\xcc\x95\xb6\x8f\xcd\x82\xc5\x82\xb7\x81B", "日本語の文章です。"),
    ];
    for (bytes, expected) in rows {
        let told = read(bytes, "x.txt");
        assert_eq!(told.text(), expected);
        assert_eq!(told.format, "text");
    }
}

#[test]
fn empty_lines_part_paragraphs() {
    let told = read("  Erster\nAbsatz\n\n\nZweiter é Absatz  \n".as_bytes(), "x.txt");
    let found = blocks(&told.pages[0]);
    assert_eq!(
        found,
        [(BlockKind::Paragraph, "Erster\nAbsatz".to_owned()), (BlockKind::Paragraph, "Zweiter é Absatz".to_owned())]
    );
}

#[test]
fn html_shows_what_a_reader_sees() {
    let page = "<!DOCTYPE html><html><head><title>A &amp; B</title><style>p{}</style></head><body><h2>Part<br>one</h2>\
        <p>Some <b>bold</b>\n text.<script>alert(1)</script></p><p hidden>not this</p>\
        <ol start=3><li>three<ul><li>inner</li></ul></li><li>four</li></ol>\
        <table><tr><th>K</th><th>V</th></tr><tr><td>a</td><td><p>b</p><p>c</p></td></tr></table><pre>x\n  y</pre>";
    let told = read(page.as_bytes(), "x.html");
    assert_eq!(told.title.as_deref(), Some("A & B"));
    let expected =
        "A & B\n\nPart\none\n\nSome bold text.\n\n3. three\n\u{2022} inner\n4. four\n\nK\tV\na\tb c\n\nx\n  y";
    assert_eq!(told.text(), expected);
    let kinds: Vec<BlockKind> = told.pages[0].blocks.iter().map(|b| b.kind).collect();
    use BlockKind::{Code, Heading, ListItem, Paragraph, Table, TableRow};
    assert_eq!(kinds, [Heading, Heading, Paragraph, ListItem, ListItem, ListItem, Table, TableRow, TableRow, Code]);
}

#[test]
fn html_declares_its_encoding() {
    let page = b"<html><head><meta charset=windows-1252></head><body>caf\xe9 \x80 5</body></html>";
    assert_eq!(read(page, "x").text(), "caf\u{e9} \u{20ac} 5");
}

#[test]
fn html_that_nests_or_sprawls_without_end_is_refused() {
    let deep = format!("<html><body>{}", "<div>".repeat(50_000));
    assert_eq!(read(deep.as_bytes(), "x.html").code(), Some(FaultCode::Limit));
    let sprawling = format!("<html><body {}>", "abcdefgh=1 ".repeat(60_000));
    assert_eq!(read(sprawling.as_bytes(), "x.html").code(), Some(FaultCode::Limit));
    let inner = format!("<html><body><p>above</p>{}below", "<div>".repeat(5_000));
    let told = read(inner.as_bytes(), "x.html");
    assert_eq!(told.text(), "above");
    assert!(matches!(&told.pages[0].outcome, PageOutcome::Partial(why) if why.contains("deeper")));
    let flat = format!("<html><body>{}", "<p>x".repeat(20_000));
    assert_eq!(read(flat.as_bytes(), "x.html").pages.len(), 1);
}

#[test]
fn markdown_keeps_its_source_and_tells_its_blocks() {
    let source = "# Tïtle\n\nText with *stress*.\n\n- one\n- two\n  - inner\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n";
    let told = read(source.as_bytes(), "x.md");
    assert_eq!(told.text(), source);
    assert_eq!(told.title.as_deref(), Some("Tïtle"));
    let page = &told.pages[0];
    let kinds: Vec<(BlockKind, u8)> = page.blocks.iter().map(|b| (b.kind, b.level)).collect();
    use BlockKind::{Code, Heading, ListItem, Paragraph, Table, TableRow};
    assert_eq!(
        kinds,
        [
            (Heading, 1),
            (Paragraph, 0),
            (ListItem, 1),
            (ListItem, 1),
            (ListItem, 2),
            (Table, 0),
            (TableRow, 0),
            (TableRow, 0),
            (Code, 0)
        ]
    );
    assert_eq!(piece(page, &page.blocks[7]), "| 1 | 2 |");
}

#[test]
fn files_are_told_by_their_bytes() {
    let sheet = archive(&[("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<x/>")]);
    let word = archive(&[("word/document.xml", b"<x/>")]);
    let mut sealed = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    sealed.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    let rows: [(&[u8], &str, Format); 27] = [
        (b"%PDF-1.4 ...", "letter.docx", Format::Pdf),
        (&word, "letter.pdf", Format::Docx),
        (&sheet, "letter.docx", Format::Unsupported("a spreadsheet (XLSX)")),
        (&sealed, "letter.docx", Format::Sealed),
        (b"<!-- hi --><!doctype HTML><p>x", "a.txt", Format::Html),
        (b"<html><body>", "a.md", Format::Html),
        (b"From: a@example.org\r\nSubject: hi\r\n\r\ntext", "a.EML", Format::Mail),
        (b"From: a@example.org\r\nSubject: hi\r\n\r\ntext", "a.txt", Format::Text),
        (b"From: a@example.org\r\nSubject: hi\r\nMIME-Version: 1.0\r\n\r\ntext", "a.txt", Format::Mail),
        (b"GGUF is a file format.", "a.txt", Format::Text),
        (b"ID3 tags, explained", "a.txt", Format::Text),
        (b"BZh!", "a.txt", Format::Text),
        (b"Rar! said the lion.", "a.txt", Format::Text),
        (b"RIFF and raff, ftyp", "a.txt", Format::Text),
        (b"GGUF\x03\0\0\0\x10", "a.txt", Format::Unsupported("a language model")),
        (b"Rar!\x1a\x07\x01\0", "a.txt", Format::Unsupported("a RAR archive")),
        (b"OggS\0\x02", "a.txt", Format::Unsupported("sound")),
        (b"From: here to there\nis a long way: that is a text", "a.eml", Format::Text),
        (b"# heading", "A.MD", Format::Markdown),
        (b"# heading", "a.txt", Format::Text),
        (b"\x89PNG\r\n\x1a\n", "a.pdf", Format::Unsupported("a PNG image")),
        (b"{\\rtf1 x}", "a.txt", Format::Unsupported("rich text (RTF)")),
        (b"", "a.pdf", Format::Empty),
        (b" \r\n\t", "a.txt", Format::Empty),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04", "a.txt", Format::Unsupported("binary data")),
        (
            b"\x10\x00\x27\x00\xe8\x03\x05\x00\x01\x00\x07\x00\x0b\x00\x02\x00",
            "a.txt",
            Format::Unsupported("binary data"),
        ),
        (b"R\x00e\x00n\x00t\x00 \x00i\x00s\x00 \x00d\x00u\x00e\x00.\x00", "a.txt", Format::Text),
    ];
    for (bytes, name, expected) in rows {
        assert_eq!(detect(bytes, name), expected, "{name}");
    }
    assert_eq!(read(&sealed, "x.docx").code(), Some(FaultCode::Encrypted));
    assert_eq!(read(b"", "x.txt").code(), Some(FaultCode::Empty));
    assert_eq!(read(&sheet, "x.txt").code(), Some(FaultCode::Unsupported));
}

#[test]
fn html_cells_keep_their_columns() {
    let page = "<html><body><table><tr><td></td><th>2023<th>2022</tr><tr><td>Revenue<td>100<td>90</tr>\
        <tr><td colspan=2>Both<td>x</tr></table>";
    assert_eq!(read(page.as_bytes(), "x.html").text(), "\t2023\t2022\nRevenue\t100\t90\nBoth\t\tx");
}
