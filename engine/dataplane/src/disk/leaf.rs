//! Leaves and root of a disk: the proof that two copies are equal.
//!
//! A leaf is the BLAKE3 hash of 64 KiB (the last one may be shorter); parents hash two children under a key of their own, an
//! odd child goes up as it is.

use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use super::allocation;
use super::geometry::BLOCK;
use super::store::Store;
use crate::nbd::Span;

/// Bytes of one leaf.
pub const LEAF_BYTES: u64 = 64 << 10;
/// Bytes of one hash.
pub(crate) const HASH: u64 = 32;
/// Blocks of one leaf.
pub(crate) const LEAF_BLOCKS: u64 = LEAF_BYTES / BLOCK;

/// Hash of a leaf.
pub(crate) type Leaf = [u8; HASH as usize];

/// Root over the leaves of a disk, in order.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// Complete subtrees, biggest first, with their heights.
    peaks: Vec<(u32, Leaf)>,
}

impl Root {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: [u8; 32]) {
        let mut node = (0, leaf);
        while let Some(last) = self.peaks.pop_if(|peak| peak.0 == node.0) {
            node = (node.0 + 1, parent(&last.1, &node.1));
        }
        self.peaks.push(node);
    }

    /// The root, hex.
    pub fn finish(self) -> String {
        let root =
            self.peaks.into_iter().rev().map(|(_, hash)| hash).reduce(|right, left| parent(&left, &right));
        blake3::Hash::from_bytes(root.unwrap_or_default()).to_hex().to_string()
    }
}

fn parent(left: &Leaf, right: &Leaf) -> Leaf {
    let mut hasher = blake3::Hasher::new_derive_key("longhaul disk leaf parent v1");
    hasher.update(left).update(right);
    hasher.finalize().into()
}

/// Number of leaves of a disk.
pub(crate) fn count(disk_bytes: u64) -> u64 {
    disk_bytes.div_ceil(LEAF_BYTES)
}

/// The bytes of a leaf.
pub(crate) fn span(disk_bytes: u64, leaf: u64) -> Span {
    let offset = leaf * LEAF_BYTES;
    Span::new(offset, LEAF_BYTES.min(disk_bytes - offset))
}

/// Hashes leaves of an image. Holes are not read: they are zeroes.
pub(crate) fn hashes(store: &Store, leaves: Range<u64>) -> io::Result<Vec<Leaf>> {
    static ZEROES: LazyLock<Leaf> = LazyLock::new(|| blake3::hash(&[0; LEAF_BYTES as usize]).into());
    leaves
        .map(|leaf| {
            let span = span(store.geometry.disk_bytes, leaf);
            if span.length == LEAF_BYTES && allocation::data_up_to(&store.image, span, 1)?.0.is_empty() {
                return Ok(*ZEROES);
            }
            Ok(blake3::hash(&store.read_image(span)?).into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the root depends on every leaf, on their order and on their number.
    #[test]
    fn root_tells_leaves_apart() {
        let root = |leaves: &[u8]| {
            let mut root = Root::default();
            leaves.iter().for_each(|leaf| root.push([*leaf; 32]));
            root.finish()
        };
        let lists: [&[u8]; 6] = [&[1], &[1, 2], &[2, 1], &[1, 2, 3], &[1, 2, 3, 3], &[1, 2, 3, 4, 5]];
        let roots: std::collections::BTreeSet<_> = lists.iter().map(|leaves| root(leaves)).collect();
        assert_eq!(roots.len(), lists.len());
        let two = parent(&[1; 32], &[2; 32]);
        assert_eq!(root(&[1, 2, 3]), blake3::Hash::from_bytes(parent(&two, &[3; 32])).to_hex().to_string());
    }
}
