//! One bit per block, in memory.

use std::ops::Range;

/// Bits, numbered from 0. Bits behind the last block stay 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(crate) fn new(bits: u64) -> Self {
        let words = usize::try_from(bits.div_ceil(64)).expect("a bitmap fits into memory");
        Self { words: vec![0; words] }
    }

    /// Makes a bitmap from its bytes; missing ones are 0.
    pub(crate) fn from_bytes(bits: u64, bytes: &[u8]) -> Self {
        let mut bitmap = Self::new(bits);
        for (word, chunk) in bitmap.words.iter_mut().zip(bytes.chunks(8)) {
            let mut raw = [0; 8];
            raw[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(raw);
        }
        if let (Some(last), tail @ 1..) = (bitmap.words.last_mut(), bits % 64) {
            *last &= (1 << tail) - 1;
        }
        bitmap
    }

    pub(crate) fn get(&self, bit: u64) -> bool {
        self.words[index(bit)] >> (bit % 64) & 1 == 1
    }

    /// Sets or clears a range. Returns the byte range that changed, if any bit did.
    pub(crate) fn put(&mut self, range: &Range<u64>, value: bool) -> Option<Range<u64>> {
        let mut changed: Option<Range<u64>> = None;
        for (word, mask) in masks(range) {
            let old = self.words[word];
            let new = if value { old | mask } else { old & !mask };
            self.words[word] = new;
            if let (difference @ 1.., base) = (old ^ new, word as u64 * 8) {
                let first = base + u64::from(difference.trailing_zeros() / 8);
                let last = base + u64::from((63 - difference.leading_zeros()) / 8);
                changed = Some(changed.map_or(first, |range| range.start)..last + 1);
            }
        }
        changed
    }

    pub(crate) fn bytes(&self, range: &Range<u64>) -> Vec<u8> {
        (range.start..range.end)
            .map(|at| self.words[index(at * 8)].to_le_bytes()[(at % 8) as usize])
            .collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Number of bits set both here and there.
    pub(crate) fn count_both(&self, other: &Self) -> u64 {
        self.words.iter().zip(&other.words).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Whether any bit of the range has the value.
    pub(crate) fn any(&self, range: &Range<u64>, value: bool) -> bool {
        self.next(range, value).is_some()
    }

    /// First bit in the range that has the value.
    fn next(&self, range: &Range<u64>, value: bool) -> Option<u64> {
        masks(range).find_map(|(word, mask)| {
            let found = if value { self.words[word] } else { !self.words[word] } & mask;
            (found != 0).then(|| word as u64 * 64 + u64::from(found.trailing_zeros()))
        })
    }

    /// First run of bits in the range that have the value.
    pub(crate) fn run(&self, range: &Range<u64>, value: bool) -> Option<Range<u64>> {
        let start = self.next(range, value)?;
        Some(start..self.next(&(start..range.end), !value).unwrap_or(range.end))
    }

    /// All runs in the range that have the value, in order.
    pub(crate) fn runs(&self, range: Range<u64>, value: bool) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut rest = range;
        std::iter::from_fn(move || {
            let run = self.run(&rest, value)?;
            rest.start = run.end;
            Some(run)
        })
    }
}

fn index(bit: u64) -> usize {
    usize::try_from(bit / 64).expect("a bitmap fits into memory")
}

/// The words of a range with the bits of each that lie in it.
fn masks(range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (start, end) = (range.start, range.end);
    let words = if start < end { index(start)..index(end - 1) + 1 } else { 0..0 };
    words.map(move |word| {
        let base = word as u64 * 64;
        let low = start.saturating_sub(base);
        let high = (end - base).min(64);
        (word, (u64::MAX << low) & (u64::MAX >> (64 - high)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Proves that ranges, runs, counts and changed bytes agree with a plain list of bools.
        #[test]
        fn agrees_with_a_list(bits in 1u64..300, puts in prop::collection::vec((0u64..300, 0u64..300, any::<bool>()), 0..20)) {
            let mut bitmap = Bitmap::new(bits);
            let mut list = vec![false; bits as usize];
            for (a, b, value) in puts {
                let range = a.min(b).min(bits)..a.max(b).min(bits);
                let before = bitmap.bytes(&(0..bits.div_ceil(8)));
                let changed = bitmap.put(&range, value).unwrap_or(0..0);
                list[range.start as usize..range.end as usize].fill(value);
                let after = bitmap.bytes(&(0..bits.div_ceil(8)));
                for at in 0..bits.div_ceil(8) {
                    prop_assert!(before[at as usize] == after[at as usize] || changed.contains(&at));
                }
                prop_assert_eq!(Bitmap::from_bytes(bits, &after), bitmap.clone());
            }
            for bit in 0..bits {
                prop_assert_eq!(bitmap.get(bit), list[bit as usize]);
            }
            let set: u64 = bitmap.runs(0..bits, true).map(|run| run.end - run.start).sum();
            let clear: u64 = bitmap.runs(0..bits, false).map(|run| run.end - run.start).sum();
            prop_assert_eq!(set, bitmap.count());
            prop_assert_eq!(set + clear, bits);
            prop_assert!(bitmap.runs(0..bits, true).all(|run| list[run.start as usize..run.end as usize].iter().all(|bit| *bit)));
        }
    }
}
