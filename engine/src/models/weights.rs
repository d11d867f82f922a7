//! Taking a decoder's sizes and tensors out of its file, each checked against the others.
//!
//! What was asked for is remembered: settings and tensors of the file that no one asked for would change what the model
//! computes, so a file that has any is refused.

use std::cell::RefCell;
use std::collections::HashSet;

use super::Sizes;
use super::linear::{Linear, Norm};
use crate::EngineError;
use crate::gguf::{GgufFile, TensorView};
use crate::packed::{Part, Store};
use crate::pool::Pool;
use crate::quant::{Matrix, TILE_ROWS, WeightType, dequantize};

/// More layers than this are taken for damage.
const LAYERS_MAX: usize = 1024;
/// Heads larger than this are taken for damage.
const HEAD_DIM_MAX: usize = crate::kernels::DIM_MAX;
/// A width beyond this is taken for damage.
const WIDTH_MAX: usize = 1 << 20;
/// More experts in a layer than this are taken for damage.
const EXPERTS_MAX: usize = 1024;

/// Settings that say nothing about the arithmetic.
const HARMLESS: [&str; 4] = ["vocab_size", "rope.scaling.finetuned", "tensor_data_layout", "feed_forward_length"];

/// The tensors and settings of one architecture in a file.
pub(super) struct Weights<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) architecture: &'a str,
    pool: &'a Pool,
    store: &'a Store<'a>,
    /// Longest sequence that the model is loaded for.
    pub(super) context_tokens: usize,
    /// Keys and names of tensors that were asked for.
    seen: RefCell<HashSet<String>>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(
        file: &'a GgufFile,
        architecture: &'a str,
        (pool, store): (&'a Pool, &'a Store<'a>),
        context_tokens: usize,
    ) -> Self {
        Self { file, architecture, pool, store, context_tokens, seen: RefCell::default() }
    }

    /// Fails when the file holds a setting of the architecture or a tensor that was not asked for.
    pub(super) fn refuse_the_rest(&self) -> Result<(), EngineError> {
        let prefix = self.key("");
        let seen = self.seen.borrow();
        let harmless = |key: &str| key.strip_prefix(&prefix).is_none_or(|name| HARMLESS.contains(&name));
        let settings = self.file.keys().filter(|key| !seen.contains(*key) && !harmless(key)).min();
        if let Some(key) = settings {
            return Err(self.unsupported(&format!("the setting {key}")));
        }
        let tensor = self.file.tensors().find(|tensor| !seen.contains(tensor.name));
        tensor.map_or(Ok(()), |tensor| Err(self.unsupported(&format!("the tensor {}", tensor.name))))
    }

    /// An error about something of this architecture that the program does not compute.
    pub(super) fn unsupported(&self, what: &str) -> EngineError {
        EngineError::unsupported("architecture", format!("{} with {what}", self.architecture))
    }

    /// The full name of a setting, which counts as asked for from now on.
    pub(super) fn key(&self, name: &str) -> String {
        let key = format!("{}.{name}", self.architecture);
        self.seen.borrow_mut().insert(key.clone());
        key
    }

    /// A number of the architecture that must lie between 1 and `max`.
    pub(super) fn number(&self, name: &str, max: usize) -> Result<usize, EngineError> {
        self.optional_number(name, max)?.ok_or_else(|| self.missing_key(name))
    }

    pub(super) fn optional_number(&self, name: &str, max: usize) -> Result<Option<usize>, EngineError> {
        self.file.u32(&self.key(name))?.map(|value| self.within(name, value as usize, max)).transpose()
    }

    /// A floating point setting.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, EngineError> {
        self.file.f32(&self.key(name))
    }

    /// A floating point setting that must be greater than zero where it is given.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f32>, EngineError> {
        match self.float(name)? {
            Some(value) if value <= 0.0 => Err(self.file.damaged(format!("{} is {value}", self.key(name)))),
            found => Ok(found),
        }
    }

    /// Fails when a setting that this program has no arithmetic for has another value than the neutral one.
    pub(super) fn require_neutral(&self, name: &str, neutral: f32) -> Result<(), EngineError> {
        match self.float(name)? {
            Some(value) if value != neutral => Err(self.unsupported(&format!("{} {value}", self.key(name)))),
            _ => Ok(()),
        }
    }

    fn within(&self, name: &str, value: usize, max: usize) -> Result<usize, EngineError> {
        if (1..=max).contains(&value) {
            return Ok(value);
        }
        Err(self.file.damaged(format!("{} is {value}, and 1 to {max} make sense", self.key(name))))
    }

    /// A number that some files give layer by layer; all layers must agree.
    fn uniform(&self, name: &str, max: usize) -> Result<Option<usize>, EngineError> {
        let Some(list) = self.file.unsigned_list(&self.key(name))? else { return Ok(None) };
        let first = list.first().copied().unwrap_or(0);
        if list.iter().any(|&value| value != first) {
            return Err(EngineError::unsupported("architecture", format!("{} differs between layers", self.key(name))));
        }
        self.within(name, usize::try_from(first).unwrap_or(usize::MAX), max).map(Some)
    }

    /// The sizes of the model.
    pub(super) fn sizes(&self) -> Result<Sizes, EngineError> {
        let width = self.number("embedding_length", WIDTH_MAX)?;
        let heads = self.uniform("attention.head_count", width)?;
        let heads = heads.ok_or_else(|| self.missing_key("attention.head_count"))?;
        let key_heads = self.uniform("attention.head_count_kv", heads)?.unwrap_or(heads);
        let head_dim = self.optional_number("attention.key_length", HEAD_DIM_MAX)?.unwrap_or(width / heads);
        let value_dim = self.optional_number("attention.value_length", HEAD_DIM_MAX)?.unwrap_or(head_dim);
        if heads % key_heads != 0 || head_dim % 2 != 0 || head_dim == 0 || value_dim != head_dim {
            let shape = format!("{heads} heads of {head_dim} with {key_heads} key heads of {value_dim}");
            return Err(EngineError::unsupported("attention", shape));
        }
        if self.file.flag(&self.key("attention.causal"))? == Some(false) {
            return Err(self.unsupported("attention to later tokens"));
        }
        let epsilon = "attention.layer_norm_rms_epsilon";
        let embedding = self.file.require_tensor("token_embd.weight")?;
        Ok(Sizes {
            layers: self.number("block_count", LAYERS_MAX)?,
            width,
            heads,
            key_heads,
            head_dim: self.within("attention.key_length", head_dim, HEAD_DIM_MAX)?,
            vocabulary: embedding.rows(),
            context: self.number("context_length", u32::MAX as usize)?,
            epsilon: self.positive(epsilon)?.ok_or_else(|| self.missing_key(epsilon))?,
        })
    }

    /// The number of keys that layers with a sliding window see; none where the file asks for no window.
    pub(super) fn window(&self) -> Result<Option<usize>, EngineError> {
        let window = self.file.u32(&self.key("attention.sliding_window"))?;
        Ok(window.map(|window| window as usize).filter(|&window| window > 0))
    }

    /// Which layers have the sliding window: the file's own list, or all but the last of each `period` layers.
    pub(super) fn windowed_layers(&self, layers: usize, period: usize) -> Result<Vec<bool>, EngineError> {
        let key = self.key("attention.sliding_window_pattern");
        if let Some(list) = self.file.flag_list(&key)? {
            if list.len() != layers {
                return Err(self.file.damaged(format!("{key} speaks of {} of {layers} layers", list.len())));
            }
            return Ok(list);
        }
        let period = self.file.u32(&key)?.map_or(period, |period| period as usize);
        Ok((0..layers).map(|layer| period == 0 || layer % period < period - 1).collect())
    }

    /// Whether the feed-forward parts are mixtures of experts.
    pub(super) fn has_experts(&self) -> Result<bool, EngineError> {
        let chosen = self.file.u32(&self.key("expert_used_count"))?;
        let count = self.file.u32(&self.key("expert_count"))?;
        Ok(count.or(chosen).is_some_and(|count| count > 0))
    }

    /// Fails when a file asks for another way of choosing and weighing experts than the softmax of the chosen ones.
    fn check_routing(&self) -> Result<(), EngineError> {
        /// The numbers of a softmax before and after choosing, which come to the same with weights that sum to one.
        const SOFTMAX: [u32; 2] = [1, 3];
        let key = self.key("expert_gating_func");
        if let Some(other) = self.file.u32(&key)?.filter(|function| !SOFTMAX.contains(function)) {
            return Err(self.unsupported(&format!("{key} {other}")));
        }
        let key = self.key("expert_weights_norm");
        if self.file.flag(&key)? == Some(false) {
            return Err(self.unsupported(&format!("{key} false")));
        }
        self.require_neutral("expert_weights_scale", 1.0)
    }

    /// The tensors of one layer.
    pub(super) fn layer<'b>(&'b self, index: usize, sizes: &'b Sizes) -> LayerWeights<'b> {
        LayerWeights { weights: self, index, sizes }
    }

    pub(super) fn norm(&self, name: &str, length: usize, epsilon: f32) -> Result<Norm, EngineError> {
        Ok(Norm { weight: self.vector(name, length)?, epsilon })
    }

    /// A matrix of `rows` outputs by `cols` inputs.
    pub(super) fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, EngineError> {
        let tensor = self.tensor(name, &[cols, rows])?;
        let matrix = self.pack(&tensor, 0, rows, tensor.bytes);
        self.file.let_go(name);
        matrix
    }

    /// A matrix that may be missing.
    pub(super) fn optional_matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Matrix>, EngineError> {
        self.file.tensor(name).map(|_| self.matrix(name, rows, cols)).transpose()
    }

    /// Consecutive rows of one tensor as matrices of their own, of the given numbers of rows.
    pub(super) fn matrices(&self, name: &str, dims: &[usize], rows: &[usize]) -> Result<Vec<Matrix>, EngineError> {
        let tensor = self.tensor(name, dims)?;
        let (mut rest, mut first_row) = (tensor.bytes, 0);
        let mut matrices = Vec::with_capacity(rows.len());
        for &rows in rows {
            let (bytes, after) = rest.split_at((rows * tensor.row_bytes()).min(rest.len()));
            matrices.push(self.pack(&tensor, first_row, rows, bytes)?);
            (rest, first_row) = (after, first_row + rows);
        }
        self.file.let_go(name);
        Ok(matrices)
    }

    /// The matrix of some rows of a tensor, whose bytes are `bytes`.
    fn pack(
        &self,
        tensor: &TensorView<'_>,
        first_row: usize,
        rows: usize,
        bytes: &[u8],
    ) -> Result<Matrix, EngineError> {
        let (kind, cols) = (weight_type(tensor)?, tensor.columns());
        let part = Part { tensor: tensor.name, first_row, kind, rows, cols };
        self.store
            .matrix(&part, bytes, self.pool)
            .map_err(|cause| self.file.damaged(format!("tensor {} cannot be packed: {cause}", tensor.name)))
    }

    /// A vector of `length` floats.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        self.floats(name, &[length])
    }

    fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, EngineError> {
        let tensor = self.tensor(name, dims)?;
        let length = dims.iter().product();
        let mut values = vec![0.0; length];
        let written = dequantize(weight_type(&tensor)?, tensor.bytes, &mut values);
        if written != length || values.iter().any(|value| !value.is_finite()) {
            return Err(self.file.damaged(format!("tensor {name} holds values that are no numbers")));
        }
        Ok(values)
    }

    /// A vector that may be missing.
    pub(super) fn optional_vector(&self, name: &str, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        self.file.tensor(name).map(|_| self.vector(name, length)).transpose()
    }

    /// A tensor of exactly these dimensions, fastest first; trailing ones may be left out.
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<TensorView<'a>, EngineError> {
        let tensor = self.file.require_tensor(name)?;
        self.seen.borrow_mut().insert(name.to_owned());
        let dim = |index: usize| tensor.dims.get(index).map_or(1, |&dim| dim as usize);
        if (0..tensor.dims.len().max(dims.len())).all(|index| dim(index) == dims.get(index).copied().unwrap_or(1)) {
            return Ok(tensor);
        }
        Err(self.file.damaged(format!("tensor {name} has the dimensions {:?} instead of {dims:?}", tensor.dims)))
    }

    pub(super) fn missing_key(&self, name: &str) -> EngineError {
        self.file.damaged(format!("{} is missing", self.key(name)))
    }
}

