//! Reading a file in this process: the dispatch by format. The child calls this; tests and fuzzing do too.

use crate::detect::{Format, detect};
use crate::event::{FaultCode, ReadEvent, ReadLimits};
use crate::page::{Block, BlockKind, Page};

/// Reads a file within this process, without the fences of the reader child.
///
/// For tests and fuzzing, and for the child itself. Ends with `Finished` or `Failed`. Limits of time and memory are not
/// kept here, those of pages, text and attachments are.
pub fn read_in_process(bytes: &[u8], name: &str, limits: &ReadLimits, on_event: &mut dyn FnMut(ReadEvent)) {
    let format = detect(bytes, name);
    on_event(ReadEvent::Started { format: format.as_str().to_owned(), pages: None, title: None });
    if bytes.len() as u64 > limits.file_bytes_max || format != Format::Text {
        let message = format!("{} is not read yet", format.as_str());
        on_event(ReadEvent::Failed { code: FaultCode::Unsupported, message });
        return;
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let end = text.chars().count() as u32;
    let block = Block { kind: BlockKind::Paragraph, level: 0, start: 0, end, bounds: None };
    on_event(ReadEvent::Page(Page::flowing(1, text, vec![block])));
    on_event(ReadEvent::Finished { pages: 1 });
}
