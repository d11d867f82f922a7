//! Writing text, token by token.

use std::ops::ControlFlow;

use crate::kernels::rows::LogSumExp;
use crate::sample::Sampler;
use crate::stop::StopText;
use crate::{CancelFlag, EngineError, Generator, Sampling, Sequence, TokenId};

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
    /// Text completed by this token: whole UTF-8 only, and nothing that may turn out to be part of a stop text. So it may
    /// be empty, and longer later.
    pub text: &'a str,
    /// Natural logarithm of the token's probability as the model gave it, before masks and sampling.
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
    /// Text at the end of `text` that was held back as a possible stop text or unfinished character when the generation
    /// ended, and was part of no event.
    pub tail: String,
    /// Why it ended.
    pub finish: Finish,
    /// The log-probability of each token as the model gave it.
    pub logprobs: Vec<f32>,
    /// For each token the likeliest ones and their log-probabilities, when asked for.
    pub top_logprobs: Vec<Vec<(TokenId, f32)>>,
}

/// Decides which tokens may come next.
pub trait TokenMask {
    /// Sets the logits of tokens that are not admitted after `generated` to negative infinity.
    fn admit(&mut self, generated: &[TokenId], logits: &mut [f32]);
}

/// The state of one generation.
struct Run<'a> {
    generator: &'a Generator,
    options: &'a GenerateOptions,
    sampler: Sampler,
    stop: StopText<'a>,
    logits: Vec<f32>,
    done: Generation,
}

impl Generator {
    /// Generates from where the sequence stands. The last token generated is not computed yet when this returns.
    ///
    /// Without tokens in the sequence, or after [`Sequence::truncate`], there are no logits to start from: prefill first.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] when there are no logits to start from. Cancelling is no error here: what was generated
    /// is returned.
    pub fn generate(
        &self,
        sequence: &mut Sequence,
        options: &GenerateOptions,
        mut mask: Option<&mut dyn TokenMask>,
        cancel: &CancelFlag,
        on_token: &mut dyn FnMut(&TokenEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Generation, EngineError> {
        let mut run = Run::new(self, options);
        let finish = loop {
            if let Some(finish) = run.before(sequence, cancel)? {
                break finish;
            }
            let Some(id) = run.choose(sequence, &mut mask) else { break Finish::Mask };
            if self.tokenizer().end_tokens().contains(&id) {
                break Finish::Stop;
            }
            if let Some(finish) = run.accept(id, sequence, on_token) {
                break finish;
            }
            if run.done.tokens.len() >= options.max_tokens {
                break Finish::Length;
            }
            if sequence.len() >= self.context_tokens() {
                break Finish::Context;
            }
            match self.prefill(sequence, &[id], cancel) {
                Ok(()) => {}
                Err(EngineError::Cancelled) => break Finish::Cancelled,
                Err(error) => return Err(error),
            }
        };
        Ok(run.finish(finish))
    }
}

impl<'a> Run<'a> {
    fn new(generator: &'a Generator, options: &'a GenerateOptions) -> Self {
        Self {
            generator,
            options,
            sampler: Sampler::new(&options.sampling),
            stop: StopText::new(generator.tokenizer().stream(), &options.stop),
            logits: Vec::new(),
            done: Generation {
                tokens: Vec::new(),
                text: String::new(),
                tail: String::new(),
                finish: Finish::Length,
                logprobs: Vec::new(),
                top_logprobs: Vec::new(),
            },
        }
    }

    /// What ends the generation before the next token is chosen.
    fn before(&self, sequence: &Sequence, cancel: &CancelFlag) -> Result<Option<Finish>, EngineError> {
        if cancel.is_cancelled() {
            return Ok(Some(Finish::Cancelled));
        }
        if self.options.max_tokens == 0 {
            return Ok(Some(Finish::Length));
        }
        if sequence.logits.is_empty() {
            return Err(EngineError::InvalidInput("the sequence has no logits to generate from".to_owned()));
        }
        Ok(None)
    }

    /// The next token, or `None` when the mask admits none.
    fn choose(&mut self, sequence: &Sequence, mask: &mut Option<&mut dyn TokenMask>) -> Option<TokenId> {
        self.logits.clear();
        self.logits.extend_from_slice(&sequence.logits);
        if let Some(mask) = mask {
            mask.admit(&self.done.tokens, &mut self.logits);
            if self.logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
                return None;
            }
        }
        Some(self.sampler.choose(&mut self.logits, sequence.tokens()))
    }

    /// Takes the token into the result and hands it to the caller.
    fn accept(
        &mut self,
        id: TokenId,
        sequence: &Sequence,
        on_token: &mut dyn FnMut(&TokenEvent<'_>) -> ControlFlow<()>,
    ) -> Option<Finish> {
        let total = self.generator.kernels().run(LogSumExp { row: &sequence.logits }) as f32;
        let top = likeliest(&sequence.logits, self.options.top_logprobs, total);
        let logprob = sequence.logits[id as usize] - total;
        let (text, stopped) = self.stop.push(id);
        self.done.tokens.push(id);
        self.done.logprobs.push(logprob);
        self.done.text.push_str(&text);
        let flow = on_token(&TokenEvent { id, text: &text, logprob, top: &top });
        if self.options.top_logprobs > 0 {
            self.done.top_logprobs.push(top);
        }
        match (stopped, flow) {
            (true, _) => Some(Finish::Stop),
            (false, ControlFlow::Break(())) => Some(Finish::Cancelled),
            (false, ControlFlow::Continue(())) => None,
        }
    }

    fn finish(mut self, finish: Finish) -> Generation {
        let tail = self.stop.finish();
        self.done.text.push_str(&tail);
        Generation { tail, finish, ..self.done }
    }
}

/// The `count` largest logits with their log-probabilities, largest first; of equal ones the lower id first.
fn likeliest(logits: &[f32], count: usize, total: f32) -> Vec<(TokenId, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut order: Vec<TokenId> = (0..logits.len() as TokenId).collect();
    let by_logit = |a: &TokenId, b: &TokenId| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, by_logit);
        order.truncate(count);
    }
    order.sort_unstable_by(by_logit);
    order.into_iter().map(|id| (id, logits[id as usize] - total)).collect()
}
