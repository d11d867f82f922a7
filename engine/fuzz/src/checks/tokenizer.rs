//! Any text through each family of tokenizers: no panic, no control token out of text, byte-level text given back, and
//! a text in one piece the same as in one segment. Any bytes as the file of a tokenizer: refused or read.

use std::sync::OnceLock;

use cloister_engine::gguf::GgufFile;
use cloister_engine::{Special, Tokenizer};

const SPLITS: [&str; 18] = [
    "default",
    "gpt-2",
    "smollm",
    "falcon",
    "llama-bpe",
    "qwen2",
    "qwen35",
    "seed-coder",
    "minicpm5",
    "laguna",
    "gpt-4o",
    "tekken",
    "kimi-k2",
    "deepseek-v3",
    "deepseek-llm",
    "deepseek-coder",
    "bloom",
    "viking",
];

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn list(out: &mut Vec<u8>, key: &str, kind: u32, len: usize) {
    text(out, key);
    out.extend(9u32.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
}

/// A GGUF file of nothing but a tokenizer.
fn file(model: &str, pre: &str, tokens: &[(String, i32)], merges: &[&str]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.extend(8u64.to_le_bytes());
    for (key, value) in [("model", model), ("pre", pre)] {
        text(&mut out, &format!("tokenizer.ggml.{key}"));
        out.extend(8u32.to_le_bytes());
        text(&mut out, value);
    }
    list(&mut out, "tokenizer.ggml.tokens", 8, tokens.len());
    tokens.iter().for_each(|(token, _)| text(&mut out, token));
    list(&mut out, "tokenizer.ggml.token_type", 5, tokens.len());
    tokens.iter().for_each(|(_, kind)| out.extend(kind.to_le_bytes()));
    list(&mut out, "tokenizer.ggml.scores", 6, tokens.len());
    (0..tokens.len()).for_each(|at| out.extend((-((at % 97) as f32)).to_le_bytes()));
    list(&mut out, "tokenizer.ggml.merges", 8, merges.len());
    merges.iter().for_each(|line| text(&mut out, line));
    for key in ["unknown_token_id", "cls_token_id"] {
        text(&mut out, &format!("tokenizer.ggml.{key}"));
        out.extend(4u32.to_le_bytes());
        out.extend(0u32.to_le_bytes());
    }
    out
}

/// The alphabet of GPT-2, or bytes as texts, with control tokens, tokens of any text, and a few merges.
fn tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let special = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<|im_end|>", 3), ("<tool>", 4), ("<to", 4), ("  ", 4)];
    let special = special.map(|(text, kind)| (text.to_owned(), kind));
    let visible = (0x21..=0x7e).chain(0xa1..=0xac).chain(0xae..=0xff).chain(0x100..=0x143);
    let alphabet = visible.filter_map(char::from_u32).map(|c| (c.to_string(), 1));
    let merges = ["a b", "ab c", "Ġ a", "a a", "aa aa", "Ġ Ġ", "Ċ Ċ", "Ã ©", "s s", "ss ss", "ssss ssss"];
    let merged = merges.map(|line| (line.replace(' ', ""), 1));
    let byte_level: Vec<_> = special.iter().cloned().chain(alphabet).chain(merged).collect();
    let bytes = (0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), 6));
    let words = ["▁", "a", "b", "ab", "▁a", "▁ab", "▁▁", "é", "é▁", "aa", "aaaa", "<", "s", ">", "</", "\n", "\n\n"];
    let words = words.map(|word| (word.to_owned(), 1));
    let pieces: Vec<_> = special.into_iter().chain(bytes).chain(words).collect();
    let lines = ["a b", "▁ ab", "▁ a", "▁ ▁", "a a", "aa aa", "é ▁"];
    let read = |bytes| Tokenizer::from_gguf(&GgufFile::from_bytes(bytes).expect("a whole file")).expect("a tokenizer");
    let splits = SPLITS.iter().map(|&pre| ("bytes", read(file("gpt2", pre, &byte_level, &merges))));
    let others = [("gemma4", "any"), ("llama", "any"), ("t5", "unknown"), ("bert", "unknown")];
    splits.chain(others.map(|(model, what)| (what, read(file(model, "gemma4", &pieces, &lines))))).collect()
}

/// One tokenizer of each kind, with what to expect of it.
pub(super) fn all() -> &'static [(&'static str, Tokenizer)] {
    static TOKENIZERS: OnceLock<Vec<(&str, Tokenizer)>> = OnceLock::new();
    TOKENIZERS.get_or_init(tokenizers)
}

pub fn check(text: &str) {
    for (kind, tokenizer) in all() {
        let ids = tokenizer.encode(text, Special::AsText);
        // The unknown token is of those that steer, and what some families give for what they do not know.
        assert!(ids.iter().all(|&id| !tokenizer.is_control(id) || id == 0 && *kind == "unknown"), "{text:?}");
        if *kind == "bytes" {
            assert_eq!(tokenizer.decode(&ids), text);
        }
        assert_eq!(tokenizer.encode_segments(&[(text, Special::AsText)]), ids);
        let _ = tokenizer.decode(&tokenizer.encode(text, Special::Parse));
    }
}
