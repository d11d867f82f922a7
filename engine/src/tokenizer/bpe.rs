//! Byte-level byte-pair encoding.
//!
//! Each byte of a word is a symbol; of all neighbouring pairs with a merge rule, the one with the lowest rank, leftmost
//! first, becomes one symbol, until no rule applies. (Sennrich et al. 2016; the byte alphabet is that of GPT-2.)

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::split::Split;
use super::vocabulary::Vocabulary;
use crate::TokenId;

/// Words up to this many bytes are merged by scanning, longer ones with a heap.
const SCAN_BYTES_MAX: usize = 48;
const NONE: u32 = u32::MAX;

/// What a pair of symbols becomes.
#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    symbol: u32,
}

/// The merge rules of one model.
#[derive(Debug)]
pub(super) struct Bpe {
    split: Split,
    merges: HashMap<u64, Merge, BuildHasherDefault<PairHasher>>,
    /// Token of each symbol, or `NONE` for a symbol that is only a step on the way. Symbols 0 to 255 are the bytes.
    tokens: Vec<u32>,
    /// Whole words that are tokens, for models that take such a word without merging.
    whole: Option<HashMap<Box<[u8]>, TokenId>>,
}

/// Mixes the two numbers of a pair; the keys come from the model's own merge list.
#[derive(Debug, Default)]
pub(super) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        let product = u128::from(self.0 ^ key) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The byte that a character of the GPT-2 alphabet stands for.
pub(super) fn alphabet_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        // The bytes without a visible character of their own follow from 256 on, in order.
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The bytes that a token's text stands for; `None` when a character is outside the alphabet.
pub(super) fn alphabet_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(alphabet_byte).collect()
}

impl Bpe {
    /// Builds the rules from the merge list, whose lines are two token texts with a space between.
    ///
    /// Lines that name characters outside the alphabet can never apply and are passed over.
    pub(super) fn new<'a>(
        vocabulary: &Vocabulary,
        merges: impl Iterator<Item = &'a [u8]>,
        split: Split,
        whole_words: bool,
    ) -> Self {
        let mut builder = Builder::new(vocabulary);
        for (rank, line) in merges.enumerate() {
            builder.add(rank as u32, line);
        }
        let Builder { words, tokens, merges, .. } = builder;
        let whole = whole_words.then_some(words);
        Self { split, merges, tokens, whole }
    }

    /// Appends the tokens of a text without control tokens.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        let mut work = Work::default();
        self.split.words(text, &mut |word| self.word(word.as_bytes(), &mut work, out));
    }

    fn word(&self, word: &[u8], work: &mut Work, out: &mut Vec<TokenId>) {
        if let Some(&id) = self.whole.as_ref().and_then(|whole| whole.get(word)) {
            out.push(id);
        } else if word.len() <= SCAN_BYTES_MAX {
            self.scan(word, work, out);
        } else {
            self.heap(word, work, out);
        }
    }

    fn merge(&self, left: u32, right: u32) -> Option<Merge> {
        self.merges.get(&pair(left, right)).copied()
    }

    /// Merging a short word: find the lowest rank, merge, and look up the two new neighbours.
    fn scan(&self, word: &[u8], work: &mut Work, out: &mut Vec<TokenId>) {
        let parts = &mut work.parts;
        parts.clear();
        parts.extend(word.iter().enumerate().map(|(at, &byte)| Part {
            start: at as u32,
            symbol: u32::from(byte),
            next: word.get(at + 1).and_then(|&right| self.merge(u32::from(byte), u32::from(right))),
        }));
        loop {
            let best = parts
                .iter()
                .enumerate()
                .filter_map(|(at, part)| part.next.map(|merge| (merge.rank, at, merge.symbol)))
                .min();
            let Some((_, at, symbol)) = best else { break };
            parts.remove(at + 1);
            parts[at].symbol = symbol;
            parts[at].next = parts.get(at + 1).and_then(|right| self.merge(symbol, right.symbol));
            if at > 0 {
                parts[at - 1].next = self.merge(parts[at - 1].symbol, symbol);
            }
        }
        for at in 0..parts.len() {
            let end = parts.get(at + 1).map_or(word.len(), |next| next.start as usize);
            self.emit(parts[at].symbol, &word[parts[at].start as usize..end], out);
        }
    }

    /// Merging a long word: a linked list of symbols and a heap of the pairs that may merge.
    fn heap(&self, word: &[u8], work: &mut Work, out: &mut Vec<TokenId>) {
        let Work { nodes, queue, .. } = work;
        nodes.clear();
        queue.clear();
        let last = word.len() - 1;
        nodes.extend(word.iter().enumerate().map(|(at, &byte)| Node {
            symbol: u32::from(byte),
            prev: if at == 0 { NONE } else { at as u32 - 1 },
            next: if at == last { NONE } else { at as u32 + 1 },
        }));
        for left in 0..last {
            self.push(nodes, queue, left as u32);
        }
        while let Some(Reverse((_, left, left_symbol, right_symbol, symbol))) = queue.pop() {
            let right = nodes[left as usize].next;
            let stale = nodes[left as usize].symbol != left_symbol
                || right == NONE
                || nodes[right as usize].symbol != right_symbol;
            if stale {
                continue;
            }
            let after = nodes[right as usize].next;
            nodes[right as usize].symbol = NONE;
            nodes[left as usize].symbol = symbol;
            nodes[left as usize].next = after;
            if after != NONE {
                nodes[after as usize].prev = left;
            }
            self.push(nodes, queue, left);
            if nodes[left as usize].prev != NONE {
                self.push(nodes, queue, nodes[left as usize].prev);
            }
        }
        self.emit_list(word, nodes, out);
    }

    fn push(&self, nodes: &[Node], queue: &mut Queue, left: u32) {
        let node = nodes[left as usize];
        if node.next == NONE {
            return;
        }
        let right = nodes[node.next as usize].symbol;
        if let Some(merge) = self.merge(node.symbol, right) {
            queue.push(Reverse((merge.rank, left, node.symbol, right, merge.symbol)));
        }
    }

    fn emit_list(&self, word: &[u8], nodes: &[Node], out: &mut Vec<TokenId>) {
        let mut at = 0;
        loop {
            let node = nodes[at];
            let end = if node.next == NONE { word.len() } else { node.next as usize };
            self.emit(node.symbol, &word[at..end], out);
            if node.next == NONE {
                break;
            }
            at = node.next as usize;
        }
    }

    /// The token of a symbol, or those of its bytes; a byte that the vocabulary does not know gives none.
    fn emit(&self, symbol: u32, bytes: &[u8], out: &mut Vec<TokenId>) {
        match self.tokens[symbol as usize] {
            NONE => out.extend(bytes.iter().map(|&byte| self.tokens[usize::from(byte)]).filter(|&id| id != NONE)),
            id => out.push(id),
        }
    }
}

