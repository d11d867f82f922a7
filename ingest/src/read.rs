//! Reading a file in this process: the dispatch by format. The child calls this; tests and fuzzing do too.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::detect::{Format, detect};
use crate::event::{FaultCode, ReadEvent, ReadLimits};
use crate::page::Page;

/// Most problems kept of a page.
const PROBLEMS_MAX: usize = 30;

/// Why a reader stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: FaultCode,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into() }
    }
}

/// Which pages of a file to read; a child that follows one that broke down leaves out what was read or broke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection {
    /// Pages before this one are left out.
    pub(crate) first: u32,
    /// These are left out too.
    pub(crate) skipped: BTreeSet<u32>,
}

/// Where format readers put what they read; keeps the limits of pages and text.
pub(crate) struct Sink<'s> {
    limits: &'s ReadLimits,
    selection: &'s Selection,
    format: &'static str,
    started: bool,
    pages: u32,
    text_bytes: u64,
    attachments: u32,
    attachment_bytes: u64,
    on_step: &'s mut dyn FnMut(Step),
}

/// A step of the reader in the child: an event, or the note that a page begins.
pub(crate) enum Step {
    /// A page begins; the parent's clock for the page starts.
    Begins(u32),
    /// Something to pass on.
    Event(ReadEvent),
}

impl Sink<'_> {
    /// The limits of this reading.
    pub(crate) fn limits(&self) -> &ReadLimits {
        self.limits
    }

    /// Tells that the format is known and how many pages there are.
    pub(crate) fn started(&mut self, pages: Option<u32>, title: Option<String>) {
        if !self.started {
            self.started = true;
            let event = ReadEvent::Started { format: self.format.to_owned(), pages, title };
            (self.on_step)(Step::Event(event));
        }
    }

    /// Begins a page; false if it is to be left out. Fails when there are more pages than allowed.
    pub(crate) fn begin_page(&mut self, number: u32) -> Result<bool, Fault> {
        if number > self.limits.pages_max {
            let message = format!("more than {} pages", self.limits.pages_max);
            return Err(Fault::new(FaultCode::Limit, message));
        }
        self.pages = self.pages.max(number);
        if number < self.selection.first || self.selection.skipped.contains(&number) {
            return Ok(false);
        }
        (self.on_step)(Step::Begins(number));
        Ok(true)
    }

    /// Delivers a page, cut to the limits.
    pub(crate) fn page(&mut self, mut page: Page) -> Result<(), Fault> {
        self.started(None, None);
        self.pages = self.pages.max(page.number);
        if page.text.len() as u64 > self.limits.page_text_bytes_max {
            let message = format!("more than {} bytes of text on the page", self.limits.page_text_bytes_max);
            return self.page_failed(page.number, FaultCode::Limit, &message);
        }
        self.text_bytes += page.text.len() as u64;
        if self.text_bytes > self.limits.text_bytes_max {
            let message = format!("more than {} bytes of text", self.limits.text_bytes_max);
            return Err(Fault::new(FaultCode::Limit, message));
        }
        page.problems.truncate(PROBLEMS_MAX);
        (self.on_step)(Step::Event(ReadEvent::Page(page)));
        Ok(())
    }

    /// Tells that a page could not be read.
    pub(crate) fn page_failed(&mut self, page: u32, code: FaultCode, message: &str) -> Result<(), Fault> {
        self.started(None, None);
        let message = message.to_owned();
        (self.on_step)(Step::Event(ReadEvent::PageFailed { page, code, message }));
        Ok(())
    }

    /// Delivers an attachment; false when there is no room for more.
    pub(crate) fn attachment(&mut self, name: String, bytes: Vec<u8>) -> bool {
        let more = self.attachment_bytes + bytes.len() as u64;
        if self.attachments >= self.limits.attachments_max || more > self.limits.attachment_bytes_max {
            return false;
        }
        self.attachments += 1;
        self.attachment_bytes = more;
        (self.on_step)(Step::Event(ReadEvent::Attachment { name, bytes }));
        true
    }
}

/// Reads a file within this process, without the fences of the reader child.
///
/// For tests and fuzzing, and for the child itself. Ends with `Finished` or `Failed`. Limits of time and memory are not
/// kept here, those of pages, text and attachments are.
pub fn read_in_process(bytes: &[u8], name: &str, limits: &ReadLimits, on_event: &mut dyn FnMut(ReadEvent)) {
    let selection = Selection::default();
    read_selected(Arc::new(bytes.to_vec()), name, limits, &selection, &mut |step| {
        if let Step::Event(event) = step {
            on_event(event);
        }
    });
}

/// Reads the selected pages of a file.
pub(crate) fn read_selected(
    bytes: Arc<Vec<u8>>,
    name: &str,
    limits: &ReadLimits,
    selection: &Selection,
    on_step: &mut dyn FnMut(Step),
) {
    let format = detect(&bytes, name);
    let mut sink = Sink {
        limits,
        selection,
        format: format.as_str(),
        started: false,
        pages: 0,
        text_bytes: 0,
        attachments: 0,
        attachment_bytes: 0,
        on_step,
    };
    let read = dispatch(bytes, format, &mut sink);
    let pages = sink.pages;
    let last = match read {
        Ok(()) => ReadEvent::Finished { pages },
        Err(Fault { code, message }) => ReadEvent::Failed { code, message },
    };
    (sink.on_step)(Step::Event(last));
}

fn dispatch(bytes: Arc<Vec<u8>>, format: Format, sink: &mut Sink<'_>) -> Result<(), Fault> {
    if bytes.len() as u64 > sink.limits.file_bytes_max {
        let message = format!("the file has {} bytes; {} are read", bytes.len(), sink.limits.file_bytes_max);
        return Err(Fault::new(FaultCode::Limit, message));
    }
    match format {
        Format::Pdf => crate::pdf::read(bytes, sink),
        Format::Docx => crate::docx::read(&bytes, sink),
        Format::Html => crate::html::read(&bytes, sink),
        Format::Markdown => crate::markdown::read(&bytes, sink),
        Format::Text => crate::text::read(&bytes, sink),
        Format::Mail => crate::mail::read(&bytes, sink),
        Format::Sealed => Err(Fault::new(FaultCode::Encrypted, "the document needs a password")),
        Format::Empty => Err(Fault::new(FaultCode::Empty, "the file is empty")),
        Format::Unsupported(what) => Err(Fault::new(FaultCode::Unsupported, format!("{what}, which is not read"))),
    }
}
