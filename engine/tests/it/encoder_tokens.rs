//! Tokenizers of encoders in the Hugging Face layout: Unigrams, byte pairs, and the tokens around texts.

use cloister_engine::{EncoderTokenizer, EngineError, PairTokens, TokenId};
use serde_json::{Value, json};

/// A map of characters in which A becomes "a" and é becomes "e", in base64.
fn charsmap() -> String {
    let mut units = vec![0u32; 0x200];
    units[0] = 0x100 << 10;
    let (upper, first) = (0x100 ^ 0x41, 0x100 ^ 0xc3);
    units[upper] = 0x41 | 1 << 8 | ((upper as u32 ^ 0x10) << 10);
    units[0x10] = 1 << 31;
    units[first] = 0xc3 | (first as u32 ^ 0x20 ^ 0xa9) << 10;
    units[0x20] = 0xa9 | 1 << 8 | (0x20 ^ 0x11) << 10;
    units[0x11] = 1 << 31 | 2;
    let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(b"a\0e\0");
    bytes.chunks(3).fold(String::new(), |mut text, group| {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at) & 63) as usize;
            let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            text.push(if at <= group.len() { char::from(table[six]) } else { '=' });
        }
        text
    })
}

#[test]
fn a_unigram_of_the_hugging_face_layout() {
    let folder = tempfile::tempdir().unwrap();
    let write = |normalizer: Value, model: Value| {
        let special = |id: u32, text: &str| json!({"id": id, "content": text, "special": true});
        let file = json!({
            "added_tokens": [special(0, "<s>"), special(1, "<pad>"), special(2, "</s>"), special(3, "<unk>")],
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}]},
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
                "pair": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}},
                    {"SpecialToken": {"id": "</s>"}}, {"Sequence": {"id": "B"}}, {"SpecialToken": {"id": "</s>"}}],
                "special_tokens": {"<s>": {"ids": [0]}, "</s>": {"ids": [2]}}},
            "model": model,
        });
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        EncoderTokenizer::read(folder.path())
    };
    let vocab = json!([
        ["<s>", 0.0],
        ["<pad>", 0.0],
        ["</s>", 0.0],
        ["<unk>", 0.0],
        ["▁", -2.0],
        ["a", -3.0],
        ["e", -3.0],
        ["▁ae", -4.0],
        ["é", -0.1]
    ]);
    let model = json!({"type": "Unigram", "unk_id": 3, "vocab": vocab});
    let precompiled = json!({"type": "Precompiled", "precompiled_charsmap": charsmap()});
    let unigram = write(precompiled.clone(), model.clone()).unwrap();
    let rows: &[(&str, usize, &[TokenId])] = &[
        ("Aé\u{2003}a", 99, &[0, 7, 4, 5, 2]),
        ("</s>", 99, &[0, 4, 3, 2]),
        ("a a a a", 5, &[0, 4, 5, 4, 2]),
        ("", 99, &[0, 2]),
    ];
    for (text, max, wanted) in rows {
        assert_eq!(&unigram.encode(text, *max), wanted, "{text:?}");
    }
    let pair = unigram.pair(&unigram.pieces("ae"), &unigram.pieces("a"), 99);
    assert_eq!(pair, PairTokens { tokens: vec![0, 7, 2, 2, 4, 5, 2], second: 7 });
    assert_eq!((unigram.count("ae a"), unigram.largest_id()), (3, 8));
    let unsupported = |outcome| matches!(outcome, Err(EngineError::Unsupported { .. }));
    let damaged = |outcome| matches!(outcome, Err(EngineError::Damaged { .. }));
    assert!(unsupported(write(json!({"type": "NFKC"}), model.clone())));
    assert!(unsupported(write(precompiled.clone(), json!({"type": "WordLevel", "vocab": {}}))));
    assert!(damaged(write(precompiled.clone(), json!({"type": "Unigram", "unk_id": 9, "vocab": vocab}))));
    let cut = json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="});
    assert!(damaged(write(cut, model)));
}

/// A byte-level vocabulary: all bytes, then some merges; four added tokens, of which the last is special.
fn byte_pairs(change: &dyn Fn(&mut Value)) -> Result<EncoderTokenizer, EngineError> {
    // The alphabet of GPT-2: printable bytes stand for themselves, the others follow from 256 on.
    let mut others = 0x100..;
    let alphabet: Vec<char> = (0..=255u8)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => char::from_u32(others.next().unwrap()).unwrap(),
        })
        .collect();
    let mut vocab: serde_json::Map<String, Value> =
        alphabet.iter().enumerate().map(|(byte, c)| (c.to_string(), json!(byte))).collect();
    for (text, id) in ["ab", "Ġab", "abc", "<x>"].into_iter().zip(256..) {
        vocab.insert(text.to_owned(), json!(id));
    }
    let added = |id: u32, content: &str, special: bool, normalized: bool| {
        json!({"id": id, "content": content, "special": special, "normalized": normalized, "single_word": false,
            "lstrip": false, "rstrip": false})
    };
    let mut file = json!({
        "added_tokens": [added(260, "  ", false, true), added(261, "    ", false, true), added(262, "|E|", false, false),
            added(259, "<x>", true, false)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["<x>", 259], "cls": ["|E|", 262]},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "vocab": vocab, "merges": ["a b", "Ġ ab", ["ab", "c"]]},
    });
    change(&mut file);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    EncoderTokenizer::read(folder.path())
}

