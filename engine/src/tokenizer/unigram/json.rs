//! Reading `tokenizer.json` of the Hugging Face library where its model is a Unigram.

use serde::Deserialize;
use serde_json::Value;

use super::{Piece, Pieces, Spaces};
use crate::tokenizer::charsmap::CharsMap;
use crate::tokenizer::json::{File, TokenizerJson, kind, steps};
use crate::tokenizer::vocabulary::TOKENS_MAX;
use crate::{EngineError, TokenId};

#[derive(Deserialize)]
struct Model {
    unk_id: Option<TokenId>,
    #[serde(default)]
    byte_fallback: bool,
    vocab: Vec<(String, f64)>,
}

/// What a file with a Unigram holds beside its post-processor.
pub(in crate::tokenizer) struct UnigramFile {
    pub(in crate::tokenizer) pieces: Pieces,
    pub(in crate::tokenizer) largest_id: TokenId,
    pub(in crate::tokenizer) post_processor: Option<Value>,
}

impl UnigramFile {
    /// Takes the pieces out of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for another normaliser or pre-tokeniser than those of SentencePiece's Unigram and for added
    /// tokens that are not special, [`EngineError::Damaged`] for a file that makes no sense.
    pub(in crate::tokenizer) fn read(json: &TokenizerJson) -> Result<Self, EngineError> {
        Self::from_file(json.parse()?)
    }

    fn from_file(file: File<Model>) -> Result<Self, EngineError> {
        file.refuse_text_tokens("Unigram")?;
        let Model { unk_id, byte_fallback, vocab } = file.model;
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
        Ok(Self {
            largest_id: vocab.len() as TokenId - 1,
            pieces: Pieces::new(pieces, score_min, unknown, charsmap, spaces),
            post_processor: file.post_processor,
        })
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
