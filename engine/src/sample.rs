//! Choosing the next token from the logits.
//!
//! The steps run in this order: repetition penalty, then greedy choice if the temperature is 0, else top-k, top-p and
//! min-p on the model's own probabilities, then temperature, then one random draw. Equal logits go by the lower token
//! id, and the random numbers are SplitMix64 from the seed, so the same seed and logits give the same tokens on every
//! machine with the same arithmetic.

use crate::TokenId;

/// How many of the latest tokens the repetition penalty looks at.
pub const REPEAT_WINDOW: usize = 64;
/// Candidates looked at first when only the most probable ones are needed.
const FIRST_CANDIDATES: usize = 256;

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token each time; larger values flatten the distribution.
    pub temperature: f32,
    /// Keep only this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the likeliest one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of the last [`REPEAT_WINDOW`] tokens; 1 changes nothing.
    pub repeat_penalty: f32,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.0, seed: 0 }
    }
}

/// Chooses the tokens of one generation.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
    candidates: Vec<(TokenId, f32)>,
}

impl Sampler {
    /// A sampler at the start of its random numbers. Settings that make no sense count as their neutral values.
    pub fn new(sampling: &Sampling) -> Self {
        let sane = |value: f32, neutral: f32| if value.is_finite() && value >= 0.0 { value } else { neutral };
        let mut sampling = sampling.clone();
        sampling.temperature = sane(sampling.temperature, 0.0);
        sampling.top_p = sane(sampling.top_p, 1.0);
        sampling.min_p = sane(sampling.min_p, 0.0).min(1.0);
        sampling.repeat_penalty = Some(sane(sampling.repeat_penalty, 1.0)).filter(|&p| p > 0.0).unwrap_or(1.0);
        Self { random: SplitMix64(sampling.seed), sampling, candidates: Vec::new() }
    }

    /// The next token after `history`. Logits of negative infinity (and those that are no number) are never chosen
    /// unless there are no others; the penalty is written into `logits`.
    pub fn choose(&mut self, logits: &mut [f32], history: &[TokenId]) -> TokenId {
        self.penalise(logits, history);
        if self.sampling.temperature == 0.0 {
            return greedy(logits);
        }
        self.candidates.clear();
        let usable = |logit: f32| !logit.is_nan() && logit != f32::NEG_INFINITY;
        let all = logits.iter().enumerate().filter(|&(_, &logit)| usable(logit));
        self.candidates.extend(all.map(|(id, &logit)| (id as TokenId, logit)));
        if self.candidates.is_empty() {
            return greedy(logits);
        }
        self.narrow();
        self.draw()
    }

