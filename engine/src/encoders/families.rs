//! The families of encoders: how their settings are spelt and how their tensors are named.
//!
//! All are stacks of attention and feed-forward blocks in which every token sees tokens on both sides.
//! - `bert` (Devlin et al. 2018): a table of positions, norms after the blocks.
//! - `roberta` (Liu et al. 2019) and `xlm-roberta` (Conneau et al. 2019): the same; positions count from the padding token's
//!   id plus one.
//! - `nomic-bert` (Nussbaum et al. 2024): rotated queries and keys, a gated feed-forward block with SiLU, no biases.
//! - `modernbert` (Warner et al. 2024): norms before the blocks (the first has none), rotation, a gated block with GELU, and
//!   two layers of three that see only tokens near by, with a base of their own.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::config::{Activation, EncoderConfig, Local, Pooling};
use crate::EngineError;
use crate::gguf::GgufFile;

/// A family of encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Bert,
    Roberta,
    XlmRoberta,
    NomicBert,
    ModernBert,
}

impl Family {
    /// The name that folders and files give it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::NomicBert => "nomic-bert",
            Self::ModernBert => "modernbert",
        }
    }

    /// Norms stand before the blocks, not after them.
    pub(crate) fn norms_first(self) -> bool {
        self == Self::ModernBert
    }

    /// The activated half of the inner values is multiplied with the other half.
    pub(crate) fn is_gated(self) -> bool {
        matches!(self, Self::NomicBert | Self::ModernBert)
    }

    /// Every linear layer and norm must have a bias.
    pub(crate) fn has_biases(self) -> bool {
        matches!(self, Self::Bert | Self::Roberta | Self::XlmRoberta)
    }

    /// Positions count from the padding token's id plus one.
    fn counts_after_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta)
    }
}

/// `config.json` of any of the families.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file's own switches")]
pub(super) struct RawConfig {
    model_type: String,
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    #[serde(alias = "n_inner")]
    intermediate_size: usize,
    vocab_size: usize,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(default)]
    type_vocab_size: usize,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    activation_function: Option<String>,
    layer_norm_eps: Option<f32>,
    layer_norm_epsilon: Option<f32>,
    norm_eps: Option<f32>,
    max_trained_positions: Option<usize>,
    position_embedding_type: Option<String>,
    pad_token_id: Option<usize>,
    rotary_emb_base: Option<f64>,
    rotary_emb_fraction: Option<f64>,
    #[serde(default)]
    rotary_emb_interleaved: bool,
    #[serde(default)]
    prenorm: bool,
    #[serde(default)]
    use_rms_norm: bool,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    parallel_block: bool,
    global_rope_theta: Option<f64>,
    local_rope_theta: Option<f64>,
    local_attention: Option<usize>,
    global_attn_every_n_layers: Option<usize>,
    classifier_pooling: Option<String>,
    classifier_activation: Option<String>,
    #[serde(default)]
    architectures: Vec<String>,
    id2label: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
}

/// What the architectures of models that class texts or pairs of texts end with.
const CLASSIFIER: &str = "ForSequenceClassification";

impl RawConfig {
    pub(super) fn settings(self) -> Result<EncoderConfig, EngineError> {
        let family = match self.model_type.as_str() {
            "bert" => Family::Bert,
            "roberta" => Family::Roberta,
            "xlm-roberta" => Family::XlmRoberta,
            "nomic_bert" => Family::NomicBert,
            "modernbert" => Family::ModernBert,
            other => {
                let known = "of encoders bert, roberta, xlm-roberta, nomic_bert and modernbert can be run";
                return Err(EngineError::unsupported("architecture", format!("{other}; {known}")));
            }
        };
        self.refuse_unknown(family)?;
        let first_position =
            if family.counts_after_padding() { self.pad_token_id.unwrap_or(1).saturating_add(1) } else { 0 };
        let rotary = match family {
            Family::Bert | Family::Roberta | Family::XlmRoberta => None,
            Family::NomicBert => Some([self.rotary_emb_base.unwrap_or(10_000.0); 2]),
            Family::ModernBert => {
                let all = self.global_rope_theta.unwrap_or(160_000.0);
                Some([all, self.local_rope_theta.unwrap_or(10_000.0)])
            }
        };
        let positions = self.max_position_embeddings;
        let epsilon = self.norm_eps.or(self.layer_norm_epsilon).or(self.layer_norm_eps);
        let epsilon = epsilon.unwrap_or(if family == Family::ModernBert { 1e-5 } else { 1e-12 });
        let every = self.global_attn_every_n_layers.unwrap_or(3);
        let head_pooling = self.head_pooling(family)?;
        let local = Local { reach: self.local_attention.unwrap_or(128) / 2, every: every.max(1) };
        let activation = if family == Family::NomicBert { Activation::Silu } else { Activation::Gelu };
        Ok(EncoderConfig {
            family,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            vocabulary: self.vocab_size,
            positions,
            first_position,
            types: self.type_vocab_size,
            epsilon,
            // Beyond the positions of training nomic-bert would stretch its rotation.
            tokens_max: positions.saturating_sub(first_position).min(self.max_trained_positions.unwrap_or(positions)),
            pooling: Pooling::Mean,
            activation,
            rotary,
            local: (family == Family::ModernBert).then_some(local),
            head_pooling,
            name: self.name,
        })
    }

