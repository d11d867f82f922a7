//! Tokenizers: reference tokens, safety of control tokens, bounds, streaming.

use std::path::PathBuf;

use cloister_engine::gguf::GgufFile;
use cloister_engine::{EngineError, Special, TokenId, Tokenizer};
use proptest::prelude::*;
use serde_json::Value;

use crate::gguf_writer::Writer;
use crate::models_at_hand::{QWEN, SMOLLM2, model};

/// A byte-level vocabulary: the letters below, some merges of them, and tokens of other kinds.
fn small_bpe(pre: &str) -> Tokenizer {
    let tokens: &[&[u8]] = &[
        b"<|endoftext|>",
        b"<|im_end|>",
        b"<tool>",
        "Ġ".as_bytes(),
        b"a",
        b"b",
        b"c",
        b"ab",
        b"abc",
        "Ġab".as_bytes(),
        b"<",
        b">",
        b"|",
        "Ċ".as_bytes(),
        b"im_end",
        b"aa",
        b"aaaa",
    ];
    let kinds = [3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let merges: &[&[u8]] = &[b"a b", "Ġ ab".as_bytes(), b"ab c", b"a a", b"aa aa"];
    let file = Writer::head(3, 0, 7)
        .key_text("tokenizer.ggml.model", "gpt2")
        .key_text("tokenizer.ggml.pre", pre)
        .key_texts("tokenizer.ggml.tokens", tokens)
        .key_i32s("tokenizer.ggml.token_type", &kinds)
        .key_texts("tokenizer.ggml.merges", merges)
        .key_u32("tokenizer.ggml.bos_token_id", 0)
        .key_flag("tokenizer.ggml.add_bos_token", true);
    Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
}

/// A SentencePiece vocabulary with byte tokens 3 to 258.
fn small_spm(space_prefix: bool) -> Tokenizer {
    let mut tokens: Vec<Vec<u8>> = [b"<unk>".to_vec(), b"<s>".to_vec(), b"</s>".to_vec()].to_vec();
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>").into_bytes()));
    let words = ["▁", "a", "b", "ab", "▁a", "▁ab", "<", "s", ">", "<s", "aa", "aaaa"];
    tokens.extend(words.iter().map(|word| word.as_bytes().to_vec()));
    let mut scores = vec![0.0; 259];
    scores.extend((0..words.len()).map(|rank| -(rank as f32)));
    let mut kinds = vec![2, 3, 3];
    kinds.resize(259, 6);
    kinds.resize(tokens.len(), 1);
    let texts: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let file = Writer::head(3, 0, 6)
        .key_text("tokenizer.ggml.model", "llama")
        .key_texts("tokenizer.ggml.tokens", &texts)
        .key_f32s("tokenizer.ggml.scores", &scores)
        .key_i32s("tokenizer.ggml.token_type", &kinds)
        .key_flag("tokenizer.ggml.add_eos_token", true)
        .key_flag("tokenizer.ggml.add_space_prefix", space_prefix);
    Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
}

/// Byte-pair encoding of characters, with byte tokens 4 to 259.
fn small_raw_bpe() -> Tokenizer {
    let mut tokens: Vec<Vec<u8>> = ["<pad>", "<eos>", "<bos>", "<unk>"].map(|text| text.as_bytes().to_vec()).to_vec();
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>").into_bytes()));
    let words = ["▁", "a", "b", "ab", "▁a", "▁ab", "\n", "\n\n", "é", "▁▁", "aa", "aaaa"];
    tokens.extend(words.iter().map(|word| word.as_bytes().to_vec()));
    let mut kinds = vec![3, 3, 3, 3];
    kinds.resize(260, 6);
    kinds.resize(tokens.len(), 1);
    let texts: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let merges = ["a b", "▁ ab", "▁ a", "▁ ▁", "a a", "aa aa"].map(str::as_bytes);
    let file = Writer::head(3, 0, 5)
        .key_text("tokenizer.ggml.model", "gemma4")
        .key_texts("tokenizer.ggml.tokens", &texts)
        .key_i32s("tokenizer.ggml.token_type", &kinds)
        .key_texts("tokenizer.ggml.merges", &merges)
        .key_u32("tokenizer.ggml.bos_token_id", 2);
    Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
}

/// A Unigram vocabulary without a map of characters.
fn small_unigram() -> Tokenizer {
    let tokens: &[&[u8]] =
        &["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "ab", "aab", "▁a", "<", ">"].map(str::as_bytes);
    let scores = [0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -3.0, -4.0, -5.0, -5.5, -4.5, -6.0, -6.0];
    let kinds = [3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let file = Writer::head(3, 0, 10)
        .key_text("tokenizer.ggml.model", "t5")
        .key_texts("tokenizer.ggml.tokens", tokens)
        .key_f32s("tokenizer.ggml.scores", &scores)
        .key_i32s("tokenizer.ggml.token_type", &kinds)
        .key_flag("tokenizer.ggml.add_space_prefix", true)
        .key_flag("tokenizer.ggml.remove_extra_whitespaces", true)
        .key_flag("tokenizer.ggml.add_bos_token", true)
        .key_u32("tokenizer.ggml.bos_token_id", 0)
        .key_u32("tokenizer.ggml.eos_token_id", 2)
        .key_u32("tokenizer.ggml.unknown_token_id", 3);
    Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
}

fn small_bert() -> Tokenizer {
    let tokens: &[&[u8]] =
        &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a", "b", "▁ab", "▁<", "▁[", "▁sep", "▁]"].map(str::as_bytes);
    let file = Writer::head(3, 0, 6)
        .key_text("tokenizer.ggml.model", "bert")
        .key_texts("tokenizer.ggml.tokens", tokens)
        .key_i32s("tokenizer.ggml.token_type", &[3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1])
        .key_u32("tokenizer.ggml.unknown_token_id", 1)
        .key_u32("tokenizer.ggml.cls_token_id", 2)
        .key_u32("tokenizer.ggml.seperator_token_id", 3);
    Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
}

#[test]
fn characters_by_rank_with_bytes_for_the_rest() {
    let tokenizer = small_raw_bpe();
    let (byte, word) = (4, 260);
    let rows: &[(&str, &[TokenId])] = &[
        ("ab ab a", &[word + 3, word + 5, word + 4]),
        ("  a\n\n\nb", &[word, word + 4, word + 6, word + 6, word + 6, word + 2]),
        ("a\n\nb", &[word + 1, word + 7, word + 2]),
        ("éß", &[word + 8, byte + 0xc3, byte + 0x9f]),
        ("<eos>", &[byte + 0x3c, byte + 0x65, byte + 0x6f, byte + 0x73, byte + 0x3e]),
    ];
    for (text, wanted) in rows {
        assert_eq!(&tokenizer.encode(text, Special::AsText), wanted, "{text:?}");
        assert_eq!(&tokenizer.decode(wanted), text);
    }
    assert_eq!(tokenizer.encode_prompt("<eos>a", Special::Parse), [2, 1, word + 1]);
}

#[test]
fn unigrams_by_likelihood() {
    let tokenizer = small_unigram();
    let rows: &[(&str, Special, &[TokenId])] = &[
        ("ab", Special::AsText, &[7]),
        // ▁ + aab costs 7.5, ▁a + ab 9.5.
        ("  aab  a ", Special::AsText, &[4, 9, 10]),
        ("xyz a", Special::AsText, &[4, 3, 10]),
        ("</s>", Special::AsText, &[4, 11, 3, 12]),
        ("a</s>", Special::Parse, &[10, 2]),
        ("", Special::AsText, &[]),
    ];
    for (text, special, wanted) in rows {
        assert_eq!(&tokenizer.encode(text, *special), wanted, "{text:?}");
    }
    assert_eq!(tokenizer.encode_prompt("ab", Special::AsText), [0, 7, 2]);
    assert_eq!(tokenizer.decode(&[7, 10]), "ab a");
}

#[test]
fn word_pieces_of_a_gguf_file() {
    let tokenizer = small_bert();
    let rows: &[(&str, Special, &[TokenId])] = &[
        ("Abb a", Special::AsText, &[6, 5, 4]),
        ("ac áb", Special::AsText, &[1, 6]),
        ("[SEP]", Special::AsText, &[8, 9, 10]),
        ("a[SEP]", Special::Parse, &[4, 3]),
    ];
    for (text, special, wanted) in rows {
        assert_eq!(&tokenizer.encode(text, *special), wanted, "{text:?}");
    }
    assert_eq!(tokenizer.encode_prompt("", Special::AsText), [2, 3]);
}

#[test]
fn longer_special_texts_go_first_and_some_take_white_space_along() {
    let read = |name: &str| {
        let tokens: &[&[u8]] = &[b"<s>", b"<unk>", b"<a>", b"<a><b>", b"<b><c><d>", b"a", b" ", b"\xc4\xa0"];
        let file = Writer::head(3, 0, 5)
            .key_text("general.name", name)
            .key_text("tokenizer.ggml.model", "gpt2")
            .key_texts("tokenizer.ggml.tokens", tokens)
            .key_i32s("tokenizer.ggml.token_type", &[3, 2, 3, 3, 4, 1, 1, 1])
            .key_texts("tokenizer.ggml.merges", &[]);
        Tokenizer::from_gguf(&GgufFile::from_bytes(file.bytes).unwrap()).unwrap()
    };
    let rows: &[(&str, &str, &[TokenId])] = &[
        ("x", "<a><b><c><d>a", &[2, 4, 5]),
        ("x", "<a><b><c>a", &[3, 5]),
        ("x", "<a> \n a", &[2, 7, 7, 5]),
        ("Phi-3 mini", "<a> \n a", &[2, 5]),
        ("Phi-3 mini", "<s> a", &[0, 7, 5]),
    ];
    for (name, text, wanted) in rows {
        assert_eq!(&read(name).encode(text, Special::Parse), wanted, "{name} {text:?}");
    }
}

/// The fixtures of llama.cpp (`NAME.gguf.inp`, `.out`) are the tokens that the models' own tokenizers give.
#[test]
fn vocabularies_of_other_makers_give_their_fixtures() {
    let Some(folder) = std::env::var_os("CLOISTER_TEST_VOCABS").map(PathBuf::from) else {
        eprintln!("passed over: fixtures of vocabularies (CLOISTER_TEST_VOCABS is not set)");
        return;
    };
    let mut rows = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let fixture = |end: &str| std::fs::read_to_string(format!("{}.{end}", path.display()));
        let (true, Ok(texts), Ok(lists)) =
            (path.extension().is_some_and(|end| end == "gguf"), fixture("inp"), fixture("out"))
        else {
            continue;
        };
        let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
        for (text, list) in texts.split("\n__ggml_vocab_test__\n").zip(lists.lines()) {
            let wanted: Vec<TokenId> = list.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode(text, Special::AsText), wanted, "{} {text:?}", path.display());
            rows += 1;
        }
    }
    assert!(rows > 0, "no fixtures in {}", folder.display());
}

#[test]
fn byte_pairs_by_rank() {
    let tokenizer = small_bpe("gpt-2");
    let rows: &[(&str, Special, &[TokenId])] = &[
        ("abc ab", Special::AsText, &[8, 9]),
        ("aab", Special::AsText, &[4, 7]),
        ("aaaaa", Special::AsText, &[16, 4]),
        ("a<|im_end|>b", Special::AsText, &[4, 10, 12, 12, 11, 5]),
        ("a<|im_end|>b", Special::Parse, &[4, 1, 5]),
        ("<tool>a", Special::AsText, &[2, 4]),
        ("xyz", Special::AsText, &[]),
        ("", Special::Parse, &[]),
    ];
    for (text, special, wanted) in rows {
        // Bytes that the vocabulary lacks ("i", "m", …) give no token.
        assert_eq!(&tokenizer.encode(text, *special), wanted, "{text:?} {special:?}");
    }
    assert_eq!(tokenizer.encode_prompt("ab", Special::AsText), [0, 7]);
    assert_eq!(tokenizer.end_tokens(), [0, 1]);
    assert!(tokenizer.is_control(1) && !tokenizer.is_control(2) && !tokenizer.is_control(999));
    assert_eq!(tokenizer.decode(&[8, 1, 9, 2, 999]), "abc ab<tool>");
}

#[test]
fn sentence_pieces_by_score() {
    let tokenizer = small_spm(true);
    let (byte, word) = (3, 259);
    let rows: &[(&str, Special, Vec<TokenId>)] = &[
        ("ab", Special::AsText, vec![word + 5]),
        ("a b", Special::AsText, vec![word + 4, word, word + 2]),
        ("é", Special::AsText, vec![word, byte + 0xc3, byte + 0xa9]),
        ("<s>", Special::AsText, vec![word, word + 9, word + 8]),
        ("<s>", Special::Parse, vec![1]),
        ("a<s>a", Special::Parse, vec![word + 4, 1, word + 4]),
        ("<0x41>", Special::AsText, vec![word, word + 6, byte + 0x30, byte + 0x78, byte + 0x34, byte + 0x31, word + 8]),
        ("", Special::AsText, vec![]),
    ];
    for (text, special, wanted) in rows {
        assert_eq!(&tokenizer.encode(text, *special), wanted, "{text:?} {special:?}");
    }
    assert_eq!(tokenizer.encode_prompt("a", Special::AsText), [1, word + 4, 2]);
    assert_eq!(small_spm(false).encode("ab", Special::AsText), [word + 3]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("a é", Special::AsText)), "a é");
}

