//! What travels over the pipe from the child: a kind, a length, and so many bytes. Nothing in it is trusted.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::event::{FaultCode, ReadEvent, ReadLimits};
use crate::page::Page;

/// Longest message that is not a page or an attachment.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Longest name of an attachment.
const NAME_BYTES_MAX: usize = 1024;
/// Longest frame of a page for each byte of text that it may hold: words travel with boxes.
const PAGE_BYTES_PER_TEXT_BYTE: u64 = 24;

/// A message from the child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// The fences are up; what is missing of them.
    Ready { warnings: Vec<String> },
    /// The format is known.
    Started { format: String, pages: Option<u32>, title: Option<String> },
    /// A page begins.
    Begins { page: u32 },
    /// A page could not be read.
    PageFailed { page: u32, code: FaultCode, message: String },
    /// The file could not be read.
    Failed { code: FaultCode, message: String },
    /// The end.
    Finished { pages: u32 },
}

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// A short message.
    Note(Note),
    /// A page.
    Page(Box<Page>),
    /// An attachment.
    Attachment { name: String, bytes: Vec<u8> },
}

const KIND_NOTE: u8 = 1;
const KIND_PAGE: u8 = 2;
const KIND_ATTACHMENT: u8 = 3;

/// Longest page frame under these limits.
pub(super) fn page_bytes_max(limits: &ReadLimits) -> u64 {
    limits.page_text_bytes_max.saturating_mul(PAGE_BYTES_PER_TEXT_BYTE).saturating_add(NOTE_BYTES_MAX)
}

/// Writes an event as a frame. A page that is too long for a frame is reported as failed instead.
pub(super) fn write_event(out: &mut dyn Write, event: ReadEvent, limits: &ReadLimits) -> io::Result<()> {
    match event {
        ReadEvent::Started { format, pages, title } => write_note(out, &Note::Started { format, pages, title }),
        ReadEvent::Page(page) => {
            let body = serde_json::to_vec(&page)?;
            if body.len() as u64 > page_bytes_max(limits) {
                let message = "the page's text and boxes are longer than allowed".to_owned();
                return write_note(out, &Note::PageFailed { page: page.number, code: FaultCode::Limit, message });
            }
            write_frame(out, KIND_PAGE, &body)
        }
        ReadEvent::PageFailed { page, code, message } => write_note(out, &Note::PageFailed { page, code, message }),
        ReadEvent::Attachment { name, bytes } => {
            let cut = name.char_indices().map(|(at, _)| at).find(|at| *at >= NAME_BYTES_MAX - 4).unwrap_or(name.len());
            let name = &name.as_bytes()[..cut];
            let mut body = Vec::with_capacity(4 + name.len() + bytes.len());
            body.extend((name.len() as u32).to_le_bytes());
            body.extend(name);
            body.extend(bytes);
            write_frame(out, KIND_ATTACHMENT, &body)
        }
        ReadEvent::Failed { code, message } => write_note(out, &Note::Failed { code, message }),
        ReadEvent::Finished { pages } => write_note(out, &Note::Finished { pages }),
    }
}

/// Writes a short message.
pub(super) fn write_note(out: &mut dyn Write, note: &Note) -> io::Result<()> {
    write_frame(out, KIND_NOTE, &serde_json::to_vec(note)?)
}

fn write_frame(out: &mut dyn Write, kind: u8, body: &[u8]) -> io::Result<()> {
    out.write_all(&[kind])?;
    out.write_all(&(body.len() as u64).to_le_bytes())?;
    out.write_all(body)?;
    out.flush()
}

/// Reads the next frame; `None` at the end of the pipe. Anything that is not a frame within the limits is an error.
pub(super) fn read_frame(input: &mut dyn Read, limits: &ReadLimits) -> io::Result<Option<Frame>> {
    let mut kind = [0_u8];
    if input.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut length = [0_u8; 8];
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let most = match kind[0] {
        KIND_NOTE => NOTE_BYTES_MAX,
        KIND_PAGE => page_bytes_max(limits),
        KIND_ATTACHMENT => limits.attachment_bytes_max.saturating_add(NAME_BYTES_MAX as u64 + 4),
        _ => return Err(odd("a frame of no known kind")),
    };
    if length > most {
        return Err(odd("a frame longer than allowed"));
    }
    // The bytes are taken as they come, so that a lying length reserves nothing.
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match kind[0] {
        KIND_NOTE => Ok(Some(Frame::Note(serde_json::from_slice(&body)?))),
        KIND_PAGE => Ok(Some(Frame::Page(Box::new(sound(serde_json::from_slice(&body)?, limits)?)))),
        _ => attachment(&body).map(Some),
    }
}

