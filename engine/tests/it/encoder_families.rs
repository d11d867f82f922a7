//! Encoders of all families with weights made by rule, against vectors of `tools/reference/encoder_float64.py`.

use std::path::Path;

use cloister_engine::kernels::Kernels;
use cloister_engine::{Encoder, EngineError, ModelInfo};
use serde_json::{Value, json};

use crate::encoder::{cosine, write_tensors};
use crate::gguf_writer::Writer;

pub(crate) const WIDTH: usize = 48;
const INNER: usize = 80;
const LAYERS: usize = 4;
pub(crate) const VOCABULARY: usize = 40;
pub(crate) const POSITIONS: usize = 64;

/// Values between -1 and 1 by a fixed rule.
fn values(count: usize, seed: usize) -> impl Iterator<Item = f32> {
    (0..count as u32).map(move |at| {
        let mixed = (at ^ (seed as u32) << 16).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503);
        (mixed >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    })
}

/// Name and shape of each tensor.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// Names and shapes of a family's tensors in the order in which they are made.
pub(crate) fn shapes(family: &str) -> Shapes {
    let mut out = Vec::new();
    let mut weight = |name: String, shape: &[usize]| out.push((format!("{name}.weight"), shape.to_vec()));
    match family {
        "nomic_bert" => {
            weight("embeddings.word_embeddings".into(), &[VOCABULARY, WIDTH]);
            weight("embeddings.token_type_embeddings".into(), &[2, WIDTH]);
            weight("emb_ln+".into(), &[WIDTH]);
            for n in 0..LAYERS {
                weight(format!("encoder.layers.{n}.attn.Wqkv"), &[3 * WIDTH, WIDTH]);
                weight(format!("encoder.layers.{n}.attn.out_proj"), &[WIDTH, WIDTH]);
                weight(format!("encoder.layers.{n}.norm1+"), &[WIDTH]);
                weight(format!("encoder.layers.{n}.mlp.fc11"), &[INNER, WIDTH]);
                weight(format!("encoder.layers.{n}.mlp.fc12"), &[INNER, WIDTH]);
                weight(format!("encoder.layers.{n}.mlp.fc2"), &[WIDTH, INNER]);
                weight(format!("encoder.layers.{n}.norm2+"), &[WIDTH]);
            }
        }
        "modernbert" => {
            weight("model.embeddings.tok_embeddings".into(), &[VOCABULARY, WIDTH]);
            weight("model.embeddings.norm".into(), &[WIDTH]);
            for n in 0..LAYERS {
                if n > 0 {
                    weight(format!("model.layers.{n}.attn_norm"), &[WIDTH]);
                }
                weight(format!("model.layers.{n}.attn.Wqkv"), &[3 * WIDTH, WIDTH]);
                weight(format!("model.layers.{n}.attn.Wo"), &[WIDTH, WIDTH]);
                weight(format!("model.layers.{n}.mlp_norm"), &[WIDTH]);
                weight(format!("model.layers.{n}.mlp.Wi"), &[2 * INNER, WIDTH]);
                weight(format!("model.layers.{n}.mlp.Wo"), &[WIDTH, INNER]);
            }
            weight("model.final_norm".into(), &[WIDTH]);
        }
        _ => {
            weight("embeddings.word_embeddings".into(), &[VOCABULARY, WIDTH]);
            weight("embeddings.position_embeddings".into(), &[POSITIONS, WIDTH]);
            weight("embeddings.token_type_embeddings".into(), &[2, WIDTH]);
            weight("embeddings.LayerNorm+".into(), &[WIDTH]);
            for n in 0..LAYERS {
                let mut layer = |part: &str, shape: &[usize]| weight(format!("encoder.layer.{n}.{part}+"), shape);
                for part in ["query", "key", "value"] {
                    layer(&format!("attention.self.{part}"), &[WIDTH, WIDTH]);
                }
                layer("attention.output.dense", &[WIDTH, WIDTH]);
                layer("attention.output.LayerNorm", &[WIDTH]);
                layer("intermediate.dense", &[INNER, WIDTH]);
                layer("output.dense", &[WIDTH, INNER]);
                layer("output.LayerNorm", &[WIDTH]);
            }
        }
    }
    // A plus says that the tensor has a bias, which comes right after it.
    let with_bias = |(name, shape): (String, Vec<usize>)| match name.strip_suffix("+.weight") {
        Some(stem) => vec![(format!("{stem}.weight"), shape.clone()), (format!("{stem}.bias"), shape[..1].to_vec())],
        None => vec![(name, shape)],
    };
    out.into_iter().flat_map(with_bias).collect()
}

