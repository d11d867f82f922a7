//! What a file is, told from its bytes. Names only break ties between kinds of plain text.

use std::io::Cursor;

use encoding_rs::{UTF_16BE, UTF_16LE};
use zip::ZipArchive;

/// Bytes looked at from the beginning of a file.
const HEAD: usize = 4096;
/// How far into a file the mark of a PDF may stand.
const PDF_MARK_WITHIN: usize = 8192;
/// Most header lines looked at to tell a mail.
const MAIL_LINES: usize = 60;

/// A format, or the name of one that is recognised but not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Document Format.
    Pdf,
    /// Office Open XML word processing.
    Docx,
    /// HTML, also without a declaration.
    Html,
    /// Markdown; told from plain text by the name alone.
    Markdown,
    /// Plain text in any encoding.
    Text,
    /// An Internet message; without the fields that only programs write, told by the name.
    Mail,
    /// An Office document whose contents are sealed with a password.
    Sealed,
    /// Nothing but white space, or not even that.
    Empty,
    /// Something else; what, in words.
    Unsupported(&'static str),
}

impl Format {
    /// Short name, as [`crate::ReadEvent::Started`] gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Pdf => "pdf",
            Format::Docx => "docx",
            Format::Html => "html",
            Format::Markdown => "markdown",
            Format::Text => "text",
            Format::Mail => "mail",
            Format::Sealed => "office",
            Format::Empty => "empty",
            Format::Unsupported(what) => what,
        }
    }
}

/// Tells the format of a file from its bytes; `name` only decides between Markdown, plain text, and mail that may be a memo.
pub fn detect(bytes: &[u8], name: &str) -> Format {
    let head = &bytes[..bytes.len().min(HEAD)];
    if find(&bytes[..bytes.len().min(PDF_MARK_WITHIN)], b"%PDF-").is_some_and(|at| at == 0 || is_pdf_body(bytes)) {
        return Format::Pdf;
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return in_zip(bytes);
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return in_compound(bytes);
    }
    if let Some(what) = by_magic(head) {
        return Format::Unsupported(what);
    }
    if bytes.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
        return Format::Empty;
    }
    if is_binary(head) {
        return Format::Unsupported("binary data");
    }
    let start = readable(head);
    if is_html(&start) {
        return Format::Html;
    }
    let lower = name.to_lowercase();
    if is_mail(&start, lower.rsplit_once('.').is_some_and(|(_, ending)| ending == "eml")) {
        return Format::Mail;
    }
    let markdown = [".md", ".markdown", ".mdown", ".mkd"].iter().any(|end| lower.ends_with(end));
    if markdown { Format::Markdown } else { Format::Text }
}

/// Whether bytes hold what every PDF ends with, looked for near the end.
fn is_pdf_body(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(4 * HEAD)..];
    find(tail, b"startxref").is_some() || find(tail, b"endobj").is_some()
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Bytes among which a file whose mark is made of letters alone must have one that no text has.
const MAGIC_WITHIN: usize = 64;

const MAGIC: [(&[u8], &str); 20] = [
    (b"{\\rtf", "rich text (RTF)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"%!PS", "PostScript"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"GGUF", "a language model"),
    (b"ID3", "sound"),
    (b"OggS", "sound"),
];

fn by_magic(head: &[u8]) -> Option<&'static str> {
    let binary = head[..head.len().min(MAGIC_WITHIN)].iter().any(|b| is_control(*b));
    if binary && head.starts_with(b"RIFF") {
        return Some(if head.get(8..12) == Some(b"WEBP") { "a WebP image" } else { "sound or film" });
    }
    if binary && head.get(4..8) == Some(b"ftyp") {
        return Some("film");
    }
    // A bitmap has zeros in its header where text has none; a note may begin with the letters of other marks.
    let (magic, what) = *MAGIC.iter().find(|(magic, _)| head.starts_with(magic))?;
    let sure = match magic {
        b"BM" => head.get(6..10) == Some(&[0; 4]),
        b"GIF8" | b"Rar!" | b"BZh" | b"GGUF" | b"ID3" | b"OggS" => binary,
        _ => true,
    };
    sure.then_some(what)
}

/// Whether a byte stands in no text: a control character other than blanks, line ends and the escape of old encodings.
fn is_control(byte: u8) -> bool {
    byte < 9 || (14..27).contains(&byte) || (28..32).contains(&byte)
}

