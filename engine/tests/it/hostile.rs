//! The known faults of other readers of model files, each with the test that shows that this one has it not.
//!
//! | fault | shown by |
//! | --- | --- |
//! | counts and lengths that overflow (CVE-2024-21802, -21825, -21836, -23496, -23605) | `gguf::hostile_files_are_refused_by_name`, `gguf::counts_of_any_size_never_panic` |
//! | more than four dimensions, types out of range (ggml #709) | `gguf::hostile_files_are_refused_by_name` |
//! | sizes whose sum or product wraps (CVE-2025-53630, CVE-2026-27940) | `gguf::hostile_files_are_refused_by_name`: "elements overflow", "bytes overflow", "product wraps to little" |
//! | padding to an alignment that overflows (GHSA-96jg-mvhq-q7q7) | `gguf::hostile_files_are_refused_by_name`: "alignment ..." |
//! | tensors beyond the file (CVE-2026-7482) | `gguf::hostile_files_are_refused_by_name`: "... beyond the file"; `gguf::every_cut_of_a_sound_file_is_refused` |
//! | small files that claim 2^30 to 2^63 elements | `gguf::hostile_files_are_refused_by_name`: "array of ...", "2^63 tensors"; `gguf::the_largest_allowed_and_one_more` |
//! | lengths of tokens and of the vocabulary (CVE-2025-49847, CVE-2025-52566) | [`tokenizers_are_refused_by_the_name_of_the_key`] |
//! | a chat template that runs code or for ever (CVE-2024-34359, CVE-2026-5760) | `template::a_template_cannot_run_away` |
//! | keys and tensors that occur twice, tensors that overlap, names that are too long | `gguf::hostile_files_are_refused_by_name` |
//! | scales and weights that are no numbers | `quant::values_that_are_no_finite_numbers_are_refused`, [`weights_that_are_no_numbers_are_named`] |
//! | settings that ask for other arithmetic | `architectures::settings_and_tensors_that_an_architecture_does_not_compute_are_refused_by_name` |
//! | shapes that do not fit one another | `architectures::tensors_that_are_missing_or_of_another_shape_are_named`, [`sizes_out_of_bounds_are_named`] |
//! | a context longer than memory | [`a_context_longer_than_memory_is_refused_in_numbers`] |
//!
//! Beyond these rows the fuzz targets of `engine/fuzz` change whole models, adapters and encoders.

use crate::gguf_writer::Writer;
use crate::model::{options, tiny_file};
use crate::tiny::{Setting, Tensor, TinyModel};
use cloister_engine::gguf::GgufFile;
use cloister_engine::quant::WeightType;
use cloister_engine::{EngineError, Generator, LoadOptions, ModelInfo, Tokenizer};

