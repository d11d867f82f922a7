//! Decoders: load, prefill, and the single forward pass that everything else is made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::ModelInfo;
use crate::gguf::GgufFile;
use crate::kernels::Kernels;
use crate::kv::KvForm;
use crate::models::{Decoder, Pass, Segment, Workspace};
use crate::packed::{self, Holding, KeepPacked, Loaded, PackedWeights};
use crate::pool::Pool;
use crate::turn::Turn;
use crate::{Adapter, CancelFlag, ChatMessage, ChatTemplate, EngineError, Operation, Sequence, TokenId, Tokenizer};

/// Most tokens in one forward pass. Between passes other callers get their turn.
pub(crate) const CHUNK_TOKENS: usize = 512;

/// How to load a decoder.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Threads of the model's own pool; at least one is used.
    pub threads: usize,
    /// Longest sequence in tokens; cut to what the model was trained for.
    pub context_tokens: u32,
    /// Memory for weights, keys and values, and working space; as much as it takes when nothing is given.
    ///
    /// A model that needs more is short of memory. Its weights are then mapped from their packed file and nothing else, so that
    /// the system may drop and read them again as it sees fit; where no file can be had, or what must be in memory is too much
    /// by itself, the model is refused before anything is loaded.
    pub memory_available_bytes: Option<u64>,
    /// Where packed weights are kept from one start to the next.
    pub keep_packed: KeepPacked,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: 1, context_tokens: 4096, memory_available_bytes: None, keep_packed: KeepPacked::default() }
    }
}

/// A loaded decoder. Runs one forward pass at a time; callers take turns in the order of asking.
#[derive(Debug)]
pub struct Generator {
    info: ModelInfo,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    loaded: Loaded,
    context_tokens: usize,
    kernels: Kernels,
    pool: Pool,
    workspace: Turn<Workspace>,
    /// Marks the adapters that were loaded for this model.
    mark: Arc<()>,
}

