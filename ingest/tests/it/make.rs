//! Fixtures: files made in code, and what a reading of them tells, gathered.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use cloister_ingest::{Block, BlockKind, FaultCode, Page, ReadEvent, ReadLimits, read_in_process};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What a reading told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) format: String,
    pub(crate) title: Option<String>,
    pub(crate) announced: Option<u32>,
    pub(crate) pages: Vec<Page>,
    pub(crate) failed_pages: Vec<(u32, FaultCode)>,
    pub(crate) attachments: Vec<(String, Vec<u8>)>,
    pub(crate) fault: Option<(FaultCode, String)>,
    pub(crate) finished: Option<u32>,
}

impl Told {
    pub(crate) fn take(&mut self, event: ReadEvent) {
        assert!(self.fault.is_none() && self.finished.is_none(), "nothing comes after the end: {event:?}");
        match event {
            ReadEvent::Started { format, pages, title } => {
                self.format = format;
                self.announced = pages;
                self.title = title;
            }
            ReadEvent::Page(page) => self.pages.push(page),
            ReadEvent::PageFailed { page, code, .. } => self.failed_pages.push((page, code)),
            ReadEvent::Attachment { name, bytes } => self.attachments.push((name, bytes)),
            ReadEvent::Failed { code, message } => self.fault = Some((code, message)),
            ReadEvent::Finished { pages } => self.finished = Some(pages),
        }
    }

    /// The text of the only page.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.pages.len(), 1, "{self:?}");
        &self.pages[0].text
    }

    pub(crate) fn code(&self) -> Option<FaultCode> {
        self.fault.as_ref().map(|(code, _)| *code)
    }
}

/// Reads bytes within this process.
pub(crate) fn read(bytes: &[u8], name: &str) -> Told {
    read_with(bytes, name, &ReadLimits::default())
}

pub(crate) fn read_with(bytes: &[u8], name: &str, limits: &ReadLimits) -> Told {
    let mut told = Told::default();
    read_in_process(bytes, name, limits, &mut |event| told.take(event));
    assert!(told.fault.is_some() != told.finished.is_some(), "one end: {told:?}");
    told
}

/// The text of a block.
pub(crate) fn piece(page: &Page, block: &Block) -> String {
    page.text.chars().skip(block.start as usize).take((block.end - block.start) as usize).collect()
}

/// Kind and text of each block.
pub(crate) fn blocks(page: &Page) -> Vec<(BlockKind, String)> {
    page.blocks.iter().map(|b| (b.kind, piece(page, b))).collect()
}

/// A PDF page: its content stream and what its dictionary says beside.
pub(crate) struct PdfPage {
    pub(crate) content: String,
    pub(crate) extra: String,
}

impl PdfPage {
    pub(crate) fn new(content: impl Into<String>) -> PdfPage {
        PdfPage { content: content.into(), extra: String::new() }
    }
}

/// A PDF with the fonts F1 (Helvetica) and F2 (Helvetica-Bold) on pages of 612 x 792 points.
pub(crate) fn pdf(pages: &[PdfPage]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len()).map(|n| format!("{} 0 R", 10 + 2 * n)).collect();
    let kids = kids.join(" ");
    let mut objects = vec![
        (1, "<</Type/Catalog/Pages 2 0 R>>".to_owned()),
        (2, format!("<</Type/Pages/Count {}/Kids[{kids}]>>", pages.len())),
        (3, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_owned()),
        (4, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>".to_owned()),
        (5, "<</Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray/Length 1>>\nstream\n\u{7f}\nendstream".to_owned()),
        (6, format!("<</Length {}>>\nstream\n{HEBREW}\nendstream", HEBREW.len())),
        (7, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding/ToUnicode 6 0 R>>".to_owned()),
    ];
    for (n, page) in pages.iter().enumerate() {
        let (id, stream) = (10 + 2 * n, 11 + 2 * n);
        let resources = "/Resources<</Font<</F1 3 0 R/F2 4 0 R/F3 7 0 R>>/XObject<</I1 5 0 R>>>>";
        let size = if page.extra.contains("/MediaBox") { "" } else { "/MediaBox[0 0 612 792]" };
        objects.push((id, format!("<</Type/Page/Parent 2 0 R{size}{resources}/Contents {stream} 0 R{}>>", page.extra)));
        objects.push((stream, format!("<</Length {}>>\nstream\n{}\nendstream", page.content.len(), page.content)));
    }
    assemble(&objects)
}

/// Codes a, b, c are the Hebrew letters shin, lamed, mem.
const HEBREW: &str = "/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <00> <ff> endcodespacerange\n3 beginbfchar <61> <05e9> <62> <05dc> <63> <05de> endbfchar endcmap end end";

fn assemble(objects: &[(usize, String)]) -> Vec<u8> {
    let mut out = String::from("%PDF-1.7\n");
    let most = objects.iter().map(|(id, _)| *id).max().unwrap_or(0);
    let mut offsets = vec![0; most + 1];
    for (id, body) in objects {
        offsets[*id] = out.len();
        write!(out, "{id} 0 obj\n{body}\nendobj\n").expect("a string takes all text");
    }
    let xref = out.len();
    write!(out, "xref\n0 {}\n", most + 1).expect("a string takes all text");
    for (id, offset) in offsets.iter().enumerate() {
        let kind = if *offset == 0 { "65535 f" } else { "00000 n" };
        let offset = if id == 0 { 0 } else { *offset };
        writeln!(out, "{offset:010} {kind} ").expect("a string takes all text");
    }
    write!(out, "trailer\n<</Size {}/Root 1 0 R>>\nstartxref\n{xref}\n%%EOF\n", most + 1)
        .expect("a string takes all text");
    out.into_bytes()
}

/// Content that shows lines at places: x, y from the bottom, size, text.
pub(crate) fn show(lines: &[(f64, f64, f64, &str)]) -> String {
    let mut out = String::from("BT\n");
    for (x, y, size, text) in lines {
        let text = text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)").replace('\u{2022}', "\\225");
        writeln!(out, "/F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj").expect("a string takes all text");
    }
    out + "ET"
}

/// A zip archive of these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a vector takes all bytes");
        writer.write_all(bytes).expect("a vector takes all bytes");
    }
    writer.finish().expect("a vector takes all bytes").into_inner()
}

/// A DOCX whose body is this XML, with parts beside.
pub(crate) fn docx(body: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let space = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";
    let document = format!("<?xml version=\"1.0\"?><w:document {space}><w:body>{body}</w:body></w:document>");
    let kinds = ["styles", "numbering", "footnotes", "comments", "header1", "footer1"];
    let relations: Vec<String> = kinds
        .iter()
        .map(|name| {
            let kind = name.trim_end_matches('1');
            format!("<Relationship Id=\"{name}\" Type=\"http://x/{kind}\" Target=\"{name}.xml\"/>")
        })
        .collect();
    let relations = format!("<Relationships>{}</Relationships>", relations.concat());
    let root = "<Relationships><Relationship Id=\"r\" Type=\"http://x/officeDocument\" Target=\"word/document.xml\"/></Relationships>";
    let wrapped: Vec<(String, String)> = parts
        .iter()
        .map(|(name, xml)| (format!("word/{name}.xml"), format!("<w:{name} {space}>{xml}</w:{name}>")))
        .collect();
    let mut files: Vec<(&str, &[u8])> = vec![
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", root.as_bytes()),
        ("word/_rels/document.xml.rels", relations.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ];
    files.extend(wrapped.iter().map(|(name, xml)| (name.as_str(), xml.as_bytes())));
    archive(&files)
}
