//! Places on a disk, and what is found there.

use bytes::Bytes;

/// A run of bytes on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Span {
    /// Makes the span of `length` bytes from `offset` on.
    pub fn new(offset: u64, length: u64) -> Self {
        Self { offset, length }
    }

    /// First byte behind it; `None` if that overflows, which only a span from outside can do.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }

    /// Whether it is not empty, lies within a disk of `size` bytes and is made of whole sectors.
    pub fn fits(self, size: u64) -> bool {
        let sector = u64::from(super::MIN_BLOCK);
        self.length > 0
            && self.offset.is_multiple_of(sector)
            && self.length.is_multiple_of(sector)
            && self.end().is_some_and(|end| end <= size)
    }
}

/// A part of what a read returned. Parts follow each other without gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Data(Bytes),
    /// That many zero bytes that did not travel.
    Zeroes(u64),
}

impl Piece {
    /// Number of bytes it stands for.
    pub fn length(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zeroes(length) => *length,
        }
    }
}

/// One run of an allocation map (`base:allocation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationRun {
    /// Number of bytes; never 0.
    pub length: u32,
    /// Whether the run takes no space and reads as zeroes.
    pub hole: bool,
}
