use super::*;
use crate::kernels::Kernels;
use crate::kv::{KvCache, KvForm, KvShape, NewRows};
use crate::pool::Pool;
use proptest::prelude::*;

/// Values between -1 and 1 by a fixed rule.
fn value(at: usize, seed: u32) -> f32 {
    let mixed = (at as u32 ^ seed << 16).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
    (mixed >> 8) as f32 / (1u32 << 23) as f32 - 1.0
}

fn values(count: usize, seed: u32) -> Vec<f32> {
    (0..count).map(|at| value(at, seed)).collect()
}

/// One head's keys and values, as they are and as they are stored.
struct Head {
    dim: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    cache: KvCache,
    wide: Vec<Vec<u16>>,
}

impl Head {
    fn new(dim: usize, tokens: usize, seed: u32) -> Self {
        let keys = values(tokens * dim, seed);
        let mut values = values(tokens * dim, seed + 1);
        // Some tokens have much smaller values than their neighbours.
        for (token, row) in values.chunks_exact_mut(dim).enumerate() {
            row.iter_mut().for_each(|value| *value *= if token % 5 == 0 { 0.01 } else { 1.0 + (token % 3) as f32 });
        }
        Self::of(Kernels::detect(), KvForm::Bits16, dim, keys, values, vec![Vec::new()])
    }

    fn of(kernels: Kernels, form: KvForm, dim: usize, keys: Vec<f32>, values: Vec<f32>, wide: Vec<Vec<u16>>) -> Self {
        let mut cache = KvCache::new(KvShape { layers: 1, heads: 1, dim, form, wide_pairs: wide[0].len() });
        let tokens = keys.len() / dim;
        cache.reserve(0, tokens);
        // In two steps, the second from within a page.
        let cut = tokens / 3 * dim;
        for (start, end) in [(0, cut), (cut, keys.len())] {
            let new = NewRows { keys: &keys[start..end], values: &values[start..end], wide: &wide };
            cache.store((&Pool::new(1), kernels), 0, start / dim, new, |_, _| ());
        }
        Self { dim, keys, values, cache, wide }
    }

    fn pages(&self) -> Vec<AnyPage<'_>> {
        self.cache.pages((0, 0), 0..(self.keys.len() / self.dim).div_ceil(PAGE_TOKENS), &self.wide[0])
    }

    /// In double precision from the values before rounding.
    fn expected(&self, query: &[f32], [first, end]: [usize; 2], cap: Option<f32>, sink: Option<f32>) -> Vec<f64> {
        let scores: Vec<f64> = (first..end)
            .map(|key| {
                let pairs = query.iter().zip(&self.keys[key * self.dim..][..self.dim]);
                let score: f64 = pairs.map(|(&query, &key)| f64::from(query) * f64::from(key)).sum();
                cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            })
            .collect();
        let total: f64 =
            scores.iter().map(|score| score.exp()).sum::<f64>() + sink.map_or(0.0, |sink| f64::from(sink).exp());
        (0..self.dim)
            .map(|at| {
                let values = (first..end).map(|key| f64::from(self.values[key * self.dim + at]));
                values.zip(&scores).map(|(value, score)| value * score.exp() / total).sum()
            })
            .collect()
    }
}

/// Rows of queries and what they see.
struct Query {
    rows: Vec<Vec<f32>>,
    seen: Vec<[usize; 2]>,
    cap: Option<f32>,
    sinks: Option<Vec<f32>>,
}

impl Query {
    fn task<'a>(
        &'a self,
        head: &Head,
        pages: &'a [AnyPage<'a>],
        from: usize,
        scratch: &'a mut AttendScratch,
        goal: Goal<'a>,
    ) -> AttendTask<'a> {
        let dim = head.dim.next_multiple_of(32);
        scratch.queries.clear();
        for row in &self.rows[from..] {
            let filled = scratch.queries.len();
            scratch.queries.extend_from_slice(row);
            scratch.queries.resize(filled + dim, 0.0);
        }
        AttendTask { dim, seen: &self.seen[from..], cap: self.cap, pages, after: None, scratch, goal }
    }

    /// All rows at once.
    fn together(&self, kernels: Kernels, head: &Head) -> Vec<f32> {
        let mut scratch = AttendScratch::default();
        let goal = Goal::Rows { sinks: self.sinks.as_deref() };
        kernels.run(self.task(head, &head.pages(), 0, &mut scratch, goal));
        scratch.out
    }

    /// The last row by itself, from gains of single pages.
    fn last_from_gains(&self, kernels: Kernels, head: &Head) -> Vec<f32> {
        let (dim, pages, last) = (head.dim.next_multiple_of(32), head.pages(), self.rows.len() - 1);
        let length = gain_length(dim);
        let mut gains = vec![f32::NAN; pages.len() * length];
        let mut scratch = AttendScratch::default();
        for (page, gains) in gains.chunks_exact_mut(length).enumerate().rev() {
            let goal = Goal::Gains { first: page, gains };
            kernels.run(self.task(head, &pages[page..=page], last, &mut scratch, goal));
        }
        let sink = self.sinks.as_ref().map(|sinks| sinks[last]);
        kernels.run(JoinPages { dim, sink, gains: gains.chunks_exact(length), scratch: &mut scratch });
        scratch.out
    }
}

