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
    pub(crate) tied: bool,
    pub(crate) rope_factors: bool,
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
        tied: true,
        rope_factors: true,
    };
    pub(crate) const QWEN2: Self =
        Self { architecture: "qwen2", heads: 4, key_heads: 1, tied: false, rope_factors: false, ..Self::LLAMA };

    /// Tokens: 256 bytes and an end token.
    pub(crate) const VOCABULARY: usize = 257;

    /// Writes the model as a GGUF file of version 3.
    pub(crate) fn write(&self, path: &Path, seed: u64) {
        let mut random = Random::new(seed);
        let tensors = self.tensors(&mut random);
        let mut file = Vec::new();
        file.extend_from_slice(b"GGUF");
        file.extend(3u32.to_le_bytes());
        let metadata = self.metadata();
        file.extend((tensors.len() as u64).to_le_bytes());
        file.extend((metadata.len() as u64).to_le_bytes());
        file.extend(metadata.concat());
        let mut offset = 0u64;
        for (name, kind, dims, data) in &tensors {
            file.extend(text(name));
            file.extend((dims.len() as u32).to_le_bytes());
            file.extend(dims.iter().flat_map(|dim| (*dim as u64).to_le_bytes()));
            file.extend(type_id(*kind).to_le_bytes());
            file.extend(offset.to_le_bytes());
            offset += data.len().next_multiple_of(32) as u64;
        }
        file.resize(file.len().next_multiple_of(32), 0);
        for (.., data) in &tensors {
            file.extend_from_slice(data);
            file.resize(file.len().next_multiple_of(32), 0);
        }
        std::fs::write(path, file).unwrap();
    }

    fn metadata(&self) -> Vec<Vec<u8>> {
        let architecture = self.architecture;
        let number = |name: &str, value: usize| {
            [
                text(&format!("{architecture}.{name}")),
                4u32.to_le_bytes().to_vec(),
                (value as u32).to_le_bytes().to_vec(),
            ]
            .concat()
        };
        let string = |name: &str, value: &str| [text(name), 8u32.to_le_bytes().to_vec(), text(value)].concat();
        let tokens: Vec<u8> =
            (0..=255u8).flat_map(|byte| text(&byte_letter(byte).to_string())).chain(text("<|end|>")).collect();
        let list = |name: &str, kind: u32, count: usize, items: Vec<u8>| {
            [
                text(name),
                9u32.to_le_bytes().to_vec(),
                kind.to_le_bytes().to_vec(),
                (count as u64).to_le_bytes().to_vec(),
                items,
            ]
            .concat()
        };
        let types = (0..257).flat_map(|id| if id == 256 { 3i32 } else { 1 }.to_le_bytes()).collect();
        let epsilon = 1e-5f32.to_le_bytes().to_vec();
        let base = 10_000f32.to_le_bytes().to_vec();
        vec![
            string("general.architecture", architecture),
            string("general.name", "tiny"),
            number("context_length", 512),
            number("embedding_length", self.width),
            number("feed_forward_length", self.inner),
            number("block_count", self.layers),
            number("attention.head_count", self.heads),
            number("attention.head_count_kv", self.key_heads),
            [text(&format!("{architecture}.attention.layer_norm_rms_epsilon")), 6u32.to_le_bytes().to_vec(), epsilon]
                .concat(),
            [text(&format!("{architecture}.rope.freq_base")), 6u32.to_le_bytes().to_vec(), base].concat(),
            string("tokenizer.ggml.model", "gpt2"),
            string("tokenizer.ggml.pre", "gpt-2"),
            list("tokenizer.ggml.tokens", 8, 257, tokens),
            list("tokenizer.ggml.token_type", 5, 257, types),
            list("tokenizer.ggml.merges", 8, 0, Vec::new()),
            [text("tokenizer.ggml.eos_token_id"), 4u32.to_le_bytes().to_vec(), 256u32.to_le_bytes().to_vec()].concat(),
        ]
    }

    fn tensors(&self, random: &mut Random) -> Vec<(String, WeightType, Vec<usize>, Vec<u8>)> {
        let mut tensors = Vec::new();
        let key_width = self.width / self.heads * self.key_heads;
        self.matrix("token_embd.weight", Self::VOCABULARY, self.width, random, &mut tensors);
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            for (part, rows, cols) in [
                ("attn_q", self.width, self.width),
                ("attn_k", key_width, self.width),
                ("attn_v", key_width, self.width),
                ("attn_output", self.width, self.width),
                ("ffn_gate", self.inner, self.width),
                ("ffn_up", self.inner, self.width),
                ("ffn_down", self.width, self.inner),
            ] {
                self.matrix(&name(&format!("{part}.weight")), rows, cols, random, &mut tensors);
                if self.architecture == "qwen2" && rows <= self.width && part.len() == 6 {
                    vector(&name(&format!("{part}.bias")), rows, 0.0, random, &mut tensors);
                }
            }
            vector(&name("attn_norm.weight"), self.width, 1.0, random, &mut tensors);
            vector(&name("ffn_norm.weight"), self.width, 1.0, random, &mut tensors);
        }
        vector("output_norm.weight", self.width, 1.0, random, &mut tensors);
        if !self.tied {
            self.matrix("output.weight", Self::VOCABULARY, self.width, random, &mut tensors);
        }
        if self.rope_factors {
            vector("rope_freqs.weight", self.width / self.heads / 2, 4.0, random, &mut tensors);
        }
        tensors
    }

    fn matrix(
        &self,
        name: &str,
        rows: usize,
        cols: usize,
        random: &mut Random,
        tensors: &mut Vec<(String, WeightType, Vec<usize>, Vec<u8>)>,
    ) {
        tensors.push((name.to_owned(), self.kind, vec![cols, rows], random_rows(self.kind, rows, cols, random)));
    }
}

fn vector(
    name: &str,
    length: usize,
    mean: f32,
    random: &mut Random,
    tensors: &mut Vec<(String, WeightType, Vec<usize>, Vec<u8>)>,
) {
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
