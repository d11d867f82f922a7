//! Random numbers, random weights, and small random models written as GGUF files.

use cloister_engine::quant::WeightType;
use std::path::Path;

/// A small generator of random numbers (xorshift64*, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    /// About normally distributed: the sum of twelve uniform numbers, less six.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
    }
}

/// Random blocks of `rows` rows; scales are ordinary numbers of size 0.02 or so.
pub(crate) fn random_rows(kind: WeightType, rows: usize, cols: usize, random: &mut Random) -> Vec<u8> {
    if kind.is_dense() {
        let values = (0..rows * cols).map(|_| random.normal() * 0.05);
        return values.flat_map(|value| dense_bytes(kind, value)).collect();
    }
    let length = rows * cols / kind.block_values() * kind.block_bytes();
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    set_scales(kind, &mut bytes, &mut || random.normal() * 0.02);
    bytes
}

fn dense_bytes(kind: WeightType, value: f32) -> Vec<u8> {
    match kind {
        WeightType::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        WeightType::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

/// Overwrites the half floats of each block, or its exponent; dense types stay as they are.
pub(crate) fn set_scales(kind: WeightType, bytes: &mut [u8], scale: &mut dyn FnMut() -> f32) {
    let places: &[usize] = match kind {
        WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 | WeightType::IQ4_NL | WeightType::IQ4_XS => &[0],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4_K | WeightType::Q5_K => &[0, 2],
        WeightType::Q2_K => &[80, 82],
        WeightType::Q3_K => &[108],
        WeightType::Q6_K => &[208],
        WeightType::F32 | WeightType::F16 | WeightType::BF16 | WeightType::MXFP4 => &[],
    };
    for block in bytes.chunks_exact_mut(kind.block_bytes()) {
        if kind == WeightType::MXFP4 {
            block[0] = (scale().to_bits() >> 23 & 0xff) as u8;
        }
        for &at in places {
            // Super-blocks multiply their scales by up to 63 or 127.
            let shrink = if kind.block_values() == 256 { 0.02 } else { 1.0 };
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale() * shrink).to_le_bytes());
        }
    }
}

/// The value of a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    Number(u32),
    Float(f32),
    Flag(bool),
    Text(&'static str),
}

/// A tensor to be written: name, type, dimensions (fastest first) and bytes.
pub(crate) type Tensor = (String, WeightType, Vec<usize>, Vec<u8>);

/// The sizes of a random model.
#[derive(Clone, Copy)]
pub(crate) struct TinyModel {
    pub(crate) architecture: &'static str,
    pub(crate) kind: WeightType,
    pub(crate) width: usize,
    pub(crate) inner: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    /// Values of a head.
    pub(crate) dim: usize,
    /// Experts of a layer and values inside one; no experts, but one unit where there are none.
    pub(crate) experts: usize,
    pub(crate) expert_inner: usize,
    pub(crate) tied: bool,
    pub(crate) rope_factors: bool,
    /// The architecture's own settings.
    pub(crate) settings: &'static [(&'static str, Setting)],
}

