//! Merging the symbols of one word by rank until no rule applies, as byte-pair encoding and SentencePiece both do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No symbol, no place, no rule.
pub(super) const NONE: u32 = u32::MAX;
/// Words up to this many symbols are merged by scanning, longer ones with a heap.
const SCAN_SYMBOLS_MAX: usize = 48;

/// A stretch of a word, in bytes, and what it is to the rules. `NONE` merges with nothing unless the rules say so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    pub(super) start: u32,
    pub(super) bytes: u32,
    pub(super) id: u32,
}

impl Symbol {
    /// The bytes of the word that the symbol stands for.
    pub(super) fn of(self, word: &str) -> &[u8] {
        &word.as_bytes()[self.start as usize..(self.start + self.bytes) as usize]
    }
}

/// What a pair of symbols becomes; of several pairs the one of the lowest rank goes first, then the leftmost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge {
    pub(super) rank: u32,
    pub(super) symbol: u32,
}

impl Merge {
    /// The two stay as they are.
    pub(super) const NEVER: Self = Self { rank: NONE, symbol: NONE };
}

#[derive(Debug, Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
}

/// Rank, place of the left symbol, bytes of the pair, and what it becomes.
type Queue = BinaryHeap<Reverse<(u32, u32, u32, u32)>>;

/// The symbols of a word, and memory that is kept from word to word.
#[derive(Debug, Default)]
pub(super) struct Merging {
    symbols: Vec<Symbol>,
    merges: Vec<Merge>,
    nodes: Vec<Node>,
    queue: Queue,
}

impl Merging {
    /// Merges the symbols of a word, which must be fewer than 2^32; `merge` says what two neighbours become.
    pub(super) fn run(
        &mut self,
        symbols: impl Iterator<Item = Symbol>,
        merge: impl Fn(Symbol, Symbol) -> Merge,
    ) -> &[Symbol] {
        self.symbols.clear();
        self.symbols.extend(symbols);
        if self.symbols.len() <= SCAN_SYMBOLS_MAX {
            self.scan(merge);
        } else {
            self.heap(merge);
        }
        &self.symbols
    }

    /// A short word: find the lowest rank, merge, and look up the two new neighbours.
    fn scan(&mut self, merge: impl Fn(Symbol, Symbol) -> Merge) {
        let Self { symbols, merges, .. } = self;
        merges.clear();
        merges.extend(symbols.windows(2).map(|two| merge(two[0], two[1])));
        while let Some((at, &Merge { rank, symbol })) = merges.iter().enumerate().min_by_key(|(_, merge)| merge.rank) {
            if rank == NONE {
                break;
            }
            let right = symbols.remove(at + 1);
            symbols[at] = Symbol { bytes: symbols[at].bytes + right.bytes, id: symbol, ..symbols[at] };
            merges.remove(at);
            if at < merges.len() {
                merges[at] = merge(symbols[at], symbols[at + 1]);
            }
            if at > 0 {
                merges[at - 1] = merge(symbols[at - 1], symbols[at]);
            }
        }
    }

    /// A long word: a linked list of symbols and a heap of the pairs that may merge.
    fn heap(&mut self, merge: impl Fn(Symbol, Symbol) -> Merge) {
        let Self { symbols, nodes, queue, .. } = self;
        let last = symbols.len() as u32 - 1;
        nodes.clear();
        nodes.extend(
            (0..=last).map(|at| Node {
                prev: at.checked_sub(1).unwrap_or(NONE),
                next: if at == last { NONE } else { at + 1 },
            }),
        );
        queue.clear();
        for left in 0..last {
            push(symbols, left, left + 1, queue, &merge);
        }
        while let Some(Reverse((_, left, bytes, symbol))) = queue.pop() {
            let Node { prev, next: right } = nodes[left as usize];
            // A symbol that was merged away has no bytes, and a grown one makes the pair longer than it was.
            if right == NONE || symbols[left as usize].bytes == 0 {
                continue;
            }
            if symbols[left as usize].bytes + symbols[right as usize].bytes != bytes {
                continue;
            }
            symbols[left as usize] = Symbol { bytes, id: symbol, ..symbols[left as usize] };
            symbols[right as usize].bytes = 0;
            let after = nodes[right as usize].next;
            nodes[left as usize].next = after;
            if after != NONE {
                nodes[after as usize].prev = left;
                push(symbols, left, after, queue, &merge);
            }
            if prev != NONE {
                push(symbols, prev, left, queue, &merge);
            }
        }
        symbols.retain(|symbol| symbol.bytes > 0);
    }
}

fn push(symbols: &[Symbol], left: u32, right: u32, queue: &mut Queue, merge: &impl Fn(Symbol, Symbol) -> Merge) {
    let (first, second) = (symbols[left as usize], symbols[right as usize]);
    let Merge { rank, symbol } = merge(first, second);
    if rank != NONE {
        queue.push(Reverse((rank, left, first.bytes + second.bytes, symbol)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges equal neighbours, and such as differ by one into the greater plus ten.
    fn merge(left: Symbol, right: Symbol) -> Merge {
        match left.id.abs_diff(right.id) {
            0 => Merge { rank: left.id % 5, symbol: left.id + 1 },
            1 => Merge { rank: left.id % 3 + 2, symbol: left.id.max(right.id) + 10 },
            _ => Merge::NEVER,
        }
    }

    #[test]
    fn both_ways_of_merging_agree() {
        let mut seed = 7u32;
        for length in 1..300 {
            let symbols: Vec<Symbol> = (0..length)
                .map(|start| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    Symbol { start, bytes: 1, id: seed >> 30 }
                })
                .collect();
            let mut scanned = Merging { symbols: symbols.clone(), ..Merging::default() };
            scanned.scan(merge);
            let mut heaped = Merging { symbols, ..Merging::default() };
            heaped.heap(merge);
            let rows = |merging: &Merging| -> Vec<(u32, u32, u32)> {
                merging.symbols.iter().map(|symbol| (symbol.start, symbol.bytes, symbol.id)).collect()
            };
            assert_eq!(rows(&scanned), rows(&heaped), "{length}");
        }
    }
}
