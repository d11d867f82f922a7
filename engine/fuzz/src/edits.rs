//! The changes that an input asks for.

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};

use crate::parts::{BYTES_MAX, FLAG, FLOAT, Key, LIST, NUMBER, Parts, TEXT, Tensor, bytes_of, list_value, text_value};

/// Most changes of one file.
const EDITS_MAX: usize = 12;

/// Settings of decoders that files may or may not have, without the architecture's name.
const SETTINGS: [&str; 40] = [
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "block_count",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.key_length",
    "attention.value_length",
    "attention.causal",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.temperature_scale",
    "attention.temperature_length",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_gating_func",
    "expert_weights_norm",
    "expert_weights_scale",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.finetuned",
    "pooling_type",
    "hidden_activation",
];
/// Texts that settings have, and one that none has.
const TEXTS: [&str; 24] = [
    "llama",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "mistral3",
    "gemma2",
    "gemma3",
    "phi3",
    "granite",
    "smollm3",
    "gpt-oss",
    "bert",
    "nomic-bert",
    "modern-bert",
    "none",
    "linear",
    "yarn",
    "longrope",
    "gpt2",
    "t5",
    "gelu",
    "adapter",
    "lora",
    "{% for m in messages %}{{ m.content }}{% endfor %}",
];
/// Numbers at which something changes or breaks.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    3,
    7,
    16,
    24,
    32,
    64,
    255,
    256,
    1024,
    1 << 20,
    i32::MAX as u64,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
const FLOATS: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-30,
    1e30,
    f32::MAX,
    f32::MIN_POSITIVE,
    1e-45,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    4.0,
];

fn number(input: &mut Unstructured<'_>) -> Result<u64> {
    match input.int_in_range(0..=2)? {
        0 => Ok(u64::from(u8::arbitrary(input)?)),
        1 => Ok(u64::from(u16::arbitrary(input)?)),
        _ => input.choose(&NUMBERS).copied(),
    }
}

fn float(input: &mut Unstructured<'_>) -> Result<f32> {
    if bool::arbitrary(input)? { f32::arbitrary(input) } else { input.choose(&FLOATS).copied() }
}

/// A value of any kind.
fn value(input: &mut Unstructured<'_>) -> Result<(u32, Vec<u8>)> {
    Ok(match input.int_in_range(0..=7)? {
        0 | 1 => (NUMBER, (number(input)? as u32).to_le_bytes().to_vec()),
        2 => (FLOAT, float(input)?.to_le_bytes().to_vec()),
        3 => (FLAG, vec![input.int_in_range(0..=2)?]),
        4 => (TEXT, text_value(input.choose(&TEXTS)?)),
        5 => (10, number(input)?.to_le_bytes().to_vec()),
        kind => {
            let count = input.int_in_range(0..=6)?;
            let mut items = Vec::new();
            for _ in 0..count {
                match kind {
                    6 => items.extend((number(input)? as u32).to_le_bytes()),
                    _ => items.extend(float(input)?.to_le_bytes()),
                }
            }
            (LIST, list_value(if kind == 6 { NUMBER } else { FLOAT }, count, &items))
        }
    })
}

/// Changes the parts of a file as the input says.
pub fn edit(parts: &mut Parts, input: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            break;
        }
        if bool::arbitrary(input)? { edit_keys(parts, input)? } else { edit_tensors(parts, input)? }
    }
    Ok(())
}

fn edit_keys(parts: &mut Parts, input: &mut Unstructured<'_>) -> Result<()> {
    if parts.keys.is_empty() {
        return Ok(());
    }
    let at = input.choose_index(parts.keys.len())?;
    match input.int_in_range(0..=7)? {
        0..=2 => (parts.keys[at].kind, parts.keys[at].value) = value(input)?,
        3 => drop(parts.keys.remove(at)),
        4 | 5 => {
            let architecture = parts.keys.iter().find(|key| key.name == "general.architecture");
            // The value may be no text any more.
            let text = |key: &Key| String::from_utf8_lossy(key.value.get(8..).unwrap_or_default()).into_owned();
            let architecture = architecture.map_or("llama".into(), text);
            let name = format!("{architecture}.{}", input.choose(&SETTINGS)?);
            let (kind, value) = value(input)?;
            parts.keys.retain(|key| key.name != name);
            parts.keys.push(Key { name, kind, value });
        }
        6 => parts.keys[at].kind = input.int_in_range(0..=13)?,
        _ => {
            // A byte of the value; lengths of texts and lists are among them.
            let bytes = &mut parts.keys[at].value;
            if !bytes.is_empty() {
                let place = input.choose_index(bytes.len())?;
                bytes[place] = u8::arbitrary(input)?;
            }
        }
    }
    Ok(())
}