/// The vocabulary: words, and pieces that go on.
fn pieces() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned);
    let piece = |id: usize| if id.is_multiple_of(3) { format!("##x{id}") } else { format!("w{id}") };
    special.into_iter().chain((4..VOCABULARY).map(piece)).collect()
}

pub(crate) fn config(family: &str) -> Value {
    match family {
        "nomic_bert" => json!({"model_type": family, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 3, "n_inner": INNER,
            "vocab_size": VOCABULARY, "n_positions": POSITIONS, "type_vocab_size": 2, "activation_function": "swiglu",
            "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "prenorm": false}),
        "modernbert" => json!({"model_type": family, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
            "num_attention_heads": 3, "intermediate_size": INNER, "vocab_size": VOCABULARY, "norm_eps": 1e-5,
            "max_position_embeddings": POSITIONS, "hidden_activation": "gelu", "layer_norm_eps": 1e-5,
            "global_rope_theta": 160_000.0, "local_rope_theta": 100.0, "local_attention": 8,
            "global_attn_every_n_layers": 3}),
        _ => json!({"model_type": family, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 3,
            "intermediate_size": INNER, "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS,
            "type_vocab_size": 2, "pad_token_id": 1, "layer_norm_eps": if family == "bert" { 1e-12 } else { 1e-5 }}),
    }
}

pub(crate) fn write_folder(folder: &Path, family: &str, pooling: &str, shapes: &[(String, Vec<usize>)]) {
    std::fs::write(folder.join("config.json"), config(family).to_string()).unwrap();
    std::fs::write(folder.join("vocab.txt"), pieces().join("\n")).unwrap();
    std::fs::create_dir(folder.join("1_Pooling")).unwrap();
    let pooling = json!({"pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_cls_token": pooling == "first",
        "pooling_mode_lasttoken": pooling == "last"});
    std::fs::write(folder.join("1_Pooling/config.json"), pooling.to_string()).unwrap();
    write_tensors(&folder.join("model.safetensors"), "F32", tensors(shapes));
}

pub(crate) fn tensors(shapes: &[(String, Vec<usize>)]) -> impl Iterator<Item = (String, Vec<usize>, Vec<f32>)> {
    shapes.iter().enumerate().map(|(seed, (name, shape))| {
        let is_norm = shape.len() == 1 && name.ends_with(".weight");
        let values = values(shape.iter().product(), seed).map(|v| if is_norm { 1.0 + 0.25 * v } else { 0.25 * v });
        (name.clone(), shape.clone(), values.collect())
    })
}

/// A name as GGUF files have it.
fn gguf_name(name: &str) -> String {
    let name = name.trim_start_matches("model.").replace("encoder.layer.", "blk.").replace("encoder.layers.", "blk.");
    let name = if name.starts_with("layers.") { name.replacen("layers.", "blk.", 1) } else { name };
    let pairs = [
        ("pooler.dense", "cls"),
        ("head.dense", "cls"),
        ("head.norm", "cls.norm"),
        ("classifier.dense", "cls"),
        ("classifier.out_proj", "cls.output"),
        ("classifier", "cls.output"),
        ("embeddings.word_embeddings", "token_embd"),
        ("embeddings.tok_embeddings", "token_embd"),
        ("embeddings.position_embeddings", "position_embd"),
        ("embeddings.token_type_embeddings", "token_types"),
        ("embeddings.LayerNorm", "token_embd_norm"),
        ("embeddings.norm", "token_embd_norm"),
        ("emb_ln", "token_embd_norm"),
        ("final_norm", "output_norm"),
        ("attention.self.query", "attn_q"),
        ("attention.self.key", "attn_k"),
        ("attention.self.value", "attn_v"),
        ("attention.output.dense", "attn_output"),
        ("attention.output.LayerNorm", "attn_output_norm"),
        ("intermediate.dense", "ffn_up"),
        ("output.dense", "ffn_down"),
        ("output.LayerNorm", "layer_output_norm"),
        ("attn.Wqkv", "attn_qkv"),
        ("attn.out_proj", "attn_output"),
        ("attn.Wo", "attn_output"),
        ("norm1", "attn_output_norm"),
        ("norm2", "layer_output_norm"),
        ("mlp.fc11", "ffn_up"),
        ("mlp.fc12", "ffn_gate"),
        ("mlp.fc2", "ffn_down"),
        ("mlp.Wi", "ffn_up"),
        ("mlp.Wo", "ffn_down"),
        ("mlp_norm", "ffn_norm"),
    ];
    let found = pairs.iter().find(|(folder, _)| name.contains(folder));
    found.map_or_else(|| name.clone(), |(folder, file)| name.replace(folder, file))
}

pub(crate) fn write_gguf(path: &Path, architecture: &str, pooling: u32, shapes: &[(String, Vec<usize>)]) {
    let key = |name: &str| format!("{architecture}.{name}");
    let pieces: Vec<String> = pieces()
        .into_iter()
        .map(|piece| match piece.strip_prefix("##") {
            Some(rest) => rest.to_owned(),
            None if piece.starts_with('[') => piece,
            None => format!("\u{2581}{piece}"),
        })
        .collect();
    let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
    let float =
        |writer: Writer, name: &str, value: f32| writer.text(key(name).as_bytes()).u32(6).raw(&value.to_le_bytes());
    let mut writer = Writer::head(3, shapes.len() as u64, 14)
        .key_text("general.architecture", architecture)
        .key_u32(&key("embedding_length"), WIDTH as u32)
        .key_u32(&key("block_count"), LAYERS as u32)
        .key_u32(&key("attention.head_count"), 3)
        .key_u32(&key("feed_forward_length"), INNER as u32)
        .key_u32(&key("context_length"), POSITIONS as u32)
        .key_u32(&key("pooling_type"), pooling)
        .key_flag(&key("attention.causal"), false)
        .key_u32(&key("attention.sliding_window"), if architecture == "modern-bert" { 8 } else { 0 })
        .key_text("tokenizer.ggml.model", "bert")
        .key_texts("tokenizer.ggml.tokens", &pieces);
    writer = float(writer, "attention.layer_norm_epsilon", if architecture == "modern-bert" { 1e-5 } else { 1e-12 });
    writer = float(writer, "rope.freq_base", if architecture == "modern-bert" { 160_000.0 } else { 1000.0 });
    writer = float(writer, "rope.freq_base_swa", 100.0);
    let mut data: Vec<u8> = Vec::new();
    for (name, shape, values) in tensors(shapes) {
        data.resize(data.len().next_multiple_of(32), 0);
        let dims: Vec<u64> = shape.iter().rev().map(|&dim| dim as u64).collect();
        writer = writer.tensor(&gguf_name(&name), &dims, 0, data.len() as u64);
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    writer = writer.data(32, 0).raw(&data);
    std::fs::write(path, writer.bytes).unwrap();
}

#[test]
fn a_gguf_file_gives_the_vectors_of_the_folder() {
    for (family, architecture) in [("bert", "bert"), ("nomic_bert", "nomic-bert"), ("modernbert", "modern-bert")] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, "mean", &shapes(family));
        let file = folder.path().join("model.gguf");
        write_gguf(&file, architecture, 1, &shapes(family));
        let from_folder = Encoder::load(folder.path(), 1).unwrap();
        let from_file = Encoder::load(&file, 1).unwrap();
        let text = "w4 w5x6 w7 [SEP] w8x9x12 unknown".to_owned() + &" w10".repeat(20);
        assert_eq!(from_file.tokenize(&text), from_folder.tokenize(&text));
        assert_eq!(from_file.tokenize("w5x6"), [2, 5, 6, 3]);
        assert_eq!(from_file.embed(&[&text]).unwrap(), from_folder.embed(&[&text]).unwrap(), "{family}");
        assert_eq!((from_file.dimension(), from_file.tokens_max()), (WIDTH, POSITIONS));
    }
}

#[test]
fn families_agree_with_the_float64_reference() {
    for line in include_str!("golden/encoders.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (family, pooling) = (row["family"].as_str().unwrap(), row["pooling"].as_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, pooling, &shapes(family));
        let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
        let wanted: Vec<f64> = serde_json::from_value(row["embedding"].clone()).unwrap();
        let mut first = None;
        for kernels in Kernels::available() {
            let encoder = Encoder::load_with(folder.path(), 2, kernels).unwrap();
            let vector = encoder.embed_tokens(&[vec![2, 3], tokens.clone(), vec![2, 9, 3]]).unwrap().swap_remove(1);
            let similarity = cosine(&vector, &wanted);
            assert!(similarity > 0.999, "{family} {pooling} of {} tokens: {similarity}", tokens.len());
            assert_eq!(vector, encoder.embed_tokens(std::slice::from_ref(&tokens)).unwrap()[0]);
            assert_eq!(*first.get_or_insert_with(|| vector.clone()), vector, "{}", kernels.name());
        }
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let refused = |family: &str, change: &dyn Fn(&mut Value, &mut Shapes)| {
        let folder = tempfile::tempdir().unwrap();
        let (mut config, mut shapes) = (config(family), shapes(family));
        change(&mut config, &mut shapes);
        write_folder(folder.path(), family, "mean", &shapes);
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Encoder::load(folder.path(), 1).map(drop).unwrap_err().to_string()
    };
    let set = |key: &'static str, value: Value| move |config: &mut Value, _: &mut Shapes| config[key] = value.clone();
    let rows = [
        (refused("nomic_bert", &set("prenorm", json!(true))), "prenorm"),
        (refused("nomic_bert", &set("rotary_emb_interleaved", json!(true))), "rotary_emb_interleaved"),
        (refused("nomic_bert", &set("rotary_emb_fraction", json!(0.5))), "rotary_emb_fraction"),
        (refused("nomic_bert", &set("activation_function", json!("gelu"))), "gelu"),
        (refused("modernbert", &set("hidden_activation", json!("silu"))), "silu"),
        (refused("bert", &set("position_embedding_type", json!("relative_key"))), "position"),
        (refused("bert", &|_, shapes| shapes.push(("encoder.layer.1.adapter.weight".into(), vec![4]))), "adapter"),
        (
            refused("modernbert", &|_, shapes| shapes.retain(|(name, _)| !name.ends_with("2.attn_norm.weight"))),
            "attn_norm",
        ),
        (refused("xlm-roberta", &|_, shapes| shapes[1].1[0] -= 1), "position_embeddings"),
    ];
    for (error, name) in rows {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn tokens_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), "xlm-roberta", "mean", &shapes("xlm-roberta"));
    let encoder = Encoder::load(folder.path(), 1).unwrap();
    assert_eq!(encoder.tokens_max(), POSITIONS - 2);
    assert_eq!(ModelInfo::inspect(folder.path()).unwrap().architecture, "xlm-roberta");
    for tokens in [vec![], vec![2; POSITIONS - 1], vec![2, VOCABULARY as u32, 3]] {
        assert!(matches!(encoder.embed_tokens(&[tokens]), Err(EngineError::InvalidInput(_))));
    }
    assert_eq!(encoder.embed_tokens(&[vec![2; POSITIONS - 2]]).unwrap().len(), 1);
}
