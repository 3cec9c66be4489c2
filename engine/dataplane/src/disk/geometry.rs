//! Blocks of a disk: 4 KiB, the last one may be shorter.

use std::ops::Range;

use crate::nbd::Span;

/// Unit of presence in bytes: what file systems write, so that nearly no write needs more than its own bytes.
pub(crate) const BLOCK: u64 = 4096;
/// Unit of writing in bytes.
pub(crate) const SECTOR: u64 = 512;

/// Size of a disk, and the arithmetic on it. Spans given to it lie within the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) disk_bytes: u64,
}

impl Geometry {
    pub(crate) fn blocks(self) -> u64 {
        self.disk_bytes.div_ceil(BLOCK)
    }

    /// Every block of which the span has a byte.
    pub(crate) fn touched(self, span: Span) -> Range<u64> {
        span.offset / BLOCK..(span.offset + span.length).div_ceil(BLOCK)
    }

    /// Every block that lies in the span as a whole; the last block counts as whole when the span reaches the end.
    pub(crate) fn whole(self, span: Span) -> Range<u64> {
        let end = span.offset + span.length;
        let first = span.offset.div_ceil(BLOCK);
        let last = if end == self.disk_bytes { self.blocks() } else { end / BLOCK };
        first.min(last)..last
    }

    /// Blocks of which the span has a part only: none, one or two.
    pub(crate) fn ragged(self, span: Span) -> impl Iterator<Item = u64> {
        let whole = self.whole(span);
        let touched = self.touched(span);
        let first = (touched.start < whole.start || whole.is_empty()).then_some(touched.start);
        let last = touched.end - 1;
        let second = (Some(last) != first && !whole.contains(&last)).then_some(last);
        first.filter(|block| !whole.contains(block)).into_iter().chain(second)
    }

    /// Bytes of a run of blocks.
    pub(crate) fn span(self, blocks: &Range<u64>) -> Span {
        let offset = blocks.start * BLOCK;
        Span::new(offset, (blocks.end * BLOCK).min(self.disk_bytes) - offset)
    }

    /// One bit per sector of the block that lies in the span.
    pub(crate) fn sectors(self, block: u64, span: Span) -> u8 {
        let base = block * BLOCK;
        (0..8)
            .filter(|sector| {
                let at = base + sector * SECTOR;
                at >= span.offset && at < span.offset + span.length
            })
            .fold(0, |mask, sector| mask | 1 << sector)
    }

    /// One bit per sector that the block has.
    pub(crate) fn all_sectors(self, block: u64) -> u8 {
        self.sectors(block, self.span(&(block..block + 1)))
    }
}

/// The runs sorted, those joined that overlap or have no more than `gap` between them.
pub(crate) fn merged(mut runs: Vec<Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    runs.sort_by_key(|run| run.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if run.start <= last.end + gap => last.end = last.end.max(run.end),
            Some(_) | None => merged.push(run),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Proves that every touched block is either whole or ragged, never both, also at a short end.
        #[test]
        fn whole_and_ragged_partition(size in 1u64..100, from in 0u64..100, length in 1u64..100) {
            let geometry = Geometry { disk_bytes: size * SECTOR };
            let from = from % size;
            let span = Span::new(from * SECTOR, length.min(size - from) * SECTOR);
            let ragged: Vec<_> = geometry.ragged(span).collect();
            for block in geometry.touched(span) {
                let full = geometry.sectors(block, span) == geometry.all_sectors(block);
                prop_assert_eq!(geometry.whole(span).contains(&block), full);
                prop_assert_eq!(ragged.contains(&block), !full);
            }
            prop_assert!(ragged.iter().all(|block| geometry.touched(span).contains(block)));
        }
    }
}
