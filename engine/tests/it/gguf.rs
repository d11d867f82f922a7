//! The GGUF reader against sound and hostile files.

use cloister_engine::gguf::{GgufFile, TensorType, limits};
use cloister_engine::{ChatTemplate, EngineError, ModelInfo, Tokenizer};
use proptest::prelude::*;

use crate::gguf_writer::Writer;

fn open(writer: &Writer) -> Result<GgufFile, EngineError> {
    GgufFile::from_bytes(writer.bytes.clone())
}

/// The message with which a file is refused.
fn refusal(writer: &Writer) -> String {
    match open(writer) {
        Ok(file) => panic!("accepted: {:?}", file.keys().collect::<Vec<_>>()),
        Err(error @ (EngineError::Damaged { .. } | EngineError::Unsupported { .. })) => error.to_string(),
        Err(other) => panic!("refused, but for an odd reason: {other}"),
    }
}

fn sound(version: u32) -> Writer {
    Writer::head(version, 2, 6)
        .key_text("general.architecture", "llama")
        .key_u32("llama.block_count", 7)
        .key_flag("tokenizer.ggml.add_bos_token", true)
        .key_texts("tokenizer.ggml.tokens", &[b"a", b"\xff\xfe", b""])
        .key_i32s("tokenizer.ggml.token_type", &[1, 3, 1])
        .key_f32s("tokenizer.ggml.scores", &[0.5, -1.0, 0.0])
        .tensor("a.weight", &[32, 2], 8, 0)
        .tensor("b.bias", &[3], 0, 96)
        .data(32, 96 + 12)
}

