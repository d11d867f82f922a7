//! Reading `tokenizer.json` of the Hugging Face library where its model is a Unigram.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Piece, Pieces, Spaces, Unigram};
use crate::encoders::{damaged_json, read_bounded};
use crate::tokenizer::charsmap::CharsMap;
use crate::tokenizer::vocabulary::TOKENS_MAX;
use crate::{EngineError, TokenId};

/// Largest tokenizer file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: TokenId,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    unk_id: Option<TokenId>,
    #[serde(default)]
    byte_fallback: bool,
    vocab: Vec<(String, f64)>,
}

impl Unigram {
    /// Reads `tokenizer.json` of a folder.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for another model, normaliser or pre-tokeniser than those of SentencePiece's Unigram,
    /// [`EngineError::Damaged`] or [`EngineError::Io`] for a file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_bounded(&path, FILE_BYTES_MAX)?;
        let kind: Kind = serde_json::from_slice(&bytes).map_err(|error| damaged_json(&path, &error))?;
        if kind.model.kind.as_deref() != Some("Unigram") {
            let kind = kind.model.kind.unwrap_or_default();
            return Err(EngineError::unsupported("tokenizer", format!("{kind:?}; Unigram is wanted here")));
        }
        let file: File = serde_json::from_slice(&bytes).map_err(|error| damaged_json(&path, &error))?;
        Self::from_file(file)
    }

    fn from_file(file: File) -> Result<Self, EngineError> {
        let Model { unk_id, byte_fallback, vocab, .. } = file.model;
        let damaged = |what: String| EngineError::damaged("tokenizer.json", 0, what);
        if byte_fallback {
            return Err(EngineError::unsupported("tokenizer", "Unigram with byte fallback".to_owned()));
        }
        if vocab.is_empty() || vocab.len() > TOKENS_MAX || vocab.iter().any(|(_, score)| score.is_nan()) {
            return Err(damaged(format!("{} pieces, or one without a score", vocab.len())));
        }
        let unknown = unk_id.filter(|&id| (id as usize) < vocab.len());
        let unknown = unknown.ok_or_else(|| damaged("no unknown token".to_owned()))?;
        let mut control = vec![false; vocab.len()];
        control[unknown as usize] = true;
        for token in file.added_tokens.iter().filter(|token| token.special) {
            if let Some(flag) = control.get_mut(token.id as usize) {
                *flag = true;
            }
        }
        let score_min = vocab.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let normalizer = file.normalizer.unwrap_or(Value::Null);
        let (charsmap, spaces) =
            (read_normalizer(&normalizer)?, read_spaces(&normalizer, file.pre_tokenizer.as_ref())?);
        let pieces = vocab.iter().zip(0..).filter(|&(_, id)| !control[id as usize]);
        let pieces = pieces.map(|((text, score), id): (&(String, f64), TokenId)| Piece {
            text: text.as_bytes(),
            id,
            score: *score,
        });
        let Frame { opening, between, closing } = Frame::read(file.post_processor.as_ref())?;
        let ids = opening.iter().chain(&between).chain(&closing).copied();
        Ok(Self {
            largest_id: ids.chain([vocab.len() as TokenId - 1]).max().unwrap_or(0),
            pieces: Pieces::new(pieces, score_min, unknown, charsmap, spaces),
            opening,
            between,
            closing,
        })
    }
}

#[derive(Deserialize)]
struct Kind {
    model: KindOfModel,
}

#[derive(Deserialize)]
struct KindOfModel {
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The steps of a normaliser or pre-tokeniser: the parts of a sequence, or the one that it is.
fn steps<'v>(value: &'v Value, parts: &str) -> Vec<&'v Value> {
    match kind(value) {
        "" => Vec::new(),
        "Sequence" => value.get(parts).and_then(Value::as_array).into_iter().flatten().collect(),
        _ => vec![value],
    }
}

/// Whether a step makes one space of several.
fn merges_spaces(step: &Value) -> bool {
    let pattern = step.pointer("/pattern/Regex").and_then(Value::as_str);
    kind(step) == "Replace" && pattern == Some(" {2,}")
}

fn read_normalizer(normalizer: &Value) -> Result<CharsMap, EngineError> {
    let mut map = CharsMap::default();
    for step in steps(normalizer, "normalizers") {
        match kind(step) {
            "Precompiled" => {
                let text = step.get("precompiled_charsmap").and_then(Value::as_str).unwrap_or_default();
                let bytes = base64(text)
                    .ok_or_else(|| EngineError::damaged("precompiled_charsmap", 0, "not base64".to_owned()))?;
                map = CharsMap::read(&bytes)?;
            }
            "Replace" if merges_spaces(step) => {}
            // White space at either end gives no tokens in any case that `read_spaces` lets through.
            "Strip" => {}
            other => return Err(EngineError::unsupported("normalizer", format!("{other:?} of a Unigram"))),
        }
    }
    Ok(map)
}