fn in_zip(bytes: &[u8]) -> Format {
    let Ok(archive) = ZipArchive::new(Cursor::new(bytes)) else {
        // An archive whose directory is broken is told by the names at its entries.
        let docx = find(&bytes[..bytes.len().min(1 << 16)], b"word/").is_some();
        return if docx { Format::Docx } else { Format::Unsupported("a damaged zip archive") };
    };
    let has = |start: &str| archive.file_names().filter_map(Result::ok).any(|name| name.starts_with(start));
    if has("word/document") || (has("word/") && has("[Content_Types].xml")) {
        Format::Docx
    } else if has("xl/") {
        Format::Unsupported("a spreadsheet (XLSX)")
    } else if has("ppt/") {
        Format::Unsupported("a presentation (PPTX)")
    } else if has("mimetype") {
        Format::Unsupported("an OpenDocument or EPUB file")
    } else {
        Format::Unsupported("a zip archive")
    }
}

fn in_compound(bytes: &[u8]) -> Format {
    let wide = |name: &str| -> Vec<u8> { name.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let holds = |name: &str| find(bytes, &wide(name)).is_some();
    if holds("EncryptedPackage") {
        Format::Sealed
    } else if holds("WordDocument") {
        Format::Unsupported("an old Word document (DOC)")
    } else if holds("Workbook") || holds("Book") {
        Format::Unsupported("an old spreadsheet (XLS)")
    } else if holds("PowerPoint Document") {
        Format::Unsupported("an old presentation (PPT)")
    } else if holds("__properties_version1.0") {
        Format::Unsupported("an Outlook message (MSG)")
    } else {
        Format::Unsupported("a compound file")
    }
}

/// Whether bytes are neither text in a common encoding nor UTF-16.
fn is_binary(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return false;
    }
    let odd = head.iter().filter(|b| is_control(**b)).count();
    let zeros = head.iter().filter(|b| matches!(b, 0)).count();
    (odd * 20 > head.len() || zeros * 100 > head.len()) && !is_wide(head)
}

/// Whether bytes without a byte order mark read as UTF-16: zeros on one side only, and sound text without control characters.
fn is_wide(head: &[u8]) -> bool {
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let half = head.len() / 2;
    let encoding = match (zeros(0), zeros(1)) {
        (few, many) if many * 3 > half && few * 20 < half => UTF_16LE,
        (many, few) if many * 3 > half && few * 20 < half => UTF_16BE,
        _ => return false,
    };
    let text = encoding.decode_without_bom_handling(&head[..half * 2]).0;
    let strange = text.chars().filter(|c| (c.is_control() && !c.is_whitespace()) || *c == char::REPLACEMENT_CHARACTER);
    // The last character may be cut in two.
    strange.count() <= 1 + half / 200
}

/// The beginning of a text, whatever its encoding, in lower case, for looking at only.
fn readable(head: &[u8]) -> String {
    let bytes: Vec<u8> = head.iter().copied().filter(|b| *b != 0).collect();
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    text.trim_start_matches(['\u{feff}', '\u{fffd}']).trim_start().to_owned()
}

fn is_html(start: &str) -> bool {
    let mut text = start;
    loop {
        let end = if text.starts_with("<!--") {
            text.find("-->").map(|at| at + 3)
        } else if text.starts_with("<?xml") {
            text.find("?>").map(|at| at + 2)
        } else {
            None
        };
        match end {
            Some(end) => text = text[end..].trim_start(),
            None => break,
        }
    }
    let opens = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<title",
        "<meta",
        "<table",
        "<div",
        "<p>",
        "<h1",
        "<script",
        "<style",
    ];
    if opens.iter().any(|open| text.starts_with(open)) {
        return true;
    }
    text.starts_with('<') && (text.contains("<html") || text.contains("<body"))
}

const MAIL_FIELDS: [&str; 14] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "received",
    "message-id",
    "mime-version",
    "return-path",
    "delivered-to",
    "reply-to",
    "content-type",
    "sender",
    "x-mailer",
];

/// Fields that programs write and people do not type above a memo.
const WRITTEN_FIELDS: [&str; 6] =
    ["received", "message-id", "mime-version", "return-path", "delivered-to", "content-type"];

/// Whether a text begins with the header of a message: known fields and nothing else before the first empty line. One of them
/// must be of those that programs write, unless the file is `named` as a message: memos begin with "To:" and "From:" as well.
fn is_mail(start: &str, named: bool) -> bool {
    let (mut known, mut written) = (0, named);
    for (nth, line) in start.lines().take(MAIL_LINES).enumerate() {
        if line.trim().is_empty() {
            break;
        }
        // Folded lines go on; the separator line of a mailbox file may come first.
        if nth > 0 && line.starts_with([' ', '\t']) || nth == 0 && line.starts_with("from ") {
            continue;
        }
        let Some((field, _)) = line.split_once(':') else { return false };
        let sound = !field.is_empty() && field.trim_end().bytes().all(|b| b.is_ascii_graphic());
        if !sound {
            return false;
        }
        known += usize::from(MAIL_FIELDS.contains(&field.trim()));
        written |= WRITTEN_FIELDS.contains(&field.trim());
    }
    known >= 2 && written
}
