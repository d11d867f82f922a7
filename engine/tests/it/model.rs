//! Forward passes: against a plain reference, and equal bit for bit however a prompt is cut, batched or spread over threads.

use crate::reference::{Reference, log_softmax};
use crate::tiny::{Random, Setting, TinyModel};
use cloister_engine::gguf::{GgufFile, TensorType};
use cloister_engine::kernels::Kernels;
use cloister_engine::quant::WeightType;
use cloister_engine::{CancelFlag, EngineError, Generator, KeepPacked, LoadOptions, ModelInfo, TokenId};
use std::path::{Path, PathBuf};

pub(crate) fn options(threads: usize) -> LoadOptions {
    LoadOptions { threads, context_tokens: 512, memory_available_bytes: None, keep_packed: KeepPacked::Nowhere }
}

pub(crate) fn tiny_file(model: &TinyModel) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    model.write(file.path(), 11);
    file
}

pub(crate) fn tiny(model: &TinyModel) -> Generator {
    Generator::load(tiny_file(model).path(), &options(2)).unwrap()
}

/// Every weight type with the parts that most architectures share.
fn models() -> impl Iterator<Item = TinyModel> {
    [TinyModel::LLAMA, TinyModel::QWEN2]
        .into_iter()
        .flat_map(|model| WeightType::ALL.into_iter().map(move |kind| TinyModel { kind, ..model }))
}

pub(crate) fn tokens(count: usize) -> Vec<TokenId> {
    let mut random = Random::new(5);
    (0..count).map(|_| random.below(TinyModel::VOCABULARY) as TokenId).collect()
}

/// The logits after each token, as bits.
pub(crate) fn rows(model: &Generator, tokens: &[TokenId]) -> Vec<Vec<u32>> {
    let mut rows = Vec::new();
    model
        .score(tokens, &mut |row, logits| {
            assert_eq!(row, rows.len());
            rows.push(bits(logits));
        })
        .unwrap();
    rows
}

pub(crate) fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// In passes that no logits are wanted of, in some that they are wanted of for a few rows, and in one that wants all.
#[test]
fn rows_that_nobody_asks_for_change_no_bit_of_the_others() {
    let tokens = tokens(560);
    for model in [TinyModel::LLAMA, TinyModel::QWEN2] {
        let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        model.write_with(file.path(), 11, &[("context_length", Setting::Number(560))], |_| {});
        let generator = Generator::load(file.path(), &LoadOptions { context_tokens: 560, ..options(2) }).unwrap();
        let (all, other) = (rows(&generator, &tokens), rows(&generator, &tokens[200..500]));
        let (mut first, mut second) = (generator.sequence(), generator.sequence());
        generator.prefill(&mut first, &tokens[..530], &CancelFlag::new()).unwrap();
        assert_eq!(bits(generator.logits(&first)), all[529], "{}", model.architecture);
        first.truncate(100);
        let mut parts = [(&mut first, &tokens[100..]), (&mut second, &tokens[200..500])];
        generator.prefill_many(&mut parts, &CancelFlag::new()).unwrap();
        assert_eq!(bits(generator.logits(&first)), all[559], "{}", model.architecture);
        assert_eq!(bits(generator.logits(&second)), other[299], "{}", model.architecture);
    }
}

#[test]
fn chunks_steps_threads_and_kernels_change_no_bit() {
    let tokens = tokens(140);
    for model in models() {
        let name = format!("{} {}", model.architecture, model.kind.name());
        let file = tiny_file(&model);
        let load = |threads, kernels| Generator::load_with(file.path(), &options(threads), kernels).unwrap();
        let generator = load(2, Kernels::detect());
        let expected = rows(&generator, &tokens);
        let cancel = CancelFlag::new();
        for cuts in [vec![140], vec![1, 139], vec![64, 64, 12], vec![1; 140], vec![5, 7, 2, 120, 3, 3]] {
            let mut sequence = generator.sequence();
            for cut in cuts {
                let start = sequence.len();
                generator.prefill(&mut sequence, &tokens[start..start + cut], &cancel).unwrap();
                assert_eq!(bits(generator.logits(&sequence)), expected[sequence.len() - 1], "{name} cut {cut}");
            }
        }
        assert_eq!(rows(&load(1, Kernels::detect()), &tokens), expected, "{name} with one thread");
        assert_eq!(rows(&load(3, Kernels::detect()), &tokens), expected, "{name} with three threads");
        for kernels in Kernels::available() {
            assert_eq!(rows(&load(2, kernels), &tokens[..40]), expected[..40], "{name} {}", kernels.name());
        }
    }
}

