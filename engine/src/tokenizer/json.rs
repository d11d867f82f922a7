//! `tokenizer.json` of the Hugging Face library: what the files of all its models have in common.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::encoders::{damaged_json, read_bounded};
use crate::{EngineError, TokenId};

/// Largest tokenizer file, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most tokens that are put around texts.
const FRAME_TOKENS_MAX: usize = 16;

/// The bytes of a `tokenizer.json`.
pub(super) struct TokenizerJson {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// What a `tokenizer.json` holds, with the settings of its model as `M`. What it says of truncation and padding is not
/// looked at: it is a leftover of training.
#[derive(Deserialize)]
pub(super) struct File<M> {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    pub(super) normalizer: Option<Value>,
    pub(super) pre_tokenizer: Option<Value>,
    pub(super) post_processor: Option<Value>,
    pub(super) model: M,
}

/// A token that is matched as a whole text.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file's own switches")]
pub(super) struct AddedToken {
    pub(super) id: TokenId,
    #[serde(default)]
    pub(super) content: String,
    /// It steers the model: text of people and documents cannot produce it.
    #[serde(default)]
    pub(super) special: bool,
    /// It is looked for in normalised text, or else in the text as it is.
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) single_word: bool,
    /// It takes the white space before it along.
    #[serde(default)]
    pub(super) lstrip: bool,
    /// It takes the white space after it along.
    #[serde(default)]
    pub(super) rstrip: bool,
}

#[derive(Deserialize)]
struct Kind {
    model: KindOfModel,
}

#[derive(Deserialize)]
struct KindOfModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    merges: Option<IgnoredAny>,
}

impl TokenizerJson {
    pub(super) fn read(path: &Path) -> Result<Self, EngineError> {
        Ok(Self { path: path.to_owned(), bytes: read_bounded(path, FILE_BYTES_MAX)? })
    }

    /// The kind of model. Old files do not name it: one with merges is of byte pairs, any other a WordPiece.
    pub(super) fn kind(&self) -> Result<String, EngineError> {
        let Kind { model } = self.parse_as()?;
        let unnamed = if model.merges.is_some() { "BPE" } else { "WordPiece" };
        Ok(model.kind.unwrap_or_else(|| unnamed.to_owned()))
    }

    pub(super) fn parse<M: DeserializeOwned>(&self) -> Result<File<M>, EngineError> {
        self.parse_as()
    }

    fn parse_as<T: DeserializeOwned>(&self) -> Result<T, EngineError> {
        serde_json::from_slice(&self.bytes).map_err(|error| damaged_json(&self.path, &error))
    }
}

impl<M> File<M> {
    /// Refuses tokens that are found in any text, for models that do not look for them.
    pub(super) fn refuse_text_tokens(&self, model: &str) -> Result<(), EngineError> {
        match self.added_tokens.iter().find(|token| !token.special) {
            Some(token) => Err(EngineError::unsupported(
                "tokenizer",
                format!("the added token {:?} that is not special, beside a {model}", token.content),
            )),
            None => Ok(()),
        }
    }
}

pub(super) fn damaged(what: impl Into<String>) -> EngineError {
    EngineError::damaged("tokenizer.json", 0, what)
}

/// The type of a normaliser, pre-tokeniser or post-processor; empty for none.
pub(super) fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The steps of a normaliser, pre-tokeniser or post-processor: the parts of a sequence, or the one that it is.
pub(super) fn steps<'v>(value: &'v Value, parts: &str) -> Vec<&'v Value> {
    match kind(value) {
        "" => Vec::new(),
        "Sequence" => value.get(parts).and_then(Value::as_array).into_iter().flatten().collect(),
        _ => vec![value],
    }
}

/// A switch of a step, which must be true or false where it is there.
pub(super) fn switch(step: &Value, name: &str, default: bool) -> Result<bool, EngineError> {
    match step.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_bool().ok_or_else(|| damaged(format!("{name} of {} is {value}", kind(step)))),
    }
}

