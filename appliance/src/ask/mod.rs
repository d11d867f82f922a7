//! Questions and cited answers: evidence first, then passages read one by one, then an answer from quotes that is
//! checked sentence by sentence, then the receipt.

mod check;
mod compose;
mod profile;
mod prompt;
mod reading;
mod readings;
mod receipt;
mod span;
mod turns;
mod types;

use std::time::Instant;

use cloister_engine::CancelFlag;
use cloister_index::{DocumentId, IndexError};
use cloister_ingest::place_at;
use serde_json::json;

pub use types::{Answer, AnswerModel, AnswerState, AskEvent, Citation, Question, Timings};

pub(crate) use crate::worker::heading_line;
use crate::worker::page_out;
pub(crate) use readings::Readings;
pub(crate) use span::Spans;
pub(crate) use turns::Turns;

use crate::caller::Caller;
use crate::documents::PageBox;
use crate::search::{Finding, Passage, Scope, SearchMode, places};
use crate::{Appliance, Error, Result};
use check::{Sifted, content_words, slice};
use profile::Profile;
use reading::Reader;
use receipt::Work;

/// Passages the model reads when nothing is said.
const PASSAGES_DEFAULT: usize = 6;

/// Passages the model reads at most.
const PASSAGES_MAX: usize = 20;

