//! Low-rank adapters (Hu et al. 2021): for the sequences that carry one, `W x` becomes `W x + scale * B (A x)`.

use std::collections::HashMap;
use std::sync::Arc;

use super::decoder::Decoder;
use super::weights::Weights;
use crate::EngineError;
use crate::gguf::GgufFile;
use crate::kernels::{Activations, Kernels, Needs, Product, multiply};
use crate::packed::Store;
use crate::pool::Pool;
use crate::quant::Matrix;

/// A matrix of a layer, or the output matrix, that an adapter may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
    /// The output matrix of the model, whose layer counts as 0.
    Head,
}

/// A layer and the matrix in it.
pub(crate) type Place = (usize, Part);

/// The tensors of an adapter, by what follows `blk.N.` in the names of the matrices they change. Some name several matrices
/// that a file keeps in one tensor, row after row.
const PARTS: [(&str, &[&[Part]]); 8] = [
    ("attn_q.weight", &[&[Part::Query]]),
    ("attn_k.weight", &[&[Part::Key]]),
    ("attn_v.weight", &[&[Part::Value]]),
    ("attn_qkv.weight", &[&[Part::Query, Part::Key, Part::Value]]),
    ("attn_output.weight", &[&[Part::Output]]),
    ("ffn_gate.weight", &[&[Part::Gate]]),
    ("ffn_up.weight", &[&[Part::Up], &[Part::Gate, Part::Up]]),
    ("ffn_down.weight", &[&[Part::Down]]),
];

/// An adapter that was loaded for one model; see [`crate::Generator::load_adapter`].
#[derive(Debug)]
pub struct Adapter {
    pairs: HashMap<Place, LowRank>,
    /// The same for all that belongs to one loaded model.
    model: Arc<()>,
}

#[derive(Debug)]
struct LowRank {
    /// Rank by inputs.
    down: Matrix,
    /// Outputs by rank.
    up: Matrix,
    scale: f32,
}

/// Buffers for the products with an adapter.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    input: Activations,
    low: Vec<f32>,
}

impl Adapter {
    /// Whether the adapter was loaded for the model with this mark.
    pub(crate) fn belongs_to(&self, model: &Arc<()>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }

    /// Reads an adapter for a decoder; `strength` multiplies what it adds.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for another kind of adapter, another architecture, and tensors that this program cannot
    /// apply; [`EngineError::Damaged`] for pairs that are incomplete or do not fit the model.
    pub(crate) fn load(
        file: &GgufFile,
        decoder: &Decoder,
        model: Arc<()>,
        strength: f32,
        pool: &Pool,
    ) -> Result<Self, EngineError> {
        check_kind(file, decoder.architecture())?;
        let alpha = file.f32("adapter.lora.alpha")?.unwrap_or(0.0);
        if !alpha.is_finite() {
            return Err(file.damaged(format!("adapter.lora.alpha is {alpha}")));
        }
        let weights = Weights::new(file, decoder.architecture(), (pool, &Store::Memory), 0);
        let mut pairs = HashMap::new();
        for tensor in file.tensors() {
            let Some(name) = tensor.name.strip_suffix(".lora_a") else {
                let known = tensor.name.strip_suffix(".lora_b").and_then(|name| file.tensor(&format!("{name}.lora_a")));
                match known {
                    Some(_) => continue,
                    None => return Err(unsupported(format!("the tensor {}", tensor.name))),
                }
            };
            let wide = file.require_tensor(&format!("{name}.lora_b"))?;
            let (rank, cols, rows) = (tensor.rows(), tensor.columns(), wide.rows());
            let places = places(name, decoder, cols, rows)?;
            let sizes: Vec<usize> =
                places.iter().map(|place| decoder.shape(*place).map_or(0, |(rows, _)| rows)).collect();
            let ups = weights.matrices(wide.name, &[rank, rows], &sizes)?;
            let scale = if alpha == 0.0 { strength } else { strength * alpha / rank as f32 };
            for (place, up) in places.into_iter().zip(ups) {
                let pair = LowRank { down: weights.matrix(tensor.name, rank, cols)?, up, scale };
                if pairs.insert(place, pair).is_some() {
                    return Err(file.damaged(format!("tensor {} changes a matrix a second time", tensor.name)));
                }
            }
        }
        if pairs.is_empty() {
            return Err(file.damaged("it holds no pair of tensors *.lora_a and *.lora_b".to_owned()));
        }
        Ok(Self { pairs, model })
    }

    /// Adds `scale * up(down(x))` for some rows to `out`; `source` writes the input row of a given number.
    pub(super) fn add_to(
        &self,
        place: Place,
        (pool, kernels): (&Pool, Kernels),
        scratch: &mut Scratch,
        rows: usize,
        out: &mut [f32],
        source: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let Some(LowRank { down, up, scale }) = self.pairs.get(&place) else { return };
        scratch.input.fill(pool, kernels, (rows, down.cols()), Needs::of([down]).finely(), source);
        scratch.low.resize(rows * down.rows(), 0.0);
        let first = Product { weights: down, bias: None, out: &mut scratch.low, accumulate: false };
        multiply(pool, kernels, &scratch.input, &mut [first]);
        let (low, rank) = (&scratch.low, down.rows());
        scratch.input.fill(pool, kernels, (rows, rank), Needs::of([up]).finely(), |row, values| {
            values.iter_mut().zip(&low[row * rank..]).for_each(|(value, low)| *value = low * scale);
        });
        let second = Product { weights: up, bias: None, out, accumulate: true };
        multiply(pool, kernels, &scratch.input, &mut [second]);
    }
}

fn unsupported(what: String) -> EngineError {
    EngineError::unsupported("adapter", what)
}

/// Fails unless the file is a plain low-rank adapter for models of this architecture.
fn check_kind(file: &GgufFile, architecture: &str) -> Result<(), EngineError> {
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", architecture)]
    {
        let found = file.require_text(key)?;
        if found != wanted {
            return Err(unsupported(format!("{key} {found} instead of {wanted}")));
        }
    }
    let known = ["adapter.type", "adapter.lora.alpha"];
    let unknown = file.keys().filter(|key| key.starts_with("adapter.") && !known.contains(key)).min();
    unknown.map_or(Ok(()), |key| Err(unsupported(format!("the setting {key}"))))
}

/// The matrices of the decoder that a tensor of that name and shape changes.
fn places(name: &str, decoder: &Decoder, cols: usize, rows: usize) -> Result<Vec<Place>, EngineError> {
    let unknown = || unsupported(format!("the tensor {name}.lora_a, which the model has no matrix for"));
    if name == "output.weight" && decoder.shape((0, Part::Head)) == Some((rows, cols)) {
        return Ok(vec![(0, Part::Head)]);
    }
    let (layer, part) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).ok_or_else(unknown)?;
    let layer: usize = layer.parse().map_err(|_| unknown())?;
    let (_, choices) = PARTS.iter().find(|(name, _)| *name == part).ok_or_else(unknown)?;
    let fits = |parts: &[Part]| {
        let shapes: Option<Vec<_>> = parts.iter().map(|&part| decoder.shape((layer, part))).collect();
        shapes.is_some_and(|shapes| {
            shapes.iter().all(|shape| shape.1 == cols) && shapes.iter().map(|shape| shape.0).sum::<usize>() == rows
        })
    };
    let parts = choices.iter().find(|parts| fits(parts)).ok_or_else(unknown)?;
    Ok(parts.iter().map(|&part| (layer, part)).collect())
}
