//! The layers of an encoder: read by name, and packed for the integer kernels.

use super::config::EncoderConfig;
use super::families::Names;
use super::source::Source;
use crate::EngineError;
use crate::kernels::attend_all::HEAD_STEP;
use crate::kernels::gemm_i8::{COLUMNS, Linear, Split};

/// Inputs of a linear layer that are taken finely. Each costs twice the time of another; the feed-forward block repays it most.
const FINE_ATTENTION: usize = 32;
const FINE_GROW: usize = 128;
const FINE_SHRINK: usize = 256;

/// Sums that are kept side by side in a layer of floats.
const LANES: usize = 16;

/// A layer norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// A layer of floats, for a single row.
#[derive(Debug)]
pub(super) struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    /// `weight x + bias`, summed in 64 bits and in a fixed order.
    pub(super) fn apply(&self, x: &[f32]) -> Vec<f64> {
        let product = |row: &[f32]| {
            let mut sums = [0.0f64; LANES];
            for (weights, values) in row.chunks(LANES).zip(x.chunks(LANES)) {
                let products = weights.iter().zip(values).map(|(weight, value)| f64::from(*weight) * f64::from(*value));
                sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            }
            sums.iter().sum::<f64>()
        };
        self.weight.chunks_exact(x.len()).zip(&self.bias).map(|(row, bias)| product(row) + f64::from(*bias)).collect()
    }
}

/// An attention and a feed-forward block.
#[derive(Debug)]
pub(super) struct Layer {
    /// For each head its queries, keys and values, each filled up to [`HEAD_STEP`].
    pub(super) heads: Vec<Linear>,
    pub(super) mix: Linear,
    /// After the attention block, or before it where norms come first; there the first layer has none.
    pub(super) mix_norm: Option<Norm>,
    /// In gated blocks the activated part and the other side by side, each filled up to [`COLUMNS`].
    pub(super) grow: Linear,
    pub(super) shrink: Linear,
    /// After the feed-forward block, or before it.
    pub(super) shrink_norm: Norm,
    /// How far tokens see, where they do not see everything.
    pub(super) window: Option<usize>,
}

/// A linear layer as the file has it: rows of `depth` weights, one for each column of results.
pub(super) struct Raw {
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

    /// The columns as `source` names them; where it names none they are zeros.
    fn pack(&self, split: Split, columns: usize, source: impl Fn(usize) -> Option<usize>) -> Linear {
        let nothing = vec![0.0; self.depth];
        let weight = |column| source(column).map_or(nothing.as_slice(), |at| self.column(at));
        Linear::new(split, columns, weight, |column| source(column).map_or(0.0, |at| self.bias[at]))
    }
}

/// Reads the layers of a model one after the other.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) names: Names,
    pub(super) config: &'a EncoderConfig,
}

