//! Every architecture: against a plain reference, equal bit for bit however a prompt is cut, and refused where a file asks for
//! more than its architecture computes.

use crate::model::{bits, options, rows, tiny_file, tokens};
use crate::reference::Reference;
use crate::tiny::{Setting, Tensor, TinyModel};
use cloister_engine::gguf::GgufFile;
use cloister_engine::kernels::Kernels;
use cloister_engine::quant::WeightType;
use cloister_engine::{CancelFlag, EngineError, Generator};

fn label(model: &TinyModel) -> String {
    let names: Vec<&str> = model.settings.iter().map(|(name, _)| *name).collect();
    format!("{} {} {}", model.architecture, model.kind.name(), names.join(" "))
}

/// The largest difference between the engine's logits and the plain pass's, and the mean size of the logits.
fn distance(model: &TinyModel, length: usize) -> (f32, f32) {
    let file = tiny_file(model);
    let mut reference = Reference::load(&GgufFile::open(file.path()).unwrap());
    let generator = Generator::load(file.path(), &options(2)).unwrap();
    let tokens = tokens(length);
    let (mut worst, mut size) = (0.0f32, 0.0);
    generator
        .score(&tokens, &mut |row, logits| {
            let expected = reference.next(tokens[row]);
            size += logits.iter().map(|logit| logit.abs()).sum::<f32>() / (logits.len() * length) as f32;
            worst = logits.iter().zip(expected).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
        })
        .unwrap();
    (worst, size)
}

#[test]
fn float_models_agree_with_the_plain_forward_pass() {
    let narrow = TinyModel { width: 160, inner: 96, heads: 4, key_heads: 2, dim: 40, ..TinyModel::QWEN2 };
    for model in TinyModel::ALL.into_iter().chain([narrow]) {
        let (worst, size) = distance(&model, 150);
        eprintln!("{}: {worst} of {size}", label(&model));
        // Keys and values are kept as half floats, with errors of about 5e-4 of their size.
        let limit = if model.layers > 10 { 0.02 } else { 0.006 };
        assert!(worst < limit, "{}: {worst} of {size}", label(&model));
        assert!(size > 0.2, "{}: logits of size {size} show nothing", label(&model));
    }
}

/// Each setting of each model changes what it computes, so that the comparison above would see it if it were passed over.
#[test]
fn every_setting_has_an_effect() {
    let last = |model: &TinyModel, settings: &'static [(&'static str, Setting)]| {
        let file = tiny_file(&TinyModel { settings, ..*model });
        let generator = Generator::load(file.path(), &options(2)).ok()?;
        let mut sequence = generator.sequence();
        generator.prefill(&mut sequence, &tokens(150), &CancelFlag::new()).unwrap();
        Some(generator.logits(&sequence).to_vec())
    };
    for model in TinyModel::ALL {
        let with = last(&model, model.settings).unwrap();
        for (place, (name, _)) in model.settings.iter().enumerate() {
            let rest: Vec<_> = model.settings.iter().enumerate().filter(|(other, _)| *other != place).collect();
            let rest: Vec<_> = rest.into_iter().map(|(_, setting)| *setting).collect();
            // What cannot be left out is missed at loading.
            let Some(without) = last(&model, rest.leak()) else { continue };
            let worst = with.iter().zip(&without).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst > 0.05, "{}: {name} changes the logits by {worst}", label(&model));
        }
    }
}

/// Prompts longer than every window, read at once, in pieces, and token by token.
#[test]
fn chunks_steps_threads_and_kernels_change_no_bit_of_any_architecture() {
    let tokens = tokens(140);
    for model in TinyModel::ALL.into_iter().filter(|model| model.layers < 10) {
        let model = TinyModel { kind: WeightType::Q8_0, ..model };
        let file = tiny_file(&model);
        let load = |threads, kernels| Generator::load_with(file.path(), &options(threads), kernels).unwrap();
        let generator = load(2, Kernels::detect());
        let expected = rows(&generator, &tokens);
        let cancel = CancelFlag::new();
        for cuts in [vec![1, 139], vec![64, 64, 12], vec![1; 140], vec![5, 7, 2, 120, 3, 3]] {
            let mut sequence = generator.sequence();
            for cut in cuts {
                let start = sequence.len();
                generator.prefill(&mut sequence, &tokens[start..start + cut], &cancel).unwrap();
                assert_eq!(
                    bits(generator.logits(&sequence)),
                    expected[sequence.len() - 1],
                    "{} cut {cut}",
                    label(&model)
                );
            }
        }
        assert_eq!(rows(&load(1, Kernels::detect()), &tokens), expected, "{} with one thread", label(&model));
        assert_eq!(rows(&load(3, Kernels::detect()), &tokens), expected, "{} with three threads", label(&model));
        for kernels in Kernels::available() {
            assert_eq!(rows(&load(2, kernels), &tokens[..60]), expected[..60], "{} {}", label(&model), kernels.name());
        }
    }
}

