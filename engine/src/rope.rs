//! Rotary position embedding (Su et al. 2021).

/// Which values of a head form the pairs that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RopePairs {
    /// `(0, 1), (2, 3), ...`, as llama's GGUF files are permuted for.
    Adjacent,
    /// `(0, n/2), (1, n/2 + 1), ...`, as in GPT-NeoX.
    Halves,
}

/// The rotation of one model.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    pairs: RopePairs,
    /// Radians for each position, a value for each pair.
    frequencies: Vec<f64>,
    /// Factor of the rotated values.
    magnitude: f64,
}

/// How YaRN stretches a rotation over longer contexts (Peng et al. 2023): pairs that turn more than `fast` times within
/// the original context stay as they are, those that turn less than `slow` times are slowed down by `factor`, and those
/// between go over from one to the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yarn {
    pub(crate) base: f64,
    pub(crate) dimensions: usize,
    pub(crate) factor: f64,
    pub(crate) original_context: usize,
    pub(crate) fast: f64,
    pub(crate) slow: f64,
    /// How much of the growth of the magnitude is taken back; 0 in the paper.
    pub(crate) magnitude_part: f64,
}

impl Yarn {
    /// The pair that turns `turns` times within the original context, as a fraction.
    fn pair_of(&self, turns: f64) -> f64 {
        let length = self.original_context as f64 / (turns * 2.0 * std::f64::consts::PI);
        self.dimensions as f64 * length.ln() / (2.0 * self.base.ln())
    }

    /// How much of its own frequency each pair keeps.
    fn kept(&self, pair: usize) -> f64 {
        let low = self.pair_of(self.fast).floor().max(0.0);
        let high = self.pair_of(self.slow).ceil().min(self.dimensions as f64 - 1.0);
        1.0 - ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)
    }

    fn magnitude(&self) -> f64 {
        let growth = |part: f64| if self.factor > 1.0 { 0.1 * part * self.factor.ln() + 1.0 } else { 1.0 };
        growth(1.0) / growth(self.magnitude_part)
    }
}

impl Rope {
    /// Rotates the first `dimensions` values of a head. Frequencies are `base^(-2 i / dimensions) / scale`, each divided by
    /// its factor where the model has factors.
    pub(crate) fn new(pairs: RopePairs, dimensions: usize, base: f64, scale: f64, factors: Option<&[f32]>) -> Self {
        let frequency = |index: usize| {
            let factor = factors.and_then(|factors| factors.get(index)).map_or(1.0, |&factor| f64::from(factor));
            base.powf(-2.0 * index as f64 / dimensions as f64) / scale / factor
        };
        Self { pairs, frequencies: (0..dimensions / 2).map(frequency).collect(), magnitude: 1.0 }
    }

    /// The same rotation, stretched.
    pub(crate) fn stretched(mut self, yarn: &Yarn) -> Self {
        for (pair, frequency) in self.frequencies.iter_mut().enumerate() {
            let kept = yarn.kept(pair);
            *frequency *= kept + (1.0 - kept) / yarn.factor;
        }
        self.magnified(yarn.magnitude())
    }

    /// The same rotation, with `factor` times larger results.
    pub(crate) fn magnified(self, factor: f64) -> Self {
        Self { magnitude: self.magnitude * factor, ..self }
    }

    /// Cosine and sine of each pair at `position`, appended to `out`.
    pub(crate) fn angles(&self, position: usize, out: &mut Vec<[f32; 2]>) {
        out.extend(self.frequencies.iter().map(|frequency| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            [(cos * self.magnitude) as f32, (sin * self.magnitude) as f32]
        }));
    }

    /// Pairs in a head.
    pub(crate) fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Rotates each head of a row by the angles of its position.
    pub(crate) fn rotate(&self, row: &mut [f32], head_dim: usize, angles: &[[f32; 2]]) {
        for head in row.chunks_exact_mut(head_dim) {
            match self.pairs {
                RopePairs::Adjacent => {
                    for (pair, &[cos, sin]) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                        *pair = turn(*pair, cos, sin);
                    }
                }
                RopePairs::Halves => {
                    let (first, second) = head.split_at_mut(self.frequencies.len());
                    for ((first, second), &[cos, sin]) in first.iter_mut().zip(second).zip(angles) {
                        [*first, *second] = turn([*first, *second], cos, sin);
                    }
                }
            }
        }
    }
}

fn turn([x, y]: [f32; 2], cos: f32, sin: f32) -> [f32; 2] {
    [x * cos - y * sin, x * sin + y * cos]
}
