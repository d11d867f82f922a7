//! Low-rank adapters: as a model whose weights were changed, sequence by sequence, and refused by name.

use crate::model::{bits, options, tiny_file, tokens};
use crate::reference::Reference;
use crate::tiny::{Random, Setting, Tensor, TinyModel, write_adapter};
use cloister_engine::gguf::GgufFile;
use cloister_engine::quant::WeightType;
use cloister_engine::{CancelFlag, EngineError, Generator};

const RANK: usize = 4;
/// What a file of rank 4 multiplies its products by.
const ALPHA: f32 = 6.0;

type Low = (String, [usize; 2], Vec<f32>);

fn settings(architecture: &'static str) -> [(&'static str, Setting); 4] {
    [
        ("general.type", Setting::Text("adapter")),
        ("general.architecture", Setting::Text(architecture)),
        ("adapter.type", Setting::Text("lora")),
        ("adapter.lora.alpha", Setting::Float(ALPHA)),
    ]
}

/// Pairs for every matrix of every layer, and for the output where it is a matrix of its own.
fn pairs(tensors: &[Tensor], random: &mut Random) -> Vec<Low> {
    let mut pairs = Vec::new();
    for (name, _, dims, _) in tensors {
        if (name.starts_with("blk.") || name == "output.weight") && dims.len() == 2 {
            let mut draw = |size: usize, scale: f32| (0..size).map(|_| random.normal() * scale).collect::<Vec<_>>();
            pairs.push((format!("{name}.lora_a"), [dims[0], RANK], draw(dims[0] * RANK, 0.08)));
            pairs.push((format!("{name}.lora_b"), [RANK, dims[1]], draw(dims[1] * RANK, 0.08)));
        }
    }
    pairs
}

/// Adds `strength * ALPHA / RANK * B A` to the weights.
fn merge(tensors: &mut [Tensor], pairs: &[Low], strength: f32) {
    for pair in pairs.chunks(2) {
        let (name, [cols, _], down) = &pair[0];
        let up = &pair[1].2;
        let tensor = tensors.iter_mut().find(|tensor| format!("{}.lora_a", tensor.0) == *name).unwrap();
        for (at, bytes) in tensor.3.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (row, col) = (at / cols, at % cols);
            let sum: f32 = (0..RANK).map(|rank| up[row * RANK + rank] * down[rank * cols + col]).sum();
            *bytes = (f32::from_le_bytes(*bytes) + strength * ALPHA / RANK as f32 * sum).to_le_bytes();
        }
    }
}

/// A model's file, an adapter's file, and what the adapter holds.
fn model_and_adapter(model: &TinyModel, seed: u64) -> (tempfile::NamedTempFile, tempfile::NamedTempFile, Vec<Low>) {
    let (file, adapter) = (tiny_file(model), tempfile::NamedTempFile::new().unwrap());
    let mut low = Vec::new();
    model.write_with(file.path(), 11, &[], |tensors| low = pairs(tensors, &mut Random::new(seed)));
    write_adapter(adapter.path(), &settings(model.architecture), &low);
    (file, adapter, low)
}

#[test]
fn an_adapter_does_what_changed_weights_do() {
    for model in TinyModel::ALL.into_iter().filter(|model| model.experts == 0 && model.layers < 10) {
        let model = TinyModel { width: 128, inner: 128, layers: 2, ..model };
        let (file, adapter, low) = model_and_adapter(&model, 5);
        let generator = Generator::load(file.path(), &options(2)).unwrap();
        for strength in [1.0, -0.5] {
            let merged = tempfile::NamedTempFile::new().unwrap();
            model.write_with(merged.path(), 11, &[], |tensors| merge(tensors, &low, strength));
            let mut reference = Reference::load(&GgufFile::open(merged.path()).unwrap());
            let adapter = generator.load_adapter(adapter.path(), strength).unwrap();
            let mut sequence = generator.sequence_with(&adapter).unwrap();
            let tokens = tokens(80);
            let expected = tokens.iter().fold(Vec::new(), |_, &token| reference.next(token));
            generator.prefill(&mut sequence, &tokens, &CancelFlag::new()).unwrap();
            let found = generator.logits(&sequence);
            let worst = found.iter().zip(&expected).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
            let mut plain = generator.sequence();
            generator.prefill(&mut plain, &tokens, &CancelFlag::new()).unwrap();
            let change =
                generator.logits(&plain).iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst < 0.006, "{} at {strength}: {worst}", model.architecture);
            assert!(change > 0.1, "{} at {strength}: the adapter changes the logits by {change}", model.architecture);
        }
    }
}

