//! PDF files with a text layer.
//!
//! The interpreter (hayro) walks a page's content; a [`glyphs::Collector`] notes each glyph with its place. From there on
//! everything is ours: words and fragments ([`fragments`]), reading order ([`order`]), blocks ([`blocks`]), text and boxes
//! ([`page`]), running heads ([`heads`]). Files that the interpreter refuses are rewritten by lopdf, which repairs more, and
//! tried once more ([`repair`]).

mod blocks;
mod fragments;
mod glyphs;
mod heads;
mod mute;
mod order;
mod page;
mod repair;
mod unicode;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hayro_interpret::kurbo::{Affine, Rect};
use hayro_interpret::{Context, InterpreterCache, InterpreterSettings, interpret_page};
use hayro_syntax::page::Page as PdfPage;
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};

use crate::event::FaultCode;
use crate::page::Page;
use crate::read::{Fault, Sink};
use glyphs::Collector;
use heads::Heads;
use unicode::{FontMaps, text_string};

/// Largest side of a page in points; more is taken for damage.
const SIDE_MAX: f32 = 200_000.0;

/// Reads a PDF file.
pub(crate) fn read(bytes: Arc<Vec<u8>>, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let pdf = open(bytes)?;
    let title = pdf.metadata().title.as_deref().map(text_string).map(|t| t.trim().to_owned());
    let title = title.filter(|t| !t.is_empty() && !t.contains('\u{fffd}')).map(|t| t.chars().take(300).collect());
    let pages = pdf.pages();
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return Err(Fault::new(FaultCode::Empty, "the file has no pages"));
    }
    sink.started(Some(count), title);
    let cache = InterpreterCache::new();
    let mut fonts = FontMaps::default();
    let mut heads = Heads::default();
    for (at, page) in pages.iter().enumerate() {
        let number = at as u32 + 1;
        if !sink.begin_page(number)? {
            continue;
        }
        let read = catch_unwind(AssertUnwindSafe(|| read_page(page, number, &cache, &mut fonts)));
        match read {
            Ok(Ok(page)) => heads.push(page, sink)?,
            Ok(Err(fault)) => {
                heads.flush(sink)?;
                sink.page_failed(number, fault.code, &fault.message);
            }
            Err(_) => {
                heads.flush(sink)?;
                sink.page_failed(number, FaultCode::Crashed, "the page broke the interpreter");
            }
        }
    }
    heads.flush(sink)
}

fn open(bytes: Arc<Vec<u8>>) -> Result<Pdf, Fault> {
    let first = catch_unwind(|| Pdf::new(bytes.clone())).unwrap_or(Err(LoadPdfError::Invalid));
    match first {
        Ok(pdf) if !pdf.pages().is_empty() => Ok(pdf),
        Err(LoadPdfError::Decryption(error)) => Err(decryption(error)),
        _ => {
            let repaired = repair::rewrite(&bytes)?;
            match catch_unwind(|| Pdf::new(Arc::new(repaired))).unwrap_or(Err(LoadPdfError::Invalid)) {
                Ok(pdf) if !pdf.pages().is_empty() => Ok(pdf),
                Ok(_) => Err(Fault::new(FaultCode::Damaged, "the file holds no page that can be read")),
                Err(LoadPdfError::Decryption(error)) => Err(decryption(error)),
                Err(LoadPdfError::Invalid) => Err(Fault::new(FaultCode::Damaged, "the file's structure is broken")),
            }
        }
    }
}

fn decryption(error: DecryptionError) -> Fault {
    let message = match error {
        DecryptionError::PasswordProtected => "the file needs a password",
        DecryptionError::UnsupportedAlgorithm => "the file is encrypted in a way that is not supported",
        _ => "the file is encrypted and its encryption is damaged",
    };
    Fault::new(FaultCode::Encrypted, message)
}

fn read_page<'a>(
    page: &PdfPage<'a>,
    number: u32,
    cache: &InterpreterCache<'a>,
    fonts: &mut FontMaps,
) -> Result<Page, Fault> {
    let (width, height) = page.render_dimensions();
    let (width, height) = (width.clamp(1.0, SIDE_MAX), height.clamp(1.0, SIDE_MAX));
    let start = Affine::new(page.initial_transform(true).as_coeffs());
    let bounds = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
    fonts.note(page);
    let mut context = Context::new(start, bounds, cache, page.xref(), InterpreterSettings::default());
    let mut collector = Collector::new(f64::from(width), f64::from(height), fonts);
    interpret_page(page, &mut context, &mut collector);
    let collected = collector.finish();
    if page.page_stream().is_none() && page.raw().contains_key(b"Contents".as_ref()) && collected.glyphs.is_empty() {
        return Err(Fault::new(FaultCode::Damaged, "the page's content cannot be decoded"));
    }
    Ok(page::build(number, f64::from(width), f64::from(height), &collected))
}