impl Generator {
    /// Loads a GGUF decoder. Its weights are packed into a file of their own, or found there, and that is mapped (see
    /// [`packed`](crate::packed)); the model's file may go afterwards.
    ///
    /// # Errors
    /// [`EngineError::DoesNotFit`] before anything is loaded; else what is wrong with the file or not supported, or that it
    /// changed while it was read.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, EngineError> {
        Self::load_with(path, options, Kernels::detect())
    }

    /// As [`Generator::load`], with a given set of kernels.
    pub fn load_with(path: &Path, options: &LoadOptions, kernels: Kernels) -> Result<Self, EngineError> {
        let file = GgufFile::open(path)?;
        let info = ModelInfo::from_gguf(&file)?;
        let context_tokens = options.context_tokens.clamp(1, info.context_length.max(1));
        let need = info.memory(context_tokens);
        let available_bytes = options.memory_available_bytes.unwrap_or(u64::MAX);
        let does_not_fit = || EngineError::DoesNotFit { needed_bytes: need.total(), available_bytes, context_tokens };
        if need.mapped_total() > available_bytes {
            return Err(does_not_fit());
        }
        let pool = Pool::new(options.threads);
        let holding = Holding {
            keep: &options.keep_packed,
            packed_bytes: info.packed_bytes,
            fits_memory: need.total() <= available_bytes,
        };
        let loaded = packed::load((&file, path), &holding, &pool, context_tokens as usize);
        // Whatever was made of a file that changed meanwhile, an error or a model, is not what to tell of.
        file.check()?;
        let loaded = loaded?.ok_or_else(does_not_fit)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        let template = ChatTemplate::from_gguf(&file)?;
        file.check()?;
        Ok(Self {
            info,
            tokenizer,
            template,
            context_tokens: (context_tokens as usize).min(loaded.decoder.sizes().context),
            loaded,
            kernels,
            pool,
            workspace: Turn::default(),
            mark: Arc::default(),
        })
    }

    /// What the file is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Where the weights are and how they came there.
    pub fn packed_weights(&self) -> &PackedWeights {
        &self.loaded.weights
    }

    /// Fails when the file that the weights are mapped from was changed or cut short: the model must be loaded anew, and every
    /// forward pass fails until then.
    ///
    /// # Errors
    /// [`EngineError::Damaged`], as the forward passes give it.
    pub fn check_weights(&self) -> Result<(), EngineError> {
        self.loaded.check()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model's chat template, when its file carries one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Longest sequence in tokens.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Number of logits, which may be larger than the tokenizer's vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.loaded.decoder.sizes().vocabulary
    }

    /// Threads that work on a forward pass.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The token that the model's file puts before every text, if any.
    pub(crate) fn beginning_token(&self) -> Option<TokenId> {
        let first = self.tokenizer.encode_prompt("", crate::Special::AsText).first().copied();
        first.filter(|first| !self.tokenizer.end_tokens().contains(first))
    }

    /// The tokens of a conversation. Message contents never yield control tokens.
    pub fn encode_chat(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<Vec<TokenId>, EngineError> {
        let template =
            self.template.as_ref().ok_or_else(|| EngineError::Template("the model file carries none".to_owned()))?;
        crate::template::encode_chat(template, &self.tokenizer, messages, add_generation_prompt)
    }

    /// An empty sequence for this model.
    pub fn sequence(&self) -> Sequence {
        Sequence::new(self.loaded.decoder.kv_shape(KvForm::Bits16), None)
    }

    /// An empty sequence for which an adapter changes the model.
    ///
    /// # Errors
    /// As [`Generator::sequence_of`].
    pub fn sequence_with(&self, adapter: &Arc<Adapter>) -> Result<Sequence, EngineError> {
        self.sequence_of(Some(adapter), KvForm::Bits16)
    }

    /// An empty sequence whose keys and values are kept in a given form, and for which an adapter may change the model. Sequences
    /// of all kinds may share the forward passes of [`Generator::prefill_many`].
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] when the adapter was loaded for another model; [`EngineError::Unsupported`] for
    /// [`KvForm::Bits8`] with architectures whose loss of accuracy was not measured.
    pub fn sequence_of(&self, adapter: Option<&Arc<Adapter>>, form: KvForm) -> Result<Sequence, EngineError> {
        if adapter.is_some_and(|adapter| !adapter.belongs_to(&self.mark)) {
            return Err(EngineError::InvalidInput("the adapter was loaded for another model".to_owned()));
        }
        let decoder = &self.loaded.decoder;
        if form == KvForm::Bits8 && !decoder.may_narrow() {
            let what = format!("keys and values in 8 bits with {}", self.info.architecture);
            return Err(EngineError::unsupported("cache", what));
        }
        Ok(Sequence::new(decoder.kv_shape(form), adapter.cloned()))
    }

    /// Loads a low-rank adapter (GGUF, `adapter.type = lora`) for this model; `strength` multiplies what it adds, 1 is as the
    /// file says.
    ///
    /// # Errors
    /// What is wrong with the file, does not fit this model or is not supported, by name.
    pub fn load_adapter(&self, path: &Path, strength: f32) -> Result<Arc<Adapter>, EngineError> {
        if !strength.is_finite() {
            return Err(EngineError::InvalidInput(format!("an adapter's strength of {strength}")));
        }
        let file = GgufFile::open(path)?;
        let adapter = Adapter::load(&file, &self.loaded.decoder, Arc::clone(&self.mark), strength, &self.pool)?;
        file.check()?;
        Ok(Arc::new(adapter))
    }

    /// Computes `tokens` after what the sequence holds, in chunks between which `cancel` is looked at.
    ///
    /// When it is cancelled the sequence keeps the chunks that were finished.
    pub fn prefill(&self, sequence: &mut Sequence, tokens: &[TokenId], cancel: &CancelFlag) -> Result<(), EngineError> {
        self.prefill_many(&mut [(sequence, tokens)], cancel)
    }

    /// As [`Generator::prefill`] for several sequences at once, whose rows share the forward passes.
    ///
    /// Each sequence gets what it would get alone, bit for bit. A sequence with no tokens is left as it is.
    pub fn prefill_many(
        &self,
        parts: &mut [(&mut Sequence, &[TokenId])],
        cancel: &CancelFlag,
    ) -> Result<(), EngineError> {
        for (sequence, tokens) in &*parts {
            self.admit(sequence, tokens)?;
        }
        let mut done = vec![0; parts.len()];
        loop {
            let mut room = CHUNK_TOKENS;
            let mut steps = Vec::new();
            for (part, done) in parts.iter_mut().zip(&mut done) {
                let count = (part.1.len() - *done).min(room);
                if count > 0 {
                    let wanted = usize::from(*done + count == part.1.len());
                    steps.push(Step { sequence: &mut *part.0, tokens: &part.1[*done..][..count], wanted });
                    *done += count;
                    room -= count;
                }
            }
            if steps.is_empty() {
                return Ok(());
            }
            self.forward(&mut steps, cancel)?;
        }
    }

    /// The logits after the last token computed; empty for an empty or truncated sequence.
    pub fn logits<'a>(&self, sequence: &'a Sequence) -> &'a [f32] {
        &sequence.logits
    }

    /// Calls `on_row` with the number of each token and the logits after it.
    ///
    /// # Errors
    /// As [`Generator::prefill`].
    pub fn score(&self, tokens: &[TokenId], on_row: &mut dyn FnMut(usize, &[f32])) -> Result<(), EngineError> {
        self.score_in(self.sequence(), tokens, on_row)
    }

    /// As [`Generator::score`] in a given sequence, which must be empty.
    ///
    /// # Errors
    /// As [`Generator::prefill`].
    pub fn score_in(
        &self,
        sequence: Sequence,
        tokens: &[TokenId],
        on_row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        self.score_rows(sequence, tokens, 0, &CancelFlag::new(), on_row)
    }

    /// As [`Generator::score_in`], for the tokens from `first` on.
    pub(crate) fn score_rows(
        &self,
        mut sequence: Sequence,
        tokens: &[TokenId],
        first: usize,
        cancel: &CancelFlag,
        on_row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        /// Rows whose logits are held at once.
        const ROWS: usize = 48;
        self.admit(&sequence, tokens)?;
        let mut logits = vec![0.0; ROWS * self.vocabulary()];
        for chunk in tokens.chunks(CHUNK_TOKENS) {
            let start = sequence.len();
            let passed = first.saturating_sub(start).min(chunk.len());
            let mut step = [Step { sequence: &mut sequence, tokens: chunk, wanted: chunk.len() - passed }];
            self.forward_with(&mut step, cancel, |model, pass| {
                for first in (0..pass.rows()).step_by(ROWS) {
                    let rows = first..pass.rows().min(first + ROWS);
                    let logits = &mut logits[..rows.len() * model.sizes().vocabulary];
                    model.logits(pass, rows.clone(), logits);
                    for (row, logits) in rows.zip(logits.chunks_exact(model.sizes().vocabulary)) {
                        on_row(start + passed + row, logits);
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Checks that the tokens are the model's and that there is room for them.
    fn admit(&self, sequence: &Sequence, tokens: &[TokenId]) -> Result<(), EngineError> {
        let sizes = self.loaded.decoder.sizes();
        let shape = sequence.cache.shape();
        if shape != self.loaded.decoder.kv_shape(shape.form) {
            return Err(EngineError::InvalidInput("the sequence belongs to another model".to_owned()));
        }
        if sequence.adapter.as_ref().is_some_and(|adapter| !adapter.belongs_to(&self.mark)) {
            return Err(EngineError::InvalidInput("the sequence's adapter belongs to another model".to_owned()));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= sizes.vocabulary) {
            return Err(EngineError::InvalidInput(format!("token {token} of {}", sizes.vocabulary)));
        }
        let length = sequence.len() + tokens.len();
        if length > self.context_tokens {
            return Err(EngineError::ContextFull { tokens: length, context_tokens: self.context_tokens });
        }
        Ok(())
    }

    /// One forward pass; sequences that ask for it get the logits after their last token.
    fn forward(&self, steps: &mut [Step<'_>], cancel: &CancelFlag) -> Result<(), EngineError> {
        let rows: usize = steps.iter().map(|step| step.wanted).sum();
        let mut logits = vec![0.0; rows * self.vocabulary()];
        self.forward_with(steps, cancel, |model, pass| {
            if rows > 0 {
                model.logits(pass, 0..rows, &mut logits);
            }
        })?;
        let wanting = steps.iter_mut().filter(|step| step.wanted > 0);
        for (step, logits) in wanting.zip(logits.chunks_exact(self.vocabulary())) {
            step.sequence.logits.clear();
            step.sequence.logits.extend_from_slice(logits);
        }
        Ok(())
    }

    /// Runs `work` and tells how long the operations of its forward passes took.
    pub(crate) fn timed(
        &self,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<Vec<(Operation, Duration)>, EngineError> {
        self.workspace.take().clock.start();
        let outcome = work();
        let spent = self.workspace.take().clock.stop();
        outcome.map(|()| spent)
    }

    /// One forward pass, then `after` on what it left. The sequences grow only if it was not cancelled.
    fn forward_with(
        &self,
        steps: &mut [Step<'_>],
        cancel: &CancelFlag,
        after: impl FnOnce(&Decoder, &mut Pass<'_>),
    ) -> Result<(), EngineError> {
        let mut work = self.workspace.take();
        let mut segments: Vec<Segment<'_>> = steps
            .iter_mut()
            .map(|step| {
                step.sequence.logits.clear();
                let start = step.sequence.tokens.len();
                let adapter = step.sequence.adapter.as_deref();
                let (tokens, wanted) = (step.tokens, step.wanted);
                Segment { cache: &mut step.sequence.cache, start, tokens, wanted, adapter }
            })
            .collect();
        let mut pass =
            Pass { pool: &self.pool, kernels: self.kernels, cancel, segments: &mut segments, work: &mut work };
        self.loaded.decoder.forward(&mut pass)?;
        after(&self.loaded.decoder, &mut pass);
        self.loaded.check()?;
        for step in steps {
            step.sequence.tokens.extend_from_slice(step.tokens);
        }
        Ok(())
    }
}

/// New tokens of one sequence in a forward pass.
struct Step<'a> {
    sequence: &'a mut Sequence,
    tokens: &'a [TokenId],
    /// How many of the last tokens get logits; one at most where the sequence is to keep them.
    wanted: usize,
}