/// The control tokens around texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opening: Vec<TokenId>,
    /// Between two texts given together.
    pub(super) between: Vec<TokenId>,
    pub(super) closing: Vec<TokenId>,
    /// The second text, and what closes it, is of the token type 1.
    pub(super) second_type: bool,
}

/// The tokens of two texts given together, within the control tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTokens {
    /// All tokens.
    pub tokens: Vec<TokenId>,
    /// The first token of type 1 where the tokenizer tells two types apart, else the number of tokens.
    pub second: usize,
}

impl Frame {
    /// Tokens around one text.
    pub(super) fn single_tokens(&self) -> usize {
        self.opening.len() + self.closing.len()
    }

    /// Tokens around and between two texts.
    pub(super) fn pair_tokens(&self) -> usize {
        self.single_tokens() + self.between.len()
    }

    /// Every token of the frame.
    pub(super) fn tokens(&self) -> impl Iterator<Item = TokenId> {
        self.opening.iter().chain(&self.between).chain(&self.closing).copied()
    }

    /// Two texts in the frame, at most `max` tokens in all.
    ///
    /// What is too long is cut as the Hugging Face library does with "longest first": the longer text is cut to what the
    /// shorter one leaves, and both to half the room where the shorter one alone takes more than that.
    pub(super) fn pair(&self, first: &[TokenId], second: &[TokenId], max: usize) -> PairTokens {
        let room = max.saturating_sub(self.pair_tokens());
        let (short, long) = (first.len().min(second.len()), first.len().max(second.len()));
        let (mut short, mut long) = (short, long.min(short.max(room.saturating_sub(short))));
        if short + long > room {
            (short, long) = (room / 2, room - room / 2);
        }
        let (kept_first, kept_second) = if first.len() > second.len() { (long, short) } else { (short, long) };
        let mut tokens = self.opening.clone();
        tokens.extend_from_slice(&first[..kept_first]);
        tokens.extend_from_slice(&self.between);
        let begin = tokens.len();
        tokens.extend_from_slice(&second[..kept_second]);
        tokens.extend_from_slice(&self.closing);
        let second = if self.second_type { begin } else { tokens.len() };
        PairTokens { tokens, second }
    }

    /// The frame that a post-processor makes.
    pub(super) fn read(processor: Option<&Value>) -> Result<Self, EngineError> {
        let mut frame = Self::default();
        for step in processor.map(|processor| steps(processor, "processors")).unwrap_or_default() {
            let found = match kind(step) {
                // It changes places of tokens only.
                "ByteLevel" => continue,
                "TemplateProcessing" => Self::from_template(step)?,
                "RobertaProcessing" => {
                    let (cls, sep) = (named_token(step, "cls")?, named_token(step, "sep")?);
                    Self { opening: vec![cls], between: vec![sep, sep], closing: vec![sep], second_type: false }
                }
                "BertProcessing" => Self::of_bert(named_token(step, "cls")?, named_token(step, "sep")?),
                other => return Err(EngineError::unsupported("post-processor", format!("{other:?}"))),
            };
            if std::mem::replace(&mut frame, found) != Self::default() {
                return Err(EngineError::unsupported("post-processor", "two that put tokens around texts"));
            }
        }
        if frame.pair_tokens() > FRAME_TOKENS_MAX {
            return Err(damaged(format!("{} tokens around two texts", frame.pair_tokens())));
        }
        Ok(frame)
    }

    /// The frame of BERT.
    pub(super) fn of_bert(opening: TokenId, separator: TokenId) -> Self {
        Self { opening: vec![opening], between: vec![separator], closing: vec![separator], second_type: true }
    }

