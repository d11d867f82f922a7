//! The tensors of an encoder, by name and shape, from a safetensors or a GGUF file.

use std::cell::RefCell;
use std::collections::HashSet;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::families::Names;
use crate::EngineError;
use crate::gguf::GgufFile;
use crate::quant::{WeightType, dequantize};

enum Container<'a> {
    Folder(SafeTensors<'a>),
    Gguf(&'a GgufFile),
}

/// The tensors of a file.
pub(super) struct Source<'a> {
    container: Container<'a>,
    prefix: &'static str,
    label: &'a str,
    taken: RefCell<HashSet<String>>,
}

impl<'a> Source<'a> {
    /// The tensors of a safetensors file.
    pub(super) fn folder(bytes: &'a [u8], names: &Names) -> Result<Self, EngineError> {
        let label = "model.safetensors";
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| EngineError::damaged(label, 0, error.to_string()))?;
        let has_words = |prefix: &&&str| tensors.tensor(&format!("{prefix}{}.weight", names.words)).is_ok();
        let prefix = names.prefixes.iter().find(has_words).copied().unwrap_or("");
        Ok(Self { container: Container::Folder(tensors), prefix, label, taken: RefCell::default() })
    }

    /// The tensors of a GGUF file.
    pub(super) fn gguf(file: &'a GgufFile) -> Self {
        Self { container: Container::Gguf(file), prefix: "", label: file.label(), taken: RefCell::default() }
    }

    /// Whether there is a tensor of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.has_beside(&format!("{}{name}", self.prefix))
    }

    /// Whether there is a tensor of that name beside the encoder, where no prefix stands before names.
    pub(super) fn has_beside(&self, name: &str) -> bool {
        match &self.container {
            Container::Folder(tensors) => tensors.tensor(name).is_ok(),
            Container::Gguf(file) => file.tensor(name).is_some(),
        }
    }

    /// The values of a tensor that must have exactly this shape, slowest dimension first.
    pub(super) fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        self.take_beside(&format!("{}{name}", self.prefix), shape)
    }

    /// As [`Source::take`] for a tensor beside the encoder, where no prefix stands before names.
    pub(super) fn take_beside(&self, full: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let damaged = |what: String| EngineError::damaged(self.label, 0, what);
        let missing = || damaged(format!("tensor {full} is missing"));
        let found: Vec<usize> = match &self.container {
            Container::Folder(tensors) => tensors.tensor(full).map_err(|_| missing())?.shape().to_vec(),
            Container::Gguf(file) => {
                file.tensor(full).ok_or_else(missing)?.dims.iter().rev().map(|&dim| dim as usize).collect()
            }
        };
        if found != shape {
            return Err(damaged(format!("tensor {full} has the shape {found:?} and should have {shape:?}")));
        }
        let values = match &self.container {
            Container::Folder(tensors) => floats(full, &tensors.tensor(full).map_err(|_| missing())?)?,
            Container::Gguf(file) => {
                let tensor = file.tensor(full).ok_or_else(missing)?;
                let kind = WeightType::from_ggml(tensor.kind.id()).ok_or_else(|| {
                    EngineError::unsupported("tensor type", format!("{} of {full}", tensor.kind.name()))
                })?;
                let mut values = vec![0.0; tensor.elements() as usize];
                dequantize(kind, tensor.bytes, &mut values);
                values
            }
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(damaged(format!("tensor {full} holds values that are no numbers")));
        }
        self.taken.borrow_mut().insert(full.to_owned());
        Ok(values)
    }

    /// Refuses a file that holds tensors that nobody has taken: they would change the results. Those whose names begin with
    /// one of `idle` are known to take no part.
    pub(super) fn refuse_others(&self, idle: &[&str]) -> Result<(), EngineError> {
        let taken = self.taken.borrow();
        let is_idle = |name: &str| {
            let name = name.strip_prefix(self.prefix).unwrap_or(name);
            idle.iter().any(|beginning| name.starts_with(beginning))
        };
        let mut names: Vec<&str> = match &self.container {
            Container::Folder(tensors) => tensors.names(),
            Container::Gguf(file) => file.tensors().map(|tensor| tensor.name).collect(),
        };
        names.sort_unstable();
        match names.into_iter().find(|name| !taken.contains(*name) && !is_idle(name)) {
            Some(name) => Err(EngineError::unsupported("tensor", format!("{name} of {}", self.label))),
            None => Ok(()),
        }
    }
}

/// The values of a tensor of a folder.
fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, EngineError> {
    let data = tensor.data();
    let pairs = || data.as_chunks::<2>().0.iter().copied();
    match tensor.dtype() {
        Dtype::F32 => Ok(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::F16 => Ok(pairs().map(|bytes| half::f16::from_le_bytes(bytes).to_f32()).collect()),
        Dtype::BF16 => Ok(pairs().map(|bytes| half::bf16::from_le_bytes(bytes).to_f32()).collect()),
        other => Err(EngineError::unsupported("tensor type", format!("{other:?} of {name}"))),
    }
}