#[test]
fn sound_files_of_both_versions() {
    for version in [2, 3] {
        let file = open(&sound(version)).unwrap();
        assert_eq!(file.version(), version);
        assert_eq!(file.require_text("general.architecture").unwrap(), "llama");
        assert_eq!(file.require_u32("llama.block_count").unwrap(), 7);
        assert_eq!(file.flag("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
        assert_eq!(file.u32("no.such.key").unwrap(), None);
        let tokens = file.strings("tokenizer.ggml.tokens").unwrap().unwrap();
        assert_eq!(tokens.iter().collect::<Vec<_>>(), [b"a".as_slice(), b"\xff\xfe", b""]);
        assert_eq!(file.unsigned_list("tokenizer.ggml.token_type").unwrap(), Some(vec![1, 3, 1]));
        assert_eq!(file.unsigned_list("llama.block_count").unwrap(), Some(vec![7]));
        assert_eq!(file.f32_list("tokenizer.ggml.scores").unwrap(), Some(vec![0.5, -1.0, 0.0]));
        let first = file.tensor("a.weight").unwrap();
        assert_eq!((first.kind, first.columns(), first.rows(), first.bytes.len()), (TensorType::Q8_0, 32, 2, 68));
        assert_eq!(first.row_bytes(), 34);
        let second = file.require_tensor("b.bias").unwrap();
        assert_eq!((second.dims, second.bytes.len()), ([3].as_slice(), 12));
        assert_eq!(second.bytes, &sound(version).bytes[file.data_start() as usize + 96..][..12]);
        assert!(file.require_tensor("c").is_err());
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused_when_asked_for() {
    let file = open(&sound(3)).unwrap();
    assert!(file.text("llama.block_count").is_err());
    assert!(file.u32("general.architecture").is_err());
    assert!(file.flag("llama.block_count").is_err());
    assert!(file.strings("tokenizer.ggml.scores").is_err());
    assert!(file.f32_list("tokenizer.ggml.tokens").is_err());
    assert!(file.unsigned_list("tokenizer.ggml.scores").is_err());
    let minus = Writer::head(3, 0, 1).text(b"n").u32(5).raw(&(-1i32).to_le_bytes());
    assert!(open(&minus).unwrap().u32("n").is_err());
    let large = Writer::head(3, 0, 1).text(b"n").u32(10).u64(1 << 32);
    assert!(open(&large).unwrap().u32("n").is_err());
    let nan = Writer::head(3, 0, 1).text(b"n").u32(6).raw(&f32::NAN.to_le_bytes());
    assert!(open(&nan).unwrap().f32("n").is_err());
    let bytes = Writer::head(3, 0, 1).text(b"n").u32(8).text(b"\xff");
    assert!(open(&bytes).unwrap().text("n").is_err());
}

/// Each row: what is wrong, the file, and words of the refusal.
type Hostile = (&'static str, Writer, &'static str);

/// Heads, keys and values.
fn hostile_metadata() -> Vec<Hostile> {
    let key = |kind: u32| Writer::head(3, 0, 1).text(b"k").u32(kind);
    let aligned = |value: u32| Writer::head(3, 0, 1).key_u32("general.alignment", value);
    vec![
        ("empty", Writer::default(), "ends within the magic"),
        ("other magic", Writer::default().raw(b"GGML").u32(3), "not a GGUF"),
        ("no version", Writer::default().raw(b"GGUF"), "ends within the version"),
        ("version 1", Writer::head(1, 0, 0), "version 1"),
        ("version 4", Writer::head(4, 0, 0), "version 4"),
        ("big-endian", Writer::head(3u32.swap_bytes(), 0, 0), "big-endian"),
        ("2^63 tensors", Writer::head(3, 1 << 63, 0), "tensors"),
        ("2^64-1 keys", Writer::head(3, 0, u64::MAX), "metadata entries"),
        ("more keys than bytes", Writer::head(3, 0, 60_000), "ends within"),
        ("more tensors than bytes", Writer::head(3, 60_000, 0), "ends within"),
        ("key of 2^64-1 bytes", Writer::head(3, 0, 1).u64(u64::MAX), "a metadata key claims"),
        ("key past the end", Writer::head(3, 0, 1).u64(100).raw(b"abc"), "ends within a metadata key"),
        ("key not UTF-8", Writer::head(3, 0, 1).text(b"\xff").u32(4).u32(1), "not UTF-8"),
        ("value type 13", key(13).u64(0), "unknown value type 13"),
        ("value type 2^32-1", key(u32::MAX), "unknown value type"),
        ("flag of 2", key(7).u8(2), "a flag holds 2"),
        ("text of 2^63 bytes", key(8).u64(1 << 63), "claims"),
        ("text past the end", key(8).u64(1 << 20), "ends within a text value"),
        ("array of 2^30 bytes", key(9).u32(0).u64(1 << 30), "an array claims"),
        ("array of 2^63 values", key(9).u32(10).u64(1 << 63), "an array claims"),
        ("array of numbers past the end", key(9).u32(12).u64(1 << 20), "ends within an array"),
        ("array of texts past the end", key(9).u32(8).u64(1 << 20), "more than the file can hold"),
        ("array of arrays", key(9).u32(9).u64(1), "array of arrays"),
        ("array of an unknown type", key(9).u32(77).u64(1), "unknown value type"),
        ("key twice", Writer::head(3, 0, 2).key_u32("k", 1).key_u32("k", 2), "occurs twice"),
        ("alignment 0", aligned(0), "general.alignment"),
        ("alignment 48", aligned(48), "general.alignment"),
        ("alignment 2^31", aligned(1 << 31), "general.alignment"),
        ("alignment of text", Writer::head(3, 0, 1).key_text("general.alignment", "32"), "general.alignment"),
    ]
}

/// Tensors: dimensions, types, places, names.
fn hostile_tensors() -> Vec<Hostile> {
    let one = |dims: &[u64], kind: u32, offset: u64| Writer::head(3, 1, 0).tensor("t", dims, kind, offset).data(32, 64);
    let two = |first: u64, second: u64| {
        Writer::head(3, 2, 0).tensor("t", &[8], 0, first).tensor("u", &[8], 0, second).data(32, 96)
    };
    vec![
        ("no dimensions", one(&[], 0, 0), "dimensions"),
        ("five dimensions", one(&[1, 1, 1, 1, 1], 0, 0), "dimensions"),
        ("2^32-1 dimensions", Writer::head(3, 1, 0).text(b"t").u32(u32::MAX), "dimensions"),
        ("dimension 0", one(&[4, 0], 0, 0), "impossible dimensions"),
        ("elements overflow", one(&[1 << 32, 1 << 32], 0, 0), "impossible dimensions"),
        ("bytes overflow", one(&[1 << 62, 1], 28, 0), "impossible dimensions"),
        ("product wraps to little", one(&[1 << 63, 2], 0, 0), "impossible dimensions"),
        ("no whole block", one(&[31], 2, 0), "impossible dimensions"),
        ("type removed", one(&[32], 4, 0), "number 4"),
        ("type out of range", one(&[32], 1000, 0), "number 1000"),
        ("tensor beyond the file", one(&[17], 0, 0), "beyond the file"),
        ("offset beyond the file", one(&[1], 0, 1 << 20), "beyond the file"),
        ("offset wraps", one(&[8], 0, u64::MAX - 31), "beyond the file"),
        ("offset not aligned", one(&[1], 0, 4), "not aligned"),
        (
            "tensor name too long",
            Writer::head(3, 1, 0).tensor(&"n".repeat(65), &[1], 0, 0).data(32, 4),
            "a tensor name claims",
        ),
        ("tensor name not UTF-8", Writer::head(3, 1, 0).text(b"\xc0").u32(1).u64(1).u32(0).u64(0), "not UTF-8"),
        (
            "tensor name twice",
            Writer::head(3, 2, 0).tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).data(32, 64),
            "occurs twice",
        ),
        ("tensors overlap", two(0, 0), "overlap"),
        (
            "tensors overlap in part",
            Writer::head(3, 2, 0).tensor("t", &[16], 0, 0).tensor("u", &[8], 0, 32).data(32, 96),
            "overlap",
        ),
        ("no data at all", Writer::head(3, 1, 0).tensor("t", &[8], 0, 0), "beyond the file"),
    ]
}

#[test]
fn hostile_files_are_refused_by_name() {
    for (what, writer, words) in hostile_metadata().into_iter().chain(hostile_tensors()) {
        let message = refusal(&writer);
        assert!(message.contains(words), "{what}: {message}");
    }
}

#[test]
fn the_largest_allowed_and_one_more() {
    let name = "n".repeat(limits::NAME_BYTES_MAX as usize);
    assert!(open(&Writer::head(3, 1, 0).tensor(&name, &[1], 0, 0).data(32, 4)).is_ok());
    let aligned = Writer::head(3, 0, 1).key_u32("general.alignment", limits::ALIGNMENT_MAX as u32);
    assert!(open(&aligned).is_ok());
    let text = vec![b'x'; limits::TEXT_BYTES_MAX as usize + 1];
    assert!(open(&Writer::head(3, 0, 1).text(b"k").u32(8).text(&text[1..])).is_ok());
    assert!(refusal(&Writer::head(3, 0, 1).text(b"k").u32(8).text(&text)).contains("claims"));
    let mut long = Writer::head(3, 0, 5);
    for number in 0..5 {
        long = long.text(format!("k{number}").as_bytes()).u32(8).text(&text[1..]);
    }
    assert!(refusal(&long).contains("header is longer"));
}

#[test]
fn every_cut_of_a_sound_file_is_refused() {
    let whole = sound(3).bytes;
    for length in 0..whole.len() {
        assert!(GgufFile::from_bytes(whole[..length].to_vec()).is_err(), "{length} of {}", whole.len());
    }
}

#[test]
fn paths_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(GgufFile::open(folder.path()), Err(EngineError::Io { .. })));
    assert!(matches!(GgufFile::open(&folder.path().join("none")), Err(EngineError::Io { .. })));
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(GgufFile::open(&empty), Err(EngineError::Damaged { .. })));
}

