//! Taking a decoder's sizes and tensors out of its file, each checked against the others.

use super::Sizes;
use crate::EngineError;
use crate::gguf::{GgufFile, TensorView};
use crate::pool::Pool;
use crate::quant::{Matrix, WeightType, dequantize};
use crate::rope::{Rope, RopePairs};

/// More layers than this are taken for damage.
const LAYERS_MAX: usize = 1024;
/// Heads larger than this are taken for damage.
const HEAD_DIM_MAX: usize = 1024;
/// A width beyond this is taken for damage.
const WIDTH_MAX: usize = 1 << 20;

/// The tensors and settings of one architecture in a file.
pub(super) struct Weights<'a> {
    file: &'a GgufFile,
    architecture: &'a str,
    pool: &'a Pool,
}

impl<'a> Weights<'a> {
    pub(super) fn new(file: &'a GgufFile, architecture: &'a str, pool: &'a Pool) -> Self {
        Self { file, architecture, pool }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// A number of the architecture that must lie between 1 and `max`.
    fn number(&self, name: &str, max: usize) -> Result<usize, EngineError> {
        self.within(name, self.file.require_u32(&self.key(name))? as usize, max)
    }

    fn optional_number(&self, name: &str, max: usize) -> Result<Option<usize>, EngineError> {
        self.file.u32(&self.key(name))?.map(|value| self.within(name, value as usize, max)).transpose()
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
        let heads =
            heads.ok_or_else(|| self.file.damaged(format!("{} is missing", self.key("attention.head_count"))))?;
        let key_heads = self.uniform("attention.head_count_kv", heads)?.unwrap_or(heads);
        let head_dim = self.optional_number("attention.key_length", HEAD_DIM_MAX)?.unwrap_or(width / heads);
        let value_dim = self.optional_number("attention.value_length", HEAD_DIM_MAX)?.unwrap_or(head_dim);
        if heads % key_heads != 0 || head_dim % 2 != 0 || head_dim == 0 || value_dim != head_dim {
            let shape = format!("{heads} heads of {head_dim} with {key_heads} key heads of {value_dim}");
            return Err(EngineError::unsupported("attention", shape));
        }
        let inner = self.uniform("feed_forward_length", WIDTH_MAX)?;
        let embedding = self.file.require_tensor("token_embd.weight")?;
        Ok(Sizes {
            layers: self.number("block_count", LAYERS_MAX)?,
            width,
            heads,
            key_heads,
            head_dim: self.within("attention.key_length", head_dim, HEAD_DIM_MAX)?,
            inner: inner.ok_or_else(|| self.file.damaged(format!("{} is missing", self.key("feed_forward_length"))))?,
            vocabulary: embedding.rows(),
            context: self.number("context_length", u32::MAX as usize)?,
            epsilon: self.file.f32(&self.key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-5),
        })
    }

    /// The rotation, with the scalings that are plain factors.
    pub(super) fn rope(&self, pairs: RopePairs, sizes: &Sizes) -> Result<Rope, EngineError> {
        let dimensions = self.optional_number("rope.dimension_count", sizes.head_dim)?.unwrap_or(sizes.head_dim);
        let base = f64::from(self.file.f32(&self.key("rope.freq_base"))?.unwrap_or(10_000.0));
        let scale = match self.file.text(&self.key("rope.scaling.type"))? {
            None | Some("none") => 1.0,
            Some("linear") => self.file.f32(&self.key("rope.scaling.factor"))?.unwrap_or(1.0),
            Some(other) => return Err(EngineError::unsupported("rope scaling", other)),
        };
        if dimensions % 2 != 0 || base <= 0.0 || scale <= 0.0 {
            return Err(self.file.damaged(format!("rope over {dimensions} dimensions, base {base}, scale {scale}")));
        }
        let factors = self.optional_vector("rope_freqs.weight", dimensions / 2)?;
        Ok(Rope::new(pairs, dimensions, base, f64::from(scale), factors.as_deref()))
    }

    /// A matrix of `rows` outputs by `cols` inputs.
    pub(super) fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, EngineError> {
        let tensor = self.file.require_tensor(name)?;
        self.check_shape(&tensor, rows, cols)?;
        Matrix::pack(weight_type(&tensor)?, rows, cols, tensor.bytes, self.pool)
            .map_err(|cause| self.file.damaged(format!("tensor {name} cannot be packed: {cause}")))
    }

    /// A matrix that may be missing.
    pub(super) fn optional_matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Matrix>, EngineError> {
        self.file.tensor(name).map(|_| self.matrix(name, rows, cols)).transpose()
    }

    /// A vector of `length` floats.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        let tensor = self.file.require_tensor(name)?;
        self.check_shape(&tensor, 1, length)?;
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

    /// Fails when the file has a tensor of a kind that this architecture's code does not know.
    pub(super) fn refuse_tensor(&self, name: &str, what: &str) -> Result<(), EngineError> {
        match self.file.tensor(name) {
            Some(_) => Err(EngineError::unsupported("architecture", format!("{} with {what}", self.architecture))),
            None => Ok(()),
        }
    }

    /// An error about a tensor that is missing.
    pub(super) fn missing(&self, name: &str) -> EngineError {
        self.file.damaged(format!("tensor {name} is missing"))
    }

    fn check_shape(&self, tensor: &TensorView<'_>, rows: usize, cols: usize) -> Result<(), EngineError> {
        if tensor.columns() == cols && tensor.rows() == rows {
            return Ok(());
        }
        let (found_rows, found_cols) = (tensor.rows(), tensor.columns());
        let what = format!("tensor {} is {found_rows} by {found_cols} instead of {rows} by {cols}", tensor.name);
        Err(self.file.damaged(what))
    }
}

fn weight_type(tensor: &TensorView<'_>) -> Result<WeightType, EngineError> {
    let detail = || format!("{} of tensor {}", tensor.kind.name(), tensor.name);
    WeightType::from_ggml(tensor.kind.id()).ok_or_else(|| EngineError::unsupported("tensor type", detail()))
}