    fn penalise(&self, logits: &mut [f32], history: &[TokenId]) {
        let penalty = self.sampling.repeat_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut recent = history[history.len().saturating_sub(REPEAT_WINDOW)..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for id in recent {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Leaves the candidates that top-k, top-p and min-p admit, likeliest first.
    fn narrow(&mut self) {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        let keep = if top_k == 0 { self.candidates.len() } else { (top_k as usize).min(self.candidates.len()) };
        self.keep_likeliest(keep);
        let max = self.candidates.iter().map(|c| c.1).fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| f64::from(logit - max).exp();
        if min_p > 0.0 {
            self.candidates.retain(|c| weight(c.1) >= f64::from(min_p));
        }
        let total: f64 = self.candidates.iter().map(|c| weight(c.1)).sum();
        if top_p >= 1.0 {
            self.candidates.sort_unstable_by(likelier);
            return;
        }
        // Sorting the whole vocabulary is rarely needed: the first few hundred candidates mostly reach the sum.
        let mut sorted = FIRST_CANDIDATES;
        loop {
            let part = sorted.min(self.candidates.len());
            if part < self.candidates.len() {
                self.candidates.select_nth_unstable_by(part, likelier);
            }
            self.candidates[..part].sort_unstable_by(likelier);
            let mut sum = 0.0;
            let reached = self.candidates[..part].iter().position(|c| {
                sum += weight(c.1);
                sum >= f64::from(top_p) * total
            });
            if let Some(last) = reached {
                return self.candidates.truncate(last + 1);
            }
            if part == self.candidates.len() {
                return;
            }
            sorted *= 8;
        }
    }

    fn keep_likeliest(&mut self, count: usize) {
        if count < self.candidates.len() {
            self.candidates.select_nth_unstable_by(count, likelier);
            self.candidates.truncate(count);
        }
    }

    fn draw(&mut self) -> TokenId {
        let max = self.candidates[0].1;
        let temperature = f64::from(self.sampling.temperature);
        let weight = |logit: f32| if logit == max { 1.0 } else { (f64::from(logit - max) / temperature).exp() };
        let total: f64 = self.candidates.iter().map(|c| weight(c.1)).sum();
        let mut left = self.random.unit() * total;
        for &(id, logit) in &self.candidates {
            left -= weight(logit);
            if left < 0.0 {
                return id;
            }
        }
        // Rounding may leave a crumb beyond the last candidate.
        self.candidates[self.candidates.len() - 1].0
    }
}

fn likelier(a: &(TokenId, f32), b: &(TokenId, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The token with the largest logit, the lowest id on a tie; 0 when no logit is a number.
pub fn greedy(logits: &[f32]) -> TokenId {
    let mut best = 0;
    let mut max = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > max {
            (best, max) = (id, logit);
        }
    }
    best as TokenId
}

/// Steele, Lea and Flood 2014: a counter and a mixing function.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to 1, 1 excluded.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: &Sampling, logits: &[f32], draws: usize) -> Vec<f64> {
        let mut sampler = Sampler::new(sampling);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..draws {
            counts[sampler.choose(&mut logits.to_vec(), &[]) as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn random_numbers_are_those_of_the_paper() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn shares_follow_the_temperature() {
        let logits = [1.0, 0.0, f32::NEG_INFINITY, f32::NAN, -1.0];
        for temperature in [0.5f64, 1.0, 2.0] {
            let sampling = Sampling { temperature: temperature as f32, seed: 7, ..Sampling::default() };
            let seen = shares(&sampling, &logits, 20_000);
            let weights = [1.0, 0.0, -1.0].map(|l: f64| (l / temperature).exp());
            let sum: f64 = weights.iter().sum();
            for (at, weight) in [0, 1, 4].into_iter().zip(weights) {
                assert!((seen[at] - weight / sum).abs() < 0.015, "{temperature} {seen:?}");
            }
            assert!(seen[2] == 0.0 && seen[3] == 0.0);
        }
    }

    #[test]
    fn each_filter_keeps_what_it_should() {
        let logits: Vec<f32> = [0.4f32, 0.3, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let base = Sampling { temperature: 1.0, seed: 1, ..Sampling::default() };
        let rows = [
            (Sampling { top_k: 2, ..base.clone() }, 2),
            (Sampling { top_p: 0.65, ..base.clone() }, 2),
            (Sampling { top_p: 0.75, ..base.clone() }, 3),
            (Sampling { top_p: 0.0, ..base.clone() }, 1),
            (Sampling { min_p: 0.4, ..base.clone() }, 3),
            (Sampling { top_k: 3, top_p: 0.9, min_p: 0.6, ..base.clone() }, 2),
            (base.clone(), 4),
        ];
        for (sampling, kept) in rows {
            let seen = shares(&sampling, &logits, 2_000);
            let count = seen.iter().filter(|&&share| share > 0.0).count();
            assert_eq!(count, kept, "{sampling:?} {seen:?}");
            assert!(seen[..kept].iter().all(|&share| share > 0.0));
        }
    }

    #[test]
    fn top_p_over_a_large_vocabulary_equals_a_full_sort() {
        let logits: Vec<f32> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 4096.0).collect();
        let mut sampler = Sampler::new(&Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::default() });
        sampler.candidates = logits.iter().enumerate().map(|(id, &l)| (id as TokenId, l)).collect();
        let mut all = sampler.candidates.clone();
        all.sort_by(likelier);
        sampler.narrow();
        let total: f64 = all.iter().map(|c| f64::from(c.1 - all[0].1).exp()).sum();
        let kept: f64 = sampler.candidates.iter().map(|c| f64::from(c.1 - all[0].1).exp()).sum();
        assert_eq!(sampler.candidates[..], all[..sampler.candidates.len()]);
        assert!(
            kept >= 0.9 * total && kept - f64::from(sampler.candidates.last().map_or(0.0, |c| c.1)).exp() < 0.9 * total
        );
    }

    #[test]
    fn penalty_ties_and_seeds() {
        let sampling = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
        assert_eq!(Sampler::new(&sampling).choose(&mut [3.0, 2.0, -1.0], &[0, 0]), 1);
        assert_eq!(Sampler::new(&sampling).choose(&mut [-3.0, -2.0], &[1]), 0);
        assert_eq!(greedy(&[f32::NAN, 1.0, 2.0, 2.0]), 2);
        assert_eq!(greedy(&[f32::NEG_INFINITY; 3]), 0);
        let row = |seed| {
            let mut sampler = Sampler::new(&Sampling { temperature: 1.0, seed, ..Sampling::default() });
            (0..32).map(|_| sampler.choose(&mut [0.0; 50], &[])).collect::<Vec<_>>()
        };
        assert_eq!(row(3), row(3));
        assert_ne!(row(3), row(4));
    }
}
