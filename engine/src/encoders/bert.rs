//! BERT (Devlin et al. 2018): absolute positions, post-norm layers, exact GELU. Texts are computed back to back without
//! padding; a text's vector does not depend on the texts computed with it.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::config::{BertConfig, Pooling};
use crate::kernels::Kernels;
use crate::kernels::attend_all::{AttendAll, AttendWork, HEAD_STEP};
use crate::kernels::encoder_rows::{AddNorm, Gelu};
use crate::kernels::gemm_i8::{Finish, Inputs, Linear, Multiply, Plain, Split};
use crate::{EngineError, TokenId};

/// Rows that go through the feed-forward part together: their inner values stay in the second cache.
const CHUNK_ROWS: usize = 48;
/// Inputs of a linear layer that are taken finely.
const FINE_INPUTS: usize = 32;

/// A layer norm.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    /// For each head its queries, keys and values, each filled up to [`HEAD_STEP`].
    heads: Vec<Linear>,
    mix: Linear,
    mix_norm: Norm,
    grow: Linear,
    shrink: Linear,
    shrink_norm: Norm,
}

/// A linear layer as the file has it.
struct Raw {
    weight: Vec<f32>,
    bias: Vec<f32>,
    depth: usize,
}

impl Raw {
    fn columns(&self) -> usize {
        self.bias.len()
    }

    fn column(&self, column: usize) -> &[f32] {
        &self.weight[column * self.depth..][..self.depth]
    }

    fn pack(&self, split: Split) -> Linear {
        Linear::new(split, self.columns(), |column| self.column(column), |column| self.bias[column])
    }
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

    fn linear(&self, name: &str, columns: usize, depth: usize) -> Result<Raw, EngineError> {
        let weight = self.take(&format!("{name}.weight"), &[columns, depth])?;
        let bias = self.take(&format!("{name}.bias"), &[columns])?;
        Ok(Raw { weight, bias, depth })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, EngineError> {
        let old = self.tensors.tensor(&format!("{}{name}.gamma", self.prefix)).is_ok();
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok(Norm {
            weight: self.take(&format!("{name}.{weight}"), &[width])?,
            bias: self.take(&format!("{name}.{bias}"), &[width])?,
        })
    }

    /// A layer; `sizes` tells how large its inputs are likely to be, and is set to what the next layer's are.
    fn layer(&self, number: usize, config: &BertConfig, sizes: &mut Sizes) -> Result<Layer, EngineError> {
        let (width, inner) = (config.width, config.inner);
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let mut parts = Vec::new();
        for part in ["query", "key", "value"] {
            parts.push(self.linear(&name(&format!("attention.self.{part}")), width, width)?);
        }
        let heads = pack_heads(&parts, config, &sizes.split(&parts));
        let mix = self.linear(&name("attention.output.dense"), width, width)?;
        let mix_norm = self.norm(&name("attention.output.LayerNorm"), width)?;
        sizes.pass(&mix, &mix_norm);
        let grow = self.linear(&name("intermediate.dense"), inner, width)?;
        let grow_split = sizes.split(std::slice::from_ref(&grow));
        let shrink = self.linear(&name("output.dense"), width, inner)?;
        let shrink_norm = self.norm(&name("output.LayerNorm"), width)?;
        sizes.pass(&shrink, &shrink_norm);
        let alone = |raw: &Raw| Sizes::unknown(raw.depth).split(std::slice::from_ref(raw));
        Ok(Layer {
            heads,
            mix: mix.pack(alone(&mix)),
            mix_norm,
            grow: grow.pack(grow_split),
            shrink: shrink.pack(alone(&shrink)),
            shrink_norm,
        })
    }
}

/// How large the inputs of a layer are likely to be beside one another, judged by the weights alone.
struct Sizes(Vec<f32>);

impl Sizes {
    /// Nothing is known: all alike.
    fn unknown(depth: usize) -> Self {
        Self(vec![1.0; depth])
    }

    /// What comes out of a norm is as large as the norm's weight and bias; and where a layer before it has a weight far
    /// above the others, there it may write something large.
    fn pass(&mut self, before: &Raw, norm: &Norm) {
        let written = (0..before.columns()).map(|column| before.column(column).iter().fold(0.0, largest)).collect();
        let normed = norm.weight.iter().zip(&norm.bias).map(|(weight, bias)| weight.hypot(*bias)).collect();
        let (written, normed) = (in_medians(written), in_medians(normed));
        self.0 = written.iter().zip(&normed).map(|(&a, &b)| a.max(b)).collect();
    }

    /// The inputs that are to be taken finely: those that are likely to be largest or meet the largest weights.
    fn split(&self, readers: &[Raw]) -> Split {
        let depth = self.0.len();
        let mut met = vec![0.0; depth];
        for reader in readers {
            for column in 0..reader.columns() {
                met.iter_mut().zip(reader.column(column)).for_each(|(most, weight)| *most = largest(*most, weight));
            }
        }
        let sizes: Vec<f32> = in_medians(met).into_iter().zip(&self.0).map(|(a, &b)| a.max(b)).collect();
        let mut order: Vec<usize> = (0..depth).collect();
        order.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]).then(a.cmp(&b)));
        order.truncate(FINE_INPUTS.min(depth));
        order.sort_unstable();
        Split::new(depth, order)
    }
}

