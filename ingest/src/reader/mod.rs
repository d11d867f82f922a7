//! The reader child and its parent side.
//!
//! The parent ([`parent`]) starts its own program with [`READER_SUBCOMMAND`], gives it the file as standard input and an
//! order as argument, and takes frames ([`frame`]) from its standard output. The child ([`child`]) puts up fences
//! ([`fences`]) before it reads the first byte.

mod child;
mod fences;
mod frame;
mod parent;

pub use child::reader_main;
pub use parent::ReaderCommand;

/// Name of the hidden subcommand under which the program must call [`reader_main`].
pub const READER_SUBCOMMAND: &str = "reader";