#[test]
fn tokenizers_are_refused_by_the_name_of_the_key() {
    let with = |model: &str, tokens: &[&[u8]]| {
        Writer::head(3, 0, 3).key_text("tokenizer.ggml.model", model).key_texts("tokenizer.ggml.tokens", tokens)
    };
    let merges = |writer: Writer| writer.key_texts("tokenizer.ggml.merges", &[b"a b"]);
    let long = vec![b'x'; 4097];
    let rows = [
        (Writer::head(3, 0, 1).key_u32("tokenizer.ggml.model", 1), "tokenizer.ggml.model"),
        (Writer::head(3, 0, 1).key_text("tokenizer.ggml.model", "llama"), "tokenizer.ggml.tokens"),
        (
            Writer::head(3, 0, 2).key_text("tokenizer.ggml.model", "llama").key_i32s("tokenizer.ggml.tokens", &[1]),
            "tokenizer.ggml.tokens",
        ),
        (merges(with("llama", &[])), "tokenizer.ggml.tokens holds 0"),
        (merges(with("llama", &[b"a", &long])), "tokenizer.ggml.tokens holds token 1 of 4097 bytes"),
        (with("llama", &[b"a"]).key_i32s("tokenizer.ggml.token_type", &[1, 1]), "tokenizer.ggml.token_type"),
        (with("llama", &[b"a"]).key_i32s("tokenizer.ggml.token_type", &[-1]), "tokenizer.ggml.token_type"),
        (with("llama", &[b"a", b"b"]).key_f32s("tokenizer.ggml.scores", &[1.0]), "tokenizer.ggml.scores"),
        (with("t5", &[b"a"]).key_f32s("tokenizer.ggml.scores", &[f32::NAN]), "tokenizer.ggml.scores"),
        (with("t5", &[b"a"]).key_u32("tokenizer.ggml.unknown_token_id", 7), "tokenizer.ggml.unknown_token_id"),
        (with("bert", &[b"a"]).key_u32("tokenizer.ggml.cls_token_id", 7), "tokenizer.ggml."),
        (with("gpt2", &[b"a"]).key_text("tokenizer.ggml.pre", "gpt-2"), "tokenizer.ggml.merges"),
        (with("gpt2", &[b"a"]).key_i32s("tokenizer.ggml.merges", &[1]), "tokenizer.ggml.merges"),
    ];
    for (writer, words) in rows {
        let error = Tokenizer::from_gguf(&GgufFile::from_bytes(writer.bytes).unwrap()).map(drop).unwrap_err();
        assert!(matches!(error, EngineError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

/// What loading a model says after its settings and tensors were changed.
fn refusal(model: &TinyModel, more: &[(&str, Setting)], edit: impl FnOnce(&mut Vec<Tensor>)) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    model.write_with(file.path(), 3, more, edit);
    Generator::load(file.path(), &options(1)).map(drop).unwrap_err().to_string()
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    // The last two bytes of the first block's scale, where the type has a half float at the start of its blocks.
    for kind in [WeightType::Q4_0, WeightType::Q5_1, WeightType::Q8_0, WeightType::Q4_K, WeightType::IQ4_XS] {
        for name in ["token_embd.weight", "blk.1.attn_k.weight", "blk.0.ffn_down.weight"] {
            let said = refusal(&TinyModel { kind, ..TinyModel::LLAMA }, &[], |tensors| {
                let tensor = tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap();
                tensor.3[..2].copy_from_slice(&half::f16::NAN.to_le_bytes());
            });
            assert!(said.contains(name), "{} {name}: {said}", kind.name());
        }
    }
    for name in ["output_norm.weight", "blk.1.attn_norm.weight", "blk.0.attn_q.bias", "blk.1.ffn_up.weight"] {
        for value in [f32::NAN, f32::INFINITY] {
            let said = refusal(&TinyModel::QWEN2, &[], |tensors| {
                let tensor = tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap();
                tensor.3[4..8].copy_from_slice(&value.to_le_bytes());
            });
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

#[test]
fn sizes_out_of_bounds_are_named() {
    let model = TinyModel { width: 64, inner: 64, ..TinyModel::LLAMA };
    for (key, values) in [
        ("llama.block_count", &[0, 3, 1025, u32::MAX][..]),
        ("llama.embedding_length", &[0, 63, u32::MAX][..]),
        ("llama.attention.head_count", &[0, u32::MAX][..]),
        ("llama.attention.head_count_kv", &[0, 9, u32::MAX][..]),
        ("llama.attention.key_length", &[0, 1025, u32::MAX][..]),
        ("llama.feed_forward_length", &[0, u32::MAX][..]),
        ("llama.context_length", &[0][..]),
        ("llama.rope.dimension_count", &[33, u32::MAX][..]),
    ] {
        for &value in values {
            let file = tempfile::NamedTempFile::new().unwrap();
            model.write(file.path(), 3);
            let mut bytes = std::fs::read(file.path()).unwrap();
            let name = [(key.len() as u64).to_le_bytes().as_slice(), key.as_bytes()].concat();
            if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
                bytes[at + name.len() + 4..][..4].copy_from_slice(&value.to_le_bytes());
            } else {
                model.write_with(file.path(), 3, &[(&key["llama.".len()..], Setting::Number(value))], |_| {});
                bytes = std::fs::read(file.path()).unwrap();
            }
            std::fs::write(file.path(), bytes).unwrap();
            let said = Generator::load(file.path(), &options(1)).map(drop).unwrap_err().to_string();
            // A size that is possible by itself is refused by the first tensor that has another.
            assert!(said.contains(key) || said.contains("tensor "), "{key} {value}: {said}");
        }
    }
}

#[test]
fn a_context_longer_than_memory_is_refused_in_numbers() {
    let file = tiny_file(&TinyModel::LLAMA);
    let info = ModelInfo::inspect(file.path()).unwrap();
    let (short, long) = (info.memory(64), info.memory(512));
    assert_eq!(long.kv_bytes, 8 * short.kv_bytes);
    let available = long.total() - 1;
    let load = |context_tokens| {
        let options = LoadOptions { context_tokens, memory_available_bytes: Some(available), ..options(1) };
        Generator::load(file.path(), &options)
    };
    assert_eq!(load(64).unwrap().context_tokens(), 64);
    assert!(load(448).is_ok());
    // More tokens than the model was made for are cut to what it was made for before anything is counted.
    for context_tokens in [449, 512, u32::MAX] {
        let error = load(context_tokens).unwrap_err();
        let EngineError::DoesNotFit { needed_bytes, available_bytes, context_tokens: counted } = error else {
            panic!("{context_tokens}: {error:?}")
        };
        assert_eq!((needed_bytes, available_bytes), (long.total(), available));
        assert_eq!(counted, context_tokens.min(512));
        let said = error.to_string();
        for number in [needed_bytes, available_bytes, counted.into()] {
            assert!(said.contains(&number.to_string()), "{number}: {said}");
        }
    }
}
