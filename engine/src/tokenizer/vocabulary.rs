//! The tokens of a model: their texts, what they stand for, and what kind they are.

use crate::EngineError;
use crate::TokenId;
use crate::gguf::GgufFile;

/// Most tokens of a vocabulary.
pub(super) const TOKENS_MAX: usize = 1 << 22;
/// Longest text of a token, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 4096;

/// What a token is for, by its number in `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn from_id(id: u64) -> Self {
        match id {
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => Kind::Normal,
        }
    }
}

/// All texts in one run of bytes.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Arena {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }

    fn get(&self, idx: usize) -> &[u8] {
        let Some(&end) = self.ends.get(idx) else { return &[] };
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        &self.bytes[start as usize..end as usize]
    }
}

/// The tokens of one model.
#[derive(Debug)]
pub(super) struct Vocabulary {
    texts: Arena,
    bytes: Arena,
    kinds: Vec<Kind>,
}

impl Vocabulary {
    /// Reads tokens and their kinds; `decode` turns a normal token's text into the bytes it stands for.
    pub(super) fn read(file: &GgufFile, decode: impl Fn(&[u8]) -> Vec<u8>) -> Result<Self, EngineError> {
        let key = "tokenizer.ggml.tokens";
        let tokens = file.strings(key)?.ok_or_else(|| file.damaged(format!("{key} is missing")))?;
        if tokens.is_empty() || tokens.len() > TOKENS_MAX {
            return Err(file.damaged(format!("{key} holds {} tokens; 1 to {TOKENS_MAX} are allowed", tokens.len())));
        }
        let kinds_key = "tokenizer.ggml.token_type";
        let kinds: Vec<Kind> = match file.unsigned_list(kinds_key)? {
            Some(list) => list.into_iter().map(Kind::from_id).collect(),
            None => vec![Kind::Normal; tokens.len()],
        };
        if kinds.len() != tokens.len() {
            return Err(file.damaged(format!("{kinds_key} holds {} values for {} tokens", kinds.len(), tokens.len())));
        }
        Self::of(tokens.iter().zip(kinds), decode).map_err(|what| file.damaged(format!("{key} holds {what}")))
    }

    /// The vocabulary of those tokens and kinds, or what is wrong with them; `decode` as in [`Vocabulary::read`].
    pub(super) fn of<'a>(
        tokens: impl Iterator<Item = (&'a [u8], Kind)>,
        decode: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Result<Self, String> {
        let mut vocabulary = Self { texts: Arena::default(), bytes: Arena::default(), kinds: Vec::new() };
        for (id, (text, kind)) in tokens.enumerate() {
            if text.len() > TOKEN_BYTES_MAX {
                return Err(format!("token {id} of {} bytes; {TOKEN_BYTES_MAX} are allowed", text.len()));
            }
            let kind = if always_control(text) { Kind::Control } else { kind };
            vocabulary.texts.push(text);
            match kind {
                Kind::Control | Kind::Unknown => vocabulary.bytes.push(&[]),
                Kind::UserDefined => vocabulary.bytes.push(text),
                Kind::Byte => vocabulary.bytes.push(byte_of(text).as_slice()),
                Kind::Normal | Kind::Unused => vocabulary.bytes.push(&decode(text)),
            }
            vocabulary.kinds.push(kind);
        }
        Ok(vocabulary)
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The token's text in the file; empty outside the vocabulary.
    pub(super) fn text(&self, id: TokenId) -> &[u8] {
        self.texts.get(id as usize)
    }

    /// The bytes that the token stands for; empty for control tokens and outside the vocabulary.
    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        self.bytes.get(id as usize)
    }

    pub(super) fn kind(&self, id: TokenId) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// Whether plain text may become this token by merging.
    pub(super) fn is_mergeable(&self, id: TokenId) -> bool {
        matches!(self.kind(id), Some(Kind::Normal | Kind::UserDefined | Kind::Unused))
    }

    /// Whether the token ends a generation.
    pub(super) fn ends_generation(&self, id: TokenId) -> bool {
        ends_generation(self.text(id))
    }

    /// The token of each byte, by texts of the form `<0x1F>`; `u32::MAX` where there is none.
    pub(super) fn byte_tokens(&self) -> Vec<TokenId> {
        let mut tokens = vec![TokenId::MAX; 256];
        for id in 0..self.len() as TokenId {
            if let Some(byte) = self.byte_token(id) {
                let slot = &mut tokens[usize::from(byte)];
                *slot = (*slot).min(id);
            }
        }
        tokens
    }

    /// The byte of a token that stands for one byte.
    pub(super) fn byte_token(&self, id: TokenId) -> Option<u8> {
        (self.kind(id) == Some(Kind::Byte)).then(|| byte_of(self.text(id))).flatten()
    }
}

/// The byte of a text of the form `<0x1F>`.
fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// Texts that end a turn or a document in the model families we know. A token with such a text steers the model,
/// whatever its file says of its kind.
const END_TEXTS: [&str; 18] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",
    "<|file_sep|>",
];

/// Further texts that steer code models and are never meant as text.
const STEERING_TEXTS: [&str; 9] = [
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<fim_prefix>",
    "<fim_suffix>",
    "<fim_middle>",
    "<fim_pad>",
    "<|repo_name|>",
    "<reponame>",
];

/// Names of repositories and files that code models write when a document is over.
const DOCUMENT_TEXTS: [&str; 2] = ["<|repo_name|>", "<reponame>"];

fn listed(list: &[&str], text: &[u8]) -> bool {
    list.iter().any(|entry| entry.as_bytes() == text)
}

fn always_control(text: &[u8]) -> bool {
    listed(&END_TEXTS, text) || listed(&STEERING_TEXTS, text)
}

/// Whether a token of that text ends a generation.
fn ends_generation(text: &[u8]) -> bool {
    listed(&END_TEXTS, text) || listed(&DOCUMENT_TEXTS, text)
}
