//! Any bytes as a GGUF file: refused or read, never a panic nor a byte outside the file.
#![no_main]

use cloister_engine::gguf::GgufFile;
use cloister_engine::{ChatTemplate, ModelInfo, Special, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = GgufFile::from_bytes(bytes.to_vec()) else { return };
    for tensor in file.tensors() {
        assert_eq!(tensor.bytes.len(), tensor.rows() * tensor.row_bytes());
        std::hint::black_box(tensor.bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)));
    }
    let keys: Vec<String> = file.keys().map(str::to_owned).collect();
    for key in &keys {
        let _ = (file.text(key), file.unsigned(key), file.f32(key), file.flag(key), file.f32_list(key));
        let _ = file.strings(key).map(|list| list.map(|texts| texts.iter().map(<[u8]>::len).sum::<usize>()));
    }
    let _ = ModelInfo::from_gguf(&file).map(|info| info.memory(4096).total());
    let _ = ChatTemplate::from_gguf(&file);
    if let Ok(tokenizer) = Tokenizer::from_gguf(&file) {
        let ids = tokenizer.encode("ab <|im_end|> 12\n", Special::AsText);
        assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
        let _ = tokenizer.decode(&ids);
    }
});