#[test]
fn sequences_in_one_pass_get_what_they_get_alone() {
    let generator = tiny(&TinyModel { kind: WeightType::Q5_K, ..TinyModel::QWEN2 });
    let tokens = tokens(200);
    let cancel = CancelFlag::new();
    let expected = rows(&generator, &tokens);
    let mut prefix = generator.sequence();
    generator.prefill(&mut prefix, &tokens[..100], &cancel).unwrap();
    let (mut first, mut second, mut third) = (prefix.clone(), generator.sequence(), prefix.clone());
    third.truncate(70);
    let mut parts = [(&mut first, &tokens[100..200]), (&mut second, &tokens[..33]), (&mut third, &tokens[70..71])];
    generator.prefill_many(&mut parts, &cancel).unwrap();
    for (sequence, length) in [(&first, 200), (&second, 33), (&third, 71), (&prefix, 100)] {
        assert_eq!(sequence.len(), length);
        assert_eq!(bits(generator.logits(sequence)), expected[length - 1], "{length} tokens");
    }
}

#[test]
fn a_truncated_sequence_goes_on_as_if_the_rest_had_never_been() {
    let generator = tiny(&TinyModel::LLAMA);
    let tokens = tokens(130);
    let expected = rows(&generator, &tokens);
    let cancel = CancelFlag::new();
    let mut sequence = generator.sequence();
    generator.prefill(&mut sequence, &[7; 300], &cancel).unwrap();
    for keep in [0, 1, 63, 64, 65, 128] {
        sequence.truncate(0);
        generator.prefill(&mut sequence, &tokens[..keep], &cancel).unwrap();
        generator.prefill(&mut sequence, &[9; 100], &cancel).unwrap();
        sequence.truncate(keep);
        assert!(generator.logits(&sequence).is_empty());
        generator.prefill(&mut sequence, &tokens[keep..], &cancel).unwrap();
        assert_eq!(bits(generator.logits(&sequence)), expected[129], "kept {keep}");
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let generator = tiny(&TinyModel::LLAMA);
    let cancel = CancelFlag::new();
    let mut sequence = generator.sequence();
    let error = generator.prefill(&mut sequence, &[TinyModel::VOCABULARY as TokenId], &cancel).unwrap_err();
    assert!(matches!(error, EngineError::InvalidInput(_)), "{error}");
    let error = generator.prefill(&mut sequence, &[1; 513], &cancel).unwrap_err();
    assert!(matches!(error, EngineError::ContextFull { tokens: 513, context_tokens: 512 }), "{error}");
    assert!(sequence.is_empty());
    let mut other = tiny(&TinyModel::QWEN2).sequence();
    assert!(matches!(generator.prefill(&mut other, &[1], &cancel), Err(EngineError::InvalidInput(_))));
    cancel.cancel();
    assert!(matches!(generator.prefill(&mut sequence, &[1], &cancel), Err(EngineError::Cancelled)));
    assert!(sequence.is_empty());
}

#[test]
fn a_model_that_does_not_fit_is_refused_in_numbers() {
    let file = tiny_file(&TinyModel::LLAMA);
    let options = LoadOptions { memory_available_bytes: Some(100_000), ..options(1) };
    match Generator::load(file.path(), &options) {
        Err(EngineError::DoesNotFit { needed_bytes, available_bytes: 100_000, context_tokens: 512 }) => {
            assert!(needed_bytes > 1_000_000, "{needed_bytes}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn perplexity_scores_the_second_half_of_each_window() {
    let file = tiny_file(&TinyModel::LLAMA);
    let generator = Generator::load(file.path(), &options(2)).unwrap();
    let mut reference = Reference::load(&GgufFile::open(file.path()).unwrap());
    let tokens = tokens(3 * 64 + 20);
    let found = generator.perplexity(&tokens, 64, &CancelFlag::new()).unwrap();
    assert_eq!((found.windows, found.tokens), (3, 3 * 31));
    let mut loss = 0.0;
    for window in tokens.chunks_exact(64) {
        reference.clear();
        for (at, &token) in window.iter().enumerate().take(63) {
            let row = log_softmax(&reference.next(token));
            if at >= 32 {
                loss -= row[window[at + 1] as usize];
            }
        }
    }
    let expected = (loss / 93.0).exp();
    assert!((found.perplexity / expected - 1.0).abs() < 1e-3, "{} {expected}", found.perplexity);
    assert!(generator.perplexity(&tokens, 500, &CancelFlag::new()).is_err());
}

/// Each type of the format that has no kernel: the refusal names the tensor and the type, and the file can be inspected.
#[test]
fn types_without_kernels_are_refused_by_name() {
    let file = tiny_file(&TinyModel::LLAMA);
    let sound = std::fs::read(file.path()).unwrap();
    let name = "blk.1.ffn_down.weight";
    let place = sound.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap() + name.len() + 4 + 16;
    assert_eq!(sound[place..place + 4], [0; 4], "the type of a matrix of 32-bit floats");
    let mut refused = Vec::new();
    for kind in (0..64).filter_map(TensorType::from_id) {
        // The matrix may become smaller, not larger.
        if WeightType::from_ggml(kind.id()).is_some() || kind.block_bytes() > 4 * kind.block_values() {
            continue;
        }
        let mut bytes = sound.clone();
        bytes[place..place + 4].copy_from_slice(&kind.id().to_le_bytes());
        std::fs::write(file.path(), &bytes).unwrap();
        match Generator::load(file.path(), &options(1)) {
            Err(EngineError::Unsupported { what: "tensor type", detail }) => {
                assert!(detail.contains(kind.name()) && detail.contains(name), "{detail}");
            }
            other => panic!("{} {other:?}", kind.name()),
        }
        let info = ModelInfo::inspect(file.path()).unwrap();
        assert!(info.bits_per_weight() <= 32.0 && info.packed_bytes > 0, "{}", kind.name());
        refused.push(kind.name());
    }
    for name in
        ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0", "NVFP4", "Q1_0", "Q2_0"]
    {
        assert!(refused.contains(&name), "{name}");
    }
}

/// The model file of a catalogue id, or a line that says why not.
pub(crate) fn real_model(id: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folder = std::env::var_os("CLOISTER_TEST_MODELS").map_or_else(default, PathBuf::from).join(id);
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    if found.is_none() {
        eprintln!("passed over: {id} (no GGUF file in {})", folder.display());
    }
    found
}

/// Walks the greedy path of the plain forward pass in floats and compares the quantised one with it.
fn follows_its_float_self(id: &str, prompts: &[&[TokenId]]) {
    let Some(path) = real_model(id) else { return };
    let generator = Generator::load(&path, &options(2)).unwrap();
    let mut reference = Reference::load(&GgufFile::open(&path).unwrap());
    let (mut compared, mut differing, mut errors) = (0, 0, Vec::new());
    for prompt in prompts {
        reference.clear();
        let mut tokens: Vec<TokenId> = prompt.to_vec();
        let mut expected: Vec<Vec<f64>> = tokens.iter().map(|&token| log_softmax(&reference.next(token))).collect();
        for _ in 0..24 {
            let next = order(expected.last().unwrap())[0];
            tokens.push(next);
            expected.push(log_softmax(&reference.next(next)));
        }
        generator
            .score(&tokens, &mut |row, logits| {
                let (found, expected) = (log_softmax(logits), &expected[row]);
                let best = order(expected);
                for &id in &best[..10] {
                    errors.push((found[id as usize] - expected[id as usize]).abs());
                }
                if expected[best[0] as usize] - expected[best[1] as usize] >= 0.25 {
                    compared += 1;
                    differing += usize::from(order(&found)[0] != best[0]);
                }
            })
            .unwrap();
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    eprintln!("{compared} positions with a clear winner, {differing} differ; mean log-probability error {mean:.4}");
    assert!(compared >= 40, "{compared}");
    assert_eq!(differing, 0);
    assert!(mean < 0.12, "{mean}");
}

#[test]
fn smollm2_follows_its_float_self() {
    // "The capital of France is", "Once upon a time", and the beginning of a chat turn.
    let prompts = [&[504, 3575, 282, 4649, 314][..], &[6403, 2163, 253, 655], &[1, 4093, 198, 1780, 314]];
    follows_its_float_self("smollm2-135m-instruct-q4_1", &prompts);
}

#[test]
fn gemma3_follows_its_float_self() {
    // "The capital of France is", "Once upon a time", and the beginning of a function.
    let prompts =
        [&[2, 818, 5279, 529, 7001, 563][..], &[2, 14946, 3324, 496, 990], &[2, 2063, 1138, 236_769, 236_746]];
    follows_its_float_self("gemma3-270m", &prompts);
}

/// Token ids, likeliest first.
fn order(row: &[f64]) -> Vec<TokenId> {
    let mut ids: Vec<TokenId> = (0..row.len() as TokenId).collect();
    ids.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
    ids
}