impl Reader<'_> {
    /// A norm; without biases in families that have none.
    pub(super) fn norm(&self, name: &str) -> Result<Norm, EngineError> {
        let width = self.config.width;
        let old = self.source.has(&format!("{name}.gamma"));
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok(Norm {
            weight: self.source.take(&format!("{name}.{weight}"), &[width])?,
            bias: self.bias(&format!("{name}.{bias}"), width)?,
        })
    }

    /// Weights and biases of a reranker's head by its name, which may be one of the encoder's or stand beside it.
    pub(super) fn dense(&self, name: &str, columns: usize) -> Result<Dense, EngineError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let width = self.config.width;
        let inside = self.source.has(&weight);
        let take = |name: &str, shape: &[usize]| {
            if inside { self.source.take(name, shape) } else { self.source.take_beside(name, shape) }
        };
        let values = take(&weight, &[columns, width])?;
        let has_bias = if inside { self.source.has(&bias) } else { self.source.has_beside(&bias) };
        let bias =
            if has_bias || self.config.family.has_biases() { take(&bias, &[columns])? } else { vec![0.0; columns] };
        Ok(Dense { weight: values, bias })
    }

    /// The norm of a reranker's head.
    pub(super) fn norm_beside(&self, name: &str) -> Result<Norm, EngineError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let width = self.config.width;
        let weight = self.source.take_beside(&weight, &[width])?;
        let has_bias = self.source.has_beside(&bias);
        let bias = if has_bias { self.source.take_beside(&bias, &[width])? } else { vec![0.0; width] };
        Ok(Norm { weight, bias })
    }

    fn bias(&self, name: &str, columns: usize) -> Result<Vec<f32>, EngineError> {
        if self.config.family.has_biases() || self.source.has(name) {
            return self.source.take(name, &[columns]);
        }
        Ok(vec![0.0; columns])
    }

    /// The columns of several tensors one after the other.
    fn linear(&self, layer: &str, names: &[&str], columns: usize, depth: usize) -> Result<Raw, EngineError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            let columns = columns / names.len();
            weight.extend(self.source.take(&format!("{layer}{name}.weight"), &[columns, depth])?);
            bias.extend(self.bias(&format!("{layer}{name}.bias"), columns)?);
        }
        Ok(Raw { weight, bias, depth })
    }

    /// A layer; `sizes` tells how large what goes into it is likely to be, and is set to what comes out.
    pub(super) fn layer(&self, number: usize, sizes: &mut Sizes) -> Result<Layer, EngineError> {
        let (names, config) = (&self.names, self.config);
        let (width, inner, first) = (config.width, config.inner, config.family.norms_first());
        let place = format!("{}{number}.", names.layer);
        let fused = !names.fused.is_empty() && self.source.has(&format!("{place}{}.weight", names.fused));
        let parts: &[&str] = if fused { &[names.fused] } else { &names.parts };
        let qkv = self.linear(&place, parts, 3 * width, width)?;
        let mix = self.linear(&place, &[names.mix], width, width)?;
        let mix_name = format!("{place}{}", names.mix_norm);
        let unnormed = first && number == 0 && !self.source.has(&format!("{mix_name}.weight"));
        let mix_norm = if unnormed { None } else { Some(self.norm(&mix_name)?) };
        let gates = if config.family.is_gated() { 2 } else { 1 };
        let grow = self.linear(&place, names.grow, gates * inner, width)?;
        let shrink = self.linear(&place, &[names.shrink], width, inner)?;
        let shrink_norm = self.norm(&format!("{place}{}", names.shrink_norm))?;
        if let (true, Some(norm)) = (first, &mix_norm) {
            sizes.norm(norm);
        }
        let heads = pack_heads(&qkv, config, &sizes.split(&qkv, FINE_ATTENTION));
        sizes.written(&mix);
        sizes.norm(mix_norm.as_ref().filter(|_| !first).unwrap_or(&shrink_norm));
        let grow_split = sizes.split(&grow, FINE_GROW);
        sizes.written(&shrink);
        if !first {
            sizes.norm(&shrink_norm);
        }
        let alone = |raw: &Raw, fine| Sizes::unknown(raw.depth).split(raw, fine);
        Ok(Layer {
            heads,
            mix: mix.pack(alone(&mix, FINE_ATTENTION), width, Some),
            mix_norm,
            grow: pack_side_by_side(&grow, grow_split, gates),
            shrink: shrink.pack(alone(&shrink, FINE_SHRINK), width, Some),
            shrink_norm,
            window: config.window(number),
        })
    }
}

/// Queries, keys and values of each head side by side, each filled up with columns of zeros.
fn pack_heads(qkv: &Raw, config: &EncoderConfig, split: &Split) -> Vec<Linear> {
    let (width, dim) = (config.width, config.head_dim());
    let stored = dim.next_multiple_of(HEAD_STEP);
    let head = |head: usize| {
        let source = |column: usize| {
            let at = column / stored * width + head * dim + column % stored;
            Some(at).filter(|_| column % stored < dim)
        };
        qkv.pack(split.clone(), 3 * stored, source)
    };
    (0..config.heads).map(head).collect()
}

/// `parts` equal parts of the columns, each filled up to a multiple of [`COLUMNS`].
fn pack_side_by_side(raw: &Raw, split: Split, parts: usize) -> Linear {
    let length = raw.columns() / parts;
    let stored = length.next_multiple_of(COLUMNS);
    let source = |column: usize| Some(column / stored * length + column % stored).filter(|_| column % stored < length);
    raw.pack(split, parts * stored, source)
}

/// How large the inputs of a layer are likely to be beside one another, judged by the weights alone.
pub(super) struct Sizes {
    /// By the weights that write them.
    written: Vec<f32>,
    /// By the norm they went through.
    normed: Vec<f32>,
}

impl Sizes {
    /// Nothing is known: all alike.
    pub(super) fn unknown(depth: usize) -> Self {
        Self { written: vec![1.0; depth], normed: vec![1.0; depth] }
    }

    /// Where a layer has a weight far above the others, there it may write something large.
    fn written(&mut self, layer: &Raw) {
        let most = |column: usize| layer.column(column).iter().fold(0.0, largest);
        self.written = in_medians((0..layer.columns()).map(most).collect());
    }

    /// What comes out of a norm is as large as the norm's weight and bias.
    fn norm(&mut self, norm: &Norm) {
        self.normed =
            in_medians(norm.weight.iter().zip(&norm.bias).map(|(weight, bias)| weight.hypot(*bias)).collect());
    }

    /// The `fine` inputs that are to be taken finely: those that are likely to be largest or meet the largest weights.
    fn split(&self, reader: &Raw, fine: usize) -> Split {
        let mut met = vec![0.0; reader.depth];
        for column in 0..reader.columns() {
            met.iter_mut().zip(reader.column(column)).for_each(|(most, weight)| *most = largest(*most, weight));
        }
        let met = in_medians(met);
        let size = |input: usize| met[input].max(self.written[input]).max(self.normed[input]);
        let mut order: Vec<usize> = (0..reader.depth).collect();
        order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b)));
        order.truncate(fine);
        order.sort_unstable();
        Split::new(reader.depth, order)
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
