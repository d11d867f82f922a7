//! Encoders: text to vectors.

mod config;
mod families;
mod layers;
mod model;
mod source;
mod tokens;

pub(crate) use config::{EncoderConfig, damaged_json, read_bounded};

use std::path::Path;

use crate::catalogue::ModelInfo;
use crate::gguf::GgufFile;
use crate::kernels::Kernels;
use crate::mmap::FileBytes;
use crate::pool::Pool;
use crate::{EngineError, TokenId};
use families::Names;
use model::Model;
use source::Source;
use tokens::TextTokens;

/// Tokens computed together on one thread: enough rows to use the weights well, few enough to stay in the cache.
const GROUP_TOKENS: usize = 256;

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    info: ModelInfo,
    tokenizer: TextTokens,
    tokens_max: usize,
    vocabulary: usize,
    model: Model,
    pool: Pool,
}

impl Encoder {
    /// Loads a Hugging Face encoder folder or a GGUF file of the families bert, nomic-bert and modernbert; folders of
    /// xlm-roberta too.
    ///
    /// Of a folder `config.json`, `tokenizer.json` (or `vocab.txt`) and `model.safetensors` with 32-bit, half or bfloat16
    /// weights are read; `sentence_bert_config.json` says how many tokens of a text are read, `1_Pooling/config.json` how a
    /// text's vector is made of its tokens'.
    pub fn load(path: &Path, threads: usize) -> Result<Self, EngineError> {
        Self::load_with(path, threads, Kernels::detect())
    }

    /// As [`Encoder::load`], with a given set of kernels.
    pub fn load_with(path: &Path, threads: usize, kernels: Kernels) -> Result<Self, EngineError> {
        let info = ModelInfo::inspect(path)?;
        if path.is_dir() {
            let config = EncoderConfig::read(path)?;
            let tokenizer = TextTokens::folder(path)?;
            let weights = FileBytes::map(&path.join("model.safetensors"))?;
            let names = Names::of_folder(config.family);
            let source = Source::folder(&weights, &names)?;
            let encoder = Self::assemble(info, config, tokenizer, &source, names, (threads, kernels))?;
            weights.check()?;
            Ok(encoder)
        } else {
            let file = GgufFile::open(path)?;
            let config = EncoderConfig::from_gguf(&file)?;
            let names = Names::of_gguf(config.family);
            let (tokenizer, source) = (TextTokens::gguf(&file)?, Source::gguf(&file));
            let encoder = Self::assemble(info, config, tokenizer, &source, names, (threads, kernels))?;
            file.check()?;
            Ok(encoder)
        }
    }

    fn assemble(
        info: ModelInfo,
        config: EncoderConfig,
        tokenizer: TextTokens,
        source: &Source<'_>,
        names: Names,
        (threads, kernels): (usize, Kernels),
    ) -> Result<Self, EngineError> {
        let (tokens_max, vocabulary) = (config.tokens_max, config.vocabulary);
        if tokenizer.largest_id() as usize >= vocabulary {
            let what = format!("token {} is outside the {vocabulary} of the model", tokenizer.largest_id());
            return Err(EngineError::damaged("tokenizer", 0, what));
        }
        let model = Model::load(config, source, names, kernels)?;
        Ok(Self { info, tokenizer, tokens_max, vocabulary, model, pool: Pool::new(threads) })
    }

    /// What the folder or file is.
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
        Ok(self.embed_rows(&tokens))
    }

    /// As [`Encoder::embed`], for texts that are tokens already, with those that open and close a text.
    ///
    /// # Errors
    /// A text of no token or of more than [`Encoder::tokens_max`], or a token outside the vocabulary.
    pub fn embed_tokens(&self, texts: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>, EngineError> {
        for text in texts {
            if text.is_empty() || text.len() > self.tokens_max {
                let what = format!("a text of {} tokens; 1 to {} can be read", text.len(), self.tokens_max);
                return Err(EngineError::InvalidInput(what));
            }
            if let Some(id) = text.iter().find(|&&id| id as usize >= self.vocabulary) {
                let what = format!("token {id} is outside the {} of the model", self.vocabulary);
                return Err(EngineError::InvalidInput(what));
            }
        }
        Ok(self.embed_rows(texts))
    }

    fn embed_rows(&self, tokens: &[Vec<TokenId>]) -> Vec<Vec<f32>> {
        let groups = groups(tokens);
        let mut results: Vec<Vec<Vec<f32>>> = vec![Vec::new(); groups.len()];
        self.pool.chunks(&mut results, 1, |number, result| {
            let rows: Vec<&[TokenId]> = groups[number].iter().map(|&text| tokens[text].as_slice()).collect();
            result[0] = self.model.embed(&rows);
        });
        let mut vectors = vec![Vec::new(); tokens.len()];
        for (group, result) in groups.iter().zip(results) {
            for (&text, vector) in group.iter().zip(result) {
                vectors[text] = vector;
            }
        }
        vectors
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
