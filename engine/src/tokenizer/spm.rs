//! SentencePiece models with scores: the pair whose union is the best-scored token is merged first, leftmost on a tie.
//! Characters that end up in no token are given byte by byte.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::vocabulary::Vocabulary;
use crate::TokenId;

const NONE: u32 = u32::MAX;
/// The character that stands for a space (U+2581).
pub(super) const SPACE_MARK: &str = "\u{2581}";

/// The tokens of one model by their text, with their scores.
#[derive(Debug)]
pub(super) struct Spm {
    ids: HashMap<Box<[u8]>, TokenId>,
    scores: Vec<f32>,
    bytes: Vec<Option<TokenId>>,
    unknown: Option<TokenId>,
    token_bytes_max: usize,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    len: u32,
    prev: u32,
    next: u32,
}

/// A pair that may merge; the greatest is merged first.
struct Pair {
    score: f32,
    left: u32,
    len: u32,
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl Spm {
    pub(super) fn new(vocabulary: &Vocabulary, scores: Vec<f32>, unknown: Option<TokenId>) -> Self {
        let mut ids = HashMap::new();
        let mut bytes = vec![None; 256];
        let mut token_bytes_max = 0;
        for id in 0..vocabulary.len() as TokenId {
            if let Some(byte) = vocabulary.byte_token(id) {
                bytes[usize::from(byte)].get_or_insert(id);
            } else if vocabulary.is_mergeable(id) && !vocabulary.text(id).is_empty() {
                let text = vocabulary.text(id);
                token_bytes_max = token_bytes_max.max(text.len());
                ids.entry(text.into()).or_insert(id);
            }
        }
        // A model without byte tokens may still hold the plain characters.
        for (byte, slot) in bytes.iter_mut().enumerate() {
            if slot.is_none() {
                *slot = ids.get([byte as u8].as_slice()).copied();
            }
        }
        Self { ids, scores, bytes, unknown, token_bytes_max }
    }

    /// Appends the tokens of a text in which spaces are already written as [`SPACE_MARK`].
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        if text.is_empty() {
            return;
        }
        let mut nodes: Vec<Node> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, c))| Node {
                start: start as u32,
                len: c.len_utf8() as u32,
                prev: (at as u32).wrapping_sub(1),
                next: at as u32 + 1,
            })
            .collect();
        let last = nodes.len() - 1;
        nodes[last].next = NONE;
        let mut queue = BinaryHeap::new();
        for left in 0..last as u32 {
            self.push(text.as_bytes(), &nodes, &mut queue, left);
        }
        while let Some(pair) = queue.pop() {
            self.apply(text.as_bytes(), &mut nodes, &mut queue, &pair);
        }
        let mut at = 0;
        while at != NONE {
            let node = nodes[at as usize];
            self.emit(&text.as_bytes()[node.start as usize..(node.start + node.len) as usize], out);
            at = node.next;
        }
    }

    fn apply(&self, text: &[u8], nodes: &mut [Node], queue: &mut BinaryHeap<Pair>, pair: &Pair) {
        let left = nodes[pair.left as usize];
        // A merged symbol has length 0, and a grown one makes the pair longer than it was.
        if left.len == 0 || left.next == NONE || left.len + nodes[left.next as usize].len != pair.len {
            return;
        }
        let right =
            std::mem::replace(&mut nodes[left.next as usize], Node { start: 0, len: 0, prev: NONE, next: NONE });
        nodes[pair.left as usize] = Node { len: pair.len, next: right.next, ..left };
        if right.next != NONE {
            nodes[right.next as usize].prev = pair.left;
        }
        if left.prev != NONE {
            self.push(text, nodes, queue, left.prev);
        }
        self.push(text, nodes, queue, pair.left);
    }

    fn push(&self, text: &[u8], nodes: &[Node], queue: &mut BinaryHeap<Pair>, left: u32) {
        let node = nodes[left as usize];
        if node.next == NONE {
            return;
        }
        let len = node.len + nodes[node.next as usize].len;
        if len as usize > self.token_bytes_max {
            return;
        }
        if let Some(&id) = self.ids.get(&text[node.start as usize..(node.start + len) as usize]) {
            queue.push(Pair { score: self.scores[id as usize], left, len });
        }
    }

    fn emit(&self, symbol: &[u8], out: &mut Vec<TokenId>) {
        match self.ids.get(symbol) {
            Some(&id) => out.push(id),
            None => out.extend(symbol.iter().filter_map(|&byte| self.bytes[usize::from(byte)].or(self.unknown))),
        }
    }
}
