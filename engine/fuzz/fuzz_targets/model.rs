//! A small model of any architecture, changed in its settings, shapes, types and bytes: refused, or loaded and run. What
//! runs gives the same logits token by token and in one piece, and with every set of kernels.
#![no_main]

use cloister_engine::kernels::Kernels;
use cloister_engine::{CancelFlag, Generator, KeepPacked, KvForm, LoadOptions};
use cloister_engine_fuzz::{edits, models, place};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// The logits after some tokens, in one piece or in several. A sequence that went astray before and was cut back must not
/// show it.
fn logits(model: &Generator, form: KvForm, tokens: &[u32], at_once: usize) -> Option<Vec<f32>> {
    let cancel = CancelFlag::new();
    let mut sequence = model.sequence_of(None, form).ok()?;
    for (at, piece) in tokens.chunks(at_once).enumerate() {
        if at == 1 {
            let length = sequence.len();
            model.prefill(&mut sequence, &[tokens[0]], &cancel).ok()?;
            sequence.truncate(length);
        }
        model.prefill(&mut sequence, piece, &cancel).ok()?;
    }
    Some(model.logits(&sequence).to_vec())
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let spoils = input.ratio(1, 16)?;
    let context_tokens = *input.choose(&[4, 5, 64, 300, u32::MAX])?;
    let available = Kernels::available();
    let kernels = available[input.choose_index(available.len())?];
    let compares = input.ratio(1, 4)?;
    let form = if input.ratio(1, 2)? { KvForm::Bits8 } else { KvForm::Bits16 };
    let mut parts = models::decoder(input)?;
    edits::edit(&mut parts, input)?;
    let mut bytes = parts.write();
    if spoils {
        bytes = edits::spoil(bytes, input)?;
    }
    let path = place("model.gguf");
    std::fs::write(&path, bytes).expect("there is room for a small file");
    let options =
        LoadOptions { threads: 1, context_tokens, memory_available_bytes: None, keep_packed: KeepPacked::Nowhere };
    let Ok(model) = Generator::load_with(&path, &options, kernels) else { return Ok(()) };
    let last = model.vocabulary() as u32 - 1;
    let tokens = [0, last, 1.min(last), last / 2];
    let Some(whole) = logits(&model, form, &tokens, 4) else { return Ok(()) };
    if whole.iter().all(|logit| logit.is_finite()) {
        let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
        let single = logits(&model, form, &tokens, 1).expect("there was room before");
        assert_eq!(bits(&whole), bits(&single), "one by one");
        if compares {
            drop(model);
            for kernels in available {
                let model = Generator::load_with(&path, &options, kernels).expect("it loaded before");
                let other = logits(&model, form, &tokens, 3).expect("there was room before");
                assert_eq!(bits(&whole), bits(&other), "{}", kernels.name());
            }
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});
