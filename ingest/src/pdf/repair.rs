//! Second way into a damaged file: lopdf reads what it can and writes it out anew.

use std::panic::catch_unwind;

use lopdf::Document;

use crate::event::FaultCode;
use crate::read::Fault;

/// Largest file that is rewritten; the copy and the object tree must fit into the reader's memory beside it.
const REWRITE_BYTES_MAX: usize = 64 << 20;

/// A clean copy of a damaged file, or why there is none.
pub(super) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let damaged = |what: &str| Fault::new(FaultCode::Damaged, what);
    if bytes.len() > REWRITE_BYTES_MAX {
        return Err(damaged("the file's structure is broken, and it is too large to be repaired"));
    }
    let loaded = catch_unwind(|| Document::load_mem(bytes)).map_err(|_| damaged("the file's structure is broken"))?;
    let mut document = loaded.map_err(|error| damaged(&format!("the file's structure is broken: {error}")))?;
    if document.is_encrypted() {
        return Err(Fault::new(FaultCode::Encrypted, "the file needs a password"));
    }
    if document.get_pages().is_empty() {
        return Err(damaged("the file holds no page that can be read"));
    }
    let mut out = Vec::new();
    document.save_to(&mut out).map_err(|_| damaged("the file's structure is broken"))?;
    Ok(out)
}
