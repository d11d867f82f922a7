//! Packed weights in files: the same to the bit from wherever they come, and no damaged or foreign file is ever used.

use crate::model::{bits, options, rows, tokens};
use crate::tiny::TinyModel;
use cloister_engine::gguf::GgufFile;
use cloister_engine::packed::{Key, PackedFault, PackedFile};
use cloister_engine::pool::Pool;
use cloister_engine::quant::WeightType;
use cloister_engine::{CancelFlag, EngineError, Generator, KeepPacked, LoadOptions, ModelInfo};
use std::fs;
use std::path::{Path, PathBuf};

/// Something that is done to a file in use.
type Spoil = fn(&fs::File);

/// A model in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
}

/// Where the parts of a file begin; see `engine/src/packed/format.rs`.
const BODY: usize = 4096;
const SMALL: TinyModel =
    TinyModel { kind: WeightType::Q4_0, width: 64, inner: 32, layers: 1, heads: 2, key_heads: 1, ..TinyModel::QWEN2 };

impl Home {
    fn of(model: &TinyModel) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        model.write(&home.model(), 11);
        home
    }

    fn model(&self) -> PathBuf {
        self.folder.path().join("tiny.gguf")
    }

    fn packed(&self) -> PathBuf {
        self.folder.path().join("tiny.gguf.packed")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join("tiny.gguf.packed.partial")
    }

    fn load(&self, keep: KeepPacked) -> Generator {
        Generator::load(&self.model(), &LoadOptions { keep_packed: keep, ..options(2) }).unwrap()
    }

    fn start(&self) -> Generator {
        self.load(KeepPacked::BesideModel)
    }

    /// What the model computes when its weights are packed into memory.
    fn wanted(&self) -> Vec<Vec<u32>> {
        rows(&self.load(KeepPacked::Nowhere), &tokens(20))
    }

    /// The file that a first start writes.
    fn pack(&self) -> Vec<u8> {
        drop(self.start());
        fs::read(self.packed()).unwrap()
    }

    /// A start that must find nothing it can use, say why, and leave a file that the next start uses.
    fn must_pack_anew(&self, wanted: &[Vec<u32>], why: &str) {
        let first = self.start();
        let told = first.packed_weights();
        assert!(told.packed_now && told.file.as_deref() == Some(&self.packed()), "{why}: {told:?}");
        assert!(told.notes.len() == 1 && told.notes[0].contains("was not used"), "{told:?}");
        assert!(told.notes[0].contains(why), "{why}: {told:?}");
        assert_eq!(rows(&first, &tokens(20)), wanted, "{why}");
        drop(first);
        let second = self.start();
        assert!(!second.packed_weights().packed_now, "{why}");
        assert_eq!(rows(&second, &tokens(20)), wanted, "{why}");
    }
}

fn key_of(file: &[u8]) -> Key {
    file[16..48].try_into().unwrap()
}

fn table_start(file: &[u8]) -> usize {
    u64::from_le_bytes(file[48..56].try_into().unwrap()) as usize
}

#[test]
fn weights_are_the_same_to_the_bit_from_memory_a_new_file_and_a_found_one() {
    let kinds = WeightType::ALL.into_iter().map(|kind| TinyModel { kind, ..TinyModel::QWEN2 });
    for model in kinds.chain(TinyModel::ALL) {
        let home = Home::of(&model);
        let name = format!("{} {}", model.architecture, model.kind.name());
        let (wanted, tokens) = (home.wanted(), tokens(20));
        let first = home.start();
        assert!(first.packed_weights().packed_now && first.packed_weights().notes.is_empty(), "{name}");
        assert_eq!(first.packed_weights().file, Some(home.packed()), "{name}");
        assert_eq!(rows(&first, &tokens), wanted, "{name}");
        drop(first);
        let before = fs::read(home.packed()).unwrap();
        let second = home.start();
        assert!(!second.packed_weights().packed_now && second.packed_weights().notes.is_empty(), "{name}");
        assert_eq!(rows(&second, &tokens), wanted, "{name}");
        assert!(fs::read(home.packed()).unwrap() == before && !home.partial().exists(), "{name}");
    }
}

