//! WordPiece with the normalisation of BERT (Devlin et al. 2018): text is cleaned, cut at white space and punctuation,
//! and each word becomes the longest pieces of the vocabulary from left to right.
//!
//! Special tokens never come out of text: brackets are punctuation, so that `[SEP]` in a document is three words.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::json::{FILE_BYTES_MAX, TokenizerJson, damaged, kind};
use super::read::special_id;
use super::seams::SPACE_MARK;
use super::vocabulary::Vocabulary;
use crate::encoders::{damaged_json, read_bounded};
use crate::gguf::GgufFile;
use crate::{EngineError, TokenId};

/// Words of more characters than this are unknown as a whole.
const WORD_CHARS_MAX: usize = 100;

/// What is done to text before it is cut into words.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Normalizer {
    #[serde(default = "yes")]
    clean_text: bool,
    #[serde(default = "yes")]
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    lowercase: bool,
}

impl Normalizer {
    const NOTHING: Self =
        Self { clean_text: false, handle_chinese_chars: false, strip_accents: Some(false), lowercase: false };
}

fn yes() -> bool {
    true
}

/// The WordPiece tokenizer of an encoder.
#[derive(Debug)]
pub(crate) struct WordPiece {
    /// Pieces that begin a word, and pieces that go on.
    first: HashMap<Box<str>, TokenId>,
    next: HashMap<Box<str>, TokenId>,
    piece_bytes_max: usize,
    word_chars_max: usize,
    unknown: TokenId,
    opening: TokenId,
    closing: TokenId,
    normalizer: Normalizer,
}

#[derive(Deserialize)]
struct ModelPart {
    vocab: HashMap<String, TokenId>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
}

#[derive(Deserialize)]
struct SlowSettings {
    #[serde(default = "yes")]
    do_lower_case: bool,
}

impl WordPiece {
    /// Takes the pieces out of a `tokenizer.json`; its post-processor is given with them.
    pub(super) fn from_json(json: &TokenizerJson) -> Result<(Self, Option<Value>), EngineError> {
        let file = json.parse::<ModelPart>()?;
        file.refuse_text_tokens("WordPiece")?;
        let cut = file.pre_tokenizer.as_ref().map_or("", kind);
        if !matches!(cut, "" | "BertPreTokenizer") {
            return Err(EngineError::unsupported("pre-tokenizer", format!("{cut:?} of a WordPiece")));
        }
        let normalizer = match file.normalizer.filter(|normalizer| !normalizer.is_null()) {
            None => Normalizer::NOTHING,
            Some(other) if kind(&other) != "BertNormalizer" => {
                return Err(EngineError::unsupported("normalizer", format!("{:?} of a WordPiece", kind(&other))));
            }
            Some(normalizer) => serde_json::from_value(normalizer).map_err(|error| damaged(error.to_string()))?,
        };
        let prefix = file.model.continuing_subword_prefix.unwrap_or_else(|| "##".to_owned());
        let unknown = file.model.unk_token.unwrap_or_else(|| "[UNK]".to_owned());
        let mut pieces = Self::new(file.model.vocab, &prefix, &unknown, normalizer)?;
        pieces.word_chars_max = file.model.max_input_chars_per_word.unwrap_or(WORD_CHARS_MAX).min(WORD_CHARS_MAX);
        Ok((pieces, file.post_processor))
    }

    /// The pieces of a `vocab.txt`, with `tokenizer_config.json` beside it.
    pub(super) fn from_list(folder: &Path) -> Result<Self, EngineError> {
        let bytes = read_bounded(&folder.join("vocab.txt"), FILE_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| EngineError::damaged("vocab.txt", 0, "not UTF-8"))?;
        let vocabulary = text.lines().zip(0..).map(|(piece, id)| (piece.trim_end().to_owned(), id)).collect();
        let settings = folder.join("tokenizer_config.json");
        let lowercase = if settings.is_file() {
            let bytes = read_bounded(&settings, FILE_BYTES_MAX)?;
            let slow: SlowSettings = serde_json::from_slice(&bytes).map_err(|error| damaged_json(&settings, &error))?;
            slow.do_lower_case
        } else {
            true
        };
        Self::from_vocabulary(vocabulary, lowercase)
    }

