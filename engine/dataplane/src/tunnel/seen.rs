//! A set of numbers that fills from below with few gaps.

use std::collections::BTreeMap;

/// Gaps a sender within its bounds can make: every unacknowledged record of every lane.
const RANGES_MAX: usize = 128 * 1024;

/// Which numbers were seen, as ranges: neighbours merge, so its size is the number of gaps.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// First number to one past the last.
    ranges: BTreeMap<u64, u64>,
}

/// What became of a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Insert {
    New,
    Known,
    /// There are more gaps than a sender within its bounds makes.
    Full,
}

impl Seen {
    /// Adds a number.
    pub(super) fn insert(&mut self, number: u64) -> Insert {
        let before = self.ranges.range(..=number).next_back().map(|(start, end)| (*start, *end));
        match before {
            Some((_, end)) if end > number => return Insert::Known,
            Some((start, end)) if end == number => {
                let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
                self.ranges.insert(start, end);
            }
            Some(_) | None if self.ranges.len() >= RANGES_MAX => return Insert::Full,
            Some(_) | None => {
                let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
                self.ranges.insert(number, end);
            }
        }
        Insert::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the order, each number is new exactly once, and no gap remains at the end.
    #[test]
    fn every_number_is_new_once() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut numbers: Vec<u64> = (0..500).flat_map(|n| [n, n]).collect();
        random.shuffle(&mut numbers);
        let mut seen = Seen::default();
        let new = numbers.iter().filter(|n| seen.insert(**n) == Insert::New).count();
        assert_eq!(new, 500);
        assert_eq!(seen.ranges.into_iter().collect::<Vec<_>>(), [(0, 500)]);
    }
}