#[test]
fn sequences_of_every_architecture_get_in_one_pass_what_they_get_alone() {
    let tokens = tokens(200);
    let cancel = CancelFlag::new();
    for model in TinyModel::ALL {
        let generator = Generator::load(tiny_file(&model).path(), &options(2)).unwrap();
        let expected = rows(&generator, &tokens);
        let mut prefix = generator.sequence();
        generator.prefill(&mut prefix, &tokens[..100], &cancel).unwrap();
        let (mut first, mut second, mut third) = (prefix.clone(), generator.sequence(), prefix.clone());
        third.truncate(70);
        let mut parts = [(&mut first, &tokens[100..200]), (&mut second, &tokens[..33]), (&mut third, &tokens[70..71])];
        generator.prefill_many(&mut parts, &cancel).unwrap();
        for (sequence, length) in [(&first, 200), (&second, 33), (&third, 71), (&prefix, 100)] {
            assert_eq!(bits(generator.logits(sequence)), expected[length - 1], "{} {length} tokens", label(&model));
        }
    }
}

/// All models, made as small as their settings let them be.
fn small() -> impl Iterator<Item = TinyModel> {
    TinyModel::ALL.into_iter().map(|model| {
        let expert_inner = if model.expert_inner == model.inner { 64 } else { model.expert_inner };
        TinyModel { width: 64, inner: 64, expert_inner, layers: 2, ..model }
    })
}

/// What loading a model says after its settings and tensors were changed.
fn refusal(model: &TinyModel, more: &[(&str, Setting)], edit: impl FnOnce(&mut Vec<Tensor>)) -> EngineError {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    model.write_with(file.path(), 3, more, edit);
    Generator::load(file.path(), &options(1)).map(|_| ()).expect_err(&format!("{} loads", label(model)))
}

#[test]
fn settings_and_tensors_that_an_architecture_does_not_compute_are_refused_by_name() {
    for model in small() {
        let name = model.architecture;
        let error = refusal(&model, &[("attention.max_alibi_bias", Setting::Float(8.0))], |_| {});
        assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{name}.attention.max_alibi_bias")), "{error}");
        let more = |tensors: &mut Vec<Tensor>| {
            tensors.push(("blk.1.attn_gate.weight".to_owned(), WeightType::F32, vec![1], vec![0; 4]));
        };
        let error = refusal(&model, &[], more);
        assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("blk.1.attn_gate.weight"), "{error}");
    }
}

#[test]
fn values_of_settings_without_arithmetic_are_refused() {
    let model = |architecture: &str| *TinyModel::ALL.iter().find(|model| model.architecture == architecture).unwrap();
    for (architecture, key, value, said) in [
        ("llama", "rope.scaling.type", Setting::Text("su"), "rope scaling"),
        ("llama", "attention.causal", Setting::Flag(false), "later tokens"),
        ("qwen3", "pooling_type", Setting::Number(3), "qwen3.pooling_type"),
        ("qwen3moe", "expert_gating_func", Setting::Number(2), "expert_gating_func"),
        ("qwen3moe", "expert_weights_norm", Setting::Flag(false), "expert_weights_norm"),
        ("qwen3moe", "expert_weights_scale", Setting::Float(2.5), "expert_weights_scale"),
        ("gemma3", "attn_logit_softcapping", Setting::Float(50.0), "attn_logit_softcapping"),
        ("phi3", "rope.dimension_sections", Setting::Number(8), "rope.dimension_sections"),
        ("granite", "attention.key_length_swa", Setting::Number(8), "attention.key_length_swa"),
    ] {
        let error = refusal(&model(architecture), &[(key, value)], |_| {});
        assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn tensors_that_are_missing_or_of_another_shape_are_named() {
    for model in small() {
        let mut names = Vec::new();
        model.write_with(tempfile::NamedTempFile::new().unwrap().path(), 3, &[], |tensors| {
            names.extend(tensors.iter().map(|tensor| tensor.0.clone()));
        });
        // qwen2 and gpt-oss are no such models without their biases.
        for name in names.iter().filter(|name| name.starts_with("blk.1.")) {
            let error = refusal(&model, &[], |tensors| tensors.retain(|tensor| tensor.0 != *name));
            assert!(matches!(error, EngineError::Damaged { .. }), "{} without {name}: {error}", label(&model));
            // Where there is no fused tensor, three others are looked for.
            let named = name.replace("attn_qkv", "attn_q");
            assert!(error.to_string().contains(&named), "{} without {name}: {error}", label(&model));
        }
        let name = names.iter().find(|name| name.starts_with("blk.1.")).unwrap();
        let error = refusal(&model, &[], |tensors| {
            let tensor = tensors.iter_mut().find(|tensor| tensor.0 == *name).unwrap();
            tensor.2 = vec![tensor.2[0] / 2, tensor.2[1..].iter().product::<usize>() * 2];
        });
        assert!(error.to_string().contains(name), "{}: {error}", label(&model));
    }
}
