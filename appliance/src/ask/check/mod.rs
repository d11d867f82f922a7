//! The deterministic check of an answer: every sentence rests on verbatim quotes, or it is withheld.

mod align;
mod dates;
mod facts;
mod marks;
mod numbers;
mod sentences;
mod sift;
mod subject;
mod words;

pub(crate) use align::content_words;
pub(crate) use sentences::units;
pub(crate) use sift::{Quoted, Sifted, Source, sift, slice};
pub(crate) use words::same as same_word;
