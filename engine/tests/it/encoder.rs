//! The BERT encoder: against a float64 reference, independent of company, and damaged folders.

use std::path::Path;

use cloister_engine::kernels::Kernels;
use cloister_engine::{Encoder, EngineError, ModelInfo, ModelRole};
use serde_json::{Value, json};

use crate::models_at_hand::{MINILM, model};
use crate::tiny::Random;

pub(crate) fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * b).sum();
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    dot / length(&mut a.iter().map(|&v| f64::from(v))) / length(&mut b.iter().copied())
}

#[test]
fn minilm_agrees_with_the_float64_reference() {
    let Some(folder) = model("MiniLM vectors", MINILM) else { return };
    let rows: Vec<Value> =
        include_str!("golden/minilm.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    for kernels in Kernels::available().into_iter().rev().take(2) {
        let encoder = Encoder::load_with(&folder, 2, kernels).unwrap();
        assert_eq!((encoder.dimension(), encoder.tokens_max()), (384, 256));
        let vectors = encoder.embed(&texts).unwrap();
        for ((row, vector), text) in rows.iter().zip(&vectors).zip(&texts) {
            let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
            assert_eq!(encoder.tokenize(text), tokens, "{text:?}");
            let wanted: Vec<f64> = serde_json::from_value(row["embedding"].clone()).unwrap();
            let similarity = cosine(vector, &wanted);
            assert!(similarity > 0.999, "{}: {similarity} for {text:?}", kernels.name());
            let length: f32 = vector.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn a_text_is_the_same_in_any_company() {
    let Some(folder) = model("MiniLM in batches", MINILM) else { return };
    let (one, two) = (Encoder::load(&folder, 1).unwrap(), Encoder::load(&folder, 2).unwrap());
    let long = "The notice period is thirty (30) days. ".repeat(40);
    let texts = ["", "x", "A cloister is a covered walk.", &long, "été 東京", "[SEP] [CLS] [PAD]"];
    let together = two.embed(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(&one.embed(&[text]).unwrap()[0], vector, "{text:?}");
    }
    assert_eq!(one.tokenize(&long).len(), 256);
    assert!(one.count_tokens(&long) > 256);
    assert_eq!(one.tokenize("[SEP]"), [101, 1031, 19_802, 1033, 102]);
    assert!(one.embed(&[]).unwrap().is_empty());
}

#[test]
fn inspection_of_a_folder() {
    let Some(folder) = model("inspection of MiniLM", MINILM) else { return };
    let info = ModelInfo::inspect(&folder).unwrap();
    assert_eq!(info.role, ModelRole::Embed);
    assert_eq!((info.context_length, info.embedding_length, info.layers, info.vocabulary), (256, 384, 6, 30_522));
    assert_eq!(info.quantisation, "F32");
    assert!(info.parameters > 22_000_000 && info.memory(256).total() > 90_000_000);
}

#[test]
fn the_licence_is_the_one_of_the_model_card() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), "F32");
    let licence = || ModelInfo::inspect(folder.path()).unwrap().licence;
    assert_eq!(licence(), None);
    std::fs::write(folder.path().join("README.md"), "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
        .unwrap();
    assert_eq!(licence().as_deref(), Some("apache-2.0"));
}

/// A small encoder folder with random weights, all of one stored type.
fn write_folder(folder: &Path, dtype: &str) {
    let config = json!({"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 40, "vocab_size": 12, "max_position_embeddings": 32, "type_vocab_size": 2});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n##b\n##c\n,\n漢\nab\n##a\n").unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| shapes.push((name, shape.to_vec()));
    let mut linear = |name: &str, out: usize, depth: usize| {
        add(format!("{name}.weight"), &[out, depth]);
        add(format!("{name}.bias"), &[out]);
    };
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["query", "key", "value"] {
            linear(&name(&format!("attention.self.{part}")), 24, 24);
        }
        linear(&name("attention.output.dense"), 24, 24);
        linear(&name("intermediate.dense"), 40, 24);
        linear(&name("output.dense"), 24, 40);
    }
    for norm in [
        "embeddings.LayerNorm",
        "encoder.layer.0.attention.output.LayerNorm",
        "encoder.layer.0.output.LayerNorm",
        "encoder.layer.1.attention.output.LayerNorm",
        "encoder.layer.1.output.LayerNorm",
    ] {
        add(format!("{norm}.weight"), &[24]);
        add(format!("{norm}.bias"), &[24]);
    }
    add("embeddings.word_embeddings.weight".to_owned(), &[12, 24]);
    add("embeddings.position_embeddings.weight".to_owned(), &[32, 24]);
    add("embeddings.token_type_embeddings.weight".to_owned(), &[2, 24]);
    let mut random = Random::new(3);
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let mut value = || half::bf16::from_f32(random.normal() * 0.2).to_f32();
        let values = (0..shape.iter().product()).map(|_| value()).collect();
        (name, shape, values)
    });
    write_tensors(&folder.join("model.safetensors"), dtype, tensors);
}