    /// What the head of a reranker reads; none where the folder is no reranker.
    fn head_pooling(&self, family: Family) -> Result<Option<Pooling>, EngineError> {
        if !self.architectures.iter().any(|name| name.ends_with(CLASSIFIER)) {
            return Ok(None);
        }
        let unsupported = |what: String| Err(EngineError::unsupported("classifier", what));
        if let Some(labels) = self.id2label.as_ref().map(BTreeMap::len).filter(|&labels| labels != 1) {
            return unsupported(format!("{labels} labels; a reranker with one score can be run"));
        }
        if let Some(other) = self.classifier_activation.as_deref().filter(|name| *name != "gelu") {
            return unsupported(format!("classifier_activation {other}"));
        }
        match (family, self.classifier_pooling.as_deref()) {
            (Family::NomicBert, _) => unsupported("of nomic_bert".to_owned()),
            (_, None | Some("cls")) => Ok(Some(Pooling::First)),
            (Family::ModernBert, Some("mean")) => Ok(Some(Pooling::Mean)),
            (_, Some(other)) => unsupported(format!("classifier_pooling {other}")),
        }
    }

    /// Settings that would change the arithmetic and are not known.
    fn refuse_unknown(&self, family: Family) -> Result<(), EngineError> {
        let wanted = if family == Family::NomicBert { "swiglu" } else { "gelu" };
        let activations = [&self.hidden_act, &self.hidden_activation, &self.activation_function];
        if let Some(other) = activations.into_iter().flatten().find(|name| *name != wanted) {
            return Err(EngineError::unsupported(
                "activation",
                format!("{other}; {} with {wanted} can be run", family.name()),
            ));
        }
        if self.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return Err(EngineError::unsupported("position embedding", "only absolute positions can be run"));
        }
        let odd = [
            ("prenorm", self.prenorm),
            ("use_rms_norm", self.use_rms_norm),
            ("causal", self.causal),
            ("parallel_block", self.parallel_block),
            ("rotary_emb_interleaved", self.rotary_emb_interleaved),
            ("rotary_emb_fraction", self.rotary_emb_fraction.is_some_and(|fraction| fraction != 1.0)),
        ];
        match odd.into_iter().find(|&(_, set)| set) {
            Some((name, _)) => Err(EngineError::unsupported("encoder setting", format!("{name} of config.json"))),
            None => Ok(()),
        }
    }
}