fn attachment(body: &[u8]) -> io::Result<Frame> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or_else(|| odd("an attachment without a name"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let name = rest.get(..length).filter(|name| name.len() <= NAME_BYTES_MAX);
    let name =
        name.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| odd("an attachment's name is broken"))?;
    Ok(Frame::Attachment { name: name.to_owned(), bytes: rest[length..].to_vec() })
}

/// Checks what others rely on: offsets within the text and in order, finite boxes, lengths within the limits.
fn sound(page: Page, limits: &ReadLimits) -> io::Result<Page> {
    let chars = page.chars();
    let within = |start: u32, end: u32| start <= end && end <= chars;
    let finite = |edges: &[f32]| edges.iter().all(|edge| edge.is_finite());
    let blocks = page.blocks.iter().all(|b| within(b.start, b.end) && b.bounds.is_none_or(|edges| finite(&edges)));
    let words = page.words.iter().all(|w| within(w.start, w.end) && finite(&[w.x0, w.y0, w.x1, w.y1]));
    let sorted = page.words.is_sorted_by_key(|w| w.start);
    let sized = page.text.len() as u64 <= limits.page_text_bytes_max && finite(&[page.width, page.height]);
    if !(blocks && words && sorted && sized && (1..=limits.pages_max).contains(&page.number)) {
        return Err(odd("a page whose parts do not fit together"));
    }
    Ok(page)
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Block, BlockKind, WordBox};

    fn page() -> Page {
        let mut page = Page::flowing(3, "Zwölf Wörter".to_owned(), Vec::new());
        page.blocks.push(Block {
            kind: BlockKind::Paragraph,
            level: 0,
            start: 0,
            end: 12,
            bounds: Some([0.0, 1.0, 2.5, 3.0]),
        });
        page.words.push(WordBox { start: 0, end: 5, x0: 0.1, y0: 0.2, x1: 0.3, y1: 0.4 });
        page
    }

    #[test]
    fn frames_come_back_as_they_went() {
        let limits = ReadLimits::default();
        let events = [
            ReadEvent::Started { format: "pdf".to_owned(), pages: Some(3), title: Some("Ein Titel".to_owned()) },
            ReadEvent::Page(page()),
            ReadEvent::Attachment { name: "plan.pdf".to_owned(), bytes: vec![0, 255, 10] },
            ReadEvent::Finished { pages: 3 },
        ];
        let mut pipe = Vec::new();
        for event in events {
            write_event(&mut pipe, event, &limits).expect("a vector takes all bytes");
        }
        let mut input = pipe.as_slice();
        let mut frames = Vec::new();
        while let Some(frame) = read_frame(&mut input, &limits).expect("what was written can be read") {
            frames.push(frame);
        }
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[1], Frame::Page(Box::new(page())));
        assert_eq!(frames[2], Frame::Attachment { name: "plan.pdf".to_owned(), bytes: vec![0, 255, 10] });
    }

    #[test]
    fn odd_frames_are_refused() {
        let limits = ReadLimits { page_text_bytes_max: 100, ..ReadLimits::default() };
        let mut beyond = page();
        beyond.blocks[0].end = 13;
        let mut long = page();
        long.text = "x".repeat(101);
        let frame = |kind: u8, body: &[u8]| {
            let mut out = Vec::new();
            write_frame(&mut out, kind, body).expect("a vector takes all bytes");
            out
        };
        let json = |page: &Page| serde_json::to_vec(page).expect("a page can be written");
        let mut lying = frame(KIND_NOTE, b"{}");
        lying[1..9].copy_from_slice(&u64::MAX.to_le_bytes());
        let rows: [(&str, Vec<u8>); 7] = [
            ("offset past the text", frame(KIND_PAGE, &json(&beyond))),
            ("more text than allowed", frame(KIND_PAGE, &json(&long))),
            ("lying length", lying),
            ("unknown kind", frame(9, b"")),
            ("not JSON", frame(KIND_NOTE, b"\xff\xfe")),
            ("cut short", frame(KIND_PAGE, &json(&page()))[..40].to_vec()),
            ("attachment without name", frame(KIND_ATTACHMENT, &[9, 0, 0, 0, b'x'])),
        ];
        for (what, bytes) in rows {
            assert!(read_frame(&mut bytes.as_slice(), &limits).is_err(), "{what}");
        }
    }
}