    /// From pieces, of which those that go on begin with `##`.
    pub(crate) fn from_vocabulary(vocabulary: HashMap<String, TokenId>, lowercase: bool) -> Result<Self, EngineError> {
        let normalizer = Normalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase };
        Self::new(vocabulary, "##", "[UNK]", normalizer)
    }

    /// The pieces of a GGUF file, where those that begin a word have a space mark before them and none has a prefix.
    pub(super) fn from_gguf(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Self, EngineError> {
        let flag = |name: &str| file.flag(&format!("tokenizer.ggml.normalizer.{name}"));
        let lowercase = flag("lowercase")?.unwrap_or(true);
        let strip_accents = flag("strip_accents")?;
        let normalizer = Normalizer { clean_text: true, handle_chinese_chars: true, strip_accents, lowercase };
        let named = |name: &str, other: TokenId| {
            let id = special_id(file, name, vocabulary)?.unwrap_or(other);
            if id as usize >= vocabulary.len() {
                return Err(file.damaged(format!("tokenizer.ggml.{name} is missing, or outside the vocabulary")));
            }
            Ok(id)
        };
        let (unknown, opening) = (named("unknown_token_id", 100)?, named("cls_token_id", 101)?);
        let closing = named("seperator_token_id", 102)?;
        let (mut first, mut next) = (HashMap::new(), HashMap::new());
        for id in (0..vocabulary.len() as TokenId).filter(|&id| vocabulary.is_mergeable(id)) {
            let Ok(text) = std::str::from_utf8(vocabulary.text(id)) else { continue };
            match text.strip_prefix(SPACE_MARK) {
                Some(piece) => first.entry(piece.into()).or_insert(id),
                None => next.entry(text.into()).or_insert(id),
            };
        }
        Ok(Self::of(first, next, [unknown, opening, closing], normalizer))
    }

    fn new(
        vocabulary: HashMap<String, TokenId>,
        prefix: &str,
        unknown: &str,
        normalizer: Normalizer,
    ) -> Result<Self, EngineError> {
        let special = |text: &str| {
            vocabulary
                .get(text)
                .copied()
                .ok_or_else(|| EngineError::damaged("tokenizer vocabulary", 0, format!("the token {text} is missing")))
        };
        let (unknown, opening, closing) = (special(unknown)?, special("[CLS]")?, special("[SEP]")?);
        let (mut first, mut next) = (HashMap::new(), HashMap::new());
        for (piece, id) in vocabulary {
            match piece.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
                Some(rest) => next.insert(rest.into(), id),
                None => first.insert(piece.into_boxed_str(), id),
            };
        }
        Ok(Self::of(first, next, [unknown, opening, closing], normalizer))
    }

    fn of(
        first: HashMap<Box<str>, TokenId>,
        next: HashMap<Box<str>, TokenId>,
        [unknown, opening, closing]: [TokenId; 3],
        normalizer: Normalizer,
    ) -> Self {
        let longest = |map: &HashMap<Box<str>, TokenId>| map.keys().map(|piece| piece.len()).max().unwrap_or(0);
        let piece_bytes_max = longest(&first).max(longest(&next));
        Self { first, next, piece_bytes_max, word_chars_max: WORD_CHARS_MAX, unknown, opening, closing, normalizer }
    }

    /// The largest token id that can come out.
    pub(crate) fn largest_id(&self) -> TokenId {
        let ids = self.first.values().chain(self.next.values()).copied();
        ids.chain([self.unknown, self.opening, self.closing]).max().unwrap_or(0)
    }

    /// The tokens that open and close a text.
    pub(super) fn ends(&self) -> (TokenId, TokenId) {
        (self.opening, self.closing)
    }

    /// Appends the first tokens of a text, at least `most` where there are so many.
    pub(super) fn append_most(&self, text: &str, most: usize, out: &mut Vec<TokenId>) {
        let begin = out.len();
        self.words(text, &mut |word| {
            self.pieces(word, &mut |id| out.push(id));
            out.len() - begin < most
        });
    }

    /// Appends the tokens of a text, without the opening and the closing one.
    pub(super) fn append(&self, text: &str, out: &mut Vec<TokenId>) {
        self.append_most(text, usize::MAX, out);
    }

    /// Calls `take` with each normalised word until it returns false.
    fn words(&self, text: &str, take: &mut dyn FnMut(&str) -> bool) {
        let mut word = String::new();
        let mut normal = String::new();
        for chunk in text.split_inclusive([' ', '\n']) {
            self.normalise(chunk, &mut normal);
            for c in normal.chars() {
                let mark = is_punctuation(c);
                if (c.is_whitespace() || mark) && !word.is_empty() {
                    if !take(&word) {
                        return;
                    }
                    word.clear();
                }
                if mark && !take(c.encode_utf8(&mut [0; 4])) {
                    return;
                }
                if !mark && !c.is_whitespace() {
                    word.push(c);
                }
            }
        }
        if !word.is_empty() {
            take(&word);
        }
    }

    /// Cleans, spaces out, strips and lowers a piece of text that ends at a space or line end. None of the steps
    /// reaches across those: they are the same on the whole text.
    fn normalise(&self, text: &str, out: &mut String) {
        out.clear();
        if text.is_ascii() {
            let kept = text.chars().filter(|&c| !(self.normalizer.clean_text && is_removed(c)));
            out.extend(kept.map(|c| if self.normalizer.lowercase { c.to_ascii_lowercase() } else { c }));
            return;
        }
        let mut spaced = String::with_capacity(text.len());
        for c in text.chars().filter(|&c| !(self.normalizer.clean_text && is_removed(c))) {
            if self.normalizer.handle_chinese_chars && is_ideograph(c) {
                spaced.extend([' ', c, ' ']);
            } else {
                spaced.push(c);
            }
        }
        let Normalizer { strip_accents, lowercase, .. } = self.normalizer;
        if strip_accents.unwrap_or(lowercase) {
            spaced = spaced.nfd().filter(|c| c.general_category() != GeneralCategory::NonspacingMark).collect();
        }
        if lowercase {
            out.extend(spaced.chars().flat_map(char::to_lowercase));
        } else {
            out.push_str(&spaced);
        }
    }

    /// Calls `push` with the pieces of a word, or with the unknown token if some part of it is in no piece.
    fn pieces(&self, word: &str, push: &mut dyn FnMut(TokenId)) {
        if word.len() > self.word_chars_max && word.chars().count() > self.word_chars_max {
            return push(self.unknown);
        }
        let mut ids = Vec::new();
        let mut rest = word;
        while !rest.is_empty() {
            let pieces = if ids.is_empty() { &self.first } else { &self.next };
            let Some((length, id)) = longest(pieces, rest, self.piece_bytes_max) else {
                return push(self.unknown);
            };
            ids.push(id);
            rest = &rest[length..];
        }
        ids.into_iter().for_each(push);
    }
}

/// The longest piece that `text` begins with.
fn longest(pieces: &HashMap<Box<str>, TokenId>, text: &str, max: usize) -> Option<(usize, TokenId)> {
    let mut end = text.len().min(max);
    while end > 0 {
        if text.is_char_boundary(end)
            && let Some(&id) = pieces.get(&text[..end])
        {
            return Some((end, id));
        }
        end -= 1;
    }
    None
}

/// Whether cleaning takes the character away. Other white space stays and parts words.
fn is_removed(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0' | '\u{fffd}' => true,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => matches!(
            c.general_category(),
            GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse
        ),
    }
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks of ideographs that BERT takes as words of their own.
fn is_ideograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2b73f
            | 0x2b740..=0x2b81f
            | 0x2b920..=0x2ceaf
            | 0xf900..=0xfaff
            | 0x2f800..=0x2fa1f
    )
}