fn edit_tensors(parts: &mut Parts, input: &mut Unstructured<'_>) -> Result<()> {
    if parts.tensors.is_empty() {
        return Ok(());
    }
    let at = input.choose_index(parts.tensors.len())?;
    let other = input.choose_index(parts.tensors.len())?;
    match input.int_in_range(0..=8)? {
        0 => set_dimension(&mut parts.tensors[at], input, false)?,
        1 | 2 => set_dimension(&mut parts.tensors[at], input, true)?,
        3 => set_type(&mut parts.tensors[at], input)?,
        4 => drop(parts.tensors.remove(at)),
        5 => {
            let mut copy = parts.tensors[at].clone();
            copy.name = parts.tensors[other].name.replace("weight", input.choose(&["bias", "weight", "x"])?);
            parts.tensors.push(copy);
        }
        6 => {
            let name = parts.tensors[other].name.clone();
            parts.tensors[other].name = std::mem::replace(&mut parts.tensors[at].name, name);
        }
        7 => fill(&mut parts.tensors[at], input)?,
        _ => {
            let data = &mut parts.tensors[at].data;
            if !data.is_empty() {
                let place = input.choose_index(data.len())?;
                data[place] = u8::arbitrary(input)?;
            }
        }
    }
    Ok(())
}

/// Another size of a dimension, a dimension more or one less; the bytes follow where they are to.
fn set_dimension(tensor: &mut Tensor, input: &mut Unstructured<'_>, follow: bool) -> Result<()> {
    match input.int_in_range(0..=5)? {
        0 => tensor.dims.push(number(input)?),
        1 => drop(tensor.dims.pop()),
        _ => {
            if !tensor.dims.is_empty() {
                let place = input.choose_index(tensor.dims.len())?;
                tensor.dims[place] = number(input)?;
            }
        }
    }
    if follow {
        fit(tensor);
    }
    Ok(())
}

/// Another type, and bytes enough for it.
fn set_type(tensor: &mut Tensor, input: &mut Unstructured<'_>) -> Result<()> {
    tensor.kind = input.int_in_range(0..=42)?;
    if bool::arbitrary(input)? {
        fit(tensor);
    }
    Ok(())
}

/// As many bytes as the tensor's dimensions and type ask for.
fn fit(tensor: &mut Tensor) {
    if let Some(length) = bytes_of(&tensor.dims, tensor.kind, BYTES_MAX) {
        let before = tensor.data.len().max(1);
        tensor.data.resize(before.min(length), 0);
        while tensor.data.len() < length {
            let more = tensor.data.len().max(1).min(length - tensor.data.len());
            if tensor.data.is_empty() {
                tensor.data.push(1);
            } else {
                tensor.data.extend_from_within(..more);
            }
        }
    }
}

/// The same two bytes everywhere: zeros, infinities, numbers that are none.
fn fill(tensor: &mut Tensor, input: &mut Unstructured<'_>) -> Result<()> {
    let pair = *input.choose(&[[0, 0], [0xff, 0xff], [0, 0x7c], [0x80, 0x7f], [0, 0xfc], [0xff, 0x7b], [1, 0]])?;
    tensor.data.iter_mut().enumerate().for_each(|(at, byte)| *byte = pair[at % 2]);
    Ok(())
}

/// The file with a few of its bytes changed, or cut short, as the input says.
pub fn spoil(mut bytes: Vec<u8>, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    for _ in 0..3 {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        let place = input.choose_index(bytes.len())?;
        if input.ratio(1, 8)? { bytes.truncate(place) } else { bytes[place] = u8::arbitrary(input)? }
    }
    Ok(bytes)
}
