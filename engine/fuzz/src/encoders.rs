//! Sound small encoders of every family, as GGUF files and as folders, of sizes that the input chooses.

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Map, Value, json};

use crate::parts::{FLAG, FLOAT, LIST, NUMBER, Parts, TEXT, Tensor, list_value, text_value};

/// The families, as folders and as GGUF files name them; one has no files.
pub const FAMILIES: [(&str, &str); 4] =
    [("bert", "bert"), ("xlm-roberta", "bert"), ("nomic_bert", "nomic-bert"), ("modernbert", "modern-bert")];

/// Pieces of the vocabulary.
const PIECES: [&str; 12] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##a", "b", "##b", "ab", "##ab", "word", "##s"];

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub family: usize,
    pub heads: usize,
    pub dim: usize,
    pub inner: usize,
    pub layers: usize,
    pub positions: usize,
}

impl Sizes {
    pub fn chosen(input: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self {
            family: input.choose_index(FAMILIES.len())?,
            heads: input.int_in_range(1..=4)?,
            dim: input.int_in_range(1..=20)?,
            inner: input.int_in_range(1..=70)?,
            layers: input.int_in_range(1..=4)?,
            positions: input.int_in_range(4..=40)?,
        })
    }

    fn width(self) -> usize {
        self.heads * self.dim
    }

    /// Names in a folder and in a GGUF file, and shapes, slowest dimension first.
    fn tensors(self) -> Vec<(String, String, Vec<usize>)> {
        let width = self.width();
        let mut out = Vec::new();
        let mut add = |folder: &str, gguf: &str, shape: &[usize]| {
            out.push((format!("{folder}.weight"), format!("{gguf}.weight"), shape.to_vec()));
            let is_table = ["token_embd", "position_embd", "token_types"].contains(&gguf);
            if self.family < 2 && !is_table {
                out.push((format!("{folder}.bias"), format!("{gguf}.bias"), shape[..1].to_vec()));
            }
        };
        let words = if self.family == 3 { "embeddings.tok_embeddings" } else { "embeddings.word_embeddings" };
        add(words, "token_embd", &[PIECES.len(), width]);
        if self.family < 2 {
            add("embeddings.position_embeddings", "position_embd", &[self.positions, width]);
        }
        if self.family < 3 {
            add("embeddings.token_type_embeddings", "token_types", &[2, width]);
        }
        let norm = ["embeddings.LayerNorm", "embeddings.LayerNorm", "emb_ln", "embeddings.norm"][self.family];
        add(norm, "token_embd_norm", &[width]);
        for layer in 0..self.layers {
            let place = ["encoder.layer", "encoder.layer", "encoder.layers", "layers"][self.family];
            for (folder, gguf, shape) in self.layer(layer) {
                add(&format!("{place}.{layer}.{folder}"), &format!("blk.{layer}.{gguf}"), &shape);
            }
        }
        if self.family == 3 {
            add("final_norm", "output_norm", &[width]);
        }
        // Families without biases may have one after the embedding all the same.
        if self.family == 2 {
            out.push(("emb_ln.bias".into(), "token_embd_norm.bias".into(), vec![width]));
        }
        out
    }

    /// Names and shapes within a layer.
    fn layer(self, layer: usize) -> Vec<(&'static str, &'static str, Vec<usize>)> {
        let (width, inner) = (self.width(), self.inner);
        let (square, grow, shrink) = (vec![width, width], vec![inner, width], vec![width, inner]);
        let (fused, both, vector) = (vec![3 * width, width], vec![2 * inner, width], vec![width]);
        match self.family {
            0 | 1 => vec![
                ("attention.self.query", "attn_q", square.clone()),
                ("attention.self.key", "attn_k", square.clone()),
                ("attention.self.value", "attn_v", square.clone()),
                ("attention.output.dense", "attn_output", square),
                ("attention.output.LayerNorm", "attn_output_norm", vector.clone()),
                ("intermediate.dense", "ffn_up", grow),
                ("output.dense", "ffn_down", shrink),
                ("output.LayerNorm", "layer_output_norm", vector),
            ],
            2 => vec![
                ("attn.Wqkv", "attn_qkv", fused),
                ("attn.out_proj", "attn_output", square),
                ("norm1", "attn_output_norm", vector.clone()),
                ("mlp.fc11", "ffn_up", grow.clone()),
                ("mlp.fc12", "ffn_gate", grow),
                ("mlp.fc2", "ffn_down", shrink),
                ("norm2", "layer_output_norm", vector),
            ],
            _ => {
                let mut parts = vec![
                    ("attn.Wqkv", "attn_qkv", fused),
                    ("attn.Wo", "attn_output", square),
                    ("mlp_norm", "ffn_norm", vector.clone()),
                    ("mlp.Wi", "ffn_up", both),
                    ("mlp.Wo", "ffn_down", shrink),
                ];
                if layer > 0 {
                    parts.insert(0, ("attn_norm", "attn_norm", vector));
                }
                parts
            }
        }
    }

    fn parts(self, of_folder: bool) -> Parts {
        let mut parts = Parts::default();
        for (seed, (folder, gguf, shape)) in self.tensors().into_iter().enumerate() {
            let count: usize = shape.iter().product();
            let value = |at: usize| {
                let mixed = (at as u32 ^ (seed as u32) << 16).wrapping_mul(2_654_435_761).rotate_left(13);
                (mixed.wrapping_mul(40_503) >> 8) as f32 / (1u32 << 25) as f32
            };
            let name = if of_folder { folder } else { gguf };
            let offset = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { -0.25 };
            let data = (0..count).flat_map(|at| (offset + value(at)).to_le_bytes()).collect();
            let dims = shape.iter().rev().map(|&dim| dim as u64).collect();
            parts.tensors.push(Tensor { name, dims, kind: 0, data });
        }
        parts
    }

    /// The encoder as the parts of a GGUF file.
    pub fn gguf(self) -> Parts {
        let mut parts = self.parts(false);
        let architecture = FAMILIES[self.family].1;
        let number = |value: usize| (value as u32).to_le_bytes().to_vec();
        let pieces = PIECES.iter().map(|piece| match piece.strip_prefix("##") {
            Some(rest) => rest.to_owned(),
            None if piece.starts_with('[') => (*piece).to_owned(),
            None => format!("\u{2581}{piece}"),
        });
        let pieces: Vec<u8> = pieces.flat_map(|piece| text_value(&piece)).collect();
        parts.key_text("general.architecture", architecture);
        parts.key_text("tokenizer.ggml.model", "bert");
        parts.key("tokenizer.ggml.tokens", LIST, list_value(TEXT, PIECES.len(), &pieces));
        let settings = [
            ("embedding_length", NUMBER, number(self.width())),
            ("block_count", NUMBER, number(self.layers)),
            ("attention.head_count", NUMBER, number(self.heads)),
            ("feed_forward_length", NUMBER, number(self.inner)),
            ("context_length", NUMBER, number(self.positions)),
            ("pooling_type", NUMBER, number(1)),
            ("attention.causal", FLAG, vec![0]),
            ("attention.sliding_window", NUMBER, number(if self.family == 3 { 8 } else { 0 })),
            ("attention.layer_norm_epsilon", FLOAT, 1e-6f32.to_le_bytes().to_vec()),
            ("rope.freq_base", FLOAT, 1000f32.to_le_bytes().to_vec()),
        ];
        for (name, kind, value) in settings {
            parts.key(&format!("{architecture}.{name}"), kind, value);
        }
        parts
    }

    /// The encoder's `config.json` and tensors in a folder.
    pub fn folder(self) -> (Map<String, Value>, Parts) {
        let (width, family) = (self.width(), FAMILIES[self.family].0);
        let config = match self.family {
            2 => json!({"model_type": family, "n_embd": width, "n_layer": self.layers, "n_head": self.heads,
                "n_inner": self.inner, "vocab_size": PIECES.len(), "n_positions": self.positions, "type_vocab_size": 2,
                "activation_function": "swiglu", "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000}),
            3 => json!({"model_type": family, "hidden_size": width, "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads, "intermediate_size": self.inner, "vocab_size": PIECES.len(),
                "norm_eps": 1e-5, "max_position_embeddings": self.positions, "hidden_activation": "gelu",
                "global_rope_theta": 160_000.0, "local_rope_theta": 100.0, "local_attention": 8,
                "global_attn_every_n_layers": 3}),
            _ => json!({"model_type": family, "hidden_size": width, "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads, "intermediate_size": self.inner, "vocab_size": PIECES.len(),
                "max_position_embeddings": self.positions, "type_vocab_size": 2, "pad_token_id": 1,
                "layer_norm_eps": 1e-6, "hidden_act": "gelu"}),
        };
        let Value::Object(config) = config else { unreachable!("each is an object") };
        (config, self.parts(true))
    }
}

/// The words of `vocab.txt`.
pub fn vocabulary() -> String {
    PIECES.join("\n")
}

/// A `tokenizer.json` with the same pieces.
pub fn tokenizer_json() -> String {
    let vocabulary: Map<String, Value> =
        PIECES.iter().zip(0..).map(|(piece, id)| ((*piece).into(), json!(id))).collect();
    json!({"normalizer": {"type": "BertNormalizer", "lowercase": true},
        "model": {"type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]"}})
    .to_string()
}

/// Changes settings of a `config.json` as the input says.
pub fn edit_config(config: &mut Map<String, Value>, input: &mut Unstructured<'_>) -> Result<()> {
    const MORE: [&str; 14] = [
        "max_trained_positions",
        "position_embedding_type",
        "pad_token_id",
        "rotary_emb_base",
        "rotary_emb_fraction",
        "rotary_emb_interleaved",
        "prenorm",
        "global_rope_theta",
        "local_rope_theta",
        "local_attention",
        "global_attn_every_n_layers",
        "type_vocab_size",
        "norm_eps",
        "_name_or_path",
    ];
    const NUMBERS: [u64; 12] =
        [0, 1, 2, 3, 16, 64, 65_535, 65_536, 1 << 22, u32::MAX as u64, i64::MAX as u64, u64::MAX];
    for _ in 0..input.int_in_range(0..=4)? {
        let names: Vec<String> = config.keys().cloned().chain(MORE.map(str::to_owned)).collect();
        let name = input.choose(&names)?.clone();
        let value = match input.int_in_range(0..=7)? {
            0 => json!(input.choose(&NUMBERS)?),
            1 => json!(u8::arbitrary(input)?),
            2 => json!(f64::arbitrary(input)?),
            3 => json!(bool::arbitrary(input)?),
            4 => json!(input.choose(&["gelu", "silu", "swiglu", "absolute", "bert", "xlm-roberta", "modernbert"])?),
            5 => json!([1, 2]),
            6 => Value::Null,
            _ => {
                config.remove(&name);
                continue;
            }
        };
        config.insert(name, value);
    }
    Ok(())
}

/// A safetensors file of the tensors; some of what its header says may be changed as the input says.
pub fn safetensors(parts: &Parts, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    const TYPES: [&str; 8] = ["F32", "F16", "BF16", "F64", "I8", "U8", "BOOL", "I64"];
    let mut header = Map::new();
    let mut data: Vec<u8> = Vec::new();
    let lies = input.ratio(1, 6)?;
    for tensor in &parts.tensors {
        let start = data.len();
        data.extend(&tensor.data);
        let shape: Vec<u64> = tensor.dims.iter().rev().copied().collect();
        let mut kind = match tensor.kind {
            0 => "F32",
            1 => "F16",
            30 => "BF16",
            _ => "I8",
        };
        let mut range = [start as u64, data.len() as u64];
        if lies && input.ratio(1, 16)? {
            match input.int_in_range(0..=2)? {
                0 => kind = input.choose(&TYPES)?,
                1 => range[0] = u64::from(u16::arbitrary(input)?),
                _ => range[1] = *input.choose(&[0, 1, u32::MAX as u64, u64::MAX, range[1] + 4])?,
            }
        }
        header.insert(tensor.name.clone(), json!({"dtype": kind, "shape": shape, "data_offsets": range}));
    }
    let header = Value::Object(header).to_string();
    let mut length = header.len() as u64;
    if lies && input.ratio(1, 16)? {
        length = *input.choose(&[0, 1, length - 1, length + 1, u32::MAX as u64, u64::MAX])?;
    }
    Ok([&length.to_le_bytes(), header.as_bytes(), &data].concat())
}
