//! Rerankers of all families with weights made by rule, against scores of `tools/reference/encoder_float64.py`.

use std::path::Path;

use cloister_engine::kernels::Kernels;
use cloister_engine::{Encoder, EngineError, ModelInfo, ModelRole, PairTokens, Reranker};
use serde_json::{Value, json};

use crate::encoder::write_tensors;
use crate::encoder_families::{self as families, POSITIONS, Shapes, VOCABULARY, WIDTH, write_gguf};

/// The tensors of an encoder and of the head on it, in the order in which they are made.
fn shapes(family: &str) -> Shapes {
    let (dense, score) = match family {
        "bert" => ("pooler.dense", "classifier"),
        "xlm-roberta" => ("classifier.dense", "classifier.out_proj"),
        _ => ("head.dense", "classifier"),
    };
    let mut shapes = families::shapes(family);
    shapes.push((format!("{dense}.weight"), vec![WIDTH, WIDTH]));
    let (name, shape) = if family == "modernbert" { ("head.norm.weight", "") } else { (dense, ".bias") };
    shapes.push((format!("{name}{shape}"), vec![WIDTH]));
    shapes.extend([(format!("{score}.weight"), vec![1, WIDTH]), (format!("{score}.bias"), vec![1])]);
    shapes
}

/// A folder as the Hugging Face library writes it; `change` may spoil its settings and its tensors.
fn write_folder(folder: &Path, family: &str, pooling: &str, change: &dyn Fn(&mut Value, &mut Shapes)) {
    let (mut config, mut shapes) = (families::config(family), shapes(family));
    config["architectures"] = json!(["AnyForSequenceClassification"]);
    config["id2label"] = json!({"0": "LABEL_0"});
    if family == "modernbert" {
        config["classifier_pooling"] = json!(if pooling == "mean" { "mean" } else { "cls" });
    }
    change(&mut config, &mut shapes);
    families::write_folder(folder, family, pooling, &[]);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let prefix = match family {
        "bert" => "bert.",
        "xlm-roberta" => "roberta.",
        _ => "",
    };
    let tensors = families::tensors(&shapes).map(|(name, shape, values)| {
        let beside = name.starts_with("classifier") || name.starts_with("head.");
        (if beside { name } else { format!("{prefix}{name}") }, shape, values)
    });
    write_tensors(&folder.join("model.safetensors"), "F32", tensors);
}

fn unchanged(_: &mut Value, _: &mut Shapes) {}

#[test]
fn scores_agree_with_the_float64_reference() {
    for line in include_str!("golden/rerankers.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (family, pooling) = (row["family"].as_str().unwrap(), row["pooling"].as_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, pooling, &unchanged);
        let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
        let pair = PairTokens { second: row["second"].as_u64().unwrap() as usize, tokens };
        let wanted = row["score"].as_f64().unwrap();
        let short = PairTokens { tokens: vec![2, 9, 3, 5, 3], second: 3 };
        for kernels in Kernels::available() {
            let reranker = Reranker::load_with(folder.path(), 2, kernels).unwrap();
            let score = reranker.score_tokens(&[short.clone(), pair.clone(), short.clone()]).unwrap()[1];
            let what = format!("{family} {pooling} of {} tokens: {score} beside {wanted}", pair.tokens.len());
            assert!((f64::from(score) - wanted).abs() < 0.003, "{what}");
            assert_eq!(reranker.score_tokens(std::slice::from_ref(&pair)).unwrap(), [score], "{what}");
        }
    }
}

#[test]
fn the_type_of_the_second_text_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), "bert", "first", &unchanged);
    let reranker = Reranker::load(folder.path(), 1).unwrap();
    let pair = reranker.tokenize("w4 w5x6", "w7 w8x9x12");
    assert_eq!(pair, PairTokens { tokens: vec![2, 4, 5, 6, 3, 7, 8, 9, 12, 3], second: 5 });
    let plain = PairTokens { second: pair.tokens.len(), ..pair.clone() };
    let scores = reranker.score_tokens(&[pair, plain]).unwrap();
    assert!((scores[0] - scores[1]).abs() > 0.003, "{scores:?}");
    assert_eq!(reranker.score("w4 w5x6", &["w7 w8x9x12"]).unwrap(), scores[..1]);
}

#[test]
fn a_passage_scores_the_same_in_any_company() {
    for family in ["bert", "xlm-roberta", "modernbert"] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, "first", &unchanged);
        let (one, two) = (Reranker::load(folder.path(), 1).unwrap(), Reranker::load(folder.path(), 2).unwrap());
        let long = "w10 w11x12 ".repeat(60);
        let passages = ["", "w4", "w5x6 w7", &long, "unknown [SEP] w8", "w4 w4 w4"];
        let query = "w13 w14x15";
        let together = two.score(query, &passages).unwrap();
        for (passage, score) in passages.iter().zip(&together) {
            assert_eq!(one.score(query, &[passage]).unwrap(), [*score], "{family} {passage:?}");
        }
        assert_eq!(one.tokenize(query, &long).tokens.len(), one.tokens_max());
        assert_eq!(&one.tokenize(&long, query).tokens[one.tokens_max() - 5..], [3, 13, 14, 15, 3]);
        assert!(one.score(query, &[]).unwrap().is_empty());
    }
}

