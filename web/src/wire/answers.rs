//! Search, questions, answers.

use cloister_appliance as appliance;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A search.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchBody {
    /// Name or id of the collection; all that are visible without it.
    #[serde(default)]
    pub collection: Option<String>,
    /// The words.
    pub query: String,
    /// Names or ids of documents to stay within.
    #[serde(default)]
    pub documents: Vec<String>,
    /// `hybrid` (default), `keyword` or `vector`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Passages wanted, 1 to 100; 10 without it.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// A question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    /// Name or id of the collection; all that are visible without it.
    #[serde(default)]
    pub collection: Option<String>,
    /// The question.
    pub question: String,
    /// Names or ids of documents to stay within.
    #[serde(default)]
    pub documents: Vec<String>,
    /// Catalogue id of the model; the configured one without it.
    #[serde(default)]
    pub model: Option<String>,
}

/// A passage found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Passage {
    /// From 1.
    pub rank: usize,
    /// Higher is better; comparable within one search only.
    pub score: f32,
    /// Id of the document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// The version of the document that was searched; 0 in a receipt that does not tell.
    pub version: u32,
    /// Page where the passage begins, from 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// First character in the canonical text.
    pub start: u32,
    /// After the last character.
    pub end: u32,
    /// The stored text at `start..end`.
    pub text: String,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// `[page, x0, y0, x1, y1]` in PDF points from the page's top left corner.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub boxes: Vec<[f32; 5]>,
}

impl From<appliance::Passage> for Passage {
    fn from(passage: appliance::Passage) -> Self {
        Self {
            rank: passage.rank,
            score: passage.score,
            document: passage.document,
            name: passage.name,
            version: passage.version,
            page: passage.page,
            place: passage.place,
            start: passage.start,
            end: passage.end,
            text: passage.text,
            heading_path: passage.heading_path,
            boxes: passage.boxes,
        }
    }
}

/// A page within the scope that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnreadPage {
    /// Id of the document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// Page from 1; 0 when the whole document could not be read.
    pub page: u32,
    /// Why.
    pub reason: String,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Coverage {
    /// Documents in the scope.
    pub documents: u64,
    /// Pages in the scope.
    pub pages: u64,
    /// Those that could not be read.
    pub unread: Vec<UnreadPage>,
}

impl From<appliance::Coverage> for Coverage {
    fn from(coverage: appliance::Coverage) -> Self {
        let unread = coverage.unread.into_iter().map(|page| UnreadPage {
            document: page.document,
            name: page.name,
            page: page.page,
            reason: page.reason,
        });
        Self { documents: coverage.documents, pages: coverage.pages, unread: unread.collect() }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SearchResult {
    /// Best first.
    pub passages: Vec<Passage>,
    /// Wall time of the search.
    pub milliseconds: f64,
    /// What was looked at.
    pub coverage: Coverage,
}

impl From<appliance::SearchAnswer> for SearchResult {
    fn from(found: appliance::SearchAnswer) -> Self {
        Self {
            passages: found.passages.into_iter().map(Passage::from).collect(),
            milliseconds: found.milliseconds,
            coverage: found.coverage.into(),
        }
    }
}

/// Event `retrieved`: the evidence, before any generation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RetrievedEvent {
    /// Best first.
    pub passages: Vec<Passage>,
    /// What was looked at.
    pub coverage: Coverage,
}

/// Event `token`: provisional text; the answer of `done` replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenEvent {
    /// The text.
    pub text: String,
}

/// Event `waiting`: other questions are answered first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingEvent {
    /// How many.
    pub ahead: usize,
}

/// Event `reading`: the model reads the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadingEvent {
    /// Passages read.
    pub done: usize,
    /// Passages in all.
    pub total: usize,
}

/// A mark in the answer and the text it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Citation {
    /// Number of the mark `[n]`.
    pub marker: u32,
    /// Id of the document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// The version of the document that the quote was made from; null in a receipt that does not tell.
    pub version: Option<u32>,
    /// Page where the quote begins, from 1.
    pub page: u32,
    /// Sheet, slide or paragraph, where there is more to say.
    pub place: Option<String>,
    /// First character of the quote in the canonical text.
    pub start: u32,
    /// After its last character.
    pub end: u32,
    /// The stored text at `start..end`, to the letter.
    pub quote: String,
    /// `[page, x0, y0, x1, y1]` in PDF points from the page's top left corner.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub boxes: Vec<[f32; 5]>,
    /// Whether the check of quote, numbers and names passed; when a receipt is read, also whether the quote still
    /// stands at its place in its version.
    pub verified: bool,
}

impl From<appliance::Citation> for Citation {
    fn from(citation: appliance::Citation) -> Self {
        Self {
            marker: citation.marker,
            document: citation.document,
            name: citation.name,
            version: citation.version,
            page: citation.page,
            place: citation.place,
            start: citation.start,
            end: citation.end,
            quote: citation.quote,
            boxes: citation.boxes,
            verified: citation.verified,
        }
    }
}

/// Where the time went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
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

/// The model that answered; both empty when none was needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnswerModel {
    /// Catalogue id, or the file's name.
    pub name: String,
    /// Hash of its file, lower-case hexadecimal.
    pub sha256: String,
}

/// A checked answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Answer {
    /// Sentences that passed the check, with marks `[n]`; empty when not answered.
    pub answer: String,
    /// `answered`, `related`, `nothing` or `unread`.
    pub state: String,
    /// Whether the question was left unanswered.
    pub abstained: bool,
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
    /// The model.
    pub model: AnswerModel,
    /// Number of the audit record: the receipt.
    pub audit: u64,
    /// The question.
    pub question: String,
}

impl From<appliance::Answer> for Answer {
    fn from(answer: appliance::Answer) -> Self {
        let timings = answer.timings;
        Self {
            state: answer.state.as_str().to_owned(),
            abstained: answer.abstained(),
            answer: answer.answer,
            citations: answer.citations.into_iter().map(Citation::from).collect(),
            withheld: answer.withheld,
            passages: answer.passages.into_iter().map(Passage::from).collect(),
            coverage: answer.coverage.into(),
            timings: Timings {
                retrieve_ms: timings.retrieve_ms,
                first_token_ms: timings.first_token_ms,
                total_ms: timings.total_ms,
                prompt_tokens: timings.prompt_tokens,
                cached_tokens: timings.cached_tokens,
                new_tokens: timings.new_tokens,
            },
            model: AnswerModel { name: answer.model.name, sha256: answer.model.sha256 },
            audit: answer.audit,
            question: answer.question,
        }
    }
}