impl TinyModel {
    pub(crate) const LLAMA: Self = Self {
        architecture: "llama",
        kind: WeightType::F32,
        width: 256,
        inner: 512,
        layers: 2,
        heads: 8,
        key_heads: 4,
        dim: 32,
        experts: 0,
        expert_inner: 0,
        tied: true,
        rope_factors: true,
        settings: &[],
    };
    pub(crate) const QWEN2: Self = Self {
        architecture: "qwen2",
        heads: 4,
        key_heads: 1,
        dim: 64,
        tied: false,
        rope_factors: false,
        ..Self::LLAMA
    };
    const MIXTRAL: Self = Self {
        experts: 6,
        expert_inner: 512,
        rope_factors: false,
        settings: &[
            ("expert_count", Setting::Number(6)),
            ("expert_used_count", Setting::Number(2)),
            ("attention.sliding_window", Setting::Number(24)),
        ],
        ..Self::LLAMA
    };
    const QWEN3: Self = Self { architecture: "qwen3", dim: 64, ..Self::QWEN2 };
    const QWEN3_YARN: Self = Self { settings: YARN, ..Self::QWEN3 };
    const MISTRAL3: Self = Self {
        architecture: "mistral3",
        rope_factors: false,
        settings: &[
            ("rope.scaling.type", Setting::Text("yarn")),
            ("rope.scaling.factor", Setting::Float(4.0)),
            ("rope.scaling.original_context_length", Setting::Number(32)),
            ("rope.scaling.yarn_beta_fast", Setting::Float(2.0)),
            ("rope.scaling.yarn_beta_slow", Setting::Float(0.5)),
            ("rope.scaling.yarn_log_multiplier", Setting::Float(1.0)),
            ("attention.temperature_scale", Setting::Float(0.2)),
        ],
        ..Self::LLAMA
    };
    const GEMMA2: Self = Self {
        architecture: "gemma2",
        layers: 3,
        rope_factors: false,
        settings: &[
            ("attention.sliding_window", Setting::Number(24)),
            ("attn_logit_softcapping", Setting::Float(2.0)),
            ("final_logit_softcapping", Setting::Float(6.0)),
        ],
        ..Self::LLAMA
    };
    const GEMMA3: Self = Self {
        architecture: "gemma3",
        layers: 7,
        heads: 4,
        key_heads: 1,
        dim: 64,
        rope_factors: false,
        settings: &[
            ("attention.sliding_window", Setting::Number(24)),
            ("rope.freq_base_swa", Setting::Float(500.0)),
            ("rope.scaling.factor", Setting::Float(8.0)),
        ],
        ..Self::LLAMA
    };
    /// 62 layers are the mark of the largest Gemma 3, whose scores have another scale.
    const GEMMA3_27B: Self = Self { layers: 62, width: 64, inner: 32, dim: 32, settings: &[], ..Self::GEMMA3 };
    const PHI3: Self = Self {
        architecture: "phi3",
        rope_factors: false,
        settings: &[
            ("rope.dimension_count", Setting::Number(24)),
            ("rope.scaling.original_context_length", Setting::Number(128)),
            ("rope.scaling.attn_factor", Setting::Float(1.2)),
            ("attention.sliding_window", Setting::Number(50)),
        ],
        ..Self::LLAMA
    };
    /// Made for contexts as short as the tests' own, so that the short factors hold.
    const PHI3_SHORT: Self = Self { settings: &[("rope.dimension_count", Setting::Number(24))], ..Self::PHI3 };
    const GRANITE: Self = Self {
        architecture: "granite",
        rope_factors: false,
        settings: &[
            ("logit_scale", Setting::Float(0.5)),
            ("residual_scale", Setting::Float(0.4)),
            ("embedding_scale", Setting::Float(6.0)),
            ("attention.scale", Setting::Float(0.25)),
        ],
        ..Self::LLAMA
    };
    const GRANITE_WITHOUT_POSITIONS: Self = Self {
        settings: &[("logit_scale", Setting::Float(0.5)), ("rope.scaling.finetuned", Setting::Flag(false))],
        ..Self::GRANITE
    };
    const SMOLLM3: Self = Self { architecture: "smollm3", layers: 5, rope_factors: false, ..Self::LLAMA };
    const QWEN3MOE: Self = Self {
        architecture: "qwen3moe",
        experts: 6,
        expert_inner: 256,
        settings: &[
            ("expert_count", Setting::Number(6)),
            ("expert_used_count", Setting::Number(3)),
            ("expert_feed_forward_length", Setting::Number(256)),
        ],
        ..Self::QWEN3
    };
    const GPT_OSS: Self = Self {
        architecture: "gpt-oss",
        experts: 5,
        expert_inner: 256,
        settings: &[
            ("expert_count", Setting::Number(5)),
            ("expert_used_count", Setting::Number(2)),
            ("expert_feed_forward_length", Setting::Number(256)),
            ("attention.sliding_window", Setting::Number(24)),
            ("rope.scaling.type", Setting::Text("yarn")),
            ("rope.scaling.factor", Setting::Float(4.0)),
            ("rope.scaling.original_context_length", Setting::Number(32)),
        ],
        ..Self::QWEN2
    };

    /// Each architecture, and each way of one that changes its arithmetic.
    pub(crate) const ALL: [Self; 17] = [
        Self::LLAMA,
        Self::MIXTRAL,
        Self::QWEN2,
        Self::QWEN3,
        Self::QWEN3_YARN,
        Self::MISTRAL3,
        Self::GEMMA2,
        Self::GEMMA3,
        Self::GEMMA3_27B,
        Self::PHI3,
        Self::PHI3_SHORT,
        Self::GRANITE,
        Self::GRANITE_WITHOUT_POSITIONS,
        Self::SMOLLM3,
        Self::QWEN3MOE,
        Self::GPT_OSS,
        Self { tied: false, key_heads: 8, rope_factors: false, ..Self::LLAMA },
    ];

    /// Tokens: 256 bytes and an end token.
    pub(crate) const VOCABULARY: usize = 257;

    /// Writes the model as a GGUF file of version 3.
    pub(crate) fn write(&self, path: &Path, seed: u64) {
        self.write_with(path, seed, &[], |_| {});
    }

    /// As [`TinyModel::write`], with more settings and after `edit` has changed the tensors.
    pub(crate) fn write_with(
        &self,
        path: &Path,
        seed: u64,
        more: &[(&str, Setting)],
        edit: impl FnOnce(&mut Vec<Tensor>),
    ) {
        let mut tensors = self.tensors(&mut Random::new(seed));
        edit(&mut tensors);
        let metadata = self.metadata(more);
        write_file(path, &metadata, &tensors);
    }

