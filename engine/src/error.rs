//! What can go wrong in this crate, told apart by what a caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The errors of the engine. Each message is whole: the cause is part of it and is not given again as a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The operating system refused a file. Check the path, the rights and the disk.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is not what it claims to be, or it is cut off. Fetch it again and verify its hash.
    #[error("damaged {file}: {what} (at byte {offset})")]
    Damaged {
        /// Which file, or which kind of file.
        file: String,
        /// What is wrong.
        what: String,
        /// Where in the file the fault was seen, in bytes from its start.
        offset: u64,
    },
    /// The file is sound, but this program cannot run it. Choose another model.
    #[error("unsupported {what}: {detail}")]
    Unsupported {
        /// What is not supported: "architecture", "tensor type", "tokenizer", and so on.
        what: &'static str,
        /// The name found, and what would be possible instead.
        detail: String,
    },
    /// The model needs more memory than there is. Take a smaller model or a shorter context.
    #[error(
        "the model needs {needed_bytes} bytes with a context of {context_tokens} tokens, and {available_bytes} are available"
    )]
    DoesNotFit {
        /// Weights, keys and values, and working memory.
        needed_bytes: u64,
        /// What the caller said is there.
        available_bytes: u64,
        /// The context length asked for.
        context_tokens: u32,
    },
    /// The sequence is longer than the context. Send fewer tokens or load with a longer context.
    #[error("{tokens} tokens do not fit into a context of {context_tokens}")]
    ContextFull {
        /// Tokens of the sequence with those to be added.
        tokens: usize,
        /// The context length the model was loaded with.
        context_tokens: usize,
    },
    /// The caller's [`CancelFlag`](crate::CancelFlag) was set.
    #[error("cancelled")]
    Cancelled,
    /// The model's chat template cannot be read or failed on these messages.
    #[error("chat template: {0}")]
    Template(String),
    /// The caller's arguments contradict the model, for example a token id outside its vocabulary.
    #[error("invalid input: {0}")]
    InvalidInput(String),
}

impl EngineError {
    pub(crate) fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), cause }
    }

    pub(crate) fn unsupported(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Unsupported { what, detail: detail.into() }
    }

    pub(crate) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), what: what.into(), offset }
    }
}
