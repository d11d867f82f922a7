//! A mixture of experts: for each token a router chooses a few of many gated units (Shazeer et al. 2017).

use super::feed_forward::GatedUnit;
use super::linear::{Linear, Norm};
use super::pass::Join;
use super::weights::LayerWeights;
use super::{Pass, Sizes};
use crate::kernels::multiply;
use crate::kernels::rows::Gate;
use crate::{EngineError, Operation};

/// `states += sum of weight(e) * expert(e, norm(states))` over the chosen experts `e`, whose weights are the softmax of
/// their routing logits. (A softmax over all experts whose chosen part is brought back to a sum of one is the same.)
#[derive(Debug)]
pub(super) struct Experts {
    norm: Norm,
    router: Linear,
    units: Vec<GatedUnit>,
    /// Experts for a token.
    chosen: usize,
}

/// That a row goes to an expert.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Route {
    expert: usize,
    row: usize,
    weight: f32,
}

impl Experts {
    /// Experts named `ffn_*_exps`, with a norm of the given name before the router; `inner` is the setting that gives the
    /// values inside one expert.
    pub(super) fn load(
        layer: &LayerWeights<'_>,
        norm: &str,
        inner: &str,
        activation: Gate,
    ) -> Result<Self, EngineError> {
        let (count, chosen) = layer.expert_counts()?;
        let width = layer.sizes.width;
        let inner = layer.inner(inner)?;
        let gates = layer.stacked("ffn_gate_exps", count, inner, width)?;
        let ups = layer.stacked("ffn_up_exps", count, inner, width)?;
        let downs = layer.stacked("ffn_down_exps", count, width, inner)?;
        let units = gates.into_iter().zip(ups).zip(downs);
        Ok(Self {
            norm: layer.norm(norm)?,
            router: layer.linear("ffn_gate_inp", count, width)?,
            units: units.map(|((gate, up), down)| GatedUnit { gate, up, down, activation }).collect(),
            chosen,
        })
    }

    /// Fails unless the router and each expert have biases.
    pub(super) fn require_biases(&self, layer: &LayerWeights<'_>) -> Result<(), EngineError> {
        let unit = self.units.first().ok_or_else(|| layer.missing("ffn_gate_exps.weight"))?;
        let parts = [
            (&self.router, "ffn_gate_inp"),
            (&unit.gate, "ffn_gate_exps"),
            (&unit.up, "ffn_up_exps"),
            (&unit.down, "ffn_down_exps"),
        ];
        let missing = parts.into_iter().find(|(linear, _)| linear.bias.is_none());
        missing.map_or(Ok(()), |(_, name)| Err(layer.missing(&format!("{name}.bias"))))
    }

    /// Adds this part's result to the states of the pass. Each expert runs once, over all rows that go to it; a row's
    /// results are added in the order of the experts' numbers, so that they depend on the row alone.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, sizes: &Sizes) {
        let (rows, width) = (pass.rows(), sizes.width);
        pass.normalise(&self.norm, sizes.needs([&self.router.weights]).finely());
        let work = &mut *pass.work;
        multiply(pass.pool, pass.kernels, &work.input, &mut [self.router.product(&mut work.routing, rows)]);
        let routes = routes(&work.routing, self.units.len(), self.chosen);
        work.branch.clear();
        work.branch.resize(rows * width, 0.0);
        for routes in routes.chunk_by(|a, b| a.expert == b.expert) {
            self.run_expert(&self.units[routes[0].expert], routes, pass, sizes);
        }
        pass.join_branch(width, &Join::Added);
        pass.lap(Operation::Experts);
    }

    /// Adds the weighted results of one expert to the rows that go to it.
    fn run_expert(&self, unit: &GatedUnit, routes: &[Route], pass: &mut Pass<'_>, sizes: &Sizes) {
        let (kernels, width) = (pass.kernels, sizes.width);
        let work = &mut *pass.work;
        let states = &work.states;
        work.input.fill(pass.pool, kernels, (routes.len(), width), sizes.needs(unit.readers()), |index, out| {
            kernels.run(self.norm.of(&states[routes[index].row * width..][..width], out));
        });
        if !unit.join_inputs(pass, sizes) {
            unit.multiply_inputs(pass);
            unit.activate(pass, sizes);
        }
        let work = &mut *pass.work;
        multiply(pass.pool, kernels, &work.input, &mut [unit.down.product(&mut work.expert, routes.len())]);
        for (route, result) in routes.iter().zip(work.expert.chunks_exact(width)) {
            let sums = work.branch[route.row * width..][..width].iter_mut();
            sums.zip(result).for_each(|(sum, value)| *sum += route.weight * value);
        }
    }
}

/// The `chosen` experts with the largest logits for each row, ordered by expert and then by row. Of equal logits the
/// expert with the lower number is taken.
fn routes(logits: &[f32], experts: usize, chosen: usize) -> Vec<Route> {
    let mut routes = Vec::with_capacity(logits.len() / experts * chosen);
    let mut order: Vec<usize> = Vec::with_capacity(experts);
    for (row, logits) in logits.chunks_exact(experts).enumerate() {
        order.clear();
        order.extend(0..experts);
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let best = logits[order[0]];
        let shares = order[..chosen].iter().map(|&expert| (logits[expert] - best).exp());
        let total: f32 = shares.clone().sum();
        routes.extend(order.iter().zip(shares).map(|(&expert, share)| Route { expert, row, weight: share / total }));
    }
    routes.sort_by_key(|route| (route.expert, route.row));
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_to_the_experts_with_the_largest_logits() {
        let logits = [0.0, 2.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0];
        let found = routes(&logits, 4, 2);
        let places: Vec<_> = found.iter().map(|route| (route.expert, route.row)).collect();
        assert_eq!(places, [(0, 1), (1, 0), (1, 1), (3, 0)]);
        assert!((found[1].weight - 0.5).abs() < 1e-6 && (found[3].weight - 0.5).abs() < 1e-6);
        let small = (-5.0f32).exp() / (1.0 + (-5.0f32).exp());
        assert!((found[2].weight - small).abs() < 1e-6 && (found[0].weight + small - 1.0).abs() < 1e-6);
    }
}