#[test]
fn a_model_may_go_once_it_is_loaded() {
    let home = Home::of(&TinyModel::LLAMA);
    let (wanted, first) = (home.wanted(), home.start());
    fs::remove_file(home.model()).unwrap();
    fs::remove_file(home.packed()).unwrap();
    assert_eq!(rows(&first, &tokens(20)), wanted);
}

#[test]
fn every_changed_byte_is_found() {
    let file = Home::of(&SMALL).pack();
    let (key, pool, table) = (key_of(&file), Pool::new(1), table_start(&file));
    assert!(PackedFile::from_bytes(file.clone(), &key, &pool).is_ok());
    let body = (BODY..table).step_by(131).chain([table - 1]);
    let places: Vec<usize> = (0..BODY).step_by(3).chain(0..128).chain(body).chain(table..file.len()).collect();
    assert!(places.len() > 1000);
    for at in places {
        for bit in [0x01, 0x80] {
            let mut file = file.clone();
            file[at] ^= bit;
            let fault = PackedFile::from_bytes(file, &key, &pool).expect_err(&format!("byte {at} was changed"));
            match at {
                BODY.. if at < table => assert!(matches!(fault, PackedFault::Matrix(_)), "{at}: {fault:?}"),
                _ => assert!(!matches!(fault, PackedFault::Matrix(_)), "{at}: {fault:?}"),
            }
        }
    }
    for length in (0..file.len()).step_by(977).chain([BODY - 1, BODY, table, file.len() - 1]) {
        assert!(PackedFile::from_bytes(file[..length].to_vec(), &key, &pool).is_err(), "{length} bytes");
    }
    assert!(PackedFile::from_bytes([file.clone(), vec![0]].concat(), &key, &pool).is_err());
    let fault = PackedFile::from_bytes(file, &[1; 32], &pool).expect_err("the key is another");
    assert_eq!(fault, PackedFault::Stale);
}

#[test]
fn damaged_files_are_packed_anew() {
    let home = Home::of(&TinyModel::LLAMA);
    let (wanted, file) = (home.wanted(), home.pack());
    let table = table_start(&file);
    let changed = |at: usize| {
        let mut file = file.clone();
        file[at] ^= 4;
        file
    };
    let cases = [
        (changed(3), "no file of packed weights"),
        (changed(9), "another version"),
        (changed(20), "header is damaged"),
        (changed(60), "header is damaged"),
        (changed(300), "header is damaged"),
        (changed(BODY), "are damaged"),
        (changed(table - 1), "are damaged"),
        (changed(table + 7), "table is damaged"),
        (changed(file.len() - 1), "table is damaged"),
        (file[..file.len() - 1].to_vec(), "not whole"),
        (file[..BODY + 5000].to_vec(), "not whole"),
        (file[..100].to_vec(), "not whole"),
        (Vec::new(), "not whole"),
        (b"GGUF".repeat(2000), "no file of packed weights"),
    ];
    for (bytes, why) in cases {
        fs::write(home.packed(), bytes).unwrap();
        home.must_pack_anew(&wanted, why);
    }
}

#[test]
fn files_of_other_models_and_of_a_model_before_it_changed_are_packed_anew() {
    let (home, other) = (Home::of(&TinyModel::LLAMA), Home::of(&TinyModel::LLAMA));
    let (wanted, own) = (home.wanted(), home.pack());
    // The same bytes in another file, which may have been changed and changed back.
    fs::write(home.packed(), other.pack()).unwrap();
    home.must_pack_anew(&wanted, "packed from another file");
    fs::write(home.packed(), Home::of(&TinyModel { inner: 256, ..TinyModel::LLAMA }).pack()).unwrap();
    home.must_pack_anew(&wanted, "packed from another file");
    fs::write(home.packed(), &own).unwrap();
    assert!(!home.start().packed_weights().packed_now);
    // Other weights of the same sizes, in the same file.
    TinyModel::LLAMA.write(&home.model(), 12);
    let changed = home.wanted();
    assert_ne!(changed, wanted);
    home.must_pack_anew(&changed, "packed from another file");
    let later = fs::metadata(home.model()).unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
    fs::File::options().write(true).open(home.model()).unwrap().set_modified(later).unwrap();
    home.must_pack_anew(&changed, "packed from another file");
}