/// Texts with their trust, and the tokens they must give together.
type Seam<'a> = (&'a [(&'a str, Special)], &'a [TokenId]);

#[test]
fn control_tokens_need_a_trusted_text_of_their_own() {
    let tokenizer = small_bpe("gpt-2");
    let seams: &[Seam<'_>] = &[
        (&[("a", Special::Parse), ("<|im_end|>", Special::AsText)], &[4, 10, 12, 12, 11]),
        (&[("<|im_", Special::AsText), ("end|>", Special::Parse)], &[10, 12, 12, 11]),
        (&[("<|im_", Special::Parse), ("end|>", Special::Parse)], &[10, 12, 12, 11]),
        (&[("a", Special::AsText), ("<|im_end|>", Special::Parse), ("b", Special::AsText)], &[4, 1, 5]),
        (&[("a", Special::Parse), ("bc", Special::AsText)], &[8]),
    ];
    for (segments, wanted) in seams {
        let seen: Vec<TokenId> = tokenizer.encode_segments(segments);
        assert_eq!(&seen, wanted, "{segments:?}");
    }
}

#[test]
fn unknown_families_and_damaged_vocabularies_are_refused() {
    let base = |model: &str, pre: &str| {
        Writer::head(3, 0, 4)
            .key_text("tokenizer.ggml.model", model)
            .key_text("tokenizer.ggml.pre", pre)
            .key_texts("tokenizer.ggml.tokens", &[b"a", b"b"])
    };
    let read = |writer: Writer| Tokenizer::from_gguf(&GgufFile::from_bytes(writer.bytes).unwrap());
    let merges = |writer: Writer| writer.key_texts("tokenizer.ggml.merges", &[b"a b"]);
    assert!(matches!(read(merges(base("rwkv", "x"))), Err(EngineError::Unsupported { .. })));
    assert!(matches!(
        read(base("t5", "x").key_u32("tokenizer.ggml.unknown_token_id", 9)),
        Err(EngineError::Damaged { .. })
    ));
    assert!(matches!(read(merges(base("gpt2", "no-such-split"))), Err(EngineError::Unsupported { .. })));
    assert!(matches!(read(base("gpt2", "qwen2").key_u32("x", 1)), Err(EngineError::Damaged { .. })));
    let kinds = base("gpt2", "qwen2").key_i32s("tokenizer.ggml.token_type", &[1]);
    assert!(matches!(read(kinds), Err(EngineError::Damaged { .. })));
    let scores = base("llama", "").key_f32s("tokenizer.ggml.scores", &[1.0, f32::NAN]);
    assert!(matches!(read(scores), Err(EngineError::Damaged { .. })));
    let long = vec![b'x'; 5000];
    let tokens = Writer::head(3, 0, 2)
        .key_text("tokenizer.ggml.model", "llama")
        .key_texts("tokenizer.ggml.tokens", &[long.as_slice()]);
    assert!(matches!(read(tokens), Err(EngineError::Damaged { .. })));
    // Special ids outside the vocabulary count as not given.
    let outside = base("llama", "").key_u32("tokenizer.ggml.eos_token_id", 77);
    assert_eq!(read(outside).unwrap().eos(), None);
}

#[test]
fn a_megabyte_without_a_break_is_no_trouble() {
    // WordPiece makes one unknown token of a long word; the others give it back.
    let families = [
        (small_bpe("gpt-2"), true),
        (small_bpe("qwen2"), true),
        (small_spm(true), true),
        (small_raw_bpe(), true),
        (small_unigram(), true),
        (small_bert(), false),
    ];
    for (tokenizer, gives_back) in families {
        for pattern in ["a", "ab", "<", "<|im_end|", "<tool>", "<<<<|im_end|>"] {
            let text = pattern.repeat((1 << 20) / pattern.len());
            let ids = tokenizer.encode(&text, Special::Parse);
            assert!(!ids.is_empty());
            if pattern == "a" && gives_back {
                assert_eq!(tokenizer.decode(&ids), text);
            }
        }
    }
}

#[test]
fn the_tokens_of_smollm2_are_those_of_llama_cpp() {
    let Some(path) = model("tokens of SmolLM2", SMOLLM2) else { return };
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
    let golden = include_str!("golden/tokens_smollm2.jsonl");
    let mut rows = 0;
    for line in golden.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = row["text"].as_str().unwrap();
        let special = if row["special"] == true { Special::Parse } else { Special::AsText };
        let wanted: Vec<TokenId> = serde_json::from_value(row["tokens"].clone()).unwrap();
        assert_eq!(tokenizer.encode_prompt(text, special), wanted, "{text:?}");
        rows += 1;
    }
    assert!(rows > 200, "{rows}");
}