fn largest(most: f32, value: &f32) -> f32 {
    most.max(value.abs())
}

/// The values divided by their median.
fn in_medians(values: Vec<f32>) -> Vec<f32> {
    let mut sorted = values.clone();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2].max(f32::MIN_POSITIVE);
    values.into_iter().map(|value| value / median).collect()
}

/// Queries, keys and values of each head side by side, each filled up with columns of zeros.
fn pack_heads(parts: &[Raw], config: &BertConfig, split: &Split) -> Vec<Linear> {
    let (dim, stored) = (config.head_dim(), config.head_dim().next_multiple_of(HEAD_STEP));
    let nothing = vec![0.0; config.width];
    let head = |head: usize| {
        let place = |column: usize| (&parts[column / stored], head * dim + column % stored, column % stored < dim);
        let weight = |column| {
            let (part, column, used) = place(column);
            if used { part.column(column) } else { nothing.as_slice() }
        };
        let bias = |column| {
            let (part, column, used) = place(column);
            if used { part.bias[column] } else { 0.0 }
        };
        Linear::new(split.clone(), 3 * stored, weight, bias)
    };
    (0..config.heads).map(head).collect()
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
        let words = source.take("embeddings.word_embeddings.weight", &[config.vocabulary, width])?;
        let norm = source.norm("embeddings.LayerNorm", width)?;
        let mut sizes = Sizes::unknown(width);
        let layers =
            (0..config.layers).map(|number| source.layer(number, &config, &mut sizes)).collect::<Result<_, _>>()?;
        Ok(Self { config, kernels, words, positions, norm, layers })
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
        self.add_norm(&mut words, &positions, width, &self.norm);
        words
    }

    /// `norm(rows + added)`, in place.
    fn add_norm(&self, rows: &mut [f32], added: &[f32], stride: usize, norm: &Norm) {
        let Norm { weight, bias } = norm;
        self.kernels.run(AddNorm { rows, added, stride, weight, bias, epsilon: self.config.epsilon });
    }

    /// Results of a linear layer for rows that `inputs` holds.
    fn linear<F: Finish>(&self, linear: &Linear, inputs: &Inputs, out: &mut Vec<f32>, finish: F) {
        out.resize(inputs.rows() * linear.stride(), 0.0);
        self.kernels.run(Multiply { inputs, linear, out, finish });
    }

    fn layer(&self, layer: &Layer, texts: &[&[TokenId]], states: &mut [f32], work: &mut Work) {
        self.attention(layer, texts, states, work);
        let width = self.config.width;
        let Work { inputs, mixed, wide, result, .. } = work;
        for (states, mixed) in states.chunks_mut(CHUNK_ROWS * width).zip(mixed.chunks(CHUNK_ROWS * width)) {
            inputs.fill(self.kernels, mixed, width, layer.mix.split());
            self.linear(&layer.mix, inputs, result, Plain);
            self.add_norm(states, result, layer.mix.stride(), &layer.mix_norm);
            inputs.fill(self.kernels, states, width, layer.grow.split());
            self.linear(&layer.grow, inputs, wide, Gelu);
            inputs.fill(self.kernels, wide, layer.grow.stride(), layer.shrink.split());
            self.linear(&layer.shrink, inputs, result, Plain);
            self.add_norm(states, result, layer.shrink.stride(), &layer.shrink_norm);
        }
    }

    /// Fills `work.mixed` with the values that each token's heads gather.
    fn attention(&self, layer: &Layer, texts: &[&[TokenId]], states: &[f32], work: &mut Work) {
        let (width, kept) = (self.config.width, self.config.head_dim());
        let Work { inputs, mixed, head_rows, attend, .. } = work;
        mixed.resize(states.len(), 0.0);
        let Some(first) = layer.heads.first() else { return };
        inputs.fill(self.kernels, states, width, first.split());
        for (number, head) in layer.heads.iter().enumerate() {
            self.linear(head, inputs, head_rows, Plain);
            let (mut rows, mut out) = (head_rows.as_slice(), mixed.as_mut_slice());
            for text in texts {
                let (these, rest) = rows.split_at(text.len() * head.stride());
                let (here, rest_out) = out.split_at_mut(text.len() * width);
                self.kernels.run(AttendAll {
                    rows: these,
                    stride: head.stride(),
                    dim: kept.next_multiple_of(HEAD_STEP),
                    scale: 1.0 / (kept as f32).sqrt(),
                    window: None,
                    out: here,
                    out_stride: width,
                    column: number * kept,
                    kept,
                    work: attend,
                });
                (rows, out) = (rest, rest_out);
            }
        }
    }
}

/// Memory kept from layer to layer.
#[derive(Default)]
struct Work {
    inputs: Inputs,
    head_rows: Vec<f32>,
    attend: AttendWork,
    mixed: Vec<f32>,
    wide: Vec<f32>,
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