/// The tensors of one layer, named without `blk.` and the layer's number.
pub(super) struct LayerWeights<'a> {
    weights: &'a Weights<'a>,
    pub(super) index: usize,
    pub(super) sizes: &'a Sizes,
}

impl LayerWeights<'_> {
    fn name(&self, part: &str) -> String {
        format!("blk.{}.{part}", self.index)
    }

    /// Whether the layer has a tensor.
    pub(super) fn has(&self, part: &str) -> bool {
        self.weights.file.tensor(&self.name(part)).is_some()
    }

    /// A norm over the width of the model.
    pub(super) fn norm(&self, part: &str) -> Result<Norm, EngineError> {
        self.norm_of(part, self.sizes.width)
    }

    pub(super) fn norm_of(&self, part: &str, length: usize) -> Result<Norm, EngineError> {
        self.weights.norm(&self.name(&format!("{part}.weight")), length, self.sizes.epsilon)
    }

    pub(super) fn vector(&self, part: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        self.weights.vector(&self.name(part), length)
    }

    fn optional_vector(&self, part: &str, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        self.weights.optional_vector(&self.name(part), length)
    }

    /// A matrix with its bias, if it has one.
    pub(super) fn linear(&self, part: &str, rows: usize, cols: usize) -> Result<Linear, EngineError> {
        Ok(Linear {
            weights: self.weights.matrix(&self.name(&format!("{part}.weight")), rows, cols)?,
            bias: self.optional_vector(&format!("{part}.bias"), rows)?,
        })
    }

    /// Matrices that read the same input, which some files keep in one tensor, row after row.
    pub(super) fn fused<const N: usize>(
        &self,
        whole: &str,
        parts: [(&str, usize); N],
        cols: usize,
    ) -> Result<[Linear; N], EngineError> {
        let name = format!("{whole}.weight");
        let rows = parts.map(|(_, rows)| rows);
        let linears: Vec<Linear> = if self.has(&name) {
            let total = rows.iter().sum();
            let matrices = self.weights.matrices(&self.name(&name), &[cols, total], &rows)?;
            let mut biases = self.optional_vector(&format!("{whole}.bias"), total)?;
            let mut split = |rows: usize| {
                let rest = biases.as_mut().map(|biases| biases.split_off(rows));
                std::mem::replace(&mut biases, rest)
            };
            matrices.into_iter().zip(rows).map(|(weights, rows)| Linear { weights, bias: split(rows) }).collect()
        } else {
            parts.iter().map(|(part, rows)| self.linear(part, *rows, cols)).collect::<Result<_, _>>()?
        };
        Ok(linears.try_into().expect("there are as many matrices as parts"))
    }

    /// The two halves of one tensor.
    pub(super) fn halves(&self, part: &str, rows: usize, cols: usize) -> Result<[Linear; 2], EngineError> {
        self.fused(part, [(part, rows), (part, rows)], cols)
    }

    /// The matrices of experts, one upon the other in one tensor, and their biases where the layer has them.
    pub(super) fn stacked(
        &self,
        part: &str,
        count: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Vec<Linear>, EngineError> {
        // Matrices are packed in tiles of 16 rows; a file of tiny ones would grow many times over in memory.
        if !rows.is_multiple_of(TILE_ROWS) {
            return Err(self.weights.unsupported(&format!("experts of {rows} rows")));
        }
        let name = self.name(&format!("{part}.weight"));
        let matrices = self.weights.matrices(&name, &[cols, rows, count], &vec![rows; count])?;
        let name = self.name(&format!("{part}.bias"));
        let biases = self.weights.file.tensor(&name).map(|_| self.weights.floats(&name, &[rows, count])).transpose()?;
        let bias = |index: usize| biases.as_ref().map(|biases| biases[index * rows..][..rows].to_vec());
        let linears = matrices.into_iter().enumerate();
        Ok(linears.map(|(index, weights)| Linear { weights, bias: bias(index) }).collect())
    }

    /// Values inside the feed-forward part, as the setting of that name says.
    pub(super) fn inner(&self, setting: &str) -> Result<usize, EngineError> {
        self.weights.uniform(setting, WIDTH_MAX)?.ok_or_else(|| self.weights.missing_key(setting))
    }

    /// How many experts there are, and how many of them are chosen for a token.
    pub(super) fn expert_counts(&self) -> Result<(usize, usize), EngineError> {
        self.weights.check_routing()?;
        let count = self.weights.number("expert_count", EXPERTS_MAX)?;
        let chosen = self.weights.uniform("expert_used_count", count)?;
        Ok((count, chosen.ok_or_else(|| self.weights.missing_key("expert_used_count"))?))
    }

    /// An error about a tensor of the layer that is missing.
    pub(super) fn missing(&self, part: &str) -> EngineError {
        self.weights.file.damaged(format!("tensor {} is missing", self.name(part)))
    }
}

fn weight_type(tensor: &TensorView<'_>) -> Result<WeightType, EngineError> {
    let detail = || format!("{} of tensor {}", tensor.kind.name(), tensor.name);
    WeightType::from_ggml(tensor.kind.id()).ok_or_else(|| EngineError::unsupported("tensor type", detail()))
}
