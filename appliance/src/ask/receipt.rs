//! The receipt of an answer: everything needed to check it later, in one audit record; and the way back.

use cloister_index::{DocumentId, Visible};
use serde_json::{Value, json};

use super::compose::Written;
use super::profile::Profile;
use super::prompt::PROMPT_VERSION;
use super::reading::Read;
use super::types::{Answer, AnswerModel, AnswerState, Citation, Timings};
use crate::caller::{Caller, Who};
use crate::documents::PageBox;
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
    /// Whoever asked may see it again, and so may auditors and administrators. Texts of passages come from the store,
    /// of the version that was searched: they are empty where the document is gone or not granted any more. Each quote
    /// is looked up again, and is verified only if it stands at its place in its version.
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
                .map(|row| self.restore_citation(visible, row, version_of(row, &detail["passages"])))
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
        let stored = self.stored(visible, &word("document"), Some(version), start, end);
        let (text, boxes) = stored.unwrap_or_default();
        let found = self.store.document(visible, &word("document"), None).ok();
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
            text,
            heading_path: Vec::new(),
            boxes,
        }
    }

    fn restore_citation(&self, visible: &Visible, row: &Value, version: Option<u32>) -> Citation {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let (start, end) = (number(&row["start"]), number(&row["end"]));
        let quote = word("quote");
        let stored = self.stored(visible, &word("document"), version, start, end);
        let stands = stored.filter(|(text, _)| *text == quote);
        Citation {
            marker: number(&row["marker"]),
            document: word("document"),
            name: word("name"),
            version,
            page: number(&row["page"]),
            place: row["place"].as_str().map(str::to_owned),
            start,
            end,
            quote,
            verified: stands.is_some() && row["verified"].as_bool().unwrap_or(false),
            boxes: stands.map(|(_, boxes)| boxes).unwrap_or_default(),
        }
    }

    /// The text and the boxes of a span in a version; nothing where that cannot be had (any more).
    fn stored(
        &self,
        visible: &Visible,
        document: &str,
        version: Option<u32>,
        start: u32,
        end: u32,
    ) -> Option<(String, Vec<PageBox>)> {
        let id = DocumentId::parse(document).ok()?;
        let text = self.store.text_at(visible, &id, Some(version?)).ok()?;
        let boxes = self.store.boxes_at(visible, &id, start, end, version).ok()?;
        Some((text.chars().skip(start as usize).take(end.saturating_sub(start) as usize).collect(), boxes))
    }
}

/// The version a citation was made from: its own word, else that of the passage it lies within.
fn version_of(citation: &Value, passages: &Value) -> Option<u32> {
    let told = |row: &Value| Some(number(&row["version"])).filter(|version| *version > 0);
    let within = |row: &&Value| {
        row["document"] == citation["document"]
            && number(&row["start"]) <= number(&citation["start"])
            && number(&citation["end"]) <= number(&row["end"])
    };
    let rows = passages.as_array().map(Vec::as_slice).unwrap_or_default();
    told(citation).or_else(|| rows.iter().find(within).and_then(told))
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn citation_out(citation: &Citation) -> Value {
    json!({
        "marker": citation.marker, "document": citation.document, "name": citation.name, "page": citation.page,
        "version": citation.version, "place": citation.place, "start": citation.start, "end": citation.end,
        "quote": citation.quote, "verified": citation.verified,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(citation: &Value, expected: Option<u32>) {
        let passages = json!([
            {"document": "a", "version": 3, "start": 0, "end": 40}, {"document": "b", "version": 2, "start": 0, "end": 9},
            {"document": "c", "start": 0, "end": 9},
        ]);
        assert_eq!(version_of(citation, &passages), expected, "{citation}");
    }

    #[test]
    fn the_version_is_the_citation_s_or_its_passage_s_or_not_known() {
        check(&json!({"document": "a", "version": 1, "start": 5, "end": 9}), Some(1));
        check(&json!({"document": "a", "start": 5, "end": 9}), Some(3));
        check(&json!({"document": "b", "start": 5, "end": 9}), Some(2));
        check(&json!({"document": "b", "start": 5, "end": 10}), None);
        check(&json!({"document": "c", "start": 5, "end": 9}), None);
        check(&json!({"document": "d", "start": 5, "end": 9}), None);
    }
}