/// Sizes of the cases; an interpreter gets small ones, though of more than one page and more than one row.
const TOKENS_END: usize = if cfg!(miri) { 80 } else { 200 };
const ROWS_MAX: usize = if cfg!(miri) { 3 } else { TILE_ROWS };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 48 }))]

    /// Tiles, few rows, gains joined later and all kernel sets give the same bits, close to double precision.
    #[test]
    fn rows_get_the_same_alone_and_together(
        dim in prop::sample::select(vec![8usize, 32, 48, 64, 96]),
        tokens in 1usize..TOKENS_END,
        count in 1usize..=ROWS_MAX,
        window in prop::option::of(1usize..150),
        cap in prop::option::of(0.5f32..20.0),
        sinks in any::<bool>(),
        sharpness in 0.1f32..8.0,
        seed in 0u32..1000,
    ) {
        let head = Head::new(dim, tokens, seed);
        let seen: Vec<[usize; 2]> = (0..count)
            .map(|row| {
                let end = (tokens * (row + 1)).div_ceil(count);
                [window.map_or(0, |window| end.saturating_sub(window)), end]
            })
            .collect();
        let rows = (0..count).map(|row| (0..dim).map(|at| value(row * dim + at, seed + 2) * sharpness).collect()).collect();
        let sinks = sinks.then(|| values(count, seed + 3));
        let query = Query { rows, seen, cap, sinks };
        let together = query.together(Kernels::detect(), &head);
        let stored = dim.next_multiple_of(32);
        for kernels in Kernels::available() {
            prop_assert_eq!(&together, &query.together(kernels, &head), "{} together", kernels.name());
            let single = |row: usize| Query {
                rows: vec![query.rows[row].clone()],
                seen: vec![query.seen[row]],
                cap,
                sinks: query.sinks.as_ref().map(|sinks| vec![sinks[row]]),
            };
            for row in 0..count {
                let alone = single(row).together(kernels, &head);
                prop_assert_eq!(&together[row * stored..][..stored], &alone, "{} row {}", kernels.name(), row);
            }
            let last = query.last_from_gains(kernels, &head);
            prop_assert_eq!(&together[(count - 1) * stored..], &last, "{} gains", kernels.name());
        }
        for (row, result) in together.chunks_exact(stored).enumerate() {
            let sink = query.sinks.as_ref().map(|sinks| sinks[row]);
            let expected = head.expected(&query.rows[row], query.seen[row], cap, sink);
            // Scores have errors of some hundred thousandths of the product of the lengths of query and key.
            let tolerance = 5e-4 + 2e-5 * dim as f64 * f64::from(sharpness) / 3.0;
            let largest = head.values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            for (&result, &expected) in result.iter().zip(&expected) {
                prop_assert!((f64::from(result) - expected).abs() < tolerance * f64::from(largest), "{} {}", result, expected);
            }
        }
    }
}

/// The largest error of the result of one query, in the unit of the values, and the result.
fn error(head: &Head, kernels: Kernels) -> (f64, Vec<f32>) {
    let tokens = head.keys.len() / head.dim;
    let query = Query { rows: vec![values(head.dim, 9)], seen: vec![[0, tokens]], cap: None, sinks: None };
    let result = query.together(kernels, head);
    let expected = head.expected(&query.rows[0], [0, tokens], None, None);
    let errors = result.iter().zip(expected).map(|(&result, expected)| (f64::from(result) - expected).abs());
    (errors.fold(0.0, f64::max), result)
}

/// Keys with two components far above all others, as some models have them by their biases.
fn lopsided(kernels: Kernels, form: KvForm, wide: Vec<u16>) -> Head {
    let (dim, tokens) = (64, 150);
    let mut keys = values(tokens * dim, 5);
    for key in keys.chunks_exact_mut(dim) {
        (key[3], key[40]) = (key[3] + 200.0, key[40] - 120.0);
    }
    Head::of(kernels, form, dim, keys, values(tokens * dim, 6), vec![wide])
}

#[test]
fn large_components_leave_the_others_their_bits() {
    let kernels = Kernels::detect();
    assert!(error(&lopsided(kernels, KvForm::Bits16, vec![]), kernels).0 < 0.004);
    // Pairs 3 (3 and 35) and 8 (8 and 40).
    let wide = error(&lopsided(kernels, KvForm::Bits8, vec![3, 8]), kernels).0;
    let narrow = error(&lopsided(kernels, KvForm::Bits8, vec![]), kernels).0;
    assert!(wide < 0.004 && narrow > 5.0 * wide, "{wide} {narrow}");
}

#[test]
fn eight_bits_are_the_same_with_all_kernels_and_close() {
    let (dim, tokens) = (96, TOKENS_END);
    let results: Vec<_> = Kernels::available()
        .into_iter()
        .map(|kernels| {
            let (keys, values) = (values(tokens * dim, 1), values(tokens * dim, 2));
            let head = Head::of(kernels, KvForm::Bits8, dim, keys, values, vec![vec![0, 47, 20]]);
            error(&head, kernels)
        })
        .collect();
    assert!(results.iter().all(|result| result == &results[0]));
    assert!(results[0].0 < 0.01, "{}", results[0].0);
}

#[test]
fn powers_of_two_are_exact_at_whole_numbers_and_vanish_far_below() {
    struct Powers([f32; LANES]);
    impl Task for Powers {
        type Output = [f32; LANES];
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            simd.store(power(simd, simd.load(&self.0), 1.0), &mut out);
            out
        }
    }
    let inputs = std::array::from_fn(|at| [0.0, -1.0, -20.0, -127.0, -200.0, -1e30, -0.5, -3.3][at % 8]);
    for kernels in Kernels::available() {
        let powers = kernels.run(Powers(inputs));
        assert_eq!(powers[..6], [1.0, 0.5, 2f32.powi(-20), 0.0, 0.0, 0.0], "{}", kernels.name());
        assert!((powers[6] - 0.5f32.sqrt()).abs() < 1e-7 && (powers[7] / (-3.3f32).exp2() - 1.0).abs() < 3e-7);
    }
}
