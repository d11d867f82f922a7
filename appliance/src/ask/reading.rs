//! Reading passages one by one: does it answer, and where.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use cloister_engine::{CancelFlag, EngineError, GenerateOptions, Sequence, Special, TokenId, Tokenizer};
use sha2::{Digest, Sha256};

use super::check::units;
use super::profile::Profile;
use super::prompt;
use super::span::SpanMask;
use crate::accounts::hexadecimal;
use crate::models::LoadedGenerator;
use crate::search::Passage;
use crate::{Error, Result};

/// Tokens by which the model points at a place; enough to tell it from all others.
const POINT_TOKENS: usize = 12;

/// Tokens of the context kept free behind a prompt.
const CONTEXT_RESERVE: usize = 96;

/// A passage after the model looked at it.
pub(crate) struct Read {
    /// Which of the passages.
    pub(crate) passage: usize,
    /// Logarithm of the odds of Yes.
    pub(crate) margin: f32,
    /// Margin and search together.
    pub(crate) score: f32,
    sequence: Sequence,
}

/// Tokens that went through the model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) prompt: usize,
    pub(crate) cached: usize,
    pub(crate) new: usize,
}

/// A model at work on one question.
pub(crate) struct Reader<'a> {
    pub(crate) loaded: &'a LoadedGenerator,
    pub(crate) question: &'a str,
    pub(crate) cancel: &'a CancelFlag,
    pub(crate) counts: Counts,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(loaded: &'a LoadedGenerator, question: &'a str, cancel: &'a CancelFlag) -> Self {
        Self { loaded, question, cancel, counts: Counts::default() }
    }

    /// Judges each passage by the labels' logits; best first.
    pub(crate) fn judge(
        &mut self,
        passages: &[Passage],
        profile: &Profile,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Read>> {
        let labels = Labels::new(self.loaded.generator.tokenizer());
        let mut reads: Vec<Read> = Vec::with_capacity(passages.len());
        for (index, passage) in passages.iter().enumerate() {
            on_progress(index, passages.len());
            let Some(sequence) = self.read(passage, reads.last().map(|read| &read.sequence))? else { continue };
            let margin = labels.margin(self.loaded.generator.logits(&sequence));
            reads.push(Read { passage: index, margin, score: profile.score(margin, index), sequence });
        }
        on_progress(passages.len(), passages.len());
        reads.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)));
        Ok(reads)
    }

    /// The sequence after passage and question; `None` when they do not fit into the context.
    fn read(&mut self, passage: &Passage, neighbour: Option<&Sequence>) -> Result<Option<Sequence>> {
        let heading = super::heading_line(&passage.heading_path);
        let messages = prompt::reader(&passage.name, &heading, &passage.text, self.question);
        let tokens = self.encode(&messages)?;
        if tokens.len() + CONTEXT_RESERVE > self.loaded.generator.context_tokens() {
            return Ok(None);
        }
        let key =
            hexadecimal(&Sha256::digest(messages[1].content.split("\n\nQuestion: ").next().unwrap_or("").as_bytes()));
        let kept = self.loaded.readings.get(&key);
        let known = kept.is_some();
        let mut sequence = kept.or_else(|| neighbour.cloned()).unwrap_or_else(|| self.loaded.generator.sequence());
        let common = common(sequence.tokens(), &tokens).min(tokens.len() - 1);
        sequence.truncate(common);
        self.counts.prompt += tokens.len();
        self.counts.cached += common;
        self.prefill(&mut sequence, &tokens[common..])?;
        if !known {
            let bytes = self.loaded.generator.info().kv_bytes_per_token.saturating_mul(tokens.len() as u64);
            self.loaded.readings.keep(key, sequence.clone(), bytes);
        }
        Ok(Some(sequence))
    }

    pub(crate) fn encode(&self, messages: &[cloister_engine::ChatMessage]) -> Result<Vec<TokenId>> {
        let encoded = if self.loaded.generator.chat_template().is_some() {
            self.loaded.generator.encode_chat(messages, true)
        } else {
            let plain: Vec<String> = messages.iter().map(|message| message.content.clone()).collect();
            let text = format!("{}\n\nAnswer: ", plain.join("\n\n"));
            Ok(self.loaded.generator.tokenizer().encode_prompt(&text, Special::AsText))
        };
        encoded.map_err(|error| self.error(error))
    }

    pub(crate) fn prefill(&self, sequence: &mut Sequence, tokens: &[TokenId]) -> Result<()> {
        self.loaded.generator.prefill(sequence, tokens, self.cancel).map_err(|error| self.error(error))
    }

    pub(crate) fn error(&self, error: EngineError) -> Error {
        Error::model(&self.loaded.id, error)
    }

    /// Lets the model begin to copy what answers: the sentence it chose, in bytes of
    /// the passage's text.
    pub(crate) fn point(&mut self, read: &mut Read, passage: &Passage) -> Result<Option<Range<usize>>> {
        let tokenizer = self.loaded.generator.tokenizer();
        let lead = tokenizer.encode(prompt::POINTER, Special::AsText);
        self.counts.prompt += lead.len();
        self.prefill(&mut read.sequence, &lead)?;
        let settled = Cell::new(false);
        let starts = sentence_starts(&passage.text);
        let mut mask = SpanMask::new(&self.loaded.spans, tokenizer, &passage.text, starts, &settled);
        let options = GenerateOptions { max_tokens: POINT_TOKENS, ..GenerateOptions::default() };
        let done =
            self.loaded.generator.generate(&mut read.sequence, &options, Some(&mut mask), self.cancel, &mut |_| {
                if settled.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        let done = done.map_err(|error| self.error(error))?;
        self.counts.new += done.tokens.len();
        Ok(mask.place(&done.tokens))
    }
}

/// Bytes at which sentences and clauses begin.
fn sentence_starts(text: &str) -> Vec<usize> {
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
    units(text).into_iter().filter_map(|unit| bytes.get(unit.start).copied()).collect()
}

fn common(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The tokens that stand for Yes and for No.
struct Labels {
    yes: Vec<TokenId>,
    no: Vec<TokenId>,
}

impl Labels {
    fn new(tokenizer: &Tokenizer) -> Self {
        let first = |words: &[&str]| {
            let mut ids: Vec<TokenId> =
                words.iter().filter_map(|word| tokenizer.encode(word, Special::AsText).first().copied()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        Self { yes: first(&["Yes", " Yes", "yes", " yes"]), no: first(&["No", " No", "no", " no"]) }
    }

    /// Logarithm of the odds of Yes against No.
    fn margin(&self, logits: &[f32]) -> f32 {
        let sum = |ids: &[TokenId]| {
            let values: Vec<f32> = ids.iter().filter_map(|id| logits.get(*id as usize).copied()).collect();
            let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            top + values.iter().map(|value| (value - top).exp()).sum::<f32>().ln()
        };
        let margin = sum(&self.yes) - sum(&self.no);
        if margin.is_finite() { margin } else { f32::MIN }
    }
}
