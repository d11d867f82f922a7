//! Norm and the feed-forward part: one gated unit, or several of which a router chooses.

use super::adapter::Part;
use super::experts::Experts;
use super::linear::{Linear, Norm};
use super::pass::Join;
use super::weights::LayerWeights;
use super::{Pass, Sizes, Workspace};
use crate::kernels::rows::{Gate, GateTask};
use crate::kernels::{GatedMatrix, can_gate, multiply, multiply_gated};
use crate::quant::Matrix;
use crate::{EngineError, Operation};

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

    /// The matrix that an adapter may change.
    pub(super) fn matrix(&self, part: Part) -> Option<&Matrix> {
        let Self::Dense(Dense { unit, .. }) = self else { return None };
        let linear = match part {
            Part::Gate => &unit.gate,
            Part::Up => &unit.up,
            Part::Down => &unit.down,
            Part::Query | Part::Key | Part::Value | Part::Output | Part::Head => return None,
        };
        Some(&linear.weights)
    }
}

/// A single unit for all tokens.
#[derive(Debug)]
pub(super) struct Dense {
    layer: usize,
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
        Ok(Self {
            layer: layer.index,
            norm: layer.norm("ffn_norm")?,
            unit: GatedUnit { gate, up, down, activation },
            join: Join::Added,
        })
    }

    fn forward(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        pass.normalise(&self.norm, sizes.needs(self.unit.readers()));
        pass.lap(Operation::Inputs);
        let (kernels, width, inner) = (pass.kernels, sizes.width, self.unit.gate.outputs());
        if !pass.has_adapters() && self.unit.join_inputs(pass, sizes) {
            pass.lap(Operation::GateUp);
            pass.finish(&self.unit.down, &self.join, (self.layer, Part::Down), |_, _, _| {});
            return pass.lap(Operation::Down);
        }
        self.unit.multiply_inputs(pass);
        let source = |work: &Workspace, row: usize, out: &mut [f32]| {
            kernels.run(self.norm.of(&work.states[row * width..][..width], out));
        };
        pass.adapt((self.layer, Part::Gate), |work| &mut work.gate, source);
        pass.adapt((self.layer, Part::Up), |work| &mut work.up, source);
        self.unit.activate(pass, sizes);
        pass.lap(Operation::GateUp);
        pass.finish(&self.unit.down, &self.join, (self.layer, Part::Down), |work, row, out| {
            kernels.run(self.unit.gated(&work.gate, &work.up, row * inner, out));
        });
        pass.lap(Operation::Down);
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
    pub(super) fn readers(&self) -> [&Matrix; 2] {
        [&self.gate.weights, &self.up.weights]
    }

    /// From the unit's input to the input of the last matrix in one go, without gate and up in between; `false` where these
    /// matrices cannot be taken so, and nothing was done.
    pub(super) fn join_inputs(&self, pass: &mut Pass<'_>, sizes: &Sizes) -> bool {
        let [gate, up] = self.readers();
        if !can_gate(gate, up, &self.down.weights) {
            return false;
        }
        let work = &mut *pass.work;
        let fine = sizes.needs([&self.down.weights]).fine;
        let matrices =
            [&self.gate, &self.up].map(|linear| GatedMatrix { weights: &linear.weights, bias: linear.bias.as_deref() });
        let out = (&mut work.gated, fine);
        multiply_gated(pass.pool, pass.kernels, &work.input, matrices, self.activation, out);
        std::mem::swap(&mut work.input, &mut work.gated);
        true
    }

    /// From the unit's input to gate and up.
    pub(super) fn multiply_inputs(&self, pass: &mut Pass<'_>) {
        let work = &mut *pass.work;
        let rows = work.input.rows();
        let mut products = [self.gate.product(&mut work.gate, rows), self.up.product(&mut work.up, rows)];
        multiply(pass.pool, pass.kernels, &work.input, &mut products);
    }

    /// From gate and up to the input of the last matrix.
    pub(super) fn activate(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let (work, kernels, inner) = (&mut *pass.work, pass.kernels, self.gate.outputs());
        let rows = work.input.rows();
        let (gate, up) = (&work.gate, &work.up);
        work.input.fill(pass.pool, kernels, (rows, inner), sizes.needs([&self.down.weights]), |row, out| {
            kernels.run(self.gated(gate, up, row * inner, out));
        });
    }

    /// The task of making one row of the last matrix's input, from `at` on in gate and up.
    fn gated<'a>(&self, gate: &'a [f32], up: &'a [f32], at: usize, out: &'a mut [f32]) -> GateTask<'a> {
        let end = at + out.len();
        GateTask { kind: self.activation, gate: &gate[at..end], up: &up[at..end], out }
    }
}
