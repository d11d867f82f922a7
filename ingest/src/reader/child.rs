//! The child side: fences first, then the file, then frames.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fences::{filter_calls, limit_process};
use super::frame::{Note, write_event, write_note};
use crate::event::{FaultCode, ReadEvent, ReadLimits};
use crate::read::{Fault, Selection, Step, read_selected};

/// Stack of the thread that parses: formats nest, and recursive parsers need room.
const STACK_BYTES: usize = 64 << 20;
/// Bytes read from the file at a time.
const READ_STEP: usize = 4 << 20;

/// What the parent asks for, as the child's last argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// The limits to keep.
    pub(super) limits: ReadLimits,
    /// What the name ends with, which tells Markdown from plain text; the name itself stays with the parent.
    pub(super) extension: String,
    /// Which pages to read.
    pub(super) selection: Selection,
}

/// Exit code of a child that did what it could, whatever the file was.
const DONE: i32 = 0;
/// Exit code of a child that could not work at all.
const BROKEN: i32 = 70;

/// What the hidden subcommand does: gives up its rights, reads the file at its standard input, writes frames to its
/// standard output. Returns the exit code.
///
/// `order` is the argument that follows the subcommand; [`crate::ReaderCommand`] gives it.
pub fn reader_main(order: &str) -> i32 {
    let Ok(order) = serde_json::from_str::<Order>(order) else { return BROKEN };
    // A descriptor of one's own, because the filter lets none be made later.
    let Ok(file) = io::stdin().as_fd().try_clone_to_owned().map(File::from) else { return BROKEN };
    let mut warnings = limit_process(&order.limits);
    let work = move || {
        warnings.extend(filter_calls());
        serve(&order, &file, warnings)
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => DONE,
        _ => BROKEN,
    }
}

fn serve(order: &Order, file: &File, warnings: Vec<String>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write_note(&mut out, &Note::Ready { warnings })?;
    let bytes = match file_bytes(file, &order.limits) {
        Ok(bytes) => bytes,
        Err(Fault { code, message }) => {
            return write_event(&mut out, ReadEvent::Failed { code, message }, &order.limits);
        }
    };
    let name = format!("file.{}", order.extension);
    let mut failed: Option<io::Error> = None;
    read_selected(Arc::new(bytes), &name, &order.limits, &order.selection, &mut |step| {
        if failed.is_some() {
            return;
        }
        let written = match step {
            Step::Begins(page) => write_note(&mut out, &Note::Begins { page }),
            Step::Event(event) => write_event(&mut out, event, &order.limits),
        };
        failed = written.err();
    });
    out.flush()?;
    failed.map_or(Ok(()), Err)
}

/// The whole file; a fault where it is too long or cannot be read.
fn file_bytes(file: &File, limits: &ReadLimits) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: io::Error| Fault::new(FaultCode::Damaged, format!("the file cannot be read: {error}"));
    let length = file.metadata().map_err(unreadable)?.len();
    if length > limits.file_bytes_max {
        let message = format!("the file has {length} bytes; {} are read", limits.file_bytes_max);
        return Err(Fault::new(FaultCode::Limit, message));
    }
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length as usize).is_err() {
        let message = format!("the file of {length} bytes does not fit into the reader's memory");
        return Err(Fault::new(FaultCode::Limit, message));
    }
    // Reading at positions leaves the descriptor's own position alone, which the parent shares.
    while (bytes.len() as u64) < length {
        let at = bytes.len();
        let step = READ_STEP.min(length as usize - at);
        bytes.resize(at + step, 0);
        let got = file.read_at(&mut bytes[at..], at as u64).map_err(unreadable)?;
        bytes.truncate(at + got);
        if got == 0 {
            break;
        }
    }
    Ok(bytes)
}
