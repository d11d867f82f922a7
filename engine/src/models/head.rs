//! The last norm and the output matrix.

use std::ops::Range;

use super::adapter::Part;
use super::linear::Norm;
use super::weights::Weights;
use super::{Pass, Sizes};
use crate::EngineError;
use crate::kernels::rows::SoftCap;
use crate::kernels::{Needs, Product, multiply};
use crate::quant::Matrix;

/// `logits = output(norm(states))`.
#[derive(Debug)]
pub(super) struct Head {
    norm: Norm,
    /// Missing where the embedding serves for the output too.
    output: Option<Matrix>,
    /// Factor of the logits.
    pub(super) scale: f32,
    /// Logits become `cap * tanh(logit / cap)`.
    pub(super) cap: Option<f32>,
}

impl Head {
    pub(super) fn load(weights: &Weights<'_>, sizes: &Sizes) -> Result<Self, EngineError> {
        Ok(Self {
            norm: weights.norm("output_norm.weight", sizes.width, sizes.epsilon)?,
            output: weights.optional_matrix("output.weight", sizes.vocabulary, sizes.width)?,
            scale: 1.0,
            cap: None,
        })
    }

    /// The output matrix, where it is not the embedding.
    pub(super) fn output(&self) -> Option<&Matrix> {
        self.output.as_ref()
    }

    /// The logits of some rows of the pass.
    pub(super) fn logits(&self, pass: &mut Pass<'_>, embedding: &Matrix, rows: Range<usize>, out: &mut [f32]) {
        let output = self.output.as_ref().unwrap_or(embedding);
        let (kernels, width) = (pass.kernels, output.cols());
        let work = &mut *pass.work;
        let states = &work.states;
        // Few rows come here, and the time goes into reading the matrix: more bits cost nothing.
        let needs = Needs::of([output]).finely();
        work.input.fill(pass.pool, kernels, (rows.len(), width), needs, |row, out| {
            kernels.run(self.norm.of(&states[(rows.start + row) * width..][..width], out));
        });
        let mut product = [Product { weights: output, bias: None, out: &mut *out, accumulate: false }];
        multiply(pass.pool, kernels, &work.input, &mut product);
        pass.adapt_rows((0, Part::Head), rows, out, |work, row, out| {
            kernels.run(self.norm.of(&work.states[row * width..][..width], out));
        });
        if self.scale != 1.0 {
            pass.pool.chunks(out, PIECE, |_, piece| piece.iter_mut().for_each(|logit| *logit *= self.scale));
        }
        if let Some(cap) = self.cap {
            pass.pool.chunks(out, PIECE, |_, values| kernels.run(SoftCap { values, cap }));
        }
    }
}

/// Logits that a thread takes at once when they are scaled or capped.
const PIECE: usize = 1 << 14;
