//! Plain text in any common encoding.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::page::{Block, BlockKind, Page};
use crate::read::{Fault, Sink};

/// Bytes looked at to tell the encoding.
const SAMPLE: usize = 1 << 20;

/// Reads a plain text file: one page whose text is the file's.
pub(crate) fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    let text = unix_lines(&decode(bytes));
    if !sink.begin_page(1)? {
        return Ok(());
    }
    let blocks = paragraphs(&text);
    sink.page(Page::flowing(1, text, blocks))
}

/// Bytes as Unicode: by their byte order mark, as UTF-8 where they are that, as UTF-16 by its pattern, else by guess.
pub(crate) fn decode(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if !bytes.contains(&0)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    guess(bytes).decode_without_bom_handling(bytes).0.into_owned()
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let half = sample.len() / 2;
    if half >= 2 && zeros(1) * 3 > half && zeros(0) * 20 < half {
        return UTF_16LE;
    }
    if half >= 2 && zeros(0) * 3 > half && zeros(1) * 20 < half {
        return UTF_16BE;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, sample.len() == bytes.len());
    let found = detector.guess(None, Utf8Detection::Deny);
    if found == UTF_8 { encoding_rs::WINDOWS_1252 } else { found }
}

/// Line ends as LF.
pub(crate) fn unix_lines(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// Blocks of a plain text: stretches between empty lines.
pub(crate) fn paragraphs(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = 0;
    let mut open: Option<(u32, u32)> = None;
    for line in text.split_inclusive('\n') {
        let length = line.chars().count() as u32;
        let body = line.trim();
        if body.is_empty() {
            close(&mut open, &mut blocks);
        } else {
            let lead = line.chars().take_while(|c| c.is_whitespace()).count() as u32;
            let end = at + lead + body.chars().count() as u32;
            open = Some((open.map_or(at + lead, |(start, _)| start), end));
        }
        at += length;
    }
    close(&mut open, &mut blocks);
    blocks
}

fn close(open: &mut Option<(u32, u32)>, blocks: &mut Vec<Block>) {
    if let Some((start, end)) = open.take() {
        blocks.push(Block { kind: BlockKind::Paragraph, level: 0, start, end, bounds: None });
    }
}
