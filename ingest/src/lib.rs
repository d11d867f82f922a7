//! Bytes to pages, blocks with boxes, and passages.
//!
//! A file comes in as bytes that nobody trusts; out come [`Page`]s with text in reading order, the
//! boxes of its words, blocks with their roles, and finally [`Passage`]s for the index. This crate knows
//! files. It opens no network connection, no database and no model, prints nothing, and reads neither
//! the environment nor the wall clock.
//!
//! Parsing happens in a child process: [`ReaderCommand`] starts the program again with a hidden
//! subcommand, hands it the file as its standard input, and reads frames from its standard output;
//! [`reader_main`] is what that subcommand calls. The child gives up its rights before it looks at the
//! first byte. Whatever it does, the parent ends with a [`ReadEvent::Finished`] or a [`ReadEvent::Failed`].
//!
//! Threads: everything is blocking. [`ReaderCommand::read`] uses two helper threads of its own for
//! the pipes; [`reader_main`] parses on one thread with a large stack. All types are `Send`.
//!
//! ```
//! use cloister_ingest::{CutOptions, ReadEvent, ReadLimits, cut, read_in_process};
//!
//! let mut pages = Vec::new();
//! read_in_process(b"A first sentence. A second one.", "note.txt", &ReadLimits::default(), &mut |event| {
//!     if let ReadEvent::Page(page) = event {
//!         pages.push(page);
//!     }
//! });
//! let passages = cut(&pages, &CutOptions::default(), &|text| text.split_whitespace().count(), &|| false);
//! let passages = passages.expect("nobody stops it");
//! assert_eq!(passages[0].text, "A first sentence. A second one.");
//! ```

mod detect;
mod docx;
mod event;
mod flow;
mod html;
mod mail;
mod markdown;
mod marks;
mod page;
mod passages;
mod pdf;
mod read;
mod reader;
mod text;

pub use detect::{Format, detect};
pub use event::{FaultCode, IngestError, NO_LANDLOCK, ReadEvent, ReadLimits, ReadReport};
pub use page::{
    Block, BlockKind, PAGE_SEPARATOR, PAGE_SEPARATOR_CHARS, Page, PageOutcome, WordBox, canonical_text, page_starts,
};
pub use passages::{CutOptions, Passage, cut, place_at};
pub use read::read_in_process;
pub use reader::{READER_SUBCOMMAND, ReaderCommand, reader_main};