#[test]
fn sequences_with_different_adapters_share_a_pass_and_get_what_they_get_alone() {
    for model in [TinyModel { kind: WeightType::Q8_0, ..TinyModel::QWEN2 }, TinyModel::LLAMA] {
        let (file, first, _) = model_and_adapter(&model, 5);
        let (_, second, _) = model_and_adapter(&model, 6);
        let generator = Generator::load(file.path(), &options(2)).unwrap();
        let adapters = [&first, &second].map(|file| generator.load_adapter(file.path(), 1.0).unwrap());
        let fresh = || {
            let with = |place: usize| generator.sequence_with(&adapters[place]).unwrap();
            [with(0), generator.sequence(), with(1), with(0)]
        };
        let tokens = tokens(90);
        let lengths = [90, 40, 1, 17];
        let cancel = CancelFlag::new();
        let alone: Vec<Vec<u32>> = fresh()
            .into_iter()
            .zip(lengths)
            .map(|(mut sequence, length)| {
                for &token in &tokens[..length] {
                    generator.prefill(&mut sequence, &[token], &cancel).unwrap();
                }
                bits(generator.logits(&sequence))
            })
            .collect();
        let mut together = fresh();
        let mut parts: Vec<_> = together.iter_mut().zip(lengths.map(|length| &tokens[..length])).collect();
        generator.prefill_many(&mut parts, &cancel).unwrap();
        for (sequence, expected) in together.iter().zip(&alone) {
            assert_eq!(bits(generator.logits(sequence)), *expected, "{}", model.architecture);
        }
        assert_ne!(alone[0], alone[3]);
        let other = Generator::load(file.path(), &options(1)).unwrap();
        assert!(matches!(other.sequence_with(&adapters[0]), Err(EngineError::InvalidInput(_))));
        assert!(matches!(other.prefill(&mut together[0], &[1], &cancel), Err(EngineError::InvalidInput(_))));
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let (file, path, low) = model_and_adapter(&TinyModel::LLAMA, 5);
    let generator = Generator::load(file.path(), &options(1)).unwrap();
    let check = |settings: &[(&str, Setting)], edit: &dyn Fn(&mut Vec<Low>), said: &str| {
        let mut low = low.clone();
        edit(&mut low);
        write_adapter(path.path(), settings, &low);
        let error = generator.load_adapter(path.path(), 1.0).expect_err(said);
        assert!(error.to_string().contains(said), "{error} instead of {said}");
    };
    let sound = settings("llama");
    let replaced = |place: usize, value: (&'static str, Setting)| {
        let mut settings = sound;
        settings[place] = value;
        settings
    };
    let same = |_: &mut Vec<Low>| {};
    check(&replaced(0, ("general.type", Setting::Text("model"))), &same, "general.type model");
    check(&settings("qwen2"), &same, "general.architecture qwen2");
    check(&replaced(2, ("adapter.type", Setting::Text("ia3"))), &same, "adapter.type ia3");
    check(&replaced(3, ("adapter.alora.x", Setting::Number(1))), &same, "adapter.alora.x");
    check(&sound, &|low| low[0].0 = "token_embd.weight.lora_a".to_owned(), "token_embd.weight");
    check(&sound, &|low| low[0].0 = "blk.7.attn_q.weight.lora_a".to_owned(), "blk.7.attn_q.weight");
    check(&sound, &|low| low[0].0 = "blk.0.attn_norm.weight".to_owned(), "blk.0.attn_norm.weight");
    check(&sound, &|low| drop(low.remove(1)), "blk.0.attn_q.weight.lora_b");
    check(&sound, &|low| drop(low.remove(0)), "blk.0.attn_q.weight.lora_b");
    check(&sound, &|low| low[0].1 = [128, 2 * RANK], "blk.0.attn_q.weight");
    check(&sound, &|low| low[1].1 = [2 * RANK, 128], "blk.0.attn_q.weight");
    check(&sound, &|low| low[0].2[3] = f32::NAN, "blk.0.attn_q.weight");
    check(&sound, &|low| low.clear(), "no pair of tensors");
    check(&replaced(3, ("adapter.lora.alpha", Setting::Float(f32::INFINITY))), &same, "adapter.lora.alpha");
    write_adapter(path.path(), &sound, &low);
    assert!(matches!(generator.load_adapter(path.path(), f32::NAN), Err(EngineError::InvalidInput(_))));
    let layer_of_experts = TinyModel::ALL.iter().find(|model| model.architecture == "qwen3moe").unwrap();
    let (file, path, _) = model_and_adapter(layer_of_experts, 5);
    let generator = Generator::load(file.path(), &options(1)).unwrap();
    let error = generator.load_adapter(path.path(), 1.0).unwrap_err();
    assert!(error.to_string().contains("ffn_gate_inp.weight"), "{error}");
}
