//! The shapes of a question and its answer.

use crate::documents::PageBox;
use crate::search::{Coverage, Passage};

/// What is asked, and of which documents.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Name or id of the collection; `None` asks all that are visible.
    pub collection: Option<String>,
    /// Names or ids of documents to stay within; empty for all.
    pub documents: Vec<String>,
    /// The question.
    pub text: String,
    /// Catalogue id or path of the model (a path for the operator only); `None` for the configured one.
    pub model: Option<String>,
    /// Passages shown to the model; 0 means the default.
    pub passages: usize,
}

/// What is told while a question is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum AskEvent {
    /// The evidence, before any generation.
    Retrieved {
        /// Passages found, best first.
        passages: Vec<Passage>,
        /// What was looked at.
        coverage: Coverage,
    },
    /// Other questions are answered first.
    Waiting {
        /// How many.
        ahead: usize,
    },
    /// The model reads the evidence.
    Reading {
        /// Passages read.
        done: usize,
        /// Passages in all.
        total: usize,
    },
    /// Provisional text of the answer; the checked answer replaces it.
    Token(String),
    /// A citation that was checked.
    Citation(Citation),
}

/// The four ways a question can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerState {
    /// The documents say.
    Answered,
    /// Related text was found, but no answer.
    Related,
    /// Nothing was found.
    Nothing,
    /// Part of the scope could not be read, and the rest does not say.
    Unread,
}

impl AnswerState {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Related => "related",
            Self::Nothing => "nothing",
            Self::Unread => "unread",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Answered, Self::Related, Self::Nothing, Self::Unread].into_iter().find(|state| state.as_str() == word)
    }
}

/// A mark in the answer and the text it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// Number of the mark `[n]`.
    pub marker: u32,
    /// Document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// The version the quote was made from; `None` in a receipt that does not tell.
    pub version: Option<u32>,
    /// Page where the quote begins, from 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// Offset of the quote's first character in the canonical text.
    pub start: u32,
    /// Offset after its last character.
    pub end: u32,
    /// The stored text at `start..end`, to the letter.
    pub quote: String,
    /// Where it stands.
    pub boxes: Vec<PageBox>,
    /// Whether the quote stands at its place in that version (looked up again when a receipt is read) and the
    /// sentence's numbers and names stand in its quotes.
    pub verified: bool,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// From the question to the evidence.
    pub retrieve_ms: f64,
    /// From the question to the first token; 0 when nothing was generated.
    pub first_token_ms: f64,
    /// From the question to the answer.
    pub total_ms: f64,
    /// Tokens the model was shown.
    pub prompt_tokens: u32,
    /// Of these, taken from stored keys and values.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub new_tokens: u32,
}

/// The model that answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerModel {
    /// Catalogue id, or the file's name.
    pub name: String,
    /// Hash of its file, lower-case hexadecimal.
    pub sha256: String,
}

/// A checked answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// Sentences that passed the check, with marks `[n]`; empty when not answered.
    pub answer: String,
    /// How it ended.
    pub state: AnswerState,
    /// One per mark.
    pub citations: Vec<Citation>,
    /// Sentences withheld because their check failed.
    pub withheld: u32,
    /// The evidence.
    pub passages: Vec<Passage>,
    /// What was looked at.
    pub coverage: Coverage,
    /// Where the time went.
    pub timings: Timings,
    /// The model; empty when none was needed.
    pub model: AnswerModel,
    /// Edition of the index.
    pub edition: u64,
    /// Number of the audit record.
    pub audit: u64,
}

impl Answer {
    /// Whether the question was left unanswered.
    pub fn abstained(&self) -> bool {
        self.state != AnswerState::Answered
    }
}
