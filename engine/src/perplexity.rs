//! Perplexity of a text, as the field's reference tool computes it.

use std::sync::Arc;

use crate::kernels::rows::LogSumExp;
use crate::{Adapter, CancelFlag, EngineError, Generator, KvForm, TokenId};

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

impl Generator {
    /// Perplexity over whole windows of `context` tokens: in each the tokens after the first half are scored.
    ///
    /// Windows do not overlap, and what is left at the end is not used. Where the model's file asks for a token at the
    /// beginning of a text, it takes the place of each window's first token.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] when there is no whole window; else as [`Generator::prefill`].
    pub fn perplexity(
        &self,
        tokens: &[TokenId],
        context: usize,
        cancel: &CancelFlag,
    ) -> Result<Perplexity, EngineError> {
        self.perplexity_with(None, tokens, context, cancel)
    }

    /// As [`Generator::perplexity`], with an adapter where one is given.
    ///
    /// # Errors
    /// As [`Generator::perplexity`] and [`Generator::sequence_with`].
    pub fn perplexity_with(
        &self,
        adapter: Option<&Arc<Adapter>>,
        tokens: &[TokenId],
        context: usize,
        cancel: &CancelFlag,
    ) -> Result<Perplexity, EngineError> {
        if context < 4 || tokens.len() < context {
            let what = format!("{} tokens hold no window of {context}", tokens.len());
            return Err(EngineError::InvalidInput(what));
        }
        let beginning = self.beginning_token();
        let first = context / 2;
        let (mut loss, mut scored, mut windows) = (0.0, 0, 0);
        for window in tokens.chunks_exact(context) {
            let mut window = window.to_vec();
            if let Some(beginning) = beginning {
                window[0] = beginning;
            }
            self.score_rows(self.sequence_of(adapter, KvForm::Bits16)?, &window, first, cancel, &mut |row, logits| {
                if let Some(&next) = window.get(row + 1) {
                    loss += self.kernels().run(LogSumExp { row: logits }) - f64::from(logits[next as usize]);
                    scored += 1;
                }
            })?;
            windows += 1;
        }
        Ok(Perplexity { perplexity: (loss / f64::from(scored)).exp(), tokens: scored as usize, windows })
    }
}