#[test]
fn where_no_file_can_be_written_the_start_is_only_slower() {
    let home = Home::of(&TinyModel::LLAMA);
    let wanted = home.wanted();
    // A folder in the way keeps even the administrator from writing there.
    fs::create_dir(home.partial()).unwrap();
    for _ in 0..2 {
        let generator = home.start();
        let told = generator.packed_weights();
        assert!(told.file.is_none() && told.packed_now && told.notes.len() == 1, "{told:?}");
        assert!(told.notes[0].contains("tiny.gguf.packed was not written: "), "{told:?}");
        assert_eq!(rows(&generator, &tokens(20)), wanted);
    }
    let folder = home.folder.path().join("elsewhere");
    let elsewhere = KeepPacked::BesideModelOr(folder.clone());
    for packed_now in [true, false] {
        let generator = home.load(elsewhere.clone());
        let told = generator.packed_weights();
        let file = told.file.clone().unwrap();
        assert!(file.starts_with(&folder) && told.packed_now == packed_now, "{told:?}");
        assert_eq!(rows(&generator, &tokens(20)), wanted);
        assert!(elsewhere.leavings(&home.model()).contains(&file));
    }
    fs::remove_dir(home.partial()).unwrap();
    fs::create_dir(home.packed()).unwrap();
    let told = home.start().packed_weights().clone();
    assert!(told.file.is_none() && told.notes.len() == 2, "{told:?}");
    assert!(!home.partial().exists(), "what could not get its name is removed");
}

#[test]
fn what_stands_in_the_place_is_never_followed_nor_waited_for() {
    let home = Home::of(&TinyModel::LLAMA);
    let (wanted, good) = (home.wanted(), home.pack());
    let aside = home.folder.path().join("aside");
    for (place, at) in [(home.packed(), "packed"), (home.partial(), "partial")] {
        let _ = fs::remove_file(home.packed());
        fs::write(&aside, &good).unwrap();
        std::os::unix::fs::symlink(&aside, &place).unwrap();
        let generator = home.start();
        assert_eq!(rows(&generator, &tokens(20)), wanted, "{at}");
        assert_eq!(generator.packed_weights().notes.len(), 1, "{at}");
        assert!(fs::read(&aside).unwrap() == good, "{at}: the linked file was written to");
        let _ = fs::remove_file(&place);
    }
    let pipe = std::process::Command::new("mkfifo").arg(home.packed()).status();
    if !pipe.is_ok_and(|status| status.success()) {
        eprintln!("passed over: a pipe in the place of packed weights (no mkfifo)");
        return;
    }
    home.must_pack_anew(&wanted, "not a regular file");
    fs::remove_file(home.model()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(home.model()).status().unwrap().success());
    assert!(matches!(Generator::load(&home.model(), &options(1)), Err(EngineError::Io { .. })));
}

#[test]
fn one_writes_and_the_others_do_without() {
    let home = Home::of(&TinyModel::LLAMA);
    let wanted = home.wanted();
    // As another process does that is writing: what it has begun is locked.
    fs::write(home.partial(), b"begun").unwrap();
    let writing = fs::File::options().write(true).open(home.partial()).unwrap();
    writing.try_lock().unwrap();
    let generator = home.start();
    let told = generator.packed_weights();
    assert!(told.file.is_none() && told.notes[0].contains("another process is writing it"), "{told:?}");
    assert_eq!(rows(&generator, &tokens(20)), wanted);
    assert_eq!(fs::read(home.partial()).unwrap(), b"begun");
    // It ends early and leaves what it has begun.
    drop(writing);
    assert!(home.start().packed_weights().file.is_some() && !home.partial().exists());
    fs::remove_file(home.packed()).unwrap();
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..6).map(|_| scope.spawn(|| rows(&home.start(), &tokens(20)))).collect();
        loads.into_iter().for_each(|load| assert_eq!(load.join().unwrap(), wanted));
    });
    let told = home.start().packed_weights().clone();
    assert!(!told.packed_now && told.notes.is_empty() && !home.partial().exists(), "{told:?}");
}

