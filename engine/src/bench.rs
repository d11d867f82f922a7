//! Measuring a loaded model: reading and writing speed on random tokens from a fixed seed.

use std::time::{Duration, Instant};

use crate::{CancelFlag, EngineError, Generator, KvForm, Operation, Sequence, TokenId};

/// Tokens a second, run by run.
#[derive(Debug, Clone)]
pub struct BenchResult {
    /// One figure for each run.
    pub per_second: Vec<f64>,
}

/// Reads `size` tokens after `depth` others, `runs` times, after one run that is not counted.
///
/// # Errors
/// As [`Generator::prefill`].
pub fn prefill(model: &Generator, size: usize, depth: usize, runs: usize) -> Result<BenchResult, EngineError> {
    repeat(Measurement::prefill(model, KvForm::Bits16, size, depth)?, runs)
}

/// Writes `size` tokens one by one after `depth` others, `runs` times, after one run that is not counted.
///
/// # Errors
/// As [`Generator::prefill`].
pub fn decode(model: &Generator, size: usize, depth: usize, runs: usize) -> Result<BenchResult, EngineError> {
    decode_batch(model, size, depth, 1, runs)
}

/// As [`decode`] for `batch` sequences at once; counts the tokens of all of them.
///
/// # Errors
/// As [`Generator::prefill`].
pub fn decode_batch(
    model: &Generator,
    size: usize,
    depth: usize,
    batch: usize,
    runs: usize,
) -> Result<BenchResult, EngineError> {
    repeat(Measurement::decode(model, KvForm::Bits16, size, depth, batch)?, runs)
}

fn repeat(mut measurement: Measurement<'_>, runs: usize) -> Result<BenchResult, EngineError> {
    measurement.run()?;
    let per_second = (0..runs).map(|_| measurement.run()).collect::<Result<_, _>>()?;
    Ok(BenchResult { per_second })
}

/// Something to measure again and again: sequences that stand at their depth, and the tokens that follow.
#[derive(Debug)]
pub struct Measurement<'a> {
    model: &'a Generator,
    sequences: Vec<Sequence>,
    tokens: Vec<TokenId>,
    depth: usize,
    /// Tokens in a pass and sequence.
    step: usize,
}

impl<'a> Measurement<'a> {
    /// Reading `size` tokens in one go after `depth` others, which are read here; keys and values are kept in `form`.
    ///
    /// # Errors
    /// As [`Generator::prefill`] and [`Generator::sequence_of`].
    pub fn prefill(model: &'a Generator, form: KvForm, size: usize, depth: usize) -> Result<Self, EngineError> {
        Self::new(model.sequence_of(None, form)?, model, size, depth, 1, size)
    }

    /// Writing `size` tokens, one in a pass, in each of `batch` sequences of `depth` tokens.
    ///
    /// # Errors
    /// As [`Generator::prefill`] and [`Generator::sequence_of`].
    pub fn decode(
        model: &'a Generator,
        form: KvForm,
        size: usize,
        depth: usize,
        batch: usize,
    ) -> Result<Self, EngineError> {
        Self::new(model.sequence_of(None, form)?, model, size, depth, batch.max(1), 1)
    }

    fn new(
        mut first: Sequence,
        model: &'a Generator,
        size: usize,
        depth: usize,
        batch: usize,
        step: usize,
    ) -> Result<Self, EngineError> {
        let (length, context_tokens) = (depth.saturating_add(size), model.context_tokens());
        if length > context_tokens {
            return Err(EngineError::ContextFull { tokens: length, context_tokens });
        }
        let tokens = random_tokens(model, depth + size);
        model.prefill(&mut first, &tokens[..depth], &CancelFlag::new())?;
        Ok(Self { model, sequences: vec![first; batch], tokens, depth, step: step.max(1) })
    }

    /// Computes the tokens once and returns how long each operation of the forward passes took.
    ///
    /// # Errors
    /// As [`Generator::prefill`].
    pub fn profile(&mut self) -> Result<Vec<(Operation, Duration)>, EngineError> {
        let model = self.model;
        model.timed(|| self.run().map(drop))
    }

    /// Computes the tokens once and returns how many a second, those of all sequences together.
    ///
    /// # Errors
    /// As [`Generator::prefill`].
    pub fn run(&mut self) -> Result<f64, EngineError> {
        for sequence in &mut self.sequences {
            sequence.truncate(self.depth);
        }
        let cancel = CancelFlag::new();
        let tokens = &self.tokens[self.depth..];
        let start = Instant::now();
        for step in tokens.chunks(self.step) {
            let mut parts: Vec<_> = self.sequences.iter_mut().map(|sequence| (sequence, step)).collect();
            self.model.prefill_many(&mut parts, &cancel)?;
        }
        Ok((tokens.len() * self.sequences.len()) as f64 / start.elapsed().as_secs_f64())
    }
}

/// Valid tokens by a multiplicative congruential generator (Lehmer, modulus 2^31 - 1).
fn random_tokens(model: &Generator, count: usize) -> Vec<TokenId> {
    let mut state: u64 = 20_261_121;
    let mut next = || {
        state = state * 48_271 % 0x7fff_ffff;
        (state % model.vocabulary() as u64) as TokenId
    };
    (0..count).map(|_| next()).collect()
}