    fn metadata(&self, more: &[(&str, Setting)]) -> Vec<Vec<u8>> {
        let architecture = self.architecture;
        let tokens: Vec<u8> =
            (0..=255u8).flat_map(|byte| text(&byte_letter(byte).to_string())).chain(text("<|end|>")).collect();
        let list = |name: &str, kind: u32, count: usize, items: Vec<u8>| {
            let head = [text(name), 9u32.to_le_bytes().to_vec(), kind.to_le_bytes().to_vec()].concat();
            [head, (count as u64).to_le_bytes().to_vec(), items].concat()
        };
        let types = (0..257).flat_map(|id| if id == 256 { 3i32 } else { 1 }.to_le_bytes()).collect();
        let mut metadata = vec![
            setting("general.architecture", Setting::Text(architecture)),
            setting("general.name", Setting::Text("tiny")),
            setting("tokenizer.ggml.model", Setting::Text("gpt2")),
            setting("tokenizer.ggml.pre", Setting::Text("gpt-2")),
            list("tokenizer.ggml.tokens", 8, 257, tokens),
            list("tokenizer.ggml.token_type", 5, 257, types),
            list("tokenizer.ggml.merges", 8, 0, Vec::new()),
            setting("tokenizer.ggml.eos_token_id", Setting::Number(256)),
        ];
        let number = |value: usize| Setting::Number(value as u32);
        let common = [
            ("context_length", number(512)),
            ("embedding_length", number(self.width)),
            ("feed_forward_length", number(self.inner)),
            ("block_count", number(self.layers)),
            ("attention.head_count", number(self.heads)),
            ("attention.head_count_kv", number(self.key_heads)),
            ("attention.layer_norm_rms_epsilon", Setting::Float(1e-5)),
            ("rope.freq_base", Setting::Float(10_000.0)),
            ("attention.key_length", number(self.dim)),
            ("attention.value_length", number(self.dim)),
        ];
        let own = common.iter().chain(self.settings);
        let own = own.filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        metadata.extend(own.chain(more).map(|(name, value)| setting(&format!("{architecture}.{name}"), *value)));
        metadata
    }

    fn tensors(&self, random: &mut Random) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        let key_width = self.dim * self.key_heads;
        self.matrix("token_embd", &[self.width, Self::VOCABULARY], random, &mut tensors);
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let (width, queries) = (self.width, self.dim * self.heads);
            let inputs = [("attn_q", queries), ("attn_k", key_width), ("attn_v", key_width)];
            if self.architecture == "phi3" {
                self.matrix(&name("attn_qkv"), &[width, queries + 2 * key_width], random, &mut tensors);
            } else {
                inputs.iter().for_each(|(part, rows)| self.matrix(&name(part), &[width, *rows], random, &mut tensors));
            }
            self.matrix(&name("attn_output"), &[queries, width], random, &mut tensors);
            self.feed_forward(&name, random, &mut tensors);
            self.vectors(&name, random, &mut tensors);
        }
        vector("output_norm.weight", self.width, 1.0, random, &mut tensors);
        if !self.tied {
            self.matrix("output", &[self.width, Self::VOCABULARY], random, &mut tensors);
        }
        let pairs = if self.architecture == "phi3" { 12 } else { self.dim / 2 };
        if self.rope_factors {
            vector("rope_freqs.weight", pairs, 4.0, random, &mut tensors);
        }
        if self.architecture == "phi3" {
            vector("rope_factors_long.weight", pairs, 4.0, random, &mut tensors);
            vector("rope_factors_short.weight", pairs, 2.0, random, &mut tensors);
        }
        tensors
    }

    fn feed_forward(&self, name: &impl Fn(&str) -> String, random: &mut Random, tensors: &mut Vec<Tensor>) {
        let (width, inner) = (self.width, self.inner);
        if self.experts > 0 {
            let (count, inner) = (self.experts, self.expert_inner);
            self.matrix(&name("ffn_gate_inp"), &[width, count], random, tensors);
            self.matrix(&name("ffn_gate_exps"), &[width, inner, count], random, tensors);
            self.matrix(&name("ffn_up_exps"), &[width, inner, count], random, tensors);
            self.matrix(&name("ffn_down_exps"), &[inner, width, count], random, tensors);
        } else {
            if self.architecture == "phi3" {
                self.matrix(&name("ffn_up"), &[width, 2 * inner], random, tensors);
            } else {
                self.matrix(&name("ffn_gate"), &[width, inner], random, tensors);
                self.matrix(&name("ffn_up"), &[width, inner], random, tensors);
            }
            self.matrix(&name("ffn_down"), &[inner, width], random, tensors);
        }
    }

    fn vectors(&self, name: &impl Fn(&str) -> String, random: &mut Random, tensors: &mut Vec<Tensor>) {
        vector(&name("attn_norm.weight"), self.width, 1.0, random, tensors);
        let before_experts = if self.architecture == "gpt-oss" { "post_attention_norm" } else { "ffn_norm" };
        vector(&name(&format!("{before_experts}.weight")), self.width, 1.0, random, tensors);
        if ["qwen3", "qwen3moe", "gemma3"].contains(&self.architecture) {
            vector(&name("attn_q_norm.weight"), self.dim, 1.2, random, tensors);
            vector(&name("attn_k_norm.weight"), self.dim, 1.2, random, tensors);
        }
        if ["gemma2", "gemma3"].contains(&self.architecture) {
            vector(&name("post_attention_norm.weight"), self.width, 0.7, random, tensors);
            vector(&name("post_ffw_norm.weight"), self.width, 0.7, random, tensors);
        }
        if self.architecture == "gpt-oss" {
            vector(&name("attn_sinks.weight"), self.heads, 1.0, random, tensors);
        }
    }

    /// A matrix, and its bias where the architecture has one.
    fn matrix(&self, name: &str, dims: &[usize], random: &mut Random, tensors: &mut Vec<Tensor>) {
        let rows = dims[1..].iter().product();
        tensors.push((
            format!("{name}.weight"),
            self.kind,
            dims.to_vec(),
            random_rows(self.kind, rows, dims[0], random),
        ));
        let part = name.rsplit('.').next().unwrap();
        let is_input = ["attn_q", "attn_k", "attn_v"].contains(&part);
        let in_layer = part != name;
        if self.architecture == "qwen2" && is_input || self.architecture == "gpt-oss" && in_layer {
            vector(&format!("{name}.bias"), rows, 0.0, random, tensors);
            tensors.last_mut().unwrap().2 = dims[1..].to_vec();
        }
    }
}

