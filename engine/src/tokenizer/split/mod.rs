//! Cutting text into words before byte-pair merging.
//!
//! Each split is the hand-written form of the regular expressions that its models were trained with; the expressions
//! are given beside each function of [`words`] and [`isolate`]. A word never spans two calls, so no merge crosses the
//! cuts made here. Where ggml's reading of an expression is only near to the model's own (letters beyond ASCII in the
//! expressions that heed case, `\p{Han}`), the model's own is followed, for that is what the model learned from.

mod class;
mod isolate;
mod words;

use std::ops::Range;

use super::bpe::Symbols;
use words::{Cased, Plain};

/// How a byte-level BPE model cuts its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// Punctuation apart, as GPT-2, digits in groups of three.
    Default,
    /// The expression of GPT-2.
    Gpt2,
    /// Each digit on its own, then as GPT-2.
    DigitsThenGpt2,
    /// Punctuation apart, as GPT-2, digits in groups of three where three stand together.
    Falcon,
    /// The expression of Llama 3, or one made like it.
    Plain(Plain),
    /// Numbers in groups of three, then an expression made like that of Llama 3.
    TriplesThen(Plain),
    /// Line by line, then an expression made like that of Llama 3.
    LinesThen(Plain),
    /// The expression of GPT-4o, or one made like it.
    Cased(Cased),
    /// Line ends, letters, marks, white space at the end, eastern scripts, numbers, each apart from what is between.
    DeepSeekLlm,
    /// Line ends, letters, punctuation, eastern scripts, each number.
    DeepSeekCoder,
    /// Numbers in groups of three, ideographs and kana, then an expression of its own.
    DeepSeek3,
    /// All between white space and the stops of several scripts, and each number apart where so said.
    Stops { numbers_apart: bool },
    /// Lines, and runs of line feeds.
    Lines,
}

/// How the text of a model is cut, by the name in `tokenizer.ggml.pre`, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pretokenizer {
    pub(super) split: Split,
    /// Whether a whole word that is a token is taken without merging.
    pub(super) whole_words: bool,
    /// Whether the opening token is wanted where the file does not say.
    pub(super) adds_bos: bool,
}

const LLAMA3: Plain = Plain { contractions: true, marks: false, digits: 3, line_ends_follow: true };
const QWEN2: Plain = Plain { digits: 1, ..LLAMA3 };
const GPT4O: Cased = Cased { contractions: true, digits: 3, slashes_follow: true, han_apart: false };

impl Pretokenizer {
    /// The cutting of that name.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let split = match name {
            "default" | "" => Split::Default,
            "gpt-2" | "gpt2" | "phi-2" | "jina-es" | "jina-de" | "jina-v1-en" | "jina-v2-es" | "jina-v2-de"
            | "jina-v2-code" | "roberta-bpe" | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "mpt" | "olmo"
            | "jais" | "trillion" | "granite-docling" | "exaone4" => Split::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
                Split::DigitsThenGpt2
            }
            "falcon" => Split::Falcon,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2"
            | "jina-v5-nano" | "smaug-bpe" | "dbrx" | "chatglm-bpe" | "glm4" | "glm5" => Split::Plain(LLAMA3),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "kormo" | "f2llmv2" | "megrez" | "hunyuan" | "solar-open"
            | "grok-2" | "bailingmoe" | "bailingmoe2" | "llada-moe" => Split::Plain(QWEN2),
            "qwen35" => Split::Plain(Plain { marks: true, ..QWEN2 }),
            "seed-coder" => Split::Plain(Plain { line_ends_follow: false, ..QWEN2 }),
            "ufakzeka" => Split::Plain(Plain { contractions: false, ..QWEN2 }),
            "minicpm5" => Split::TriplesThen(LLAMA3),
            "laguna" => Split::LinesThen(QWEN2),
            "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" | "granite-embed-multi-97m" => {
                Split::Cased(GPT4O)
            }
            "tekken" => Split::Cased(Cased { contractions: false, digits: 1, ..GPT4O }),
            "kimi-k2" => Split::Cased(Cased { slashes_follow: false, han_apart: true, ..GPT4O }),
            "deepseek-llm" => Split::DeepSeekLlm,
            "deepseek-coder" => Split::DeepSeekCoder,
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => Split::DeepSeek3,
            "poro-chat" | "bloom" | "gpt3-finnish" => Split::Stops { numbers_apart: false },
            "viking" => Split::Stops { numbers_apart: true },
            "gemma4" | "granite-embed-multi-311m" | "sarvam-moe" => Split::Lines,
            _ => return None,
        };
        let llama3 = split == Split::Plain(LLAMA3) && !matches!(name, "smaug-bpe" | "dbrx" | "chatglm-bpe");
        let whole_words = llama3 || matches!(name, "tekken" | "minicpm5" | "granite-embed-multi-97m");
        let adds_bos = llama3 && !matches!(name, "glm4" | "glm5") || matches!(name, "tekken" | "gemma4");
        Some(Self { split, whole_words, adds_bos })
    }
}

