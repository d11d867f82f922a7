//! Reading `tokenizer.json` of the Hugging Face library where its model is byte-level byte-pair encoding.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{Bpe, Symbols, alphabet_bytes};
use crate::tokenizer::added::{AddedTokens, Found};
use crate::tokenizer::json::{File, TokenizerJson, damaged, kind, steps, switch};
use crate::tokenizer::split::Pretokenizer;
use crate::tokenizer::vocabulary::{Kind, TOKENS_MAX, Vocabulary};
use crate::{EngineError, TokenId};

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, TokenId>,
    merges: Vec<MergeLine>,
    unk_token: Option<String>,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// The two texts of a rule, apart or with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeLine {
    Line(String),
    Pair(String, String),
}

/// The byte pairs of an encoder in the Hugging Face layout.
#[derive(Debug)]
pub(in crate::tokenizer) struct BytePairs {
    vocabulary: Vocabulary,
    /// Added tokens that are found in text as it is, and in normalised text.
    added: [AddedTokens; 2],
    composed: bool,
    space_before: bool,
    bpe: Bpe,
}

/// How text is cut into words.
struct Cut {
    pretokenizer: Pretokenizer,
    space_before: bool,
}

impl BytePairs {
    /// Takes the byte pairs out of a `tokenizer.json`; its post-processor is given with them.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for what is not byte-level, for another normaliser than NFC and for a cutting of text
    /// that is not known; [`EngineError::Damaged`] for a file that makes no sense.
    pub(in crate::tokenizer) fn from_json(json: &TokenizerJson) -> Result<(Self, Option<Value>), EngineError> {
        let file = json.parse::<Model>()?;
        refuse_unknown(&file.model)?;
        let composed = is_composed(file.normalizer.as_ref())?;
        let cut = Cut::read(file.pre_tokenizer.as_ref(), file.model.ignore_merges)?;
        let vocabulary = vocabulary_of(&file)?;
        let merges: Vec<String> = file.model.merges.into_iter().map(MergeLine::line).collect();
        let lines = merges.iter().map(String::as_bytes);
        let bpe = Bpe::new(&vocabulary, lines, cut.pretokenizer, Symbols::Bytes);
        if file.model.unk_token.is_some() && !bpe.knows_all_bytes() {
            return Err(EngineError::unsupported("tokenizer", "byte pairs with an unknown token for some bytes"));
        }
        let normal = |text: &str| if composed { text.nfc().collect() } else { text.to_owned() };
        let (late, early): (Vec<_>, Vec<_>) = file.added_tokens.into_iter().partition(|token| token.normalized);
        let added = [AddedTokens::new(early.iter(), str::to_owned)?, AddedTokens::new(late.iter(), normal)?];
        let pairs = Self { vocabulary, added, composed, space_before: cut.space_before, bpe };
        Ok((pairs, file.post_processor))
    }

    /// The largest token that can come out.
    pub(in crate::tokenizer) fn largest_id(&self) -> TokenId {
        self.vocabulary.len() as TokenId - 1
    }

    /// Appends the tokens of a text.
    pub(in crate::tokenizer) fn append(&self, text: &str, out: &mut Vec<TokenId>) {
        self.added[0].cut(text, &mut |found| match found {
            Found::Token(id) => out.push(id),
            Found::Text(part) if self.composed => self.append_normal(&part.nfc().collect::<String>(), out),
            Found::Text(part) => self.append_normal(part, out),
        });
    }

    fn append_normal(&self, text: &str, out: &mut Vec<TokenId>) {
        self.added[1].cut(text, &mut |found| match found {
            Found::Token(id) => out.push(id),
            Found::Text(part) if self.space_before && !part.starts_with(' ') => {
                self.bpe.encode(&self.vocabulary, &[" ", part].concat(), out);
            }
            Found::Text(part) => self.bpe.encode(&self.vocabulary, part, out),
        });
    }
}

impl MergeLine {
    fn line(self) -> String {
        match self {
            Self::Line(line) => line,
            Self::Pair(left, right) => [left.as_str(), " ", right.as_str()].concat(),
        }
    }
}

