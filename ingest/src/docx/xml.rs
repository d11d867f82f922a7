//! XML parts of a package: unpacked by counting, read as events, with bounds on everything.

use std::io::{BufRead, BufReader, Cursor, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use crate::event::FaultCode;
use crate::read::Fault;

/// Most bytes that one part may unpack to.
const PART_BYTES_MAX: u64 = 96 << 20;
/// Deepest nesting of elements.
const DEPTH_MAX: usize = 512;
/// Most attributes of an element that are looked at.
const ATTRIBUTES_MAX: usize = 64;
/// Most events of a part.
const EVENTS_MAX: u64 = 20_000_000;

/// A package: the archive, read part by part. Nothing is ever written to disk, so names of parts are only names.
pub(super) struct Package<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
}

impl<'b> Package<'b> {
    /// Opens the archive.
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, Fault> {
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Fault::new(FaultCode::Damaged, format!("the archive's directory is broken: {error}")))?;
        Ok(Package { archive })
    }

    /// Whether there is a part of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// A reader of the part's events; `None` if there is no such part.
    pub(super) fn part(&mut self, name: &str) -> Option<Part<'_>> {
        let file = self.archive.by_name(name).ok()?;
        let limited: Box<dyn Read + '_> = Box::new(file.take(PART_BYTES_MAX + 1));
        Some(Part::new(Box::new(BufReader::with_capacity(1 << 16, limited))))
    }
}

/// What a part tells.
pub(super) enum Node<'e> {
    /// An element begins (or is empty: then `ends` follows at once).
    Begins(&'e Element<'e>),
    /// An element ends; its local name.
    Ends(&'e [u8]),
    /// Character data, entities resolved.
    Text(&'e str),
}

/// An element that begins.
pub(super) struct Element<'e> {
    start: &'e BytesStart<'e>,
}

impl Element<'_> {
    /// Its name without the prefix.
    pub(super) fn name(&self) -> &[u8] {
        let name = self.start.name().into_inner();
        let bytes = name.as_bytes();
        bytes.iter().rposition(|b| *b == b':').map_or(bytes, |at| &bytes[at + 1..])
    }

    /// The value of an attribute, by its name without the prefix.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        let mut attributes = self.start.attributes();
        attributes.with_checks(false);
        let found = attributes.take(ATTRIBUTES_MAX).filter_map(Result::ok).find(|attribute| {
            let name = attribute.key.into_inner();
            name.rsplit(':').next() == Some(key)
        })?;
        Some(
            found
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_or_else(|_| found.value.to_string(), std::borrow::Cow::into_owned),
        )
    }

    /// `w:val`, the attribute that most elements carry their value in.
    pub(super) fn value(&self) -> Option<String> {
        self.attribute("val")
    }

    /// Whether a switch is on: present without a value, or with one that does not deny it.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self.value().as_deref(), Some("0" | "false" | "off" | "none"))
    }
}

/// A part that is being read.
pub(super) struct Part<'p> {
    reader: Reader<Box<dyn BufRead + 'p>>,
}

impl<'p> Part<'p> {
    fn new(input: Box<dyn BufRead + 'p>) -> Self {
        let mut reader = Reader::from_reader(input);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.check_comments = false;
        Part { reader }
    }

    /// Reads to the end and hands each node to `take`. What could be read before an error stays; the error is returned.
    pub(super) fn each(mut self, take: &mut dyn FnMut(Node<'_>)) -> Result<(), Fault> {
        let mut buffer = Vec::new();
        let mut depth = 0_usize;
        let limit = |what: &str| Fault::new(FaultCode::Limit, what);
        for _ in 0..EVENTS_MAX {
            buffer.clear();
            let event = self.reader.read_event_into(&mut buffer);
            if self.reader.buffer_position() > PART_BYTES_MAX {
                return Err(limit("a part of the document unpacks to more than is read"));
            }
            match event.map_err(|e| Fault::new(FaultCode::Damaged, format!("the document's XML is broken: {e}")))? {
                Event::Start(start) => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(limit("elements of the document nest too deeply"));
                    }
                    take(Node::Begins(&Element { start: &start }));
                }
                Event::Empty(start) => {
                    let element = Element { start: &start };
                    take(Node::Begins(&element));
                    take(Node::Ends(element.name()));
                }
                Event::End(end) => {
                    depth = depth.saturating_sub(1);
                    let name = end.name().into_inner();
                    take(Node::Ends(name.rsplit(':').next().unwrap_or("").as_bytes()));
                }
                Event::Text(text) => take(Node::Text(&text.xml10_content())),
                Event::CData(text) => take(Node::Text(&text.xml10_content())),
                Event::GeneralRef(reference) => {
                    if let Some(text) = resolve(&reference) {
                        take(Node::Text(&text));
                    }
                }
                Event::Eof if depth > 0 => {
                    return Err(Fault::new(FaultCode::Damaged, "the document's XML ends within an element"));
                }
                Event::Eof => return Ok(()),
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
            }
        }
        Err(limit("the document has more elements than are read"))
    }
}

/// Character references and the five entities of XML. Others are of a document type, which is not read: they stay out.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(c.to_string());
    }
    let name = reference.xml10_content();
    let text = match &*name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => return None,
    };
    Some(text.to_owned())
}