/// A symbol of a short word, with what it and its right neighbour would become.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u32,
    symbol: u32,
    next: Option<Merge>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    symbol: u32,
    prev: u32,
    next: u32,
}

/// Rank, place of the left symbol, the two symbols as they were, and what they become.
type Queue = BinaryHeap<Reverse<(u32, u32, u32, u32, u32)>>;

/// Memory kept from word to word.
#[derive(Default)]
struct Work {
    parts: Vec<Part>,
    nodes: Vec<Node>,
    queue: Queue,
}

struct Builder {
    words: HashMap<Box<[u8]>, TokenId>,
    symbols: HashMap<Box<[u8]>, u32>,
    tokens: Vec<u32>,
    merges: HashMap<u64, Merge, BuildHasherDefault<PairHasher>>,
}

impl Builder {
    fn new(vocabulary: &Vocabulary) -> Self {
        let mut words = HashMap::new();
        for id in 0..vocabulary.len() as TokenId {
            if vocabulary.is_mergeable(id) && !vocabulary.bytes(id).is_empty() {
                words.entry(vocabulary.bytes(id).into()).or_insert(id);
            }
        }
        let mut builder = Self { words, symbols: HashMap::new(), tokens: Vec::new(), merges: HashMap::default() };
        for byte in 0..=255 {
            builder.symbol(&[byte]);
        }
        builder
    }

    fn symbol(&mut self, bytes: &[u8]) -> u32 {
        if let Some(&symbol) = self.symbols.get(bytes) {
            return symbol;
        }
        let symbol = self.tokens.len() as u32;
        self.tokens.push(self.words.get(bytes).copied().unwrap_or(NONE));
        self.symbols.insert(bytes.into(), symbol);
        symbol
    }

    fn add(&mut self, rank: u32, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        // The first text may itself begin with a space, never with more than that.
        let Some(space) = line.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at) else { return };
        let (Some(left), Some(right)) = (alphabet_bytes(&line[..space]), alphabet_bytes(&line[space + 1..])) else {
            return;
        };
        if left.is_empty() || right.is_empty() {
            return;
        }
        let key = pair(self.symbol(&left), self.symbol(&right));
        let symbol = self.symbol(&[left, right].concat());
        self.merges.entry(key).or_insert(Merge { rank, symbol });
    }
}
