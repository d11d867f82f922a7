//! Sound small decoders of every architecture, of sizes that the input chooses.

use cloister_engine::quant::WeightType;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::parts::Parts;
use crate::tiny::{Random, Setting, TinyModel, write_adapter};

/// A decoder of the architecture, the type and the sizes that the input asks for. What does not go together is refused by the
/// engine.
pub fn decoder(input: &mut Unstructured<'_>) -> Result<Parts> {
    Ok(written(&chosen(input)?))
}

fn chosen(input: &mut Unstructured<'_>) -> Result<TinyModel> {
    let model = *input.choose(&TinyModel::ALL)?;
    let layers = 1 + input.int_in_range(0..=2)?;
    let dim = 2 * input.int_in_range(1..=20)?;
    let key_heads = input.int_in_range(1..=3)?;
    let heads = key_heads * input.int_in_range(1..=4usize)?;
    let kind = *input.choose(&WeightType::ALL)?;
    let step = kind.block_values();
    // Most of the time the sizes are whole blocks, so that the file is sound.
    let whole = input.ratio(7, 8)?;
    let mut size = |most: usize| -> Result<usize> {
        let size: usize = input.int_in_range(1..=most)?;
        Ok(if whole { size.next_multiple_of(step) } else { size.next_multiple_of(2) })
    };
    let (width, inner, expert_inner) = (size(80)?, size(80)?, size(40)?);
    // The attention's output matrix reads all heads.
    let kind = if (dim * heads).is_multiple_of(step) && whole { kind } else { WeightType::F32 };
    Ok(TinyModel { layers, dim, heads, key_heads, kind, width, inner, expert_inner, ..model })
}

fn written(model: &TinyModel) -> Parts {
    let path = crate::place("sound");
    model.write(&path, 1);
    let mut parts = Parts::read(&std::fs::read(&path).expect("the file was just written"));
    // Settings stand twice where the architecture's own list changes a common one; the later one counts.
    let mut seen = std::collections::HashSet::new();
    parts.keys.reverse();
    parts.keys.retain(|key| seen.insert(key.name.clone()));
    parts.keys.reverse();
    for key in &mut parts.keys {
        if key.name.ends_with(".expert_feed_forward_length") {
            key.value = (model.expert_inner as u32).to_le_bytes().to_vec();
        }
    }
    parts
}

/// A decoder of ordinary sizes, as a file, and a sound adapter for it.
pub fn decoder_and_adapter(which: usize) -> (Vec<u8>, Parts) {
    const RANK: usize = 3;
    let plain: Vec<_> = TinyModel::ALL.into_iter().filter(|model| model.experts == 0 && model.layers < 10).collect();
    let model = TinyModel {
        kind: [WeightType::F32, WeightType::Q8_0][which % 2],
        width: 64,
        inner: 96,
        layers: 2,
        heads: 4,
        key_heads: 2,
        dim: 32,
        ..plain[which / 2 % plain.len()]
    };
    let decoder = written(&model);
    let mut random = Random::new(2);
    let mut pairs = Vec::new();
    for tensor in &decoder.tensors {
        let [cols, rows] = match *tensor.dims {
            [cols, rows] => [cols as usize, rows as usize],
            _ => continue,
        };
        if tensor.name.starts_with("blk.") || tensor.name == "output.weight" {
            let mut draw = |size: usize| (0..size).map(|_| random.normal() * 0.1).collect::<Vec<_>>();
            pairs.push((format!("{}.lora_a", tensor.name), [cols, RANK], draw(cols * RANK)));
            pairs.push((format!("{}.lora_b", tensor.name), [RANK, rows], draw(rows * RANK)));
        }
    }
    let settings = [
        ("general.type", Setting::Text("adapter")),
        ("general.architecture", Setting::Text(model.architecture)),
        ("adapter.type", Setting::Text("lora")),
        ("adapter.lora.alpha", Setting::Float(4.0)),
    ];
    let path = crate::place("adapter-sound");
    write_adapter(&path, &settings, &pairs);
    (decoder.write(), Parts::read(&std::fs::read(&path).expect("the file was just written")))
}

/// Decoders that [`decoder_and_adapter`] knows.
pub const ADAPTED: usize = 26;
