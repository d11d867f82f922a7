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
}

impl Rope {
    /// Rotates the first `dimensions` values of a head. Frequencies are `base^(-2 i / dimensions) / scale`, each divided by
    /// its factor where the model has factors.
    pub(crate) fn new(pairs: RopePairs, dimensions: usize, base: f64, scale: f64, factors: Option<&[f32]>) -> Self {
        let frequency = |index: usize| {
            let factor = factors.and_then(|factors| factors.get(index)).map_or(1.0, |&factor| f64::from(factor));
            base.powf(-2.0 * index as f64 / dimensions as f64) / scale / factor
        };
        Self { pairs, frequencies: (0..dimensions / 2).map(frequency).collect() }
    }

    /// Cosine and sine of each pair at `position`, appended to `out`.
    pub(crate) fn angles(&self, position: usize, out: &mut Vec<[f32; 2]>) {
        out.extend(self.frequencies.iter().map(|frequency| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            [cos as f32, sin as f32]
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