/// Writes a low-rank adapter with these settings and tensors; a tensor is a name, its dimensions and its values.
pub(crate) fn write_adapter(path: &Path, settings: &[(&str, Setting)], tensors: &[(String, [usize; 2], Vec<f32>)]) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|(name, dims, values)| (name.clone(), WeightType::F32, dims.to_vec(), bytes(values)))
        .collect();
    let metadata: Vec<_> = settings.iter().map(|(name, value)| setting(name, *value)).collect();
    write_file(path, &metadata, &tensors);
}

fn write_file(path: &Path, metadata: &[Vec<u8>], tensors: &[Tensor]) {
    let mut file = Vec::new();
    file.extend_from_slice(b"GGUF");
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    file.extend(metadata.concat());
    let mut offset = 0u64;
    for (name, kind, dims, data) in tensors {
        file.extend(text(name));
        file.extend((dims.len() as u32).to_le_bytes());
        file.extend(dims.iter().flat_map(|dim| (*dim as u64).to_le_bytes()));
        file.extend(type_id(*kind).to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += data.len().next_multiple_of(32) as u64;
    }
    file.resize(file.len().next_multiple_of(32), 0);
    for (.., data) in tensors {
        file.extend_from_slice(data);
        file.resize(file.len().next_multiple_of(32), 0);
    }
    std::fs::write(path, file).unwrap();
}

fn setting(name: &str, value: Setting) -> Vec<u8> {
    let (kind, bytes) = match value {
        Setting::Number(number) => (4u32, number.to_le_bytes().to_vec()),
        Setting::Float(number) => (6, number.to_le_bytes().to_vec()),
        Setting::Flag(flag) => (7, vec![u8::from(flag)]),
        Setting::Text(value) => (8, text(value)),
    };
    [text(name), kind.to_le_bytes().to_vec(), bytes].concat()
}

/// How a model stretches its positions over four times the original context.
const YARN: &[(&str, Setting)] = &[
    ("rope.scaling.type", Setting::Text("yarn")),
    ("rope.scaling.factor", Setting::Float(4.0)),
    ("rope.scaling.original_context_length", Setting::Number(32)),
];

fn vector(name: &str, length: usize, mean: f32, random: &mut Random, tensors: &mut Vec<Tensor>) {
    let data = (0..length).flat_map(|_| (mean + 0.2 * random.normal()).to_le_bytes()).collect();
    tensors.push((name.to_owned(), WeightType::F32, vec![length], data));
}

fn text(value: &str) -> Vec<u8> {
    [(value.len() as u64).to_le_bytes().to_vec(), value.as_bytes().to_vec()].concat()
}

/// The letter by which byte-level vocabularies write a byte.
fn byte_letter(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&byte| !printable(byte)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

fn type_id(kind: WeightType) -> u32 {
    (0..64).find(|&id| WeightType::from_ggml(id) == Some(kind)).unwrap()
}
