//! What tells a model file from every other, and from itself before a change.

use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

use super::GgufFile;
use crate::EngineError;

/// Tensors that are looked into.
const SAMPLES: usize = 64;
/// Bytes of a tensor that are looked at: its last ones.
const SAMPLE_BYTES: usize = 4096;

impl GgufFile {
    /// SHA-256 over the file's length, number (inode) and times of change, its whole header, and the ends of some tensors;
    /// `None` for a file that is only in memory.
    ///
    /// The kernel sets the time of change (`ctime`) on every write, and no program can set it back. The header and the samples
    /// are for file systems that are put back as a whole, times and all.
    pub(crate) fn identity(&self) -> Result<Option<[u8; 32]>, EngineError> {
        let Some(file) = self.bytes.file() else { return Ok(None) };
        let meta = file.metadata().map_err(|cause| EngineError::io("read", self.label.as_ref(), cause))?;
        let mut hash = Sha256::new();
        hash.update(b"cloister model file 1");
        for number in [meta.len(), meta.ino()] {
            hash.update(number.to_le_bytes());
        }
        for number in [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()] {
            hash.update(number.to_le_bytes());
        }
        hash.update(&self.bytes[..(self.data_start() as usize).min(self.bytes.len())]);
        let step = self.header.tensors.len().div_ceil(SAMPLES).max(1);
        for info in self.header.tensors.iter().step_by(step) {
            hash.update(&self.bytes[info.start.max(info.end.saturating_sub(SAMPLE_BYTES))..info.end]);
        }
        self.check()?;
        Ok(Some(hash.finalize().into()))
    }

    /// Fails when the file has changed since it was opened, so that nothing read from it may be believed.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when it has become shorter or was written to.
    pub fn check(&self) -> Result<(), EngineError> {
        self.bytes.check()
    }

    /// Lets go of the memory behind a tensor that has been read.
    pub(crate) fn let_go(&self, tensor: &str) {
        if let Some(&index) = self.header.by_name.get(tensor) {
            let info = &self.header.tensors[index];
            self.bytes.let_go(info.start..info.end);
        }
    }
}
