//! The forward pass of an encoder. Texts are computed back to back without padding; a text's vector does not depend on the
//! texts computed with it.

use std::ops::Range;

use super::config::{Activation, EncoderConfig, Pooling};
use super::families::Names;
use super::layers::{Layer, Norm, Reader, Sizes};
use super::source::Source;
use crate::kernels::Kernels;
use crate::kernels::attend_all::{AttendAll, AttendWork, HEAD_STEP};
use crate::kernels::encoder_rows::{Add, Gate, Gelu, Normalise, Silu};
use crate::kernels::gemm_i8::{Finish, Inputs, Linear, Multiply, Plain};
use crate::rope::{Rope, RopePairs};
use crate::{EngineError, TokenId};

/// Rows that go through the feed-forward block together: their inner values stay in the second cache.
const CHUNK_ROWS: usize = 48;

/// A text as an encoder reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) tokens: &'a [TokenId],
    /// The first token of the second type, or the number of tokens.
    pub(super) second: usize,
}

/// The weights of an encoder.
#[derive(Debug)]
pub(super) struct Model {
    config: EncoderConfig,
    kernels: Kernels,
    words: Vec<f32>,
    /// What is added at each position: the table of positions, where there is one, and the first token type.
    places: Vec<f32>,
    /// The same with the second token type, where there is one.
    second_places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    /// After all layers, where norms come before the blocks.
    last: Option<Norm>,
    /// Rotation in layers that see everything and in local ones.
    rotary: Option<[Rope; 2]>,
}

impl Model {
    /// Takes the weights out of a file's tensors.
    pub(super) fn load(
        config: EncoderConfig,
        source: &Source<'_>,
        names: &Names,
        kernels: Kernels,
    ) -> Result<Self, EngineError> {
        let reader = Reader { source, names: *names, config: &config };
        let [places, second_places] = places(&reader)?;
        let words = source.take(&format!("{}.weight", names.words), &[config.vocabulary, config.width])?;
        let norm = reader.norm(names.norm)?;
        let mut sizes = Sizes::unknown(config.width);
        let layers =
            (0..config.layers).map(|number| reader.layer(number, &mut sizes)).collect::<Result<_, EngineError>>()?;
        let last = if config.family.norms_first() { Some(reader.norm(names.last)?) } else { None };
        let dim = config.head_dim();
        let rotary = config.rotary.map(|bases| bases.map(|base| Rope::new(RopePairs::Halves, dim, base, 1.0, None)));
        Ok(Self { config, kernels, words, places, second_places, norm, layers, last, rotary })
    }

