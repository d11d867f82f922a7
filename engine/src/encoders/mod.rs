//! Encoders: text to vectors.

mod bert;
mod config;

pub(crate) use config::{BertConfig, damaged_json, read_bounded};

use std::path::Path;

use crate::catalogue::ModelInfo;
use crate::kernels::Kernels;
use crate::mmap::FileBytes;
use crate::pool::Pool;
use crate::tokenizer::wordpiece::WordPiece;
use crate::{EngineError, TokenId};
use bert::Bert;

/// Tokens computed together on one thread: enough rows to use the weights well, few enough to stay in the cache.
const GROUP_TOKENS: usize = 256;

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    info: ModelInfo,
    tokenizer: WordPiece,
    tokens_max: usize,
    model: Bert,
    pool: Pool,
}

impl Encoder {
    /// Loads a Hugging Face encoder folder: `config.json`, `tokenizer.json` (or `vocab.txt`) and `model.safetensors`
    /// with 32-bit, half or bfloat16 weights; `sentence_bert_config.json` says how many tokens of a text are read.
    pub fn load(path: &Path, threads: usize) -> Result<Self, EngineError> {
        Self::load_with(path, threads, Kernels::detect())
    }

    /// As [`Encoder::load`], with a given set of kernels.
    pub fn load_with(path: &Path, threads: usize, kernels: Kernels) -> Result<Self, EngineError> {
        let info = ModelInfo::inspect(path)?;
        let config = BertConfig::read(path)?;
        let tokenizer = WordPiece::read(path)?;
        if tokenizer.largest_id() as usize >= config.vocabulary {
            let what = format!("token {} is outside the {} of the model", tokenizer.largest_id(), config.vocabulary);
            return Err(EngineError::damaged("tokenizer.json", 0, what));
        }
        let tokens_max = config.tokens_max;
        let weights = FileBytes::map(&path.join("model.safetensors"))?;
        let model = Bert::load(config, &weights, kernels)?;
        Ok(Self { info, tokenizer, tokens_max, model, pool: Pool::new(threads) })
    }

    /// What the folder is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Length of a vector.
    pub fn dimension(&self) -> usize {
        self.info.embedding_length as usize
    }

    /// Most tokens of a text that are read, with the two special ones.
    pub fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// Tokens of a text, without special tokens and not cut.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.count(text)
    }

    /// The tokens of a text as the model reads them: with special tokens, cut to [`Encoder::tokens_max`].
    pub fn tokenize(&self, text: &str) -> Vec<TokenId> {
        self.tokenizer.encode(text, self.tokens_max)
    }

    /// One vector of length 1 for each text, in the order of the texts. A text's vector is the same, bit for bit,
    /// whatever other texts are given with it and however many threads there are.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        let tokens: Vec<Vec<TokenId>> = texts.iter().map(|text| self.tokenize(text)).collect();
        let groups = groups(&tokens);
        let mut results: Vec<Vec<Vec<f32>>> = vec![Vec::new(); groups.len()];
        self.pool.chunks(&mut results, 1, |number, result| {
            let rows: Vec<&[TokenId]> = groups[number].iter().map(|&text| tokens[text].as_slice()).collect();
            result[0] = self.model.embed(&rows);
        });
        let mut vectors = vec![Vec::new(); texts.len()];
        for (group, result) in groups.iter().zip(results) {
            for (&text, vector) in group.iter().zip(result) {
                vectors[text] = vector;
            }
        }
        Ok(vectors)
    }
}

/// Texts that are computed together, the longest first, so that the last groups to finish are short ones.
fn groups(tokens: &[Vec<TokenId>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(tokens[text].len()));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for text in order {
        let length = tokens[text].len();
        if length > room || groups.is_empty() {
            groups.push(Vec::new());
            room = GROUP_TOKENS.max(length);
        }
        room -= length;
        let last = groups.len() - 1;
        groups[last].push(text);
    }
    groups
}
