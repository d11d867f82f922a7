//! A small adapter, changed in its settings, shapes, types and bytes, for a sound model: refused, or loaded and run. What
//! runs gives the same logits token by token and in one piece, and leaves sequences without it alone.
#![no_main]

use std::sync::OnceLock;

use cloister_engine::{CancelFlag, Generator, KeepPacked, LoadOptions, Sequence};
use cloister_engine_fuzz::parts::Parts;
use cloister_engine_fuzz::{edits, models, place};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const TOKENS: [u32; 5] = [0, 256, 1, 128, 3];

/// A model, a sound adapter for it, and the model's own logits.
type Base = (Generator, Parts, Vec<u32>);

fn bases() -> Vec<Base> {
    let options =
        LoadOptions { threads: 1, context_tokens: 16, memory_available_bytes: None, keep_packed: KeepPacked::Nowhere };
    let load = |which| {
        let (model, adapter) = models::decoder_and_adapter(which);
        let path = place("model.gguf");
        std::fs::write(&path, model).expect("there is room for a small file");
        let model = Generator::load(&path, &options).expect("a sound model");
        let logits = bits(&logits(&model, model.sequence(), 5));
        (model, adapter, logits)
    };
    (0..models::ADAPTED).map(load).collect()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

fn logits(model: &Generator, mut sequence: Sequence, at_once: usize) -> Vec<f32> {
    for piece in TOKENS.chunks(at_once) {
        model.prefill(&mut sequence, piece, &CancelFlag::new()).expect("there is room for the tokens");
    }
    model.logits(&sequence).to_vec()
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    let bases = BASES.get_or_init(bases);
    let (model, adapter, plain) = &bases[input.choose_index(bases.len())?];
    let strength = if input.ratio(7, 8)? { 1.0 } else { f32::arbitrary(input)? };
    let spoils = input.ratio(1, 8)?;
    let mut parts = adapter.clone();
    edits::edit(&mut parts, input)?;
    let mut bytes = parts.write();
    if spoils {
        bytes = edits::spoil(bytes, input)?;
    }
    let path = place("adapter.gguf");
    std::fs::write(&path, bytes).expect("there is room for a small file");
    let Ok(adapter) = model.load_adapter(&path, strength) else { return Ok(()) };
    let sequence = || model.sequence_with(&adapter).expect("the adapter was loaded for this model");
    let whole = logits(model, sequence(), 5);
    if whole.iter().all(|logit| logit.is_finite()) {
        assert_eq!(bits(&whole), bits(&logits(model, sequence(), 1)), "one by one");
    }
    assert_eq!(*plain, bits(&logits(model, model.sequence(), 2)), "without the adapter");
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});
