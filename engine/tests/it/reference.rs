//! A plain forward pass in 32-bit floats, written for clarity and sharing nothing with the engine's but the file reader and
//! the dequantisation.

use cloister_engine::gguf::GgufFile;
use cloister_engine::quant::{WeightType, dequantize};
use std::collections::HashMap;

pub(crate) struct Reference {
    tensors: HashMap<String, (Vec<f32>, usize)>,
    layers: usize,
    heads: usize,
    key_heads: usize,
    halves: bool,
    epsilon: f32,
    base: f64,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    position: usize,
}

impl Reference {
    pub(crate) fn load(file: &GgufFile) -> Self {
        let architecture = file.require_text("general.architecture").unwrap();
        let number = |name: &str| file.require_u32(&format!("{architecture}.{name}")).unwrap() as usize;
        let mut tensors = HashMap::new();
        for tensor in file.tensors() {
            let mut values = vec![0.0; tensor.elements() as usize];
            let kind = WeightType::from_ggml(tensor.kind.id()).unwrap();
            assert_eq!(dequantize(kind, tensor.bytes, &mut values), values.len());
            tensors.insert(tensor.name.to_owned(), (values, tensor.columns()));
        }
        let layers = number("block_count");
        Self {
            tensors,
            layers,
            heads: number("attention.head_count"),
            key_heads: number("attention.head_count_kv"),
            halves: architecture == "qwen2",
            epsilon: file.f32(&format!("{architecture}.attention.layer_norm_rms_epsilon")).unwrap().unwrap(),
            base: f64::from(file.f32(&format!("{architecture}.rope.freq_base")).unwrap().unwrap()),
            keys: vec![Vec::new(); layers],
            values: vec![Vec::new(); layers],
            position: 0,
        }
    }

    /// Forgets all tokens.
    pub(crate) fn clear(&mut self) {
        self.keys.iter_mut().chain(&mut self.values).for_each(Vec::clear);
        self.position = 0;
    }

    /// The logits after one more token.
    pub(crate) fn next(&mut self, token: u32) -> Vec<f32> {
        let (embedding, width) = &self.tensors["token_embd.weight"];
        let mut state = embedding[token as usize * width..][..*width].to_vec();
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let input = self.norm(&state, &name("attn_norm.weight"));
            let mut query = self.linear(&input, &name("attn_q"));
            let mut key = self.linear(&input, &name("attn_k"));
            let value = self.linear(&input, &name("attn_v"));
            let dim = query.len() / self.heads;
            query.chunks_mut(dim).chain(key.chunks_mut(dim)).for_each(|head| self.rotate(head));
            self.keys[layer].extend(key);
            self.values[layer].extend(value);
            let attended = self.attend(layer, &query, dim);
            add(&mut state, &self.linear(&attended, &name("attn_output")));
            let input = self.norm(&state, &name("ffn_norm.weight"));
            let gate = self.linear(&input, &name("ffn_gate"));
            let up = self.linear(&input, &name("ffn_up"));
            let inner: Vec<f32> = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            add(&mut state, &self.linear(&inner, &name("ffn_down")));
        }
        self.position += 1;
        let state = self.norm(&state, "output_norm.weight");
        let head = if self.tensors.contains_key("output.weight") { "output" } else { "token_embd" };
        self.linear(&state, head)
    }

    fn norm(&self, state: &[f32], weight: &str) -> Vec<f32> {
        let mean = state.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / state.len() as f64;
        let scale = 1.0 / (mean + f64::from(self.epsilon)).sqrt();
        state
            .iter()
            .zip(&self.tensors[weight].0)
            .map(|(&value, weight)| (f64::from(value) * scale) as f32 * weight)
            .collect()
    }

    fn linear(&self, input: &[f32], name: &str) -> Vec<f32> {
        let (weights, cols) = &self.tensors[&format!("{name}.weight")];
        let mut out: Vec<f32> = weights.chunks(*cols).map(|row| dot(row, input)).collect();
        if let Some((bias, _)) = self.tensors.get(&format!("{name}.bias")) {
            add(&mut out, bias);
        }
        out
    }

    fn rotate(&self, head: &mut [f32]) {
        let pairs = head.len() / 2;
        for pair in 0..pairs {
            let factor = self.tensors.get("rope_freqs.weight").map_or(1.0, |(factors, _)| f64::from(factors[pair]));
            let angle = self.position as f64 * self.base.powf(-(pair as f64) / pairs as f64) / factor;
            let (first, second) = if self.halves { (pair, pair + pairs) } else { (2 * pair, 2 * pair + 1) };
            let (x, y) = (f64::from(head[first]), f64::from(head[second]));
            head[first] = (x * angle.cos() - y * angle.sin()) as f32;
            head[second] = (x * angle.sin() + y * angle.cos()) as f32;
        }
    }

    fn attend(&self, layer: usize, query: &[f32], dim: usize) -> Vec<f32> {
        let width = self.key_heads * dim;
        let mut out = Vec::with_capacity(query.len());
        for (head, query) in query.chunks(dim).enumerate() {
            let at = head / (self.heads / self.key_heads) * dim;
            let scores = self.keys[layer].chunks(width).map(|key| dot(&key[at..at + dim], query) / (dim as f32).sqrt());
            let scores: Vec<f32> = scores.collect();
            let largest = scores.iter().copied().fold(f32::MIN, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f32 = weights.iter().sum();
            let mut sum = vec![0.0; dim];
            for (weight, value) in weights.iter().zip(self.values[layer].chunks(width)) {
                sum.iter_mut().zip(&value[at..at + dim]).for_each(|(sum, value)| *sum += weight / total * value);
            }
            out.extend(sum);
        }
        out
    }
}

/// A dot product in sixteen partial sums, which a compiler can do side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn add(state: &mut [f32], other: &[f32]) {
    state.iter_mut().zip(other).for_each(|(state, other)| *state += other);
}

/// The natural logarithm of the softmax of a row.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit - largest) - total.ln()).collect()
}
