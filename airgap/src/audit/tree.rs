//! The Merkle tree hash of RFC 6962, section 2.1, grown one leaf at a time.

use crate::{AirgapError, Hash, Hasher};

/// A tree of which only the roots of its complete subtrees are kept: at most 64 hashes, largest subtree first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// Number of leaves.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub(super) fn push(&mut self, leaf: &[u8]) {
        let mut node = hash_parts(&[&[0], leaf]);
        let mut rest = self.size;
        while rest & 1 == 1 {
            let left = self.peaks.pop().expect("a peak stands for each set bit of the size");
            node = hash_parts(&[&[1], &left.0, &node.0]);
            rest >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The tree hash of all leaves.
    pub(super) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Hash::of(&[]) };
        peaks.fold(*last, |right, left| hash_parts(&[&[1], &left.0, &right.0]))
    }

    /// The peaks one after the other, 32 bytes each.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|peak| peak.0).collect()
    }

    /// Reads what [`Tree::to_bytes`] wrote for a tree of this size.
    pub(super) fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, AirgapError> {
        let (peaks, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || peaks.len() as u32 != size.count_ones() {
            return Err(AirgapError::broken(None, "the stored tree does not fit its size"));
        }
        Ok(Self { size, peaks: peaks.iter().map(|peak| Hash(*peak)).collect() })
    }
}

fn hash_parts(parts: &[&[u8]]) -> Hash {
    let mut hasher = Hasher::default();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish().0
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
mod tests {
    use super::*;

    #[test]
    fn roots_are_those_of_the_certificate_transparency_test_vectors() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(leaf);
            assert_eq!(tree.root().to_string(), root);
            assert_eq!(Tree::from_bytes(tree.size(), &tree.to_bytes()).unwrap(), tree);
        }
    }

    /// RFC 6962's own definition, by recursion over the list.
    fn defined(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hash::of(&[]),
            [one] => hash_parts(&[&[0], one]),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                hash_parts(&[&[1], &defined(&leaves[..split]).0, &defined(&leaves[split..]).0])
            }
        }
    }

    #[test]
    fn roots_follow_the_definition_at_every_size() {
        let leaves: Vec<Vec<u8>> = (0..130_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let mut tree = Tree::default();
        for (place, leaf) in leaves.iter().enumerate() {
            tree.push(leaf);
            assert_eq!(tree.root(), defined(&leaves[..=place]), "size {}", place + 1);
        }
    }

    #[test]
    fn a_stored_tree_of_another_size_is_refused() {
        let mut tree = Tree::default();
        (0..5_u8).for_each(|n| tree.push(&[n]));
        assert!(Tree::from_bytes(7, &tree.to_bytes()).is_err());
        assert!(Tree::from_bytes(5, &tree.to_bytes()[1..]).is_err());
    }
}
