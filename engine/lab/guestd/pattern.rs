//! Content that can be made again from a few numbers, so that whoever reads it can tell whether one bit is wrong.
//!
//! Used by the guest daemon and by the lab: both must make the same bytes from the same numbers for ever.

/// What every page of the memory writer begins with, so that a proof can find one in a stream of memory.
///
/// Made at run time from its complement: as a constant it would stand in the program's own pages too.
pub(crate) fn page_mark() -> u64 {
    !std::hint::black_box(!u64::from_le_bytes(*b"lhmemory"))
}

/// How much of a file a sample is: the end of one of the equal parts into which its samples divide it.
pub(crate) const SAMPLE_BYTES: usize = 4 << 10;

/// A small generator (SplitMix64): its whole state is the seed, so content needs no storage to be checked.
pub(crate) struct Stream {
    state: u64,
}

impl Stream {
    /// The stream of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next eight bytes.
    pub(crate) fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Fills a buffer; a tail shorter than a word takes the word's first bytes.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let word = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A 64-bit checksum of bytes, fed in any pieces (FNV-1a with a final mix). It guards against accidents, not attackers.
pub(crate) struct Checksum {
    state: u64,
}

impl Checksum {
    /// The checksum of nothing.
    pub(crate) fn new() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325 }
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.state = (self.state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The checksum of everything so far.
    pub(crate) fn value(&self) -> u64 {
        Stream::new(self.state).next_word()
    }
}