/// The settings of a GGUF file.
pub(super) fn gguf_settings(file: &GgufFile) -> Result<EncoderConfig, EngineError> {
    let architecture = file.require_text("general.architecture")?;
    let family = match architecture {
        "bert" => Family::Bert,
        "nomic-bert" => Family::NomicBert,
        "modern-bert" => Family::ModernBert,
        other => {
            let known = "of encoders bert, nomic-bert and modern-bert can be run";
            return Err(EngineError::unsupported("architecture", format!("{other}; {known}")));
        }
    };
    let key = |name: &str| format!("{architecture}.{name}");
    let size = |name: &str| file.require_u32(&key(name)).map(|value| value as usize);
    let number = |name: &str| Ok::<_, EngineError>(file.f32(&key(name))?.map(f64::from));
    if file.flag(&key("attention.causal"))?.unwrap_or(false) {
        return Err(EngineError::unsupported("encoder setting", key("attention.causal")));
    }
    if let Some(scaling) = file.text(&key("rope.scaling.type"))?.filter(|kind| *kind != "none") {
        return Err(EngineError::unsupported("rotation", format!("{} {scaling}", key("rope.scaling.type"))));
    }
    if let Some(other) = file.text(&key("hidden_activation"))?.filter(|name| *name != "gelu") {
        return Err(EngineError::unsupported("activation", format!("{other} of {}", key("hidden_activation"))));
    }
    let mut head_pooling = None;
    let pooling = match file.u32(&key("pooling_type"))? {
        None | Some(1) => Pooling::Mean,
        Some(2) => Pooling::First,
        Some(3) => Pooling::Last,
        Some(4) => *head_pooling.insert(gguf_head_pooling(file, family)?),
        Some(other) => {
            return Err(EngineError::unsupported("pooling", format!("{} {other}", key("pooling_type"))));
        }
    };
    let base = number("rope.freq_base")?.unwrap_or(10_000.0);
    let local_base = number("rope.freq_base_swa")?.unwrap_or(10_000.0);
    let reach = file.u32(&key("attention.sliding_window"))?.filter(|&window| window > 0);
    let every = file.u32(&key("attention.sliding_window_pattern"))?.unwrap_or(3).max(1) as usize;
    let positions = size("context_length")?;
    Ok(EncoderConfig {
        family,
        width: size("embedding_length")?,
        layers: size("block_count")?,
        heads: size("attention.head_count")?,
        inner: size("feed_forward_length")?,
        vocabulary: file.require_tensor("token_embd.weight")?.rows(),
        positions,
        first_position: 0,
        types: file.tensor("token_types.weight").map_or(0, |tensor| tensor.rows()),
        epsilon: file.f32(&key("attention.layer_norm_epsilon"))?.unwrap_or(1e-12),
        tokens_max: positions,
        pooling,
        activation: if family == Family::NomicBert { Activation::Silu } else { Activation::Gelu },
        rotary: (family != Family::Bert).then_some([base, local_base]),
        local: reach.map(|window| Local { reach: window as usize / 2, every }),
        head_pooling,
        name: file.text("general.name")?.map(str::to_owned),
    })
}

/// What the head of a reranker reads. ModernBERT's takes the mean where the file does not say.
fn gguf_head_pooling(file: &GgufFile, family: Family) -> Result<Pooling, EngineError> {
    let key =
        |name: &str| format!("{}.classifier.{name}", file.require_text("general.architecture").unwrap_or_default());
    let unsupported = |what: String| Err(EngineError::unsupported("classifier", what));
    if let Some(labels) = file.strings(&key("output_labels"))?.map(|labels| labels.len()).filter(|&count| count != 1) {
        return unsupported(format!("{labels} labels; a reranker with one score can be run"));
    }
    match (family, file.u32(&key("pooling_type"))?) {
        (Family::NomicBert, _) => unsupported("of nomic-bert".to_owned()),
        (Family::ModernBert, None | Some(1)) => Ok(Pooling::Mean),
        (Family::ModernBert, Some(2)) | (_, None | Some(0..=2)) => Ok(Pooling::First),
        (_, Some(other)) => unsupported(format!("{} {other}", key("pooling_type"))),
    }
}

/// What the tensors of a family are called. Layers stand at `layer`, number, dot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// What may stand before every name.
    pub(super) prefixes: &'static [&'static str],
    pub(super) words: &'static str,
    pub(super) positions: &'static str,
    pub(super) types: &'static str,
    pub(super) norm: &'static str,
    pub(super) layer: &'static str,
    /// Queries, keys and values in one tensor, where it is there.
    pub(super) fused: &'static str,
    pub(super) parts: [&'static str; 3],
    pub(super) mix: &'static str,
    pub(super) mix_norm: &'static str,
    /// The part that is activated, and what it is multiplied with; one name where a tensor holds both.
    pub(super) grow: &'static [&'static str],
    pub(super) shrink: &'static str,
    pub(super) shrink_norm: &'static str,
    /// The norm after all layers, where norms stand before the blocks.
    pub(super) last: &'static str,
    /// The head of a reranker.
    pub(super) head: HeadNames,
    /// Beginnings of the names of tensors that take no part in a text's vector.
    pub(super) idle: &'static [&'static str],
}

