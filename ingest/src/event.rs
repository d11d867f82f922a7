//! What a reading tells as it goes, how it can fail, and the limits it keeps.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::page::Page;

/// One step of a reading, in the order in which they happen.
///
/// A reading begins with `Started` unless it fails before the format is known, and always ends with
/// exactly one `Finished` or `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadEvent {
    /// The format is known.
    Started {
        /// Short name of the format: `pdf`, `docx`, `html`, `markdown`, `text`, `mail`.
        format: String,
        /// Number of pages, where the format tells it beforehand.
        pages: Option<u32>,
        /// The document's own title.
        title: Option<String>,
    },
    /// A page was read.
    Page(Page),
    /// A page could not be read; the others go on.
    PageFailed {
        /// Its number, counted from 1.
        page: u32,
        /// Why, as a code.
        code: FaultCode,
        /// Why, in words.
        message: String,
    },
    /// A file carried by this one (mail attachments). To be read as a document of its own.
    Attachment {
        /// File name as given by the sender, reduced to a base name.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The file could not be read (further). Pages delivered before stay valid.
    Failed {
        /// Why, as a code.
        code: FaultCode,
        /// Why, in words.
        message: String,
    },
    /// The end was reached.
    Finished {
        /// Number of pages, failed ones included.
        pages: u32,
    },
}

/// Why a file or a page could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// It needs a password that was not given.
    Encrypted,
    /// It is broken beyond repair.
    Damaged,
    /// The format is not one that is read.
    Unsupported,
    /// It holds nothing.
    Empty,
    /// It asked for more time, memory, pages or text than allowed.
    Limit,
    /// The reader broke down on it.
    Crashed,
}

impl FaultCode {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultCode::Encrypted => "encrypted",
            FaultCode::Damaged => "damaged",
            FaultCode::Unsupported => "unsupported",
            FaultCode::Empty => "empty",
            FaultCode::Limit => "limit",
            FaultCode::Crashed => "crashed",
        }
    }
}

/// What a reading may use. The defaults suit a machine with a few gigabytes of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLimits {
    /// Address space of the reader child, its program text included.
    pub memory_bytes: u64,
    /// Largest file that is read.
    pub file_bytes_max: u64,
    /// Longest time for one page, and for what comes before the first page.
    pub page_ms: u64,
    /// Longest time for a file, on the clock and of the processor.
    pub total_ms: u64,
    /// Most pages of a file.
    pub pages_max: u32,
    /// Most text of a file, in bytes of UTF-8.
    pub text_bytes_max: u64,
    /// Most text of a page, in bytes of UTF-8.
    pub page_text_bytes_max: u64,
    /// Most attachments of a mail, those of forwarded mails included.
    pub attachments_max: u32,
    /// Most bytes of all attachments of a mail together.
    pub attachment_bytes_max: u64,
    /// How often a reader child is started anew after it broke down within a page.
    pub restarts_max: u32,
}

impl Default for ReadLimits {
    fn default() -> Self {
        ReadLimits {
            memory_bytes: 1 << 30,
            file_bytes_max: 512 << 20,
            page_ms: 20_000,
            total_ms: 600_000,
            pages_max: 20_000,
            text_bytes_max: 128 << 20,
            page_text_bytes_max: 16 << 20,
            attachments_max: 200,
            attachment_bytes_max: 256 << 20,
            restarts_max: 20,
        }
    }
}

/// The warning of a reader child whose kernel has no Landlock. The system call filters hold without it.
pub const NO_LANDLOCK: &str = "the kernel has no Landlock; files are closed by system call filter only";

/// How a reading by a child process went, beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Pages delivered.
    pub pages: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Times a child was started.
    pub starts: u32,
    /// What the child said about its own fences, for example that the kernel lacks Landlock.
    pub warnings: Vec<String>,
    /// Why the file failed, if it did.
    pub fault: Option<FaultCode>,
}

/// What can go wrong on this side of the pipe. What is wrong with a file is told by events instead.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The reader child could not be started: the installation is damaged or the machine is out of processes.
    #[error("could not start the reader {executable}: {source}")]
    Start {
        /// The program that was to run.
        executable: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be handed to the child, or the pipe to it failed on our side.
    #[error("could not {attempt}: {source}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller asked to stop; the child was ended.
    #[error("reading was cancelled")]
    Cancelled,
}