#[test]
fn a_file_scores_as_the_folder_does() {
    for (family, architecture) in [("bert", "bert"), ("modernbert", "modern-bert")] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, "mean", &unchanged);
        let file = folder.path().join("model.gguf");
        write_gguf(&file, architecture, 4, &shapes(family));
        let from_folder = Reranker::load(folder.path(), 1).unwrap();
        let from_file = Reranker::load(&file, 1).unwrap();
        let (query, passages) = ("w4 w5x6", ["w7 w8x9", "w10 unknown"]);
        assert_eq!(
            from_file.score(query, &passages).unwrap(),
            from_folder.score(query, &passages).unwrap(),
            "{family}"
        );
        assert_eq!(ModelInfo::inspect(&file).unwrap().role, ModelRole::Rerank);
        assert_eq!(from_folder.info().role, ModelRole::Rerank);
        assert_eq!(from_file.tokens_max(), POSITIONS);
        let error = Encoder::load(&file, 1).unwrap_err().to_string();
        assert!(error.contains("reranker"), "{error}");
        // An embedder is no reranker, and one without the first layer of its head is refused.
        write_gguf(&file, architecture, 1, &families::shapes(family));
        assert!(Reranker::load(&file, 1).unwrap_err().to_string().contains("no head"));
        let headless: Shapes = shapes(family)
            .into_iter()
            .filter(|(name, _)| !name.starts_with("pooler.") && !name.starts_with("head."))
            .collect();
        write_gguf(&file, architecture, 4, &headless);
        assert!(Reranker::load(&file, 1).unwrap_err().to_string().contains("cls.weight"));
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let refused = |family: &str, change: &dyn Fn(&mut Value, &mut Shapes)| {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), family, "first", change);
        Reranker::load(folder.path(), 1).map(drop).unwrap_err().to_string()
    };
    let set = |key: &'static str, value: Value| move |config: &mut Value, _: &mut Shapes| config[key] = value.clone();
    let without = |part: &'static str| {
        move |_: &mut Value, shapes: &mut Shapes| shapes.retain(|(name, _)| !name.starts_with(part))
    };
    let with = |name: &'static str| move |_: &mut Value, shapes: &mut Shapes| shapes.push((name.into(), vec![4]));
    let rows = [
        (refused("bert", &set("id2label", json!({"0": "no", "1": "yes"}))), "2 labels"),
        (refused("bert", &set("architectures", json!(["BertModel"]))), "no head"),
        (refused("nomic_bert", &without("classifier")), "nomic_bert"),
        (refused("modernbert", &set("classifier_pooling", json!("last"))), "classifier_pooling last"),
        (refused("modernbert", &set("classifier_activation", json!("relu"))), "classifier_activation relu"),
        (refused("bert", &without("pooler.dense.weight")), "pooler.dense.weight"),
        (refused("bert", &without("classifier.bias")), "classifier.bias"),
        (refused("modernbert", &without("head.norm")), "head.norm.weight"),
        (refused("xlm-roberta", &with("classifier.extra")), "classifier.extra"),
        (refused("bert", &with("qa_outputs.weight")), "qa_outputs.weight"),
        (
            refused("bert", &|_, shapes| {
                shapes.iter_mut().for_each(|(name, shape)| {
                    if name == "classifier.weight" {
                        shape[0] = 2;
                    }
                });
            }),
            "classifier.weight",
        ),
    ];
    for (error, name) in rows {
        assert!(error.contains(name), "{error} instead of {name}");
    }
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), "bert", "first", &unchanged);
    let reranker = Reranker::load(folder.path(), 1).unwrap();
    for tokens in [vec![], vec![2; POSITIONS + 1], vec![2, VOCABULARY as u32, 3]] {
        let pair = PairTokens { second: tokens.len(), tokens };
        assert!(matches!(reranker.score_tokens(&[pair]), Err(EngineError::InvalidInput(_))));
    }
    // An embedder may carry a pooler, which it does not use, and nothing that would change its vectors.
    let embedder = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut shapes = families::shapes("bert");
        shapes.push((name.to_owned(), vec![WIDTH, WIDTH]));
        families::write_folder(folder.path(), "bert", "mean", &shapes);
        Encoder::load(folder.path(), 1).map(drop)
    };
    assert!(embedder("pooler.dense.weight").is_ok());
    assert!(embedder("classifier.weight").unwrap_err().to_string().contains("classifier.weight"));
}