/// What the tensors of a reranker's head are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadNames {
    /// The layer before the score; it may be one of the encoder's.
    pub(super) dense: &'static str,
    /// After that layer in ModernBERT.
    pub(super) norm: &'static str,
    pub(super) score: &'static str,
    /// As [`Names::idle`], for a reranker's scores.
    pub(super) idle: &'static [&'static str],
}

/// Names in the folders of `bert` and `xlm-roberta`.
const BERT: Names = Names {
    prefixes: &["", "bert.", "roberta."],
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    types: "embeddings.token_type_embeddings",
    norm: "embeddings.LayerNorm",
    layer: "encoder.layer.",
    fused: "",
    parts: ["attention.self.query", "attention.self.key", "attention.self.value"],
    mix: "attention.output.dense",
    mix_norm: "attention.output.LayerNorm",
    grow: &["intermediate.dense"],
    shrink: "output.dense",
    shrink_norm: "output.LayerNorm",
    last: "",
    head: HeadNames { dense: "pooler.dense", norm: "", score: "classifier", idle: &["embeddings.position_ids"] },
    idle: &["pooler.", "embeddings.position_ids", "cls.predictions.", "cls.seq_relationship.", "lm_head."],
};

/// The head of `roberta` and `xlm-roberta`.
const ROBERTA_HEAD: HeadNames = HeadNames {
    dense: "classifier.dense",
    norm: "",
    score: "classifier.out_proj",
    idle: &["embeddings.position_ids", "pooler."],
};

/// Names in GGUF files.
const GGUF: Names = Names {
    prefixes: &[""],
    words: "token_embd",
    positions: "position_embd",
    types: "token_types",
    norm: "token_embd_norm",
    layer: "blk.",
    fused: "attn_qkv",
    parts: ["attn_q", "attn_k", "attn_v"],
    mix: "attn_output",
    mix_norm: "attn_output_norm",
    grow: &["ffn_up"],
    shrink: "ffn_down",
    shrink_norm: "layer_output_norm",
    last: "",
    head: HeadNames { dense: "cls", norm: "cls.norm", score: "cls.output", idle: &[] },
    idle: &[],
};

impl Names {
    /// Names of the tensors of a Hugging Face folder.
    pub(super) fn of_folder(family: Family) -> Self {
        match family {
            Family::Bert => BERT,
            Family::Roberta | Family::XlmRoberta => Self { head: ROBERTA_HEAD, ..BERT },
            Family::NomicBert => Self {
                norm: "emb_ln",
                layer: "encoder.layers.",
                fused: "attn.Wqkv",
                mix: "attn.out_proj",
                mix_norm: "norm1",
                grow: &["mlp.fc12", "mlp.fc11"],
                shrink: "mlp.fc2",
                shrink_norm: "norm2",
                ..BERT
            },
            Family::ModernBert => Self {
                prefixes: &["", "model."],
                words: "embeddings.tok_embeddings",
                norm: "embeddings.norm",
                layer: "layers.",
                fused: "attn.Wqkv",
                mix: "attn.Wo",
                mix_norm: "attn_norm",
                grow: &["mlp.Wi"],
                shrink: "mlp.Wo",
                shrink_norm: "mlp_norm",
                last: "final_norm",
                head: HeadNames { dense: "head.dense", norm: "head.norm", score: "classifier", idle: &[] },
                // The head that guesses words.
                idle: &["head.", "decoder."],
                ..BERT
            },
        }
    }

    /// Names of the tensors of a GGUF file.
    pub(super) fn of_gguf(family: Family) -> Self {
        match family {
            Family::Bert | Family::Roberta | Family::XlmRoberta => GGUF,
            Family::NomicBert => Self { grow: &["ffn_gate", "ffn_up"], ..GGUF },
            Family::ModernBert => Self { mix_norm: "attn_norm", shrink_norm: "ffn_norm", last: "output_norm", ..GGUF },
        }
    }
}