fn read_spaces(normalizer: &Value, pre_tokenizer: Option<&Value>) -> Result<Spaces, EngineError> {
    let unsupported = |what: &str| EngineError::unsupported("pre-tokenizer", format!("{what:?} of a Unigram"));
    let pre_tokenizer = pre_tokenizer.ok_or_else(|| unsupported("none"))?;
    let steps_of_text = steps(normalizer, "normalizers");
    let mut of_every_kind = false;
    let mut prefix = None;
    for step in steps(pre_tokenizer, "pretokenizers") {
        match kind(step) {
            "WhitespaceSplit" => of_every_kind = true,
            "Metaspace" => {
                let mark = step.get("replacement").and_then(Value::as_str);
                let scheme = step.get("prepend_scheme").and_then(Value::as_str);
                let always = step.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(true);
                if mark.is_some_and(|mark| mark != super::SPACE_MARK) {
                    return Err(unsupported("Metaspace with another mark"));
                }
                prefix = Some(scheme.map_or(always, |scheme| scheme != "never"));
            }
            other => return Err(unsupported(other)),
        }
    }
    let prefix = prefix.ok_or_else(|| unsupported("no Metaspace"))?;
    let merged = of_every_kind || steps_of_text.iter().any(|step| merges_spaces(step));
    if merged && !prefix {
        return Err(unsupported("Metaspace without a mark before the text"));
    }
    Ok(Spaces { prefix, merged, of_every_kind })
}

/// The control tokens around texts.
#[derive(Debug, Default)]
struct Frame {
    opening: Vec<TokenId>,
    between: Vec<TokenId>,
    closing: Vec<TokenId>,
}

impl Frame {
    fn read(processor: Option<&Value>) -> Result<Self, EngineError> {
        let Some(processor) = processor.filter(|processor| !processor.is_null()) else { return Ok(Self::default()) };
        match kind(processor) {
            "TemplateProcessing" => Ok(Self::from_template(processor)),
            "RobertaProcessing" => {
                let id = |name: &str| {
                    let id = processor.get(name).and_then(|pair| pair.get(1)).and_then(Value::as_u64);
                    id.and_then(|id| TokenId::try_from(id).ok())
                        .ok_or_else(|| EngineError::damaged("tokenizer.json", 0, format!("RobertaProcessing: {name}")))
                };
                let (cls, sep) = (id("cls")?, id("sep")?);
                Ok(Self { opening: vec![cls], between: vec![sep, sep], closing: vec![sep] })
            }
            other => Err(EngineError::unsupported("post-processor", format!("{other:?} of a Unigram"))),
        }
    }

    fn from_template(processor: &Value) -> Self {
        let no_tokens = serde_json::Map::new();
        let tokens = processor.get("special_tokens").and_then(Value::as_object).unwrap_or(&no_tokens);
        let ids: HashMap<&str, Vec<TokenId>> = tokens
            .iter()
            .map(|(name, token)| {
                let list = token.get("ids").and_then(Value::as_array).into_iter().flatten();
                (name.as_str(), list.filter_map(|id| TokenId::try_from(id.as_u64()?).ok()).collect())
            })
            .collect();
        // The tokens before the first text, after it, and so on.
        let parts = |template: &str| {
            let mut parts = vec![Vec::new()];
            for part in processor.get(template).and_then(Value::as_array).into_iter().flatten() {
                let token = part.pointer("/SpecialToken/id").and_then(Value::as_str);
                match (token.and_then(|name| ids.get(name)), parts.last_mut()) {
                    (Some(ids), Some(last)) => last.extend(ids),
                    (None, _) if part.get("Sequence").is_some() => parts.push(Vec::new()),
                    _ => {}
                }
            }
            parts
        };
        let mut single = parts("single").into_iter();
        let (opening, closing) = (single.next().unwrap_or_default(), single.next().unwrap_or_default());
        let between = parts("pair").into_iter().nth(1).unwrap_or_default();
        Self { opening, between, closing }
    }
}

/// The bytes of a base64 text (RFC 4648); `None` when it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for &byte in group {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        let bytes = group.len().checked_sub(1).filter(|&bytes| bytes > 0)?;
        out.extend_from_slice(&(bits << (6 * (4 - group.len()))).to_be_bytes()[1..=bytes]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_the_standard() {
        let rows: &[(&str, &[u8])] = &[
            ("", b""),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("//+A", &[255, 255, 128]),
        ];
        for (text, wanted) in rows {
            assert_eq!(base64(text).as_deref(), Some(*wanted), "{text}");
        }
        assert_eq!(base64("Z"), None);
        assert_eq!(base64("Zm9*"), None);
    }
}
