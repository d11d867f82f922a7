//! The receipt of an answer: everything needed to check it later, in one audit record; and the way back.

use cloister_index::Visible;
use serde_json::{Value, json};

use super::compose::Written;
use super::profile::Profile;
use super::prompt::PROMPT_VERSION;
use super::reading::Read;
use super::types::{Answer, AnswerModel, AnswerState, Citation, Timings};
use crate::caller::{Caller, Who};
use crate::search::{Coverage, Passage, Scope, UnreadPage, places};
use crate::{Appliance, Error, Result};

/// Action under which answers are recorded.
const ACTION: &str = "answer";

/// Unread pages kept with a receipt; their number is kept in full.
const UNREAD_KEPT: usize = 100;

/// What the model did, for the receipt.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) profile: Option<Profile>,
    pub(crate) margins: Vec<(usize, f32)>,
    pub(crate) raw: String,
    pub(crate) verbatim: bool,
}

impl Work {
    pub(crate) fn judged(&mut self, profile: Profile, reads: &[Read]) {
        self.profile = Some(profile);
        self.margins = reads.iter().map(|read| (read.passage, read.margin)).collect();
    }

    pub(crate) fn written(&mut self, written: &Written) {
        self.raw.clone_from(&written.raw);
        self.verbatim = written.verbatim;
    }
}

impl Appliance {
    /// Records an answer and gives it the number of its record; only then may it be shown.
    pub(crate) fn record_answer(&self, caller: &Caller, scope: &Scope, answer: &mut Answer, work: &Work) -> Result<()> {
        let margins: Vec<Value> =
            work.margins.iter().map(|(passage, margin)| json!({"passage": passage + 1, "margin": margin})).collect();
        let detail = json!({
            "question": answer.question,
            "scope": scope.detail(),
            "edition": answer.edition,
            "passages": places(&answer.passages),
            "model": {"name": answer.model.name, "sha256": answer.model.sha256},
            "settings": {"prompt": PROMPT_VERSION, "sampling": "greedy", "profile": work.profile.map(|row| row.name)},
            "judged": margins,
            "generated": work.raw,
            "verbatim": work.verbatim,
            "state": answer.state.as_str(),
            "answer": answer.answer,
            "citations": answer.citations.iter().map(citation_out).collect::<Vec<_>>(),
            "withheld": answer.withheld,
            "coverage": coverage_out(&answer.coverage),
            "timings": timings_out(&answer.timings),
        });
        answer.audit = self.record(caller, ACTION, "question", detail)?;
        Ok(())
    }

    /// An answer as it was given, by the number of its audit record.
    ///
    /// Whoever asked may see it again, and so may auditors and administrators. Texts of passages come from the store:
    /// they are empty where the document is gone, not granted any more, or has another version than was searched.
    pub fn answer(&self, caller: &Caller, audit: u64) -> Result<Answer> {
        let record =
            self.journal.record(audit)?.filter(|record| record.event.action == ACTION && record.event.outcome == "ok");
        let record = record.ok_or_else(|| Error::not_found("answer", audit.to_string()))?;
        let own = match &caller.who {
            Who::Operator(_) => true,
            Who::User(user) => record.event.actor == user.name,
        };
        if !own && !caller.may_audit() {
            return Err(Error::not_found("answer", audit.to_string()));
        }
        let visible = self.visible(caller)?;
        let answer = self.restore(&visible, audit, &record.event.detail);
        self.record(caller, "answer.view", &audit.to_string(), json!({"of": audit}))?;
        Ok(answer)
    }

    fn restore(&self, visible: &Visible, audit: u64, detail: &Value) -> Answer {
        let text = |key: &str| detail[key].as_str().unwrap_or_default().to_owned();
        let rows = |key: &str| detail[key].as_array().cloned().unwrap_or_default();
        let passages = rows("passages")
            .iter()
            .enumerate()
            .map(|(index, row)| self.restore_passage(visible, index + 1, row))
            .collect();
        Answer {
            question: text("question"),
            answer: text("answer"),
            state: AnswerState::parse(&text("state")).unwrap_or(AnswerState::Related),
            citations: rows("citations")
                .iter()
                .map(|row| self.restore_citation(visible, row, version_of(&detail["passages"], &row["document"])))
                .collect(),
            withheld: number(&detail["withheld"]),
            passages,
            coverage: coverage_in(&detail["coverage"]),
            timings: timings_in(&detail["timings"]),
            model: AnswerModel {
                name: detail["model"]["name"].as_str().unwrap_or_default().to_owned(),
                sha256: detail["model"]["sha256"].as_str().unwrap_or_default().to_owned(),
            },
            edition: detail["edition"].as_u64().unwrap_or(0),
            audit,
        }
    }

