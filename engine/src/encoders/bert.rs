//! BERT (Devlin et al. 2018): absolute positions, post-norm layers, exact GELU. Texts are computed back to back without
//! padding; a text's vector does not depend on the texts computed with it.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::config::{BertConfig, Pooling};
use crate::kernels::Kernels;
use crate::kernels::gemm_f32::{AddNorm, Attend, Gelu, Product, Tiles};
use crate::{EngineError, TokenId};

/// A linear layer.
#[derive(Debug)]
struct Linear {
    weight: Tiles,
    bias: Vec<f32>,
}

/// A layer norm.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    /// Queries (already divided by the root of the head size), keys and values.
    qkv: Linear,
    mix: Linear,
    mix_norm: Norm,
    grow: Linear,
    shrink: Linear,
    shrink_norm: Norm,
}

/// The weights of an encoder.
#[derive(Debug)]
pub(super) struct Bert {
    config: BertConfig,
    kernels: Kernels,
    words: Vec<f32>,
    /// Positions with the first token type added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

/// The tensors of a file, read by name and shape.
struct Source<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, EngineError> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| EngineError::damaged("model.safetensors", 0, error.to_string()))?;
        let prefix = if tensors.tensor("bert.embeddings.word_embeddings.weight").is_ok() { "bert." } else { "" };
        Ok(Self { tensors, prefix })
    }

    /// The values of a tensor that must have exactly this shape.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let full = format!("{}{name}", self.prefix);
        let tensor = self
            .tensors
            .tensor(&full)
            .map_err(|_| EngineError::damaged("model.safetensors", 0, format!("tensor {full} is missing")))?;
        if tensor.shape() != shape {
            let found = tensor.shape();
            let what = format!("tensor {full} has the shape {found:?} and should have {shape:?}");
            return Err(EngineError::damaged("model.safetensors", 0, what));
        }
        floats(&full, &tensor)
    }

    fn linear(&self, name: &str, columns: usize, depth: usize) -> Result<Linear, EngineError> {
        let weight = self.take(&format!("{name}.weight"), &[columns, depth])?;
        let bias = self.take(&format!("{name}.bias"), &[columns])?;
        Ok(Linear { weight: Tiles::new(columns, depth, |column, k| weight[column * depth + k]), bias })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, EngineError> {
        let old = self.tensors.tensor(&format!("{}{name}.gamma", self.prefix)).is_ok();
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok(Norm {
            weight: self.take(&format!("{name}.{weight}"), &[width])?,
            bias: self.take(&format!("{name}.{bias}"), &[width])?,
        })
    }

    /// Queries, keys and values side by side.
    fn qkv(&self, name: &str, config: &BertConfig) -> Result<Linear, EngineError> {
        let width = config.width;
        let scale = 1.0 / (config.head_dim() as f32).sqrt();
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for (part, factor) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let weight = self.take(&format!("{name}.{part}.weight"), &[width, width])?;
            weights.extend(weight.into_iter().map(|value| value * factor));
            let part = self.take(&format!("{name}.{part}.bias"), &[width])?;
            bias.extend(part.into_iter().map(|value| value * factor));
        }
        Ok(Linear { weight: Tiles::new(3 * width, width, |column, k| weights[column * width + k]), bias })
    }

    fn layer(&self, number: usize, config: &BertConfig) -> Result<Layer, EngineError> {
        let (width, inner) = (config.width, config.inner);
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        Ok(Layer {
            qkv: self.qkv(&name("attention.self"), config)?,
            mix: self.linear(&name("attention.output.dense"), width, width)?,
            mix_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            grow: self.linear(&name("intermediate.dense"), inner, width)?,
            shrink: self.linear(&name("output.dense"), width, inner)?,
            shrink_norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }
}

/// The values of a tensor; infinities and what is no number are refused.
fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, EngineError> {
    let data = tensor.data();
    let pairs = || data.as_chunks::<2>().0.iter().copied();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => pairs().map(|bytes| half::f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|bytes| half::bf16::from_le_bytes(bytes).to_f32()).collect(),
        other => return Err(EngineError::unsupported("tensor type", format!("{other:?} of {name}"))),
    };
    if values.iter().any(|value| !value.is_finite()) {
        return Err(EngineError::damaged(
            "model.safetensors",
            0,
            format!("tensor {name} holds values that are no numbers"),
        ));
    }
    Ok(values)
}