/// Everything that may be asked of a file; whatever it answers, it must not panic and must stay inside the file.
fn touch_everything(bytes: Vec<u8>) {
    let Ok(file) = GgufFile::from_bytes(bytes) else { return };
    let mut sum = 0u64;
    for tensor in file.tensors() {
        assert_eq!(tensor.bytes.len(), tensor.rows() * tensor.row_bytes());
        sum += tensor.bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
    for key in file.keys() {
        sum += file.strings(key).ok().flatten().map_or(0, |texts| texts.iter().map(|text| text.len() as u64).sum());
        sum += file.f32_list(key).ok().flatten().map_or(0, |list| list.len() as u64);
    }
    assert!(sum < u64::MAX);
    let _ = ModelInfo::from_gguf(&file).map(|info| info.memory(u32::MAX).total());
    let _ = Tokenizer::from_gguf(&file).map(|tokenizer| tokenizer.vocabulary());
    let _ = ChatTemplate::from_gguf(&file);
}

fn small_model() -> Vec<u8> {
    Writer::head(3, 1, 10)
        .key_text("general.architecture", "llama")
        .key_u32("llama.block_count", 1)
        .key_u32("llama.embedding_length", 32)
        .key_u32("llama.attention.head_count", 2)
        .key_u32("llama.context_length", 64)
        .key_text("tokenizer.ggml.model", "gpt2")
        .key_texts("tokenizer.ggml.tokens", &[b"a", b"b", b"ab", b"<|im_end|>"])
        .key_i32s("tokenizer.ggml.token_type", &[1, 1, 1, 3])
        .key_texts("tokenizer.ggml.merges", &[b"a b"])
        .key_text("tokenizer.chat_template", "{{ messages[0].content }}")
        .tensor("t", &[32], 8, 0)
        .data(32, 34)
        .bytes
}

proptest! {
    #[test]
    fn mutated_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), shorten in any::<bool>()) {
        for mut bytes in [sound(2).bytes, small_model()] {
            for (place, value) in &changes {
                let at = place.index(bytes.len());
                bytes[at] = *value;
            }
            if shorten {
                bytes.truncate(cut.index(bytes.len()));
            }
            touch_everything(bytes);
        }
    }

    #[test]
    fn counts_of_any_size_never_panic(place in any::<prop::sample::Index>(), value in any::<u64>()) {
        for mut bytes in [sound(3).bytes, small_model()] {
            let at = place.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            touch_everything(bytes);
        }
    }
}

#[test]
fn the_sound_small_model_is_whole() {
    let file = GgufFile::from_bytes(small_model()).unwrap();
    let info = ModelInfo::from_gguf(&file).unwrap();
    assert_eq!((info.layers, info.embedding_length, info.parameters, info.vocabulary), (1, 32, 32, 4));
    assert_eq!(info.quantisation, "Q8_0");
    assert!(ChatTemplate::from_gguf(&file).unwrap().is_some());
    assert_eq!(Tokenizer::from_gguf(&file).unwrap().vocabulary(), 4);
}
