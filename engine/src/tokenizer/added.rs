//! Tokens that the makers of a model added and that are found in any text, as the Hugging Face library finds them: from
//! left to right, of those that begin at a place the longest.
//!
//! Control tokens are not among them: text of people and documents cannot produce those.

use std::collections::HashMap;

use super::json::AddedToken;
use crate::{EngineError, TokenId};

/// Longest text of such a token, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// A piece of a text: a token found in it, or what lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'t> {
    Text(&'t str),
    Token(TokenId),
}

#[derive(Debug)]
struct Entry {
    id: TokenId,
    before: bool,
    after: bool,
}

/// Some added tokens, by their texts.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    entries: HashMap<Box<str>, Entry>,
    /// By first byte the lengths of the texts that begin with it, the longest first.
    lengths: HashMap<u8, Vec<usize>>,
}

impl AddedTokens {
    /// Those of `tokens` that are found in any text, with their texts as `text_of` makes them.
    pub(super) fn new<'a>(
        tokens: impl Iterator<Item = &'a AddedToken>,
        text_of: impl Fn(&str) -> String,
    ) -> Result<Self, EngineError> {
        let mut added = Self::default();
        for token in tokens.filter(|token| !token.special && !token.content.is_empty()) {
            if token.single_word || token.content.len() > TEXT_BYTES_MAX {
                let what = format!("the added token {:?}: single_word, or too long", token.content);
                return Err(EngineError::unsupported("tokenizer", what));
            }
            let text = text_of(&token.content);
            let Some(&first) = text.as_bytes().first() else { continue };
            let lengths = added.lengths.entry(first).or_default();
            if !lengths.contains(&text.len()) {
                lengths.push(text.len());
                lengths.sort_unstable_by(|a, b| b.cmp(a));
            }
            let entry = Entry { id: token.id, before: token.lstrip, after: token.rstrip };
            added.entries.entry(text.into_boxed_str()).or_insert(entry);
        }
        Ok(added)
    }

    /// Calls `emit` with the tokens of a text and what lies between them, in order.
    pub(super) fn cut<'t>(&self, text: &'t str, emit: &mut dyn FnMut(Found<'t>)) {
        // Up to `done` all has been emitted; a token may have taken white space along that lies beyond its own end.
        let (mut at, mut done) = (0, 0);
        while at < text.len() {
            let Some((entry, length)) = self.longest(&text[at..]) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let end = at + length;
            let kept = if entry.before { text[..at].trim_end().len() } else { at };
            if kept > done {
                emit(Found::Text(&text[done..kept]));
            }
            emit(Found::Token(entry.id));
            done = if entry.after { text.len() - text[end..].trim_start().len() } else { end };
            at = end;
        }
        if done < text.len() {
            emit(Found::Text(&text[done..]));
        }
    }

    /// The longest token that a text begins with, and its length in bytes.
    fn longest(&self, text: &str) -> Option<(&Entry, usize)> {
        let lengths = self.lengths.get(text.as_bytes().first()?)?;
        lengths.iter().find_map(|&length| Some((self.entries.get(text.get(..length)?)?, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_left_to_right_the_longest() {
        let token = |id: TokenId, content: &str, lstrip: bool, rstrip: bool| AddedToken {
            id,
            content: content.to_owned(),
            special: false,
            normalized: false,
            single_word: false,
            lstrip,
            rstrip,
        };
        let tokens = [
            token(1, "  ", false, false),
            token(2, "    ", false, false),
            token(3, "<x>", true, true),
            token(4, "éa", false, false),
        ];
        let added = AddedTokens::new(tokens.iter(), str::to_owned).expect("sound tokens");
        let cut = |text| {
            let mut found = Vec::new();
            added.cut(text, &mut |part| found.push(part));
            found
        };
        use Found::{Text, Token};
        assert_eq!(cut("a       b"), [Text("a"), Token(2), Token(1), Text(" b")]);
        assert_eq!(cut("a <x> b"), [Text("a"), Token(3), Text("b")]);
        assert_eq!(cut("ééa"), [Text("é"), Token(4)]);
        assert_eq!(cut(""), []);
        let special = AddedToken { special: true, ..token(5, "<s>", false, false) };
        let added = AddedTokens::new([special].iter(), str::to_owned).expect("sound tokens");
        let mut found = Vec::new();
        added.cut("<s>", &mut |part| found.push(part));
        assert_eq!(found, [Text("<s>")]);
        let single = AddedToken { single_word: true, ..token(5, "x", false, false) };
        assert!(AddedTokens::new([single].iter(), str::to_owned).is_err());
    }
}
