//! Norm and the feed-forward part: one gated unit, or several of which a router chooses.

use super::experts::Experts;
use super::linear::{Linear, Norm};
use super::pass::Join;
use super::weights::LayerWeights;
use super::{Pass, Sizes};
use crate::EngineError;
use crate::kernels::multiply;
use crate::kernels::rows::{Gate, GateTask};

/// `states += unit(norm(states))`.
#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Dense),
    Experts(Experts),
}

impl FeedForward {
    /// Joins this part's result to the states of the pass.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        match self {
            Self::Dense(dense) => dense.forward(pass, sizes),
            Self::Experts(experts) => experts.forward(pass, sizes),
        }
    }
}

/// A single unit for all tokens.
#[derive(Debug)]
pub(super) struct Dense {
    norm: Norm,
    unit: GatedUnit,
    pub(super) join: Join,
}

impl Dense {
    /// The plain form: the result is added.
    pub(super) fn load(layer: &LayerWeights<'_>, activation: Gate) -> Result<Self, EngineError> {
        let (inner, width) = (layer.inner("feed_forward_length")?, layer.sizes.width);
        let inputs = [layer.linear("ffn_gate", inner, width)?, layer.linear("ffn_up", inner, width)?];
        Self::with(layer, inputs, activation)
    }

    /// The same with gate and up in one tensor, one after the other.
    pub(super) fn load_fused(layer: &LayerWeights<'_>, activation: Gate) -> Result<Self, EngineError> {
        let (inner, width) = (layer.inner("feed_forward_length")?, layer.sizes.width);
        Self::with(layer, layer.halves("ffn_up", inner, width)?, activation)
    }

    fn with(layer: &LayerWeights<'_>, [gate, up]: [Linear; 2], activation: Gate) -> Result<Self, EngineError> {
        let down = layer.linear("ffn_down", layer.sizes.width, gate.outputs())?;
        Ok(Self { norm: layer.norm("ffn_norm")?, unit: GatedUnit { gate, up, down, activation }, join: Join::Added })
    }

    fn forward(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        pass.normalise(&self.norm, sizes.needs(self.unit.readers()));
        self.unit.open(pass, sizes);
        pass.finish(&self.unit.down, &self.join);
    }
}

/// `down(activation(gate(x)) * up(x))` (Shazeer 2020).
#[derive(Debug)]
pub(super) struct GatedUnit {
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) activation: Gate,
}

impl GatedUnit {
    /// The matrices that read the unit's input.
    pub(super) fn readers(&self) -> [&crate::quant::Matrix; 2] {
        [&self.gate.weights, &self.up.weights]
    }

    /// From the unit's input to that of its last matrix.
    pub(super) fn open(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let (work, kernels, inner) = (&mut *pass.work, pass.kernels, self.gate.outputs());
        let rows = work.input.rows();
        let mut products = [self.gate.product(&mut work.gate, rows), self.up.product(&mut work.up, rows)];
        multiply(pass.pool, kernels, &work.input, &mut products);
        let (gate, up) = (&work.gate, &work.up);
        work.input.fill(pass.pool, kernels, (rows, inner), sizes.needs([&self.down.weights]), |row, out| {
            let range = row * inner..(row + 1) * inner;
            kernels.run(GateTask { kind: self.activation, gate: &gate[range.clone()], up: &up[range], out });
        });
    }
}
