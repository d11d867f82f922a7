//! A small encoder as a GGUF file or as a folder, changed in its settings, shapes, types and bytes: refused, or loaded and
//! run. What runs gives a text the same vector alone and in company.
#![no_main]

use std::path::PathBuf;

use cloister_engine::kernels::Kernels;
use cloister_engine::{Encoder, ModelInfo};
use cloister_engine_fuzz::encoders::{self, Sizes};
use cloister_engine_fuzz::{edits, place};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("there is room for a small file");
}

/// Writes a folder and says where it is.
fn folder(sizes: Sizes, spoils: bool, input: &mut Unstructured<'_>) -> Result<PathBuf> {
    let folder = place("encoder");
    std::fs::create_dir_all(folder.join("1_Pooling")).expect("a place for files");
    let (mut config, mut parts) = sizes.folder();
    encoders::edit_config(&mut config, input)?;
    let pooling = ["mean_tokens", "cls_token", "lasttoken", "max_tokens"];
    let pooling = format!("{{\"pooling_mode_{}\": true}}", input.choose(&pooling)?);
    let longest = format!("{{\"max_seq_length\": {}}}", input.choose(&["0", "3", "16", "-1", "18446744073709551615"])?);
    let tokenizer = if input.ratio(1, 2)? { encoders::tokenizer_json() } else { String::new() };
    edits::edit(&mut parts, input)?;
    let mut tensors = encoders::safetensors(&parts, input)?;
    let mut files =
        [serde_json::Value::Object(config).to_string(), encoders::vocabulary(), tokenizer, pooling, longest]
            .map(String::into_bytes);
    if spoils {
        let which = input.choose_index(files.len() + 1)?;
        match files.get_mut(which) {
            Some(file) => *file = edits::spoil(std::mem::take(file), input)?,
            None => tensors = edits::spoil(tensors, input)?,
        }
    }
    let names = ["config.json", "vocab.txt", "tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json"];
    for (name, bytes) in names.iter().zip(files) {
        let path = folder.join(name);
        if bytes.is_empty() { drop(std::fs::remove_file(path)) } else { write(path, bytes) }
    }
    write(folder.join("model.safetensors"), tensors);
    Ok(folder)
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let spoils = input.ratio(1, 6)?;
    let is_folder = input.ratio(1, 2)?;
    let available = Kernels::available();
    let kernels = available[input.choose_index(available.len())?];
    let sizes = Sizes::chosen(input)?;
    let path = if is_folder {
        folder(sizes, spoils, input)?
    } else {
        let mut parts = sizes.gguf();
        edits::edit(&mut parts, input)?;
        let bytes = parts.write();
        let path = place("encoder.gguf");
        write(path.clone(), if spoils { edits::spoil(bytes, input)? } else { bytes });
        path
    };
    let _ = ModelInfo::inspect(&path);
    let Ok(encoder) = Encoder::load_with(&path, 1, kernels) else { return Ok(()) };
    let texts = ["a b abs, words", "", "ab"];
    let vectors = encoder.embed(&texts).expect("texts can be embedded");
    for (text, vector) in texts.iter().zip(&vectors) {
        assert_eq!(vector.len(), encoder.dimension());
        if vector.iter().all(|value| value.is_finite()) {
            assert_eq!(*vector, encoder.embed(&[text]).expect("texts can be embedded")[0], "{text:?} alone");
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});
