//! A plain forward pass, one token after the other, written for clarity from the papers and sharing nothing with the engine's
//! but the file reader and the dequantisation.

use cloister_engine::gguf::GgufFile;
use cloister_engine::quant::{WeightType, dequantize};
use std::collections::HashMap;
use std::f64::consts::PI;

pub(crate) struct Reference {
    architecture: String,
    numbers: HashMap<String, f64>,
    yarn: bool,
    /// Without rotation altogether.
    unrotated: bool,
    /// Longest sequence that the model is loaded for.
    context: usize,
    tensors: HashMap<String, (Vec<f32>, usize)>,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    position: usize,
}

/// The numbers that this program knows.
const NUMBERS: [&str; 30] = [
    "context_length",
    "embedding_length",
    "block_count",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.scale",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
    "expert_count",
    "expert_used_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.dimension_count",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "attention.value_length",
    "feed_forward_length",
    "expert_feed_forward_length",
    "vocab_size",
];

impl Reference {
    /// As a program that loads the model for sequences of up to 512 tokens.
    pub(crate) fn load(file: &GgufFile) -> Self {
        let architecture = file.require_text("general.architecture").unwrap().to_owned();
        let key = |name: &str| format!("{architecture}.{name}");
        let numbers: HashMap<String, f64> = NUMBERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), f64::from(file.f32(&key(name)).ok()??))))
            .collect();
        let mut tensors = HashMap::new();
        for tensor in file.tensors() {
            let mut values = vec![0.0; tensor.elements() as usize];
            let kind = WeightType::from_ggml(tensor.kind.id()).unwrap();
            assert_eq!(dequantize(kind, tensor.bytes, &mut values), values.len());
            tensors.insert(tensor.name.to_owned(), (values, tensor.columns()));
        }
        let layers = numbers["block_count"] as usize;
        Self {
            yarn: file.text(&key("rope.scaling.type")).unwrap() == Some("yarn"),
            unrotated: architecture == "granite" && file.flag(&key("rope.scaling.finetuned")).unwrap() == Some(false),
            context: 512,
            architecture,
            numbers,
            tensors,
            keys: vec![Vec::new(); layers],
            values: vec![Vec::new(); layers],
            position: 0,
        }
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    fn size(&self, name: &str) -> usize {
        self.numbers[name] as usize
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.architecture.as_str())
    }

    fn head_dim(&self) -> usize {
        let heads = self.size("attention.head_count");
        self.number("attention.key_length").map_or(self.size("embedding_length") / heads, |dim| dim as usize)
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
        if self.is(&["gemma2", "gemma3"]) {
            scale(&mut state, (*width as f64).sqrt());
        } else if let Some(factor) = self.number("embedding_scale") {
            scale(&mut state, factor);
        }
        for layer in 0..self.size("block_count") {
            let attended = self.attention(layer, &state);
            self.join(&mut state, attended, &format!("blk.{layer}.post_attention_norm.weight"));
            let result = self.feed_forward(layer, &state);
            self.join(&mut state, result, &format!("blk.{layer}.post_ffw_norm.weight"));
        }
        self.position += 1;
        let state = self.norm(&state, "output_norm.weight");
        let head = if self.tensors.contains_key("output.weight") { "output" } else { "token_embd" };
        let mut logits = self.linear(&state, head);
        if self.is(&["granite"]) {
            scale(&mut logits, 1.0 / self.numbers["logit_scale"]);
        }
        if let Some(cap) = self.number("final_logit_softcapping") {
            logits.iter_mut().for_each(|logit| *logit = soft_cap(f64::from(*logit), cap) as f32);
        }
        logits
    }

    /// Adds a part's result to the stream: as it is, after a norm, or after a factor.
    fn join(&self, state: &mut [f32], mut result: Vec<f32>, norm: &str) {
        if self.is(&["gemma2", "gemma3"]) {
            result = self.norm(&result, norm);
        } else if let Some(factor) = self.number("residual_scale") {
            scale(&mut result, factor);
        }
        add(state, &result);
    }

    fn attention(&mut self, layer: usize, state: &[f32]) -> Vec<f32> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let dim = self.head_dim();
        let (queries, keys) = (self.size("attention.head_count") * dim, self.size("attention.head_count_kv") * dim);
        let input = self.norm(state, &name("attn_norm.weight"));
        let (mut query, mut key, value);
        if self.tensors.contains_key(&name("attn_qkv.weight")) {
            let all = self.linear(&input, &name("attn_qkv"));
            (query, key, value) =
                (all[..queries].to_vec(), all[queries..queries + keys].to_vec(), all[queries + keys..].to_vec());
        } else {
            query = self.linear(&input, &name("attn_q"));
            key = self.linear(&input, &name("attn_k"));
            value = self.linear(&input, &name("attn_v"));
        }
        if self.tensors.contains_key(&name("attn_q_norm.weight")) {
            query = query.chunks(dim).flat_map(|head| self.norm(head, &name("attn_q_norm.weight"))).collect();
            key = key.chunks(dim).flat_map(|head| self.norm(head, &name("attn_k_norm.weight"))).collect();
        }
        let unrotated = self.unrotated || self.is(&["smollm3"]) && layer % 4 == 3;
        if !unrotated {
            query.chunks_mut(dim).chain(key.chunks_mut(dim)).for_each(|head| self.rotate(layer, head));
        }
        self.keys[layer].extend(key);
        self.values[layer].extend(value);
        let attended = self.attend(layer, &query, dim);
        self.linear(&attended, &name("attn_output"))
    }

    /// How many tokens the layer sees, its own included.
    fn window(&self, layer: usize) -> Option<usize> {
        let window = self.number("attention.sliding_window")? as usize;
        let period = match self.architecture.as_str() {
            "gemma2" | "gpt-oss" => 2,
            "gemma3" => 6,
            _ => return Some(window),
        };
        (layer % period != period - 1).then_some(window)
    }

    fn rotate(&self, layer: usize, head: &mut [f32]) {
        let rotary = self.number("rope.dimension_count").map_or(head.len(), |dimensions| dimensions as usize);
        let pairs = rotary / 2;
        let halves = !self.is(&["llama", "mistral3", "granite", "smollm3"]);
        let local = self.is(&["gemma3"]) && self.window(layer).is_some();
        for pair in 0..pairs {
            let (frequency, magnitude) = self.frequency(pair, rotary, local);
            let angle = self.position as f64 * frequency;
            let (first, second) = if halves { (pair, pair + pairs) } else { (2 * pair, 2 * pair + 1) };
            let (x, y) = (f64::from(head[first]) * magnitude, f64::from(head[second]) * magnitude);
            head[first] = (x * angle.cos() - y * angle.sin()) as f32;
            head[second] = (x * angle.sin() + y * angle.cos()) as f32;
        }
    }

    /// Radians for a position, and the factor of what is rotated.
    fn frequency(&self, pair: usize, rotary: usize, local: bool) -> (f64, f64) {
        let own = |base: f64| base.powf(-2.0 * pair as f64 / rotary as f64);
        if local {
            return (own(self.number("rope.freq_base_swa").unwrap_or(10_000.0)), 1.0);
        }
        let base = self.numbers["rope.freq_base"];
        let original = self.number("rope.scaling.original_context_length").unwrap_or(self.numbers["context_length"]);
        let long =
            if self.context as f64 > original { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
        let factors = self.tensors.get("rope_freqs.weight").or_else(|| self.tensors.get(long));
        let plain = own(base) / factors.map_or(1.0, |(factors, _)| f64::from(factors[pair]));
        let stretch = self.number("rope.scaling.factor").unwrap_or(1.0);
        let magnitude = self.number("rope.scaling.attn_factor").unwrap_or(1.0);
        if !self.yarn {
            return (plain / stretch, magnitude);
        }
        // The pair that turns so often within the original context; pairs between the two limits are mixtures.
        let at = |turns: f64| rotary as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * base.ln());
        let low = at(self.number("rope.scaling.yarn_beta_fast").unwrap_or(32.0)).floor().max(0.0);
        let high = at(self.number("rope.scaling.yarn_beta_slow").unwrap_or(1.0)).ceil().min(rotary as f64 - 1.0);
        let stretched = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        let growth = 0.1 * stretch.ln() + 1.0;
        let taken_back = 0.1 * self.number("rope.scaling.yarn_log_multiplier").unwrap_or(0.0) * stretch.ln() + 1.0;
        (plain * (1.0 - stretched) + plain / stretch * stretched, growth / taken_back)
    }

    fn score_scale(&self, dim: usize) -> f64 {
        let of_27b = self.is(&["gemma2"]) && self.size("block_count") == 46
            || self.is(&["gemma3"]) && self.size("block_count") == 62;
        let divisor = if of_27b { self.size("embedding_length") / self.size("attention.head_count") } else { dim };
        let plain = 1.0 / (divisor as f64).sqrt();
        let scale = self.number("attention.scale").unwrap_or(plain);
        let Some(temperature) = self.number("attention.temperature_scale") else { return scale };
        let original = self.size("rope.scaling.original_context_length");
        scale * (1.0 + temperature * (1.0 + (self.position / original) as f64).ln())
    }

    fn attend(&self, layer: usize, query: &[f32], dim: usize) -> Vec<f32> {
        let (heads, key_heads) = (self.size("attention.head_count"), self.size("attention.head_count_kv"));
        let width = key_heads * dim;
        let first = self.window(layer).map_or(0, |window| (self.position + 1).saturating_sub(window));
        let scale = self.score_scale(dim);
        let cap = self.number("attn_logit_softcapping");
        let sinks = self.tensors.get(&format!("blk.{layer}.attn_sinks.weight"));
        let mut out = Vec::with_capacity(query.len());
        for (head, query) in query.chunks(dim).enumerate() {
            let at = head / (heads / key_heads) * dim;
            let keys = self.keys[layer].chunks(width).skip(first);
            let scores = keys.map(|key| f64::from(dot(&key[at..at + dim], query)) * scale);
            let mut scores: Vec<f64> = scores.map(|score| cap.map_or(score, |cap| soft_cap(score, cap))).collect();
            scores.extend(sinks.map(|(sinks, _)| f64::from(sinks[head])));
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut sum = vec![0.0; dim];
            for (weight, value) in weights.iter().zip(self.values[layer].chunks(width).skip(first)) {
                let share = (weight / total) as f32;
                sum.iter_mut().zip(&value[at..at + dim]).for_each(|(sum, value)| *sum += share * value);
            }
            out.extend(sum);
        }
        out
    }

    fn feed_forward(&self, layer: usize, state: &[f32]) -> Vec<f32> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let norm = if self.is(&["gpt-oss"]) { "post_attention_norm.weight" } else { "ffn_norm.weight" };
        let input = self.norm(state, &name(norm));
        if self.number("expert_count").is_some_and(|count| count > 0.0) {
            return self.experts(&input, &name);
        }
        let up = self.linear(&input, &name("ffn_up"));
        let (gate, up) = if self.tensors.contains_key(&name("ffn_gate.weight")) {
            (self.linear(&input, &name("ffn_gate")), up)
        } else {
            (up[..up.len() / 2].to_vec(), up[up.len() / 2..].to_vec())
        };
        self.linear(&self.gated(&gate, &up), &name("ffn_down"))
    }

    fn gated(&self, gate: &[f32], up: &[f32]) -> Vec<f32> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let unit = |gate: f64, up: f64| match self.architecture.as_str() {
            "gemma2" | "gemma3" => {
                0.5 * gate * (1.0 + ((2.0 / PI).sqrt() * (gate + 0.044_715 * gate.powi(3))).tanh()) * up
            }
            "gpt-oss" => {
                let (gate, up) = (gate.min(7.0), up.clamp(-7.0, 7.0));
                gate * sigmoid(1.702 * gate) * (up + 1.0)
            }
            _ => gate * sigmoid(gate) * up,
        };
        gate.iter().zip(up).map(|(&gate, &up)| unit(f64::from(gate), f64::from(up)) as f32).collect()
    }

    /// Softmax over all experts, the best of them brought back to a sum of one; gpt-oss takes the softmax of the best.
    fn experts(&self, input: &[f32], name: &impl Fn(&str) -> String) -> Vec<f32> {
        let logits = self.linear(input, &name("ffn_gate_inp"));
        let (count, used) = (logits.len(), self.size("expert_used_count"));
        let mut best: Vec<usize> = (0..count).collect();
        best.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        best.truncate(used);
        let shares: Vec<f64> = if self.is(&["gpt-oss"]) {
            softmax(&best.iter().map(|&expert| logits[expert]).collect::<Vec<_>>())
        } else {
            let all = softmax(&logits);
            let total: f64 = best.iter().map(|&expert| all[expert]).sum();
            best.iter().map(|&expert| all[expert] / total).collect()
        };
        let mut sum = vec![0.0; input.len()];
        for (&expert, share) in best.iter().zip(shares) {
            let part = |part: &str, input: &[f32]| self.expert_linear(input, &name(part), expert, count);
            let inner = self.gated(&part("ffn_gate_exps", input), &part("ffn_up_exps", input));
            let mut result = part("ffn_down_exps", &inner);
            scale(&mut result, share);
            add(&mut sum, &result);
        }
        sum
    }

    fn expert_linear(&self, input: &[f32], name: &str, expert: usize, count: usize) -> Vec<f32> {
        let (weights, cols) = &self.tensors[&format!("{name}.weight")];
        let size = weights.len() / count;
        let mut out: Vec<f32> = weights[expert * size..][..size].chunks(*cols).map(|row| dot(row, input)).collect();
        if let Some((bias, _)) = self.tensors.get(&format!("{name}.bias")) {
            let rows = out.len();
            add(&mut out, &bias[expert * rows..][..rows]);
        }
        out
    }

    fn norm(&self, state: &[f32], weight: &str) -> Vec<f32> {
        let mean = state.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / state.len() as f64;
        let scale = 1.0 / (mean + self.numbers["attention.layer_norm_rms_epsilon"]).sqrt();
        let weights = &self.tensors[weight].0;
        state.iter().zip(weights).map(|(&value, weight)| (f64::from(value) * scale) as f32 * weight).collect()
    }

    fn linear(&self, input: &[f32], name: &str) -> Vec<f32> {
        let (weights, cols) = &self.tensors[&format!("{name}.weight")];
        let mut out: Vec<f32> = weights.chunks(*cols).map(|row| dot(row, input)).collect();
        if let Some((bias, _)) = self.tensors.get(&format!("{name}.bias")) {
            add(&mut out, bias);
        }
        out
    }
}

fn soft_cap(value: f64, cap: f64) -> f64 {
    cap * (value / cap).tanh()
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(f64::exp).collect()
}

fn scale(values: &mut [f32], factor: f64) {
    values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
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
