//! Decoders: load, prefill, generate, score.

use std::ops::ControlFlow;
use std::path::Path;

use crate::catalogue::ModelInfo;
use crate::{CancelFlag, ChatMessage, ChatTemplate, EngineError, Sampling, TokenId, Tokenizer};

/// How to load a decoder.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Threads of the model's own pool; at least one is used.
    pub threads: usize,
    /// Longest sequence in tokens; cut to what the model was trained for.
    pub context_tokens: u32,
    /// When given, a model that needs more is refused before anything is loaded.
    pub memory_available_bytes: Option<u64>,
}

/// A loaded decoder.
#[derive(Debug)]
pub struct Generator {
    info: ModelInfo,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

/// The keys and values of one sequence, and the logits after its last token.
#[derive(Debug)]
pub struct Sequence {
    tokens: Vec<TokenId>,
    logits: Vec<f32>,
}

impl Sequence {
    /// The tokens computed so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Number of tokens computed so far.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing has been computed yet.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Keeps the first `len` tokens with their keys and values and forgets the rest.
    pub fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
        self.logits.clear();
    }
}

/// How to generate.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Texts that end the generation; they are not part of the text returned.
    pub stop: Vec<String>,
    /// How many of the likeliest tokens to report at each step.
    pub top_logprobs: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 256, sampling: Sampling::default(), stop: Vec::new(), top_logprobs: 0 }
    }
}

/// One generated token, as it is handed to the caller.
#[derive(Debug)]
pub struct TokenEvent<'a> {
    /// The token.
    pub id: TokenId,
    /// Text completed by this token: whole UTF-8 only, so it may be empty until a character is complete.
    pub text: &'a str,
    /// Natural logarithm of the token's probability.
    pub logprob: f32,
    /// The likeliest tokens and their log-probabilities, likeliest first.
    pub top: &'a [(TokenId, f32)],
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An end token or a stop text.
    Stop,
    /// `max_tokens` reached.
    Length,
    /// The flag was set or the callback broke off.
    Cancelled,
    /// The context is full.
    Context,
    /// The mask admits no further token.
    Mask,
}

/// What a generation gave.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Generated tokens, without the end token.
    pub tokens: Vec<TokenId>,
    /// Their text, cut before a stop text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// For each token the likeliest ones and their log-probabilities, when asked for.
    pub top_logprobs: Vec<Vec<(TokenId, f32)>>,
}

/// Decides which tokens may come next.
pub trait TokenMask {
    /// Sets the logits of tokens that are not admitted after `generated` to negative infinity.
    fn admit(&mut self, generated: &[TokenId], logits: &mut [f32]);
}

/// The perplexity of a text.
#[derive(Debug, Clone, Copy)]
pub struct Perplexity {
    /// `exp` of the mean negative log-likelihood of the scored tokens.
    pub perplexity: f64,
    /// Scored tokens.
    pub tokens: usize,
    /// Windows computed.
    pub windows: usize,
}

fn not_yet() -> EngineError {
    EngineError::unsupported("operation", "the decoder is not part of this build")
}

impl Generator {
    /// Loads a GGUF decoder.
    pub fn load(_path: &Path, _options: &LoadOptions) -> Result<Self, EngineError> {
        Err(not_yet())
    }

    /// What the file is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model's chat template, when its file carries one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The tokens of a conversation. Message contents never yield control tokens.
    pub fn encode_chat(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<Vec<TokenId>, EngineError> {
        let template = self
            .template
            .as_ref()
            .ok_or_else(|| EngineError::Template("the model file carries none".to_owned()))?;
        crate::template::encode_chat(template, &self.tokenizer, messages, add_generation_prompt)
    }

    /// An empty sequence for this model.
    pub fn sequence(&self) -> Sequence {
        Sequence { tokens: Vec::new(), logits: Vec::new() }
    }

    /// Computes `tokens` after what the sequence holds, in chunks between which `cancel` is looked at.
    pub fn prefill(
        &self,
        _sequence: &mut Sequence,
        _tokens: &[TokenId],
        _cancel: &CancelFlag,
    ) -> Result<(), EngineError> {
        Err(not_yet())
    }

    /// The logits after the last token computed; empty for an empty sequence.
    pub fn logits<'a>(&self, sequence: &'a Sequence) -> &'a [f32] {
        &sequence.logits
    }

    /// Generates from where the sequence stands.
    pub fn generate(
        &self,
        _sequence: &mut Sequence,
        _options: &GenerateOptions,
        _mask: Option<&mut dyn TokenMask>,
        _cancel: &CancelFlag,
        _on_token: &mut dyn FnMut(&TokenEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Generation, EngineError> {
        Err(not_yet())
    }

    /// Calls `on_row` with the logits after each token.
    pub fn score(&self, _tokens: &[TokenId], _on_row: &mut dyn FnMut(usize, &[f32])) -> Result<(), EngineError> {
        Err(not_yet())
    }

    /// Perplexity over windows of `context` tokens, the second half of each scored.
    pub fn perplexity(
        &self,
        _tokens: &[TokenId],
        _context: usize,
        _cancel: &CancelFlag,
    ) -> Result<Perplexity, EngineError> {
        Err(not_yet())
    }
}