impl Bert {
    /// Takes the weights out of the bytes of a safetensors file.
    pub(super) fn load(config: BertConfig, bytes: &[u8], kernels: Kernels) -> Result<Self, EngineError> {
        let source = Source::new(bytes)?;
        let width = config.width;
        let mut positions = source.take("embeddings.position_embeddings.weight", &[config.positions, width])?;
        let types = source.take("embeddings.token_type_embeddings.weight", &[config.types, width])?;
        for row in positions.chunks_exact_mut(width) {
            row.iter_mut().zip(&types).for_each(|(value, add)| *value += add);
        }
        Ok(Self {
            words: source.take("embeddings.word_embeddings.weight", &[config.vocabulary, width])?,
            positions,
            norm: source.norm("embeddings.LayerNorm", width)?,
            layers: (0..config.layers).map(|number| source.layer(number, &config)).collect::<Result<_, _>>()?,
            kernels,
            config,
        })
    }

    /// The vectors of several texts, each of length 1. Token ids must be below the vocabulary, texts within `positions`.
    pub(super) fn embed(&self, texts: &[&[TokenId]]) -> Vec<Vec<f32>> {
        let width = self.config.width;
        let mut states = self.look_up(texts);
        let mut work = Work::default();
        for layer in &self.layers {
            self.layer(layer, texts, &mut states, &mut work);
        }
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = states.as_slice();
        for text in texts {
            let (rows, after) = rest.split_at(text.len() * width);
            vectors.push(pool(rows, width, self.config.pooling));
            rest = after;
        }
        vectors
    }

    /// Words plus positions, normalised.
    fn look_up(&self, texts: &[&[TokenId]]) -> Vec<f32> {
        let width = self.config.width;
        let (mut words, mut positions) = (Vec::new(), Vec::new());
        for text in texts {
            for (position, &id) in text.iter().enumerate() {
                words.extend_from_slice(&self.words[id as usize * width..][..width]);
                positions.extend_from_slice(&self.positions[position * width..][..width]);
            }
        }
        self.add_norm(&mut words, &positions, &self.norm);
        words
    }

    fn add_norm(&self, rows: &mut [f32], residual: &[f32], norm: &Norm) {
        let Norm { weight, bias } = norm;
        self.kernels.run(AddNorm { rows, residual, weight, bias, epsilon: self.config.epsilon });
    }

    fn linear<'w>(&self, linear: &Linear, left: &[f32], out: &'w mut Vec<f32>) -> &'w mut [f32] {
        out.resize(left.len() / linear.weight.depth() * linear.weight.columns(), 0.0);
        self.kernels.run(Product { left, right: &linear.weight, bias: &linear.bias, out });
        out
    }

    fn layer(&self, layer: &Layer, texts: &[&[TokenId]], states: &mut Vec<f32>, work: &mut Work) {
        let (width, heads, dim) = (self.config.width, self.config.heads, self.config.head_dim());
        let Work { wide, mixed, result } = work;
        let qkv = self.linear(&layer.qkv, states, wide);
        mixed.resize(states.len(), 0.0);
        let mut start = 0;
        for text in texts {
            let end = start + text.len() * width;
            self.kernels.run(Attend { qkv: &qkv[3 * start..3 * end], heads, dim, out: &mut mixed[start..end] });
            start = end;
        }
        let rows = self.linear(&layer.mix, mixed, result);
        self.add_norm(rows, states, &layer.mix_norm);
        std::mem::swap(states, result);
        let grown = self.linear(&layer.grow, states, wide);
        self.kernels.run(Gelu { values: grown });
        let rows = self.linear(&layer.shrink, wide, result);
        self.add_norm(rows, states, &layer.shrink_norm);
        std::mem::swap(states, result);
    }
}

/// Memory kept from layer to layer.
#[derive(Default)]
struct Work {
    wide: Vec<f32>,
    mixed: Vec<f32>,
    result: Vec<f32>,
}

/// One vector of length 1 from the rows of a text.
fn pool(rows: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let mut vector = vec![0.0f64; width];
    match pooling {
        Pooling::First => vector.iter_mut().zip(rows).for_each(|(sum, &value)| *sum = f64::from(value)),
        Pooling::Mean => {
            for row in rows.chunks_exact(width) {
                vector.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
    }
    // The mean's divisor falls out when the length is made 1.
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    vector.into_iter().map(|value| (value / length) as f32).collect()
}