    fn restore_passage(&self, visible: &Visible, rank: usize, row: &Value) -> Passage {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let (start, end) = (number(&row["start"]), number(&row["end"]));
        let version = number(&row["version"]);
        let found = self.store.document(visible, &word("document"), None).ok();
        let found = found.filter(|found| found.version == version);
        let text = found.as_ref().and_then(|found| self.store.text(visible, &found.id).ok());
        let boxes = found.as_ref().and_then(|found| self.store.boxes(visible, &found.id, start, end).ok());
        Passage {
            rank,
            score: row["score"].as_f64().unwrap_or(0.0) as f32,
            document: word("document"),
            name: word("name"),
            collection: found.map(|found| found.collection.to_string()).unwrap_or_default(),
            version,
            page: number(&row["page"]),
            place: None,
            start,
            end,
            text: text
                .map(|text| text.chars().skip(start as usize).take((end - start.min(end)) as usize).collect())
                .unwrap_or_default(),
            heading_path: Vec::new(),
            boxes: boxes.unwrap_or_default(),
        }
    }

    fn restore_citation(&self, visible: &Visible, row: &Value, version: u32) -> Citation {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let (start, end) = (number(&row["start"]), number(&row["end"]));
        let found = self.store.document(visible, &word("document"), None).ok();
        let boxes = found.filter(|found| found.version == version);
        let boxes = boxes.and_then(|found| self.store.boxes(visible, &found.id, start, end).ok());
        Citation {
            marker: number(&row["marker"]),
            document: word("document"),
            name: word("name"),
            page: number(&row["page"]),
            place: row["place"].as_str().map(str::to_owned),
            start,
            end,
            quote: word("quote"),
            boxes: boxes.unwrap_or_default(),
            verified: row["verified"].as_bool().unwrap_or(false),
        }
    }
}

/// The version of a cited document: a citation lies within one of the passages.
fn version_of(passages: &Value, document: &Value) -> u32 {
    let rows = passages.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().find(|row| row["document"] == *document).map_or(0, |row| number(&row["version"]))
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn citation_out(citation: &Citation) -> Value {
    json!({
        "marker": citation.marker, "document": citation.document, "name": citation.name, "page": citation.page,
        "place": citation.place, "start": citation.start, "end": citation.end, "quote": citation.quote,
        "verified": citation.verified,
    })
}

fn coverage_out(coverage: &Coverage) -> Value {
    let unread: Vec<Value> = coverage
        .unread
        .iter()
        .take(UNREAD_KEPT)
        .map(|row| json!({"document": row.document, "name": row.name, "page": row.page, "reason": row.reason}))
        .collect();
    json!({"documents": coverage.documents, "pages": coverage.pages, "unread_pages": coverage.unread.len(), "unread": unread})
}

fn coverage_in(value: &Value) -> Coverage {
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let unread = value["unread"].as_array().cloned().unwrap_or_default();
    Coverage {
        documents: value["documents"].as_u64().unwrap_or(0),
        pages: value["pages"].as_u64().unwrap_or(0),
        unread: unread
            .iter()
            .map(|row| UnreadPage {
                document: word(row, "document"),
                name: word(row, "name"),
                page: number(&row["page"]),
                reason: word(row, "reason"),
            })
            .collect(),
    }
}

fn timings_out(timings: &Timings) -> Value {
    json!({
        "retrieve_ms": timings.retrieve_ms, "first_token_ms": timings.first_token_ms, "total_ms": timings.total_ms,
        "prompt_tokens": timings.prompt_tokens, "cached_tokens": timings.cached_tokens, "new_tokens": timings.new_tokens,
    })
}

fn timings_in(value: &Value) -> Timings {
    Timings {
        retrieve_ms: value["retrieve_ms"].as_f64().unwrap_or(0.0),
        first_token_ms: value["first_token_ms"].as_f64().unwrap_or(0.0),
        total_ms: value["total_ms"].as_f64().unwrap_or(0.0),
        prompt_tokens: number(&value["prompt_tokens"]),
        cached_tokens: number(&value["cached_tokens"]),
        new_tokens: number(&value["new_tokens"]),
    }
}