    fn from_template(processor: &Value) -> Result<Self, EngineError> {
        let ids = template_tokens(processor);
        let single = Template::read(processor, "single", &ids)?;
        if processor.get("pair").is_none_or(Value::is_null) {
            return match <[_; 2]>::try_from(single.parts) {
                Ok([opening, closing]) => Ok(Self { opening, closing, ..Self::default() }),
                Err(_) => Err(damaged("the template of one text")),
            };
        }
        let pair = Template::read(processor, "pair", &ids)?;
        let (Ok([opening, closing]), Ok([first, between, last])) =
            (<[_; 2]>::try_from(single.parts), <[_; 3]>::try_from(pair.parts))
        else {
            return Err(damaged("the templates of one text and of two"));
        };
        if single.texts != ["A"] || pair.texts != ["A", "B"] || opening != first || closing != last {
            let what = "templates that do not begin and end alike, or texts in another order";
            return Err(EngineError::unsupported("post-processor", what));
        }
        let second_type = match pair.types.as_slice() {
            [0, kind @ (0 | 1)] => *kind == 1,
            other => return Err(EngineError::unsupported("post-processor", format!("token types {other:?}"))),
        };
        Ok(Self { opening, between, closing, second_type })
    }
}

/// A template: the tokens before, between and after the texts, the texts' names and their types.
#[derive(Default)]
struct Template<'v> {
    parts: Vec<Vec<TokenId>>,
    texts: Vec<&'v str>,
    types: Vec<u64>,
}

impl<'v> Template<'v> {
    fn read(processor: &'v Value, name: &str, ids: &HashMap<&str, Vec<TokenId>>) -> Result<Self, EngineError> {
        let mut template = Self { parts: vec![Vec::new()], ..Self::default() };
        for item in processor.get(name).and_then(Value::as_array).into_iter().flatten() {
            if let Some(text) = item.get("Sequence") {
                template.texts.push(text.get("id").and_then(Value::as_str).unwrap_or_default());
                template.types.push(text.get("type_id").and_then(Value::as_u64).unwrap_or(0));
                template.parts.push(Vec::new());
            } else {
                let token = item.pointer("/SpecialToken/id").and_then(Value::as_str).unwrap_or_default();
                let found = ids.get(token).ok_or_else(|| damaged(format!("the template's token {token:?}")))?;
                template.parts.last_mut().into_iter().for_each(|last| last.extend(found));
            }
        }
        Ok(template)
    }
}

fn template_tokens(processor: &Value) -> HashMap<&str, Vec<TokenId>> {
    let tokens = processor.get("special_tokens").and_then(Value::as_object);
    let ids = |token: &Value| {
        let list = token.get("ids").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|id| TokenId::try_from(id.as_u64()?).ok()).collect()
    };
    tokens.into_iter().flatten().map(|(name, token)| (name.as_str(), ids(token))).collect()
}

/// A token given as its text and its id.
fn named_token(processor: &Value, name: &str) -> Result<TokenId, EngineError> {
    let id = processor.get(name).and_then(|pair| pair.get(1)).and_then(Value::as_u64);
    id.and_then(|id| TokenId::try_from(id).ok()).ok_or_else(|| damaged(format!("{name} of {}", kind(processor))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        let frame = Frame { opening: vec![100], between: vec![101], closing: vec![102], second_type: true };
        // Lengths of the two texts, most tokens, and what is kept of each.
        let rows = [
            ((2, 3), 20, (2, 3)),
            ((2, 9), 10, (2, 5)),
            ((9, 2), 10, (5, 2)),
            ((9, 9), 10, (3, 4)),
            ((9, 8), 10, (4, 3)),
            ((20, 30), 10, (3, 4)),
            ((4, 20), 11, (4, 4)),
            ((5, 20), 11, (4, 4)),
            ((0, 20), 8, (0, 5)),
            ((5, 5), 3, (0, 0)),
        ];
        for ((first, second), max, (kept_first, kept_second)) in rows {
            let (first, second): (Vec<_>, Vec<_>) = ((0..first).collect(), (50..50 + second).collect());
            let pair = frame.pair(&first, &second, max);
            let kept = [&[100], &first[..kept_first], &[101], &second[..kept_second], &[102]].concat();
            assert_eq!(pair.tokens, kept, "{} and {} in {max}", first.len(), second.len());
            assert_eq!(pair.second, kept_first + 2);
        }
    }
}
