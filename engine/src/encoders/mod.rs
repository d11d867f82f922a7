//! Encoders: text to vectors, and pairs of texts to scores.

mod config;
mod families;
mod layers;
mod model;
mod rerank;
mod source;

pub use rerank::Reranker;

pub(crate) use config::{EncoderConfig, damaged_json, read_bounded};

use std::path::Path;

use crate::catalogue::{ModelInfo, ModelRole};
use crate::gguf::GgufFile;
use crate::kernels::Kernels;
use crate::mmap::FileBytes;
use crate::pool::Pool;
use crate::{EncoderTokenizer, EngineError, TokenId};
use families::Names;
use model::{Model, Text};
use source::Source;

/// Tokens computed together on one thread: enough rows to use the weights well, few enough to stay in the cache.
const GROUP_TOKENS: usize = 256;

/// What encoders and rerankers are made of, with what `rest` took from the file beside the encoder.
struct Parts<T> {
    tokenizer: EncoderTokenizer,
    model: Model,
    rest: T,
}

impl<T> Parts<T> {
    /// Reads a folder or a GGUF file.
    fn load(
        path: &Path,
        kernels: Kernels,
        rest: impl FnOnce(&EncoderConfig, &Source<'_>, &Names) -> Result<T, EngineError>,
    ) -> Result<Self, EngineError> {
        if path.is_dir() {
            let config = EncoderConfig::read(path)?;
            let tokenizer = EncoderTokenizer::read(path)?;
            let weights = FileBytes::map(&path.join("model.safetensors"))?;
            let names = Names::of_folder(config.family);
            let parts = Self::assemble(config, tokenizer, &Source::folder(&weights, &names)?, &names, kernels, rest)?;
            weights.check()?;
            Ok(parts)
        } else {
            let file = GgufFile::open(path)?;
            let config = EncoderConfig::from_gguf(&file)?;
            let names = Names::of_gguf(config.family);
            let tokenizer = EncoderTokenizer::from_gguf(&file)?;
            let parts = Self::assemble(config, tokenizer, &Source::gguf(&file), &names, kernels, rest)?;
            file.check()?;
            Ok(parts)
        }
    }

    fn assemble(
        config: EncoderConfig,
        tokenizer: EncoderTokenizer,
        source: &Source<'_>,
        names: &Names,
        kernels: Kernels,
        rest: impl FnOnce(&EncoderConfig, &Source<'_>, &Names) -> Result<T, EngineError>,
    ) -> Result<Self, EngineError> {
        if tokenizer.largest_id() as usize >= config.vocabulary {
            let what = format!("token {} is outside the {} of the model", tokenizer.largest_id(), config.vocabulary);
            return Err(EngineError::damaged("tokenizer", 0, what));
        }
        let model = Model::load(config, source, names, kernels)?;
        let rest = rest(model.config(), source, names)?;
        Ok(Self { tokenizer, model, rest })
    }
}

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    info: ModelInfo,
    tokenizer: EncoderTokenizer,
    tokens_max: usize,
    vocabulary: usize,
    model: Model,
    pool: Pool,
}

impl Encoder {
    /// Loads a Hugging Face encoder folder or a GGUF file of the families bert, nomic-bert and modernbert; folders of
    /// roberta and xlm-roberta too.
    ///
    /// Of a folder `config.json`, `tokenizer.json` (or `vocab.txt`) and `model.safetensors` with 32-bit, half or bfloat16
    /// weights are read; `sentence_bert_config.json` says how many tokens of a text are read, `1_Pooling/config.json` how a
    /// text's vector is made of its tokens'.
    ///
    /// # Errors
    /// What is damaged or not supported, by name. A reranker is refused: see [`Reranker`].
    pub fn load(path: &Path, threads: usize) -> Result<Self, EngineError> {
        Self::load_with(path, threads, Kernels::detect())
    }

    /// As [`Encoder::load`], with a given set of kernels.
    pub fn load_with(path: &Path, threads: usize, kernels: Kernels) -> Result<Self, EngineError> {
        let info = ModelInfo::inspect(path)?;
        if info.role == ModelRole::Rerank {
            let what = format!("{}: a reranker, which gives pairs of texts a score and no text a vector", info.name);
            return Err(EngineError::unsupported("encoder", what));
        }
        let Parts { tokenizer, model, .. } =
            Parts::load(path, kernels, |_, source, names| source.refuse_others(names.idle))?;
        let (tokens_max, vocabulary) = (model.config().tokens_max, model.config().vocabulary);
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
            check_tokens(text, self.tokens_max, self.vocabulary)?;
        }
        Ok(self.embed_rows(texts))
    }

    fn embed_rows(&self, tokens: &[Vec<TokenId>]) -> Vec<Vec<f32>> {
        let texts: Vec<Text<'_>> = tokens.iter().map(|tokens| Text { tokens, second: tokens.len() }).collect();
        in_groups(&self.pool, &texts, |group| self.model.embed(group))
    }
}

/// Fails for a text that the model cannot read.
fn check_tokens(tokens: &[TokenId], max: usize, vocabulary: usize) -> Result<(), EngineError> {
    if tokens.is_empty() || tokens.len() > max {
        let what = format!("a text of {} tokens; 1 to {max} can be read", tokens.len());
        return Err(EngineError::InvalidInput(what));
    }
    if let Some(id) = tokens.iter().find(|&&id| id as usize >= vocabulary) {
        let what = format!("token {id} is outside the {vocabulary} of the model");
        return Err(EngineError::InvalidInput(what));
    }
    Ok(())
}

/// What `compute` gives for each text, in the order of the texts. Texts of like length are computed together, group by
/// group on the threads of the pool.
fn in_groups<T: Clone + Default + Send>(
    pool: &Pool,
    texts: &[Text<'_>],
    compute: impl Fn(&[Text<'_>]) -> Vec<T> + Sync,
) -> Vec<T> {
    let groups = groups(texts);
    let mut results: Vec<Vec<T>> = vec![Vec::new(); groups.len()];
    pool.chunks(&mut results, 1, |number, result| {
        let group: Vec<Text<'_>> = groups[number].iter().map(|&text| texts[text]).collect();
        result[0] = compute(&group);
    });
    let mut values = vec![T::default(); texts.len()];
    for (group, result) in groups.iter().zip(results) {
        for (&text, value) in group.iter().zip(result) {
            values[text] = value;
        }
    }
    values
}

/// Texts that are computed together, the longest first, so that the last groups to finish are short ones.
fn groups(texts: &[Text<'_>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(texts[text].tokens.len()));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for text in order {
        let length = texts[text].tokens.len();
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
