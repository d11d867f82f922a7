//! Cross-encoder rerankers (Nogueira and Cho 2019): a question and a passage are read together, and a head on the encoder
//! gives the pair a score.

use std::path::Path;

use super::config::EncoderConfig;
use super::families::{Family, Names};
use super::layers::{Dense, Norm, Reader};
use super::model::{Model, Text};
use super::source::Source;
use super::{Parts, check_tokens, in_groups};
use crate::EngineError;
use crate::catalogue::{ModelInfo, ModelRole};
use crate::kernels::Kernels;
use crate::kernels::encoder_rows::{Activate, Gelu, Normalise};
use crate::pool::Pool;
use crate::tokenizer::{EncoderTokenizer, PairTokens};

/// A loaded reranker.
#[derive(Debug)]
pub struct Reranker {
    info: ModelInfo,
    tokenizer: EncoderTokenizer,
    model: Model,
    head: Head,
    pool: Pool,
}

/// From an encoder's state to a score.
#[derive(Debug)]
struct Head {
    dense: Dense,
    after: After,
    score: Dense,
}

/// What becomes of the values of the head's first layer.
#[derive(Debug)]
enum After {
    /// The hyperbolic tangent, in BERT and its kin.
    Tanh,
    /// The Gaussian error linear unit and a norm, in ModernBERT.
    GeluNorm(Norm),
}

impl Head {
    fn load(config: &EncoderConfig, source: &Source<'_>, names: &Names) -> Result<Self, EngineError> {
        let reader = Reader { source, names: *names, config };
        let dense = reader.dense(names.head.dense, config.width)?;
        let after = match config.family {
            Family::ModernBert => After::GeluNorm(reader.norm_beside(names.head.norm)?),
            _ => After::Tanh,
        };
        let score = reader.dense(names.head.score, 1)?;
        source.refuse_others(names.head.idle)?;
        Ok(Self { dense, after, score })
    }

    fn score(&self, state: &[f64], kernels: Kernels, epsilon: f32) -> f32 {
        let state: Vec<f32> = state.iter().map(|&value| value as f32).collect();
        let values = self.dense.apply(&state);
        let inner: Vec<f32> = match &self.after {
            After::Tanh => values.into_iter().map(|value| value.tanh() as f32).collect(),
            After::GeluNorm(norm) => {
                let mut row: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                kernels.run(Activate { row: &mut row, activation: Gelu });
                kernels.run(Normalise { rows: &mut row, weight: &norm.weight, bias: &norm.bias, epsilon });
                row
            }
        };
        self.score.apply(&inner).first().map_or(0.0, |&score| score as f32)
    }
}

impl Reranker {
    /// Loads a reranker with one score of the families bert, roberta, xlm-roberta and modernbert: a Hugging Face folder whose
    /// architecture ends with `ForSequenceClassification`, or a GGUF file with the pooling type `rank`.
    ///
    /// A GGUF file must bring both layers of the head, `cls` and `cls.output`. Files of BERT rerankers are about that lack the
    /// first one, because a converter drops it; their scores would not be the model's, and they are refused.
    ///
    /// # Errors
    /// What is damaged or not supported, by name; a model that is no reranker.
    pub fn load(path: &Path, threads: usize) -> Result<Self, EngineError> {
        Self::load_with(path, threads, Kernels::detect())
    }

    /// As [`Reranker::load`], with a given set of kernels.
    pub fn load_with(path: &Path, threads: usize, kernels: Kernels) -> Result<Self, EngineError> {
        let info = ModelInfo::inspect(path)?;
        if info.role != ModelRole::Rerank {
            let what = format!("{}: it has no head that scores pairs of texts", info.name);
            return Err(EngineError::unsupported("reranker", what));
        }
        let Parts { tokenizer, model, rest: head } = Parts::load(path, kernels, Head::load)?;
        let (needed, most) = (tokenizer.pair_frame_tokens() + 2, model.config().tokens_max);
        if most < needed {
            let what = format!("pairs of {most} tokens, where two texts of one take {needed}");
            return Err(EngineError::damaged("config.json", 0, what));
        }
        Ok(Self { info, tokenizer, model, head, pool: Pool::new(threads) })
    }

    /// What the folder or file is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Most tokens of a pair that are read, with the special ones.
    pub fn tokens_max(&self) -> usize {
        self.model.config().tokens_max
    }

    /// The tokens of a question and a passage as the model reads them: with special tokens, cut to [`Reranker::tokens_max`],
    /// the longer text first.
    pub fn tokenize(&self, query: &str, passage: &str) -> PairTokens {
        self.tokenizer.pair(&self.tokenizer.pieces(query), &self.tokenizer.pieces(passage), self.tokens_max())
    }

    /// One score for each passage, in their order: the greater, the better it fits the query. It is the model's own number
    /// before any sigmoid (a logit). A passage's score is the same, bit for bit, whatever others are given with it and however
    /// many threads there are.
    pub fn score(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, EngineError> {
        let query = self.tokenizer.pieces(query);
        let pair = |passage: &&str| self.tokenizer.pair(&query, &self.tokenizer.pieces(passage), self.tokens_max());
        let pairs: Vec<PairTokens> = passages.iter().map(pair).collect();
        self.score_tokens(&pairs)
    }

    /// As [`Reranker::score`], for pairs that are tokens already.
    ///
    /// # Errors
    /// A pair of no token or of more than [`Reranker::tokens_max`], or a token outside the vocabulary.
    pub fn score_tokens(&self, pairs: &[PairTokens]) -> Result<Vec<f32>, EngineError> {
        let config = self.model.config();
        for pair in pairs {
            check_tokens(&pair.tokens, config.tokens_max, config.vocabulary)?;
        }
        let texts: Vec<Text<'_>> =
            pairs.iter().map(|pair| Text { tokens: &pair.tokens, second: pair.second }).collect();
        let score = |state: Vec<f64>| self.head.score(&state, self.model.kernels(), config.epsilon);
        Ok(in_groups(&self.pool, &texts, |group| self.model.pooled(group).into_iter().map(score).collect()))
    }
}