/// A safetensors file of tensors given by name, shape and values.
pub(crate) fn write_tensors(
    path: &Path,
    dtype: &str,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        for value in values {
            match dtype {
                "F32" => data.extend(value.to_le_bytes()),
                "F16" => data.extend(half::f16::from_f32(value).to_le_bytes()),
                _ => data.extend(half::bf16::from_f32(value).to_le_bytes()),
            }
        }
        header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn stored_types_and_kernels_agree() {
    let texts = ["ab abcb, ba", "漢字 a", "", "B,Á"];
    let mut first: Option<Vec<Vec<f32>>> = None;
    for dtype in ["F32", "BF16", "F16"] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), dtype);
        for kernels in Kernels::available() {
            let encoder = Encoder::load_with(folder.path(), 2, kernels).unwrap();
            let vectors = encoder.embed(&texts).unwrap();
            let wanted = first.get_or_insert_with(|| vectors.clone());
            for (seen, wanted) in vectors.iter().zip(wanted) {
                let wanted: Vec<f64> = wanted.iter().map(|&v| f64::from(v)).collect();
                // Half floats round the smallest weights, which may move an 8-bit weight by one step.
                assert!(cosine(seen, &wanted) > 0.9999, "{dtype} {}", kernels.name());
            }
        }
    }
}

#[test]
fn pieces_of_words() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), "F32");
    let encoder = Encoder::load(folder.path(), 1).unwrap();
    let rows: &[(&str, &[u32])] = &[
        ("ab abcb, ba", &[10, 10, 7, 6, 8, 5, 11]),
        ("A\u{301}B\u{200b}b", &[10, 6]),
        ("a漢b 字", &[4, 9, 5, 1]),
        ("\u{0}\u{fffd} \t\u{3000}", &[]),
        ("[CLS]", &[1, 1, 1]),
        ("a\u{a0}b", &[4, 5]),
    ];
    for (text, wanted) in rows {
        let seen = encoder.tokenize(text);
        assert_eq!(&seen[1..seen.len() - 1], *wanted, "{text:?}");
        assert_eq!(encoder.count_tokens(text), wanted.len());
    }
    assert_eq!(encoder.tokenize(&"a ".repeat(99)).len(), 32);
    assert_eq!(encoder.tokenize(&"ab".repeat(60)), [2, 1, 3]);
}

#[test]
fn damaged_folders_are_refused() {
    let damage = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), "F32");
        change(folder.path());
        Encoder::load(folder.path(), 1).map(|_| ()).unwrap_err()
    };
    let config = |key: &'static str, value: Value| {
        move |folder: &Path| {
            let path = folder.join("config.json");
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config[key] = value.clone();
            std::fs::write(&path, config.to_string()).unwrap();
        }
    };
    let damaged = [
        damage(&config("hidden_size", json!(0))),
        damage(&config("hidden_size", json!(32))),
        damage(&config("num_attention_heads", json!(5))),
        damage(&config("num_hidden_layers", json!(3))),
        damage(&config("vocab_size", json!(1_000_000_000))),
        damage(&config("vocab_size", json!(11))),
        damage(&|folder| std::fs::write(folder.join("config.json"), "{").unwrap()),
        damage(&|folder| std::fs::write(folder.join("vocab.txt"), "a\nb\n").unwrap()),
        damage(&|folder| std::fs::write(folder.join("model.safetensors"), b"12345678901234567890").unwrap()),
        damage(&|folder| {
            let path = folder.join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        damage(&|folder| {
            let path = folder.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
        }),
    ];
    for error in damaged {
        assert!(matches!(error, EngineError::Damaged { .. }), "{error}");
    }
    let unsupported = damage(&config("model_type", json!("deberta-v2")));
    assert!(matches!(unsupported, EngineError::Unsupported { .. }), "{unsupported}");
    assert!(matches!(
        damage(&|folder| std::fs::remove_file(folder.join("config.json")).unwrap()),
        EngineError::Io { .. }
    ));
}