#[test]
fn real_vocabularies_give_back_what_went_in() {
    let Some(path) = model("round trip of Qwen tokens", QWEN) else { return };
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let check = |text: String| {
        let ids = tokenizer.encode(&text, Special::AsText);
        prop_assert_eq!(tokenizer.decode(&ids), text.as_str());
        prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
        let mut stream = tokenizer.stream();
        let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
        streamed.push_str(&stream.finish());
        prop_assert_eq!(streamed, text.as_str());
        Ok(())
    };
    runner.run(&any::<String>(), check).unwrap();
    runner.run(&"(<\\|im_(start|end)\\|>|<\\|endoftext\\|>|[ \\n\\ta-z0-9é漢🙂]){0,40}", check).unwrap();
}

#[test]
fn a_stream_hands_out_whole_characters_only() {
    let tokenizer = small_spm(true);
    let byte = |value: TokenId| 3 + value;
    let mut stream = tokenizer.stream();
    let ids = [byte(0xf0), byte(0x9f), byte(0x99), byte(0x82), byte(0xe2), byte(0x41), byte(0x80), 260, byte(0xc3)];
    let texts: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
    assert_eq!(texts, ["", "", "", "🙂", "", "\u{fffd}A", "\u{fffd}", "a", ""]);
    assert_eq!(stream.finish(), "\u{fffd}");
}

proptest! {
    #[test]
    fn text_never_becomes_control(text in "(<\\|im_end\\|>|<\\|endoftext\\|>|<s>|</s>|<unk>|[a-c <>|]){0,30}") {
        for tokenizer in [small_bpe("smollm"), small_bpe("default"), small_spm(true), small_spm(false)] {
            let ids = tokenizer.encode(&text, Special::AsText);
            prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id)), "{text:?} {ids:?}");
        }
    }

    #[test]
    fn one_text_equals_one_segment(text in "(<\\|im_end\\|>|<tool>|[a-c <>|]){0,30}") {
        let tokenizer = small_bpe("qwen2");
        for special in [Special::AsText, Special::Parse] {
            prop_assert_eq!(tokenizer.encode(&text, special), tokenizer.encode_segments(&[(&text, special)]));
        }
    }
}