#[test]
fn weights_that_are_cut_short_or_changed_in_use_answer_nothing() {
    let cut = |file: &fs::File| file.set_len(5000).unwrap();
    let change = |file: &fs::File| std::os::unix::fs::FileExt::write_all_at(file, b"other", 6000).unwrap();
    for (spoil, why) in [(cut as Spoil, "shorter"), (change, "changed")] {
        let home = Home::of(&TinyModel::LLAMA);
        let (wanted, generator) = (home.wanted(), home.start());
        let (mut sequence, cancel) = (generator.sequence(), CancelFlag::new());
        generator.prefill(&mut sequence, &tokens(20), &cancel).unwrap();
        assert_eq!(bits(generator.logits(&sequence)), wanted[19]);
        generator.check_weights().unwrap();
        spoil(&fs::File::options().write(true).open(home.packed()).unwrap());
        for error in [generator.prefill(&mut sequence, &[1], &cancel), generator.check_weights()] {
            assert!(matches!(&error, Err(EngineError::Damaged { what, .. }) if what.contains(why)), "{why}: {error:?}");
        }
        assert_eq!(sequence.len(), 20, "a pass that failed adds nothing");
        home.must_pack_anew(&wanted, if why == "shorter" { "not whole" } else { "are damaged" });
        assert!(generator.check_weights().is_err(), "the new file is not the old one");
    }
}

#[test]
fn a_model_file_that_becomes_shorter_is_refused_and_kills_nobody() {
    let home = Home::of(&TinyModel::LLAMA);
    let length = fs::metadata(home.model()).unwrap().len();
    for left in [0, 4096, length / 2, length - 4096] {
        TinyModel::LLAMA.write(&home.model(), 11);
        let file = GgufFile::open(&home.model()).unwrap();
        fs::File::options().write(true).open(home.model()).unwrap().set_len(left).unwrap();
        let sum: u64 = file.tensors().flat_map(|tensor| tensor.bytes).map(|&byte| u64::from(byte)).sum();
        assert!(sum < u64::MAX);
        let error = file.check().expect_err("it is shorter").to_string();
        assert!(
            error.contains("tiny.gguf") && error.contains("shorter") && error.contains(&left.to_string()),
            "{error}"
        );
        drop(file);
        match Generator::load(&home.model(), &options(1)) {
            Err(EngineError::Damaged { .. }) => {}
            other => panic!("{left}: {other:?}"),
        }
        assert!(!home.packed().exists());
    }
}

#[test]
fn weights_that_do_not_fit_are_mapped_or_refused() {
    let home = Home::of(&TinyModel { inner: 8192, layers: 4, ..TinyModel::LLAMA });
    let need = ModelInfo::inspect(&home.model()).unwrap().memory(512);
    let short = |keep| LoadOptions { memory_available_bytes: Some(need.total() - 1), keep_packed: keep, ..options(2) };
    assert!(matches!(
        Generator::load(&home.model(), &short(KeepPacked::Nowhere)),
        Err(EngineError::DoesNotFit { needed_bytes, .. }) if needed_bytes == need.total()
    ));
    let mapped = Generator::load(&home.model(), &short(KeepPacked::BesideModel)).unwrap();
    assert_eq!(rows(&mapped, &tokens(20)), home.wanted());
    let shorter = LoadOptions {
        memory_available_bytes: Some(need.mapped_total() - 1),
        keep_packed: KeepPacked::BesideModel,
        ..options(2)
    };
    assert!(matches!(Generator::load(&home.model(), &shorter), Err(EngineError::DoesNotFit { .. })));
}

#[test]
fn a_file_is_as_long_as_the_estimate_says() {
    for model in TinyModel::ALL {
        let home = Home::of(&model);
        let (file, info) = (home.pack().len() as u64, ModelInfo::inspect(&home.model()).unwrap());
        let room = info.packed_bytes + (1 << 20);
        assert!(file < room && file > info.packed_bytes * 9 / 10, "{}: {file} of {room}", model.architecture);
    }
}

#[test]
fn a_model_reached_by_a_link_has_one_file() {
    let home = Home::of(&SMALL);
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("linked.gguf");
    std::os::unix::fs::symlink(home.model(), &link).unwrap();
    let load = |path: &Path| {
        let options = LoadOptions { keep_packed: KeepPacked::BesideModel, ..options(1) };
        Generator::load(path, &options).unwrap().packed_weights().clone()
    };
    assert!(load(&link).packed_now && !load(&home.model()).packed_now && home.packed().is_file());
    assert_eq!(fs::read_dir(links.path()).unwrap().count(), 1);
}