#[test]
fn byte_pairs_of_the_hugging_face_layout() {
    let tokenizer = byte_pairs(&|_| ()).unwrap();
    let rows: &[(&str, &[TokenId])] = &[
        ("ab abc", &[256, 257, 99]),
        ("abcab", &[258, 256]),
        ("a       |E|b", &[97, 261, 260, 32, 262, 98]),
        ("<x>", &[60, 120, 62]),
        ("e\u{301}", &[0xc3, 0xa9]),
        ("", &[]),
    ];
    for (text, wanted) in rows {
        assert_eq!(&tokenizer.pieces(text), wanted, "{text:?}");
    }
    assert_eq!(tokenizer.encode("ab abc", 99), [262, 256, 257, 99, 259]);
    assert_eq!(tokenizer.encode("ab abc", 4), [262, 256, 257, 259]);
    let pair = tokenizer.pair(&tokenizer.pieces("ab"), &tokenizer.pieces("c"), 99);
    assert_eq!(pair, PairTokens { tokens: vec![262, 256, 259, 259, 99, 259], second: 6 });
    assert_eq!((tokenizer.largest_id(), tokenizer.pair_frame_tokens()), (262, 4));
    let spaced = byte_pairs(&|file| file["pre_tokenizer"]["add_prefix_space"] = json!(true)).unwrap();
    assert_eq!(spaced.pieces("ab ab|E|ab"), [257, 257, 262, 257]);
    let whole = byte_pairs(&|file| {
        file["model"]["vocab"]["xyz"] = json!(270);
        file["model"]["ignore_merges"] = json!(true);
    });
    assert_eq!(whole.unwrap().pieces("xyz xyz"), [270, 32, 120, 121, 122]);
    let digits = byte_pairs(&|file| {
        let level = file["pre_tokenizer"].clone();
        file["pre_tokenizer"] =
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, level]});
        file["model"]["merges"] = json!(["1 2"]);
        file["model"]["vocab"]["12"] = json!(270);
    });
    assert_eq!(digits.unwrap().pieces("12"), [49, 50]);
}

#[test]
fn byte_pairs_that_are_not_known_are_refused_by_name() {
    let set = |pointer: &'static str, value: Value| {
        move |file: &mut Value| *file.pointer_mut(pointer).unwrap() = value.clone()
    };
    let split = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]});
    type Change = Box<dyn Fn(&mut Value)>;
    let rows: Vec<(Change, &str)> = vec![
        (Box::new(set("/normalizer", json!({"type": "NFKC"}))), "NFKC"),
        (Box::new(set("/pre_tokenizer", json!({"type": "Whitespace"}))), "Whitespace"),
        (Box::new(set("/pre_tokenizer", split)), "x+"),
        (Box::new(set("/post_processor", json!({"type": "Other"}))), "Other"),
        (Box::new(set("/model/dropout", json!(0.1))), "dropout"),
        (Box::new(set("/model/continuing_subword_prefix", json!("##"))), "continuing_subword_prefix"),
        (Box::new(set("/model/type", json!("WordLevel"))), "WordLevel"),
        (Box::new(set("/model/vocab/ab", json!(1 << 30))), "1073741825 tokens"),
        (Box::new(set("/added_tokens/0/single_word", json!(true))), "single_word"),
        (Box::new(set("/post_processor/cls", json!([1]))), "cls of RobertaProcessing"),
        (
            Box::new(|file| {
                file["model"]["unk_token"] = json!("<x>");
                file["model"]["vocab"].as_object_mut().unwrap().remove("!");
            }),
            "unknown token",
        ),
        (
            Box::new(set(
                "/post_processor",
                json!({"type": "TemplateProcessing", "special_tokens": {},
                    "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}]}),
            )),
            "<x>",
        ),
    ];
    for (change, name) in rows {
        let error = byte_pairs(&*change).unwrap_err().to_string();
        assert!(error.contains(name), "{error} instead of {name}");
    }
}

#[test]
fn templates_say_the_types_of_texts() {
    let template = |first: u64, second: u64, pair: &[&str]| {
        byte_pairs(&|file| {
            let item = |text: &str| match text {
                "A" => json!({"Sequence": {"id": "A", "type_id": first}}),
                "B" => json!({"Sequence": {"id": "B", "type_id": second}}),
                other => json!({"SpecialToken": {"id": other, "type_id": 0}}),
            };
            file["post_processor"] = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"},
                {"type": "TemplateProcessing", "single": [item("<x>"), item("A"), item("|E|")],
                "pair": pair.iter().map(|text| item(text)).collect::<Vec<_>>(),
                "special_tokens": {"<x>": {"ids": [259]}, "|E|": {"ids": [262]}}}]});
        })
    };
    let usual = ["<x>", "A", "|E|", "B", "|E|"];
    let tokenizer = template(0, 1, &usual).unwrap();
    assert_eq!(tokenizer.pair(&[1], &[2], 9), PairTokens { tokens: vec![259, 1, 262, 2, 262], second: 3 });
    assert_eq!(template(0, 0, &usual).unwrap().pair(&[1], &[2], 9).second, 5);
    assert!(template(1, 0, &usual).is_err());
    assert!(template(0, 1, &["<x>", "B", "|E|", "A", "|E|"]).is_err());
    assert!(template(0, 1, &["<x>", "A", "|E|", "B"]).is_err());
}