    /// The vectors of several texts, each of length 1. Token ids must be below the vocabulary, texts not empty and at most
    /// `tokens_max` long.
    pub(super) fn embed(&self, texts: &[Text<'_>]) -> Vec<Vec<f32>> {
        self.pooled(texts).into_iter().map(unit_length).collect()
    }

    /// What is made of the last states of each text: their mean, the first or the last.
    pub(super) fn pooled(&self, texts: &[Text<'_>]) -> Vec<Vec<f64>> {
        let width = self.config.width;
        let mut states = self.look_up(texts);
        let mut work = Work { angles: self.angles(texts), ..Work::default() };
        for (number, layer) in self.layers.iter().enumerate() {
            self.read_inputs(layer, &states, &mut work);
            self.attention(layer, texts, states.len(), &mut work);
            if number + 1 == self.layers.len() {
                self.keep_pooled(texts, &mut states);
                self.keep_pooled(texts, &mut work.mixed);
            }
            self.after_attention(layer, &mut states, &mut work);
        }
        if let Some(last) = &self.last {
            self.normalise(&mut states, last);
        }
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = states.as_slice();
        for text in texts {
            let (rows, after) = rest.split_at(self.pooled_rows(text).len() * width);
            vectors.push(mean(rows, width));
            rest = after;
        }
        vectors
    }

    /// The rows of a text of which the mean is taken.
    fn pooled_rows(&self, text: &Text<'_>) -> Range<usize> {
        let length = text.tokens.len();
        match self.config.pooling {
            Pooling::Mean => 0..length,
            Pooling::First => 0..1,
            Pooling::Last => length - 1..length,
        }
    }

    /// Drops the rows that are not pooled: after the last layer's attention no row reads another.
    fn keep_pooled(&self, texts: &[Text<'_>], rows: &mut Vec<f32>) {
        let width = self.config.width;
        let (mut start, mut kept) = (0, 0);
        for text in texts {
            let Range { start: first, end } = self.pooled_rows(text);
            rows.copy_within((start + first) * width..(start + end) * width, kept * width);
            kept += end - first;
            start += text.tokens.len();
        }
        rows.truncate(kept * width);
    }

    pub(super) fn kernels(&self) -> Kernels {
        self.kernels
    }

    pub(super) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Words plus positions and type, normalised.
    fn look_up(&self, texts: &[Text<'_>]) -> Vec<f32> {
        let width = self.config.width;
        let mut states = Vec::with_capacity(texts.iter().map(|text| text.tokens.len() * width).sum());
        for text in texts {
            for (position, &id) in text.tokens.iter().enumerate() {
                let word = &self.words[id as usize * width..][..width];
                let is_second = position >= text.second && !self.second_places.is_empty();
                let places = if is_second { &self.second_places } else { &self.places };
                // Without a table of positions the same row is added everywhere.
                let place = (position + self.config.first_position) * width % places.len();
                states.extend(word.iter().zip(&places[place..]).map(|(word, place)| word + place));
            }
        }
        self.normalise(&mut states, &self.norm);
        states
    }

    /// The angles of all positions of the longest text, for both rotations.
    fn angles(&self, texts: &[Text<'_>]) -> [Vec<[f32; 2]>; 2] {
        let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
        let mut angles = [Vec::new(), Vec::new()];
        for (rope, angles) in self.rotary.iter().flatten().zip(&mut angles) {
            (0..longest).for_each(|position| rope.angles(position, angles));
        }
        angles
    }

    fn normalise(&self, rows: &mut [f32], norm: &Norm) {
        let Norm { weight, bias } = norm;
        self.kernels.run(Normalise { rows, weight, bias, epsilon: self.config.epsilon });
    }

    /// Results of a linear layer for rows that `inputs` holds.
    fn linear<F: Finish>(&self, linear: &Linear, inputs: &Inputs, out: &mut Vec<f32>, finish: F) {
        out.resize(inputs.rows() * linear.stride(), 0.0);
        self.kernels.run(Multiply { inputs, linear, out, finish });
    }

    /// What follows a layer's attention, chunk by chunk and in place.
    fn after_attention(&self, layer: &Layer, states: &mut [f32], work: &mut Work) {
        let (width, first) = (self.config.width, self.config.family.norms_first());
        let Work { inputs, mixed, wide, result, normed, .. } = work;
        for (states, mixed) in states.chunks_mut(CHUNK_ROWS * width).zip(mixed.chunks(CHUNK_ROWS * width)) {
            inputs.fill(self.kernels, mixed, width, layer.mix.split());
            self.linear(&layer.mix, inputs, result, Plain);
            self.kernels.run(Add { rows: states, width, added: result, stride: layer.mix.stride() });
            if first {
                normed.clear();
                normed.extend_from_slice(states);
                self.normalise(normed, &layer.shrink_norm);
                self.feed_forward(layer, normed, inputs, wide, result);
            } else {
                layer.mix_norm.iter().for_each(|norm| self.normalise(states, norm));
                self.feed_forward(layer, states, inputs, wide, result);
            }
            self.kernels.run(Add { rows: states, width, added: result, stride: layer.shrink.stride() });
            if !first {
                self.normalise(states, &layer.shrink_norm);
            }
        }
    }

    /// What the attention block of a layer reads, as integers.
    fn read_inputs(&self, layer: &Layer, states: &[f32], work: &mut Work) {
        let Some(head) = layer.heads.first() else { return };
        let mut rows = states;
        if let (true, Some(norm)) = (self.config.family.norms_first(), &layer.mix_norm) {
            work.normed.clear();
            work.normed.extend_from_slice(states);
            self.normalise(&mut work.normed, norm);
            rows = &work.normed;
        }
        work.inputs.fill(self.kernels, rows, self.config.width, head.split());
    }

    /// Fills `work.mixed` with what each token's heads gather from the tokens they see.
    fn attention(&self, layer: &Layer, texts: &[Text<'_>], length: usize, work: &mut Work) {
        let (width, kept) = (self.config.width, self.config.head_dim());
        let Work { inputs, mixed, head_rows, attend, angles, .. } = work;
        mixed.resize(length, 0.0);
        let side = usize::from(layer.window.is_some());
        for (number, head) in layer.heads.iter().enumerate() {
            self.linear(head, inputs, head_rows, Plain);
            let (mut rows, mut out) = (head_rows.as_mut_slice(), mixed.as_mut_slice());
            for text in texts {
                let (these, rest) = rows.split_at_mut(text.tokens.len() * head.stride());
                let (here, rest_out) = out.split_at_mut(text.tokens.len() * width);
                if let Some(ropes) = &self.rotary {
                    rotate(&ropes[side], &angles[side], these, head.stride(), kept);
                }
                self.kernels.run(AttendAll {
                    rows: these,
                    stride: head.stride(),
                    dim: kept.next_multiple_of(HEAD_STEP),
                    scale: 1.0 / (kept as f32).sqrt(),
                    window: layer.window,
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

    /// The feed-forward block: `result = shrink(activation(grow(rows)))`, gated where the family's is.
    fn feed_forward(
        &self,
        layer: &Layer,
        rows: &[f32],
        inputs: &mut Inputs,
        wide: &mut Vec<f32>,
        result: &mut Vec<f32>,
    ) {
        let (grow, shrink) = (&layer.grow, &layer.shrink);
        inputs.fill(self.kernels, rows, self.config.width, grow.split());
        let stride = grow.stride();
        match (self.config.family.is_gated(), self.config.activation) {
            (false, Activation::Gelu) => self.linear(grow, inputs, wide, Gelu),
            (false, Activation::Silu) => self.linear(grow, inputs, wide, Silu),
            (true, activation) => {
                self.linear(grow, inputs, wide, Plain);
                match activation {
                    Activation::Gelu => self.kernels.run(Gate { rows: wide, stride, activation: Gelu }),
                    Activation::Silu => self.kernels.run(Gate { rows: wide, stride, activation: Silu }),
                }
            }
        }
        inputs.fill(self.kernels, wide, stride, shrink.split());
        self.linear(shrink, inputs, result, Plain);
    }
}

/// The table of positions with the first token type added, and with the second where there is one; a single row where there
/// is no table.
fn places(reader: &Reader<'_>) -> Result<[Vec<f32>; 2], EngineError> {
    let (source, names, config) = (reader.source, &reader.names, reader.config);
    let width = config.width;
    let places = match config.rotary {
        None => source.take(&format!("{}.weight", names.positions), &[config.positions, width])?,
        Some(_) => vec![0.0; width],
    };
    let name = format!("{}.weight", names.types);
    if config.types == 0 || !config.family.has_biases() && !source.has(&name) {
        return Ok([places, Vec::new()]);
    }
    let types = source.take(&name, &[config.types, width])?;
    let with_type = |kind: &[f32]| -> Vec<f32> {
        places.chunks_exact(width).flat_map(|row| row.iter().zip(kind).map(|(value, add)| value + add)).collect()
    };
    // Only pairs of texts have tokens of the second type.
    let second = config.head_pooling.and_then(|_| types.chunks_exact(width).nth(1)).map(with_type);
    Ok([with_type(&types[..width]), second.unwrap_or_default()])
}

/// Rotates queries and keys of a text's rows, each from position 0 on.
fn rotate(rope: &Rope, angles: &[[f32; 2]], rows: &mut [f32], stride: usize, dim: usize) {
    let stored = dim.next_multiple_of(HEAD_STEP);
    for (row, angles) in rows.chunks_exact_mut(stride).zip(angles.chunks_exact(rope.pairs())) {
        rope.rotate(&mut row[..dim], dim, angles);
        rope.rotate(&mut row[stored..stored + dim], dim, angles);
    }
}

/// Memory kept from layer to layer.
#[derive(Default)]
struct Work {
    inputs: Inputs,
    head_rows: Vec<f32>,
    attend: AttendWork,
    mixed: Vec<f32>,
    normed: Vec<f32>,
    wide: Vec<f32>,
    result: Vec<f32>,
    angles: [Vec<[f32; 2]>; 2],
}

/// The mean of some rows.
fn mean(rows: &[f32], width: usize) -> Vec<f64> {
    let mut vector = vec![0.0f64; width];
    for row in rows.chunks_exact(width) {
        vector.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (rows.len() / width) as f64;
    vector.iter_mut().for_each(|sum| *sum /= count);
    vector
}

/// The vector at length 1.
fn unit_length(vector: Vec<f64>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    vector.into_iter().map(|value| (value / length) as f32).collect()
}
