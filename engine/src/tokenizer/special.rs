//! Finding the tokens that are matched as whole texts: control tokens and those the model's makers added.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::vocabulary::{Kind, Vocabulary};
use crate::TokenId;

/// A piece of a text: a token found in it, or what lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    Text(Range<usize>),
    Token(TokenId),
}

/// Whether a token takes the white space beside it along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Strip {
    #[default]
    Nothing,
    Before,
    After,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    id: TokenId,
    /// Whether it may be found in text that nobody vouches for.
    in_any_text: bool,
    strip: Strip,
}

/// The whole-text tokens of a model.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    /// Sorted by text.
    entries: Vec<Entry>,
    /// Range of the entries that begin with a byte.
    by_first: Box<[Range<u32>; 256]>,
}

/// A token that may stand at a place, ordered as they are taken: longer ones first, then by id, then by place.
type Candidate = (usize, Reverse<TokenId>, Reverse<usize>, usize);

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary, strip: impl Fn(TokenId) -> Strip) -> Self {
        let mut entries: Vec<Entry> = (0..vocabulary.len() as TokenId)
            .filter(|&id| !vocabulary.text(id).is_empty())
            .filter_map(|id| {
                let in_any_text = match vocabulary.kind(id)? {
                    Kind::Control | Kind::Unknown => false,
                    Kind::UserDefined => true,
                    Kind::Normal | Kind::Unused | Kind::Byte => return None,
                };
                Some(Entry { text: vocabulary.text(id).into(), id, in_any_text, strip: strip(id) })
            })
            .collect();
        entries.sort_by(|a, b| a.text.cmp(&b.text).then(a.id.cmp(&b.id)));
        entries.dedup_by(|a, b| a.text == b.text);
        let first = |byte: u8| entries.partition_point(|entry| entry.text[0] < byte) as u32;
        let end = |byte: u8| entries.partition_point(|entry| entry.text[0] <= byte) as u32;
        let by_first = Box::new(std::array::from_fn(|byte| first(byte as u8)..end(byte as u8)));
        Self { entries, by_first }
    }

    /// Cuts a text at its special tokens. Control tokens are found only where they lie wholly within one range of
    /// `trusted` (in order, not overlapping). Longer tokens go first, as in ggml's tokenizer. The memory taken beside
    /// the fragments is a few times the text's.
    pub(super) fn cut(&self, text: &str, trusted: &[Range<usize>]) -> Vec<Fragment> {
        let bytes = text.as_bytes();
        let mut candidates = BinaryHeap::new();
        let mut range_idx = 0;
        for (start, &byte) in bytes.iter().enumerate() {
            if self.by_first[usize::from(byte)].is_empty() {
                continue;
            }
            let trusted_end = trusted_end(trusted, &mut range_idx, start);
            candidates.extend(self.longest_at(bytes, start, bytes.len(), trusted_end));
        }
        let mut found = self.choose(bytes, trusted, candidates);
        found.sort_unstable();
        self.fragments(text, &found)
    }

    /// Places and entries of the tokens that stand, none overlapping another.
    fn choose(
        &self,
        text: &[u8],
        trusted: &[Range<usize>],
        mut candidates: BinaryHeap<Candidate>,
    ) -> Vec<(usize, usize)> {
        let mut taken = vec![false; if candidates.is_empty() { 0 } else { text.len() }];
        let mut found = Vec::new();
        while let Some((length, _, Reverse(start), idx)) = candidates.pop() {
            // What was taken before is at least as long, so that it covers one of the two ends if it covers anything.
            if taken[start] {
                continue;
            }
            let end = start + length;
            if taken[end - 1] {
                let free = (start..end).find(|&at| taken[at]).unwrap_or(end);
                let mut range_idx = trusted.partition_point(|range| range.end <= start);
                let trusted_end = trusted_end(trusted, &mut range_idx, start);
                candidates.extend(self.longest_at(text, start, free, trusted_end));
                continue;
            }
            taken[start..end].fill(true);
            found.push((start, idx));
        }
        found
    }

    /// The longest entry that the text holds at `start` and before `end`, by narrowing the sorted list byte by byte.
    fn longest_at(&self, text: &[u8], start: usize, end: usize, trusted_end: usize) -> Option<Candidate> {
        let Range { start: low, end: high } = self.by_first[usize::from(text[start])].clone();
        let (mut low, mut high) = (low as usize, high as usize);
        let mut longest = None;
        for (depth, &byte) in text[start..end].iter().enumerate() {
            let live = &self.entries[low..high];
            let from = live.partition_point(|entry| entry.text.get(depth).is_none_or(|&b| b < byte));
            let to = live.partition_point(|entry| entry.text.get(depth).is_none_or(|&b| b <= byte));
            (low, high) = (low + from, low + to);
            let Some(entry) = self.entries[low..high].first() else { break };
            if entry.text.len() == depth + 1 && (entry.in_any_text || start + depth < trusted_end) {
                longest = Some((depth + 1, Reverse(entry.id), Reverse(start), low));
            }
        }
        longest
    }

    /// The tokens found with the texts between them, less the white space that tokens take along.
    fn fragments(&self, text: &str, found: &[(usize, usize)]) -> Vec<Fragment> {
        let mut out = Vec::with_capacity(found.len() * 2 + 1);
        let mut from = 0;
        for &(start, idx) in found {
            let entry = &self.entries[idx];
            let before = &text[from.min(start)..start];
            let kept = if entry.strip == Strip::Before { before.trim_end_matches(is_space) } else { before };
            if !kept.is_empty() {
                out.push(Fragment::Text(from..from + kept.len()));
            }
            out.push(Fragment::Token(entry.id));
            from = start + entry.text.len();
            if entry.strip == Strip::After {
                from = text.len() - text[from..].trim_start_matches(is_space).len();
            }
        }
        if from < text.len() {
            out.push(Fragment::Text(from..text.len()));
        }
        out
    }
}

/// The end of the trusted range that holds `start`, or 0; `range_idx` moves on with rising places.
fn trusted_end(trusted: &[Range<usize>], range_idx: &mut usize, start: usize) -> usize {
    while trusted.get(*range_idx).is_some_and(|range| range.end <= start) {
        *range_idx += 1;
    }
    trusted.get(*range_idx).filter(|range| range.start <= start).map_or(0, |range| range.end)
}

/// White space of ASCII, as C's `isspace` has it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
