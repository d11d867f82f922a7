//! The two smallest parts: a norm, and a matrix with its bias.

use crate::kernels::Product;
use crate::kernels::rows::RmsNorm;
use crate::quant::Matrix;

/// Root mean square norm (Zhang and Sennrich 2019).
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Norm {
    /// The task of normalising a row into `out`.
    pub(super) fn of<'a>(&'a self, row: &'a [f32], out: &'a mut [f32]) -> RmsNorm<'a> {
        RmsNorm { row, weight: &self.weight, epsilon: self.epsilon, out }
    }
}

/// A matrix, and a bias where the model has one.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weights: Matrix,
    pub(super) bias: Option<Vec<f32>>,
}

impl Linear {
    /// Values of a result.
    pub(super) fn outputs(&self) -> usize {
        self.weights.rows()
    }

    /// The product that replaces what `out` holds.
    pub(super) fn product<'a>(&'a self, out: &'a mut Vec<f32>, rows: usize) -> Product<'a> {
        out.resize(rows * self.weights.rows(), 0.0);
        Product { weights: &self.weights, bias: self.bias.as_deref(), out, accumulate: false }
    }

    /// The product that is added to what `out` holds.
    pub(super) fn addition<'a>(&'a self, out: &'a mut [f32]) -> Product<'a> {
        Product { weights: &self.weights, bias: self.bias.as_deref(), out, accumulate: true }
    }
}