fn refuse_unknown(model: &Model) -> Result<(), EngineError> {
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let odd = [
        ("dropout", model.dropout.is_some_and(|share| share != 0.0)),
        ("continuing_subword_prefix", set(&model.continuing_subword_prefix)),
        ("end_of_word_suffix", set(&model.end_of_word_suffix)),
        ("byte_fallback", model.byte_fallback),
    ];
    match odd.into_iter().find(|&(_, found)| found) {
        Some((name, _)) => Err(EngineError::unsupported("tokenizer", format!("byte pairs with {name}"))),
        None => Ok(()),
    }
}

/// Whether text is put into the composed form (NFC); no other normalisation is known.
fn is_composed(normalizer: Option<&Value>) -> Result<bool, EngineError> {
    let mut composed = false;
    for step in normalizer.map(|normalizer| steps(normalizer, "normalizers")).unwrap_or_default() {
        match kind(step) {
            "NFC" => composed = true,
            other => return Err(EngineError::unsupported("normalizer", format!("{other:?} of byte pairs"))),
        }
    }
    Ok(composed)
}

/// The tokens in the order of their ids. Those that merging must not make stand for nothing.
fn vocabulary_of(file: &File<Model>) -> Result<Vocabulary, EngineError> {
    let largest = file.model.vocab.values().chain(file.added_tokens.iter().map(|token| &token.id)).max();
    let count = largest.map_or(0, |&id| id as usize + 1);
    if count == 0 || count > TOKENS_MAX {
        return Err(damaged(format!("{count} tokens; 1 to {TOKENS_MAX} are allowed")));
    }
    let mut texts = vec![("", Kind::Control); count];
    for (text, &id) in &file.model.vocab {
        texts[id as usize] = (text, Kind::Normal);
    }
    for token in file.added_tokens.iter().filter(|token| token.special) {
        texts[token.id as usize].1 = Kind::Control;
    }
    let tokens = texts.iter().map(|&(text, kind)| (text.as_bytes(), kind));
    Vocabulary::of(tokens, |text| {
        std::str::from_utf8(text).ok().and_then(alphabet_bytes).unwrap_or_else(|| text.to_vec())
    })
    .map_err(damaged)
}

/// Expressions of models whose cutting is known, with the name of the cutting.
const EXPRESSIONS: [(&str, &str); 3] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "gpt-4o",
    ),
];

impl Cut {
    /// Byte-level alone cuts by the expression of GPT-2; before it may stand single digits, or an expression by which text
    /// is cut in its place.
    fn read(pre_tokenizer: Option<&Value>, whole_words: bool) -> Result<Self, EngineError> {
        let steps = pre_tokenizer.map(|value| steps(value, "pretokenizers")).unwrap_or_default();
        let unsupported = |what: String| EngineError::unsupported("pre-tokenizer", format!("{what} of byte pairs"));
        let (before, last) = match steps.as_slice() {
            [last] => (None, *last),
            [before, last] => (Some(*before), *last),
            other => return Err(unsupported(format!("{} steps", other.len()))),
        };
        if kind(last) != "ByteLevel" {
            return Err(unsupported(format!("{:?} instead of \"ByteLevel\"", kind(last))));
        }
        let name = match (before.map(|step| (kind(step), step)), switch(last, "use_regex", true)?) {
            (None, true) => "gpt-2",
            (Some(("Digits", step)), true) if switch(step, "individual_digits", false)? => "smollm",
            (Some(("Split", step)), false) => expression(step).ok_or_else(|| unsupported(step.to_string()))?,
            (step, _) => return Err(unsupported(format!("{:?} before \"ByteLevel\"", step.map(|(kind, _)| kind)))),
        };
        let known = Pretokenizer::by_name(name).ok_or_else(|| unsupported(name.to_owned()))?;
        let space_before = switch(last, "add_prefix_space", true)?;
        if space_before && before.is_some() {
            return Err(unsupported("a space before the text that was cut already".to_owned()));
        }
        Ok(Self { pretokenizer: Pretokenizer { whole_words, ..known }, space_before })
    }
}

/// The name of the cutting by an expression whose matches become words.
fn expression(step: &Value) -> Option<&'static str> {
    let text = step.pointer("/pattern/Regex")?.as_str()?;
    let isolated = step.get("behavior").and_then(Value::as_str) == Some("Isolated");
    let inverted = step.get("invert").and_then(Value::as_bool).unwrap_or(false);
    let known = EXPRESSIONS.iter().find(|(expression, _)| *expression == text);
    known.filter(|_| isolated && !inverted).map(|&(_, name)| name)
}
