//! Finding the tokens that are matched as whole texts: control tokens and those the model's makers added.

use std::ops::Range;

use super::vocabulary::{Kind, Vocabulary};
use crate::TokenId;

/// A piece of a text: a token found in it, or what lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    Text(Range<usize>),
    Token(TokenId),
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    id: TokenId,
    /// Whether it may be found in text that nobody vouches for.
    in_any_text: bool,
}

/// The whole-text tokens of a model.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// Sorted by text.
    entries: Vec<Entry>,
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut entries: Vec<Entry> = (0..vocabulary.len() as TokenId)
            .filter(|&id| !vocabulary.text(id).is_empty())
            .filter_map(|id| {
                let in_any_text = match vocabulary.kind(id)? {
                    Kind::Control | Kind::Unknown => false,
                    Kind::UserDefined => true,
                    Kind::Normal | Kind::Unused | Kind::Byte => return None,
                };
                Some(Entry { text: vocabulary.text(id).into(), id, in_any_text })
            })
            .collect();
        entries.sort_by(|a, b| a.text.cmp(&b.text).then(a.id.cmp(&b.id)));
        entries.dedup_by(|a, b| a.text == b.text);
        Self { entries }
    }

    /// Cuts a text at its special tokens. Control tokens are found only where they lie wholly within one range of
    /// `trusted` (in order, not overlapping). Longer tokens go first, as in ggml's tokenizer.
    pub(super) fn cut(&self, text: &str, trusted: &[Range<usize>]) -> Vec<Fragment> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut fragments = vec![Fragment::Text(0..text.len())];
        for (entry, found) in self.occurrences(text.as_bytes(), trusted) {
            fragments = split_at(fragments, &found, entry.text.len(), entry.id);
        }
        fragments
    }

    /// The entries that occur in a text with the places where they may stand, longest first.
    fn occurrences(&self, text: &[u8], trusted: &[Range<usize>]) -> Vec<(&Entry, Vec<usize>)> {
        let mut places: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
        let mut range_idx = 0;
        for start in 0..text.len() {
            while trusted.get(range_idx).is_some_and(|range| range.end <= start) {
                range_idx += 1;
            }
            let trusted_end = trusted.get(range_idx).filter(|range| range.start <= start).map_or(0, |range| range.end);
            self.matches_at(text, start, &mut |idx| {
                let entry = &self.entries[idx];
                if entry.in_any_text || start + entry.text.len() <= trusted_end {
                    places.entry(idx).or_default().push(start);
                }
            });
        }
        let mut found: Vec<(&Entry, Vec<usize>)> =
            places.into_iter().map(|(idx, places)| (&self.entries[idx], places)).collect();
        found.sort_by_key(|(entry, _)| (std::cmp::Reverse(entry.text.len()), entry.id));
        found
    }

    /// Calls `hit` with each entry that the text holds at `start`, by narrowing the sorted list byte by byte.
    fn matches_at(&self, text: &[u8], start: usize, hit: &mut dyn FnMut(usize)) {
        let (mut low, mut high) = (0, self.entries.len());
        for (depth, &byte) in text[start..].iter().enumerate() {
            let live = &self.entries[low..high];
            let from = live.partition_point(|entry| entry.text.get(depth).is_none_or(|&b| b < byte));
            let to = live.partition_point(|entry| entry.text.get(depth).is_none_or(|&b| b <= byte));
            (low, high) = (low + from, low + to);
            if low == high {
                return;
            }
            if self.entries[low].text.len() == depth + 1 {
                hit(low);
            }
        }
    }
}

/// Cuts the text fragments at those places that still lie wholly inside one of them, leftmost first.
fn split_at(fragments: Vec<Fragment>, places: &[usize], length: usize, id: TokenId) -> Vec<Fragment> {
    let mut out = Vec::with_capacity(fragments.len() + 2);
    let mut places = places.iter().copied().peekable();
    for fragment in fragments {
        let Fragment::Text(Range { mut start, end }) = fragment else {
            out.push(fragment);
            continue;
        };
        while let Some(&place) = places.peek() {
            if place >= end {
                break;
            }
            places.next();
            if place < start || place + length > end {
                continue;
            }
            if place > start {
                out.push(Fragment::Text(start..place));
            }
            out.push(Fragment::Token(id));
            start = place + length;
        }
        if start < end {
            out.push(Fragment::Text(start..end));
        }
    }
    out
}