impl Pretokenizer {
    /// What words are made of: where text is cut at lines only, characters.
    pub(super) fn symbols(self) -> Symbols {
        if self.split == Split::Lines { Symbols::Characters } else { Symbols::Bytes }
    }
}

impl Split {
    /// Calls `emit` with the words of a text, in order; together they are the text.
    pub(super) fn words<'a>(self, text: &'a str, emit: &mut dyn FnMut(&'a str)) {
        match self {
            Split::Gpt2 => each(text, words::gpt2, emit),
            Split::Plain(rule) => each(text, |text, at| words::plain(text, at, rule), emit),
            Split::Cased(rule) => each(text, |text, at| words::cased(text, at, rule), emit),
            Split::DigitsThenGpt2 => apart(text, single_numbers, &mut |part| each(part, words::gpt2, emit)),
            Split::Default => apart(text, |text, from| isolate::marks(text, from, false), &mut |part| {
                each(part, words::gpt2, &mut |word| {
                    apart(word, isolate_all_numbers, &mut |part| apart(part, isolate::triples, emit));
                });
            }),
            Split::Falcon => apart(text, |text, from| isolate::marks(text, from, true), &mut |part| {
                each(part, words::gpt2, &mut |word| apart(word, isolate::triples, emit));
            }),
            Split::TriplesThen(rule) => apart(text, |text, from| isolate::numbers(text, from, 3), &mut |part| {
                each(part, |text, at| words::plain(text, at, rule), emit);
            }),
            Split::LinesThen(rule) => apart(text, isolate::line_feeds, &mut |part| {
                each(part, |text, at| words::plain(text, at, rule), emit);
            }),
            Split::DeepSeek3 => apart(text, |text, from| isolate::numbers(text, from, 3), &mut |part| {
                apart(part, isolate::ideographs_and_kana, &mut |part| each(part, words::deepseek3, emit));
            }),
            Split::DeepSeekLlm => deepseek_llm(text, emit),
            Split::DeepSeekCoder => deepseek_coder(text, emit),
            Split::Stops { numbers_apart: false } => apart(text, isolate::between_stops, emit),
            Split::Stops { numbers_apart: true } => {
                apart(text, isolate::between_stops, &mut |part| apart(part, single_numbers, emit));
            }
            Split::Lines => apart(text, isolate::line_feeds, emit),
        }
    }
}

fn single_numbers(text: &str, from: usize) -> Option<Range<usize>> {
    isolate::numbers(text, from, 1)
}

fn isolate_all_numbers(text: &str, from: usize) -> Option<Range<usize>> {
    isolate::numbers(text, from, usize::MAX)
}

fn deepseek_llm<'a>(text: &'a str, emit: &mut dyn FnMut(&'a str)) {
    apart(text, isolate::line_end, &mut |part| {
        apart(part, isolate::listed_letters, &mut |part| {
            apart(part, isolate::listed_marks, &mut |part| {
                apart(part, isolate::space_at_end, &mut |part| {
                    apart(part, isolate::eastern, &mut |part| apart(part, isolate_all_numbers, emit));
                });
            });
        });
    });
}

fn deepseek_coder<'a>(text: &'a str, emit: &mut dyn FnMut(&'a str)) {
    apart(text, isolate::line_end, &mut |part| {
        apart(part, isolate::letters, &mut |part| {
            apart(part, isolate::punctuation, &mut |part| {
                apart(part, isolate::eastern, &mut |part| apart(part, single_numbers, emit));
            });
        });
    });
}

/// Cuts a text by asking `next` for the byte after the word that begins at a byte.
fn each<'a>(text: &'a str, next: impl Fn(&str, usize) -> usize, emit: &mut dyn FnMut(&'a str)) {
    let mut start = 0;
    while start < text.len() {
        let end = next(text, start);
        emit(&text[start..end]);
        start = end;
    }
}

/// Cuts a text before and after each match that `find` gives.
fn apart<'a>(text: &'a str, find: impl Fn(&str, usize) -> Option<Range<usize>>, emit: &mut dyn FnMut(&'a str)) {
    let mut start = 0;
    while start < text.len() {
        let found = find(text, start).unwrap_or(text.len()..text.len());
        if found.start > start {
            emit(&text[start..found.start]);
        }
        if !found.is_empty() {
            emit(&text[found.clone()]);
        }
        start = found.end;
    }
}

#[cfg(test)]
mod tests;
