//! The rotation of queries and keys as a file's settings describe it.

use super::Sizes;
use super::weights::Weights;
use crate::EngineError;
use crate::rope::{Rope, RopePairs, Yarn};

/// Largest number of positions that a setting may speak of.
const POSITIONS_MAX: usize = u32::MAX as usize;

impl Weights<'_> {
    /// The rotation of all layers, or of those that see everything where others have their own.
    pub(super) fn rope(&self, pairs: RopePairs, sizes: &Sizes) -> Result<Rope, EngineError> {
        let dimensions = self.rope_dimensions(sizes)?;
        let base = f64::from(self.positive("rope.freq_base")?.unwrap_or(10_000.0));
        let factor = self.positive("rope.scaling.factor")?.or(self.positive("rope.scale_linear")?).unwrap_or(1.0);
        let factor = f64::from(factor);
        let factors = self.rope_factors(dimensions / 2)?;
        let magnitude = f64::from(self.positive("rope.scaling.attn_factor")?.unwrap_or(1.0));
        let rope = match self.file.text(&self.key("rope.scaling.type"))? {
            Some("none") => Rope::new(pairs, dimensions, base, 1.0, factors.as_deref()),
            None | Some("linear" | "longrope") => Rope::new(pairs, dimensions, base, factor, factors.as_deref()),
            Some("yarn") => {
                Rope::new(pairs, dimensions, base, 1.0, factors.as_deref()).stretched(&self.yarn(base, factor, sizes)?)
            }
            Some(other) => return Err(EngineError::unsupported("rope scaling", other)),
        };
        Ok(rope.magnified(magnitude))
    }

    /// The rotation of layers with a sliding window, which no scaling touches.
    pub(super) fn local_rope(&self, pairs: RopePairs, sizes: &Sizes, base: f32) -> Result<Rope, EngineError> {
        let base = f64::from(self.positive("rope.freq_base_swa")?.unwrap_or(base));
        Ok(Rope::new(pairs, self.rope_dimensions(sizes)?, base, 1.0, None))
    }

    fn rope_dimensions(&self, sizes: &Sizes) -> Result<usize, EngineError> {
        let dimensions = self.optional_number("rope.dimension_count", sizes.head_dim)?.unwrap_or(sizes.head_dim);
        if dimensions % 2 != 0 {
            return Err(self.file.damaged(format!("{} is odd: {dimensions}", self.key("rope.dimension_count"))));
        }
        Ok(dimensions)
    }

    /// What each frequency is divided by: one set for all contexts, or (LongRoPE, Ding et al. 2024) one for contexts up to
    /// the original length and one for longer ones.
    fn rope_factors(&self, pairs: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let original = self.original_context()?;
        let always = self.optional_vector("rope_freqs.weight", pairs)?;
        let long = self.optional_vector("rope_factors_long.weight", pairs)?;
        let short = self.optional_vector("rope_factors_short.weight", pairs)?;
        let chosen = if self.context_tokens > original { long } else { short };
        let factors = always.or(chosen);
        if factors.iter().flatten().any(|&factor| factor <= 0.0) {
            return Err(self.file.damaged("the tensors of rope factors hold values that are not greater than zero"));
        }
        Ok(factors)
    }

    /// Length of the contexts that the model was first trained on.
    pub(super) fn original_context(&self) -> Result<usize, EngineError> {
        match self.optional_number("rope.scaling.original_context_length", POSITIONS_MAX)? {
            Some(length) => Ok(length),
            None => self.number("context_length", POSITIONS_MAX),
        }
    }

    fn yarn(&self, base: f64, factor: f64, sizes: &Sizes) -> Result<Yarn, EngineError> {
        let setting = |name: &str, otherwise: f32| -> Result<f64, EngineError> {
            Ok(f64::from(self.positive(name)?.unwrap_or(otherwise)))
        };
        let yarn = Yarn {
            base,
            factor,
            dimensions: self.rope_dimensions(sizes)?,
            original_context: self.original_context()?,
            fast: setting("rope.scaling.yarn_beta_fast", 32.0)?,
            slow: setting("rope.scaling.yarn_beta_slow", 1.0)?,
            magnitude_part: f64::from(self.float("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0)),
        };
        if base <= 1.0 || yarn.magnitude_part < 0.0 {
            return Err(self.file.damaged(format!("rope base {base}, magnitude multiplier {}", yarn.magnitude_part)));
        }
        Ok(yarn)
    }
}
