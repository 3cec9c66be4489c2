//! How fast a link delivers, told from what arrived when.
//!
//! TCP gives nothing while it waits for a lost segment, and everything behind that segment at once when it comes. Bytes in a
//! time would count such a burst as the link's rate. The median slope between arrivals does not: bursts and gaps are
//! steps beside one straight line.

use std::time::Duration;

/// Arrivals are noted this far apart at first.
const NOTED_EVERY: Duration = Duration::from_millis(5);
/// Notes kept; then every other one is dropped and the distance doubled, so that no measurement is too long.
const NOTES_MAX: usize = 400;
/// Notes nearer than this part of the time are not compared: arrivals come in pieces.
const NEAR: u32 = 4;

/// What arrived since a beginning.
#[derive(Debug)]
pub struct Arrivals {
    total: u64,
    every: Duration,
    notes: Vec<(Duration, u64)>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { total: 0, every: NOTED_EVERY, notes: Vec::new() }
    }
}

impl Arrivals {
    /// Notes that so many bytes arrived so long after the beginning.
    pub fn note(&mut self, bytes: u64, at: Duration) {
        self.total += bytes;
        if self.notes.last().is_some_and(|(last, _)| at < *last + self.every) {
            return;
        }
        if self.notes.len() == NOTES_MAX {
            let mut index = 0;
            self.notes.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        self.notes.push((at, self.total));
    }

    /// The steady rate of the second half of the time, when TCP has found the link's, in bits per second; 0 if too little
    /// arrived to tell.
    #[must_use]
    pub fn bits_per_second(&self) -> u64 {
        let (Some((first, _)), Some((last, _))) = (self.notes.first(), self.notes.last()) else { return 0 };
        let middle = *first + (*last - *first) / 2;
        let half = &self.notes[self.notes.partition_point(|(at, _)| *at < middle)..];
        let least = (*last - middle) / NEAR;
        let mut slopes: Vec<u64> = (half.iter().enumerate())
            .flat_map(|(index, from)| half[index + 1..].iter().map(move |to| (from, to)))
            .filter(|(from, to)| to.0 - from.0 >= least.max(NOTED_EVERY))
            .map(|(from, to)| slope(to.1 - from.1, to.0 - from.0))
            .collect();
        if slopes.is_empty() {
            return 0;
        }
        let median = slopes.len() / 2;
        *slopes.select_nth_unstable(median).1
    }
}

fn slope(bytes: u64, time: Duration) -> u64 {
    let bits_per_second = u128::from(bytes) * 8_000_000 / time.as_micros().max(1);
    u64::try_from(bits_per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A slow beginning, then a link of 12 Mbit/s that delivers 1500 bytes a millisecond, for so long.
    fn arrivals(ms: u32, held: std::ops::Range<u32>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        let mut waiting = 0;
        for at in 0..ms {
            waiting += if at < ms / 3 { 100 } else { 1_500 };
            if !held.contains(&at) {
                arrivals.note(std::mem::take(&mut waiting), MS * at);
            }
        }
        arrivals
    }

    /// The rate is the link's: the slow beginning does not count, nor do bytes that were held and came at once.
    #[test]
    fn the_rate_is_the_links() {
        assert_eq!(arrivals(700, 0..0).bits_per_second(), 12_000_000);
        for held in [300..360, 500..560, 640..690] {
            let found = arrivals(700, held.clone()).bits_per_second();
            assert!((11_500_000..12_500_000).contains(&found), "{held:?}: {found}");
        }
    }

    /// A long measurement keeps a bounded number of notes and finds the same.
    #[test]
    fn a_long_measurement_is_bounded() {
        let long = arrivals(60_000, 0..0);
        assert!(long.notes.len() <= NOTES_MAX);
        assert_eq!(long.bits_per_second(), 12_000_000);
    }

    /// Nothing, or one arrival, is no rate.
    #[test]
    fn too_little_is_no_rate() {
        assert_eq!(Arrivals::default().bits_per_second(), 0);
        assert_eq!(arrivals(1, 0..0).bits_per_second(), 0);
    }
}
