//! Any bytes as a GGUF file: refused or read, never a panic nor a byte outside the file.

use cloister_engine::gguf::GgufFile;
use cloister_engine::{ChatTemplate, ModelInfo, Special, Tokenizer};

pub fn check(bytes: &[u8]) {
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
        // Which tokens steer is for the file to say; one that has no word for `a` gives its unknown token.
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary()));
        let _ = tokenizer.decode(&ids);
        let _ = tokenizer.decode(&tokenizer.encode_prompt("<s> ab", Special::Parse));
        (0..tokenizer.vocabulary() as u32).for_each(|id| drop((tokenizer.token_name(id), tokenizer.token_bytes(id))));
    }
}
