//! Measuring a loaded model: reading and writing speed on random tokens from a fixed seed.

use std::time::Instant;

use crate::{CancelFlag, EngineError, Generator, TokenId};

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
    let tokens = random_tokens(model, depth + size);
    let cancel = CancelFlag::new();
    let mut sequence = model.sequence();
    model.prefill(&mut sequence, &tokens[..depth], &cancel)?;
    measure(size, runs, || {
        sequence.truncate(depth);
        model.prefill(&mut sequence, &tokens[depth..], &cancel)
    })
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
    let tokens = random_tokens(model, depth + size);
    let cancel = CancelFlag::new();
    let mut first = model.sequence();
    model.prefill(&mut first, &tokens[..depth], &cancel)?;
    let mut sequences = vec![first; batch.max(1)];
    measure(size * batch.max(1), runs, || {
        for sequence in &mut sequences {
            sequence.truncate(depth);
        }
        for token in tokens[depth..].chunks(1) {
            let mut parts: Vec<_> = sequences.iter_mut().map(|sequence| (sequence, token)).collect();
            model.prefill_many(&mut parts, &cancel)?;
        }
        Ok(())
    })
}

fn measure(
    size: usize,
    runs: usize,
    mut work: impl FnMut() -> Result<(), EngineError>,
) -> Result<BenchResult, EngineError> {
    work()?;
    let mut per_second = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        per_second.push(size as f64 / start.elapsed().as_secs_f64());
    }
    Ok(BenchResult { per_second })
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