impl Appliance {
    /// Answers a question from the documents the caller may read.
    ///
    /// `on_event` is called on this thread: first with the evidence, then with provisional text, then with the
    /// citations that were checked. The answer returned is recorded in the audit log.
    pub fn ask(
        &self,
        caller: &Caller,
        question: &Question,
        cancel: &CancelFlag,
        on_event: &mut dyn FnMut(AskEvent),
    ) -> Result<Answer> {
        let begun = Instant::now();
        let scope = self.scope(caller, question.collection.as_deref(), &question.documents)?;
        let model = self.permitted_model(caller, question)?;
        let limit = if question.passages == 0 { PASSAGES_DEFAULT } else { question.passages.min(PASSAGES_MAX) };
        let Finding { passages, edition, way } = self.find(&scope, &question.text, SearchMode::Hybrid, limit)?;
        let coverage = self.coverage_of(&scope)?;
        let detail = json!({
            "question": question.text, "way": way.detail(), "scope": scope.detail(), "edition": edition,
            "passages": places(&passages),
        });
        self.record(caller, "question", "question", detail)?;
        let mut answer = Answer {
            question: question.text.clone(),
            answer: String::new(),
            state: AnswerState::Nothing,
            citations: Vec::new(),
            withheld: 0,
            passages,
            coverage,
            timings: Timings { retrieve_ms: milliseconds(begun), ..Timings::default() },
            model: AnswerModel::default(),
            edition,
            audit: 0,
        };
        on_event(AskEvent::Retrieved { passages: answer.passages.clone(), coverage: answer.coverage.clone() });
        let mut work = Work::default();
        if !answer.passages.is_empty() {
            let _turn = self.turns.enter(cancel, &mut |ahead| on_event(AskEvent::Waiting { ahead }))?;
            self.read_and_write(model, &scope, &mut answer, &mut work, begun, cancel, on_event)
                .inspect_err(|error| self.record_failure(caller, "answer", "question", None, error))?;
        }
        if answer.state != AnswerState::Answered && !answer.coverage.unread.is_empty() {
            answer.state = AnswerState::Unread;
        }
        answer.timings.total_ms = milliseconds(begun);
        self.record_answer(caller, &scope, &mut answer, &work)?;
        for citation in &answer.citations {
            on_event(AskEvent::Citation(citation.clone()));
        }
        Ok(answer)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `ask`, split off for its length; all are its locals")]
    fn read_and_write(
        &self,
        model: Option<&str>,
        scope: &Scope,
        answer: &mut Answer,
        work: &mut Work,
        begun: Instant,
        cancel: &CancelFlag,
        on_event: &mut dyn FnMut(AskEvent),
    ) -> Result<()> {
        let loaded = self.shelf.generator(model)?;
        answer.model = AnswerModel { name: loaded.id.clone(), sha256: loaded.sha256.clone() };
        let profile = Profile::of(loaded.generator.info());
        let question = answer.question.clone();
        let mut reader = Reader::new(&loaded, &question, cancel);
        let mut reads =
            reader.judge(&answer.passages, &profile, &mut |done, total| on_event(AskEvent::Reading { done, total }))?;
        work.judged(profile, &reads);
        answer.state =
            if is_related(&question, &answer.passages) { AnswerState::Related } else { AnswerState::Nothing };
        if reads.iter().any(|read| read.margin >= profile.answer_min) {
            let places = reader.point_all(&mut reads, &answer.passages, profile.spread_max)?;
            let written =
                reader.write(&places, &answer.passages, &mut |text| on_event(AskEvent::Token(text.to_owned())))?;
            work.written(&written);
            answer.timings.first_token_ms = written.first_token.map_or(0.0, |at| (at - begun).as_secs_f64() * 1e3);
            answer.withheld = written.sifted.withheld;
            if !written.sifted.text.is_empty() {
                answer.citations = self.citations(scope, &written.sifted, &answer.passages)?;
                answer.answer = written.sifted.text;
                answer.state = AnswerState::Answered;
            }
        }
        answer.timings.prompt_tokens = reader.counts.prompt as u32;
        answer.timings.cached_tokens = reader.counts.cached as u32;
        answer.timings.new_tokens = reader.counts.new as u32;
        Ok(())
    }

    /// Turns the quotes of a sifted answer into citations; each is compared with the stored text once more.
    fn citations(&self, scope: &Scope, sifted: &Sifted, passages: &[Passage]) -> Result<Vec<Citation>> {
        let mut out = Vec::with_capacity(sifted.quotes.len());
        for (index, quoted) in sifted.quotes.iter().enumerate() {
            let passage = &passages[quoted.passage];
            let (start, end) = (passage.start + quoted.range.start as u32, passage.start + quoted.range.end as u32);
            let quote = slice(&passage.text, &quoted.range);
            let Searched { text, boxes, page, place } = self.as_searched(scope, passage, start, end)?;
            if slice(&text, &(start as usize..end as usize)) != quote {
                return Err(Error::Damaged(format!("a passage of {} is not the text at its place", passage.name)));
            }
            out.push(Citation {
                marker: index as u32 + 1,
                document: passage.document.clone(),
                name: passage.name.clone(),
                version: Some(passage.version),
                page,
                place,
                start,
                end,
                quote,
                boxes,
                verified: true,
            });
        }
        Ok(out)
    }

    /// The text of a passage's document and where a span of it stands, both of the version that was searched.
    fn as_searched(&self, scope: &Scope, passage: &Passage, start: u32, end: u32) -> Result<Searched> {
        let changed = || Error::Changed { name: passage.name.clone() };
        let id = DocumentId::parse(&passage.document)?;
        let text = self.store.text(&scope.visible, &id);
        let boxes = self.store.boxes(&scope.visible, &id, start, end);
        let page = text.as_ref().map_or(passage.page, |text| page_at(text, passage, start));
        let stored = self.store.page(&scope.visible, &id, page);
        // Versions only go forward: if it is still this one now, it was this one all the time.
        match self.store.document(&scope.visible, &passage.document, None) {
            Ok(now) if now.version == passage.version => {
                let stored = stored?;
                let place = place_at(&page_out(stored.page), start.saturating_sub(stored.start));
                Ok(Searched { text: text?, boxes: boxes?, page, place })
            }
            Ok(_) | Err(IndexError::NotFound { .. }) => Err(changed()),
            Err(error) => Err(error.into()),
        }
    }

    /// The model a caller asks with. A path opens any file of the machine: for the operator only. Users may name models
    /// that answer, so that nobody puts the one in use out of its place for nothing.
    fn permitted_model<'a>(&self, caller: &Caller, question: &'a Question) -> Result<Option<&'a str>> {
        let Some(model) = question.model.as_deref() else { return Ok(None) };
        if caller.as_user().is_some() {
            if model.contains(['/', '\\']) {
                return Err(Error::Denied("only the operator may name a model by its path"));
            }
            self.shelf.need_answering(model)?;
        }
        Ok(Some(model))
    }
}

/// The text of a document and where a span of it stands.
struct Searched {
    text: String,
    boxes: Vec<PageBox>,
    /// Page where the span begins.
    page: u32,
    /// Sheet, slide or paragraph where it begins.
    place: Option<String>,
}

/// The page on which an offset of a passage lies: pages are parted by form feeds in the canonical text.
fn page_at(text: &str, passage: &Passage, offset: u32) -> u32 {
    let between = text.chars().skip(passage.start as usize).take((offset - passage.start) as usize);
    passage.page + between.filter(|c| *c == '\u{c}').count() as u32
}

/// Whether any passage shares a content word with the question; else nothing was found, whatever the vectors say.
fn is_related(question: &str, passages: &[Passage]) -> bool {
    let asked = content_words(question);
    passages.iter().any(|passage| {
        let said = content_words(&passage.text);
        asked.iter().any(|word| said.iter().any(|other| check::same_word(word, other)))
    })
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
