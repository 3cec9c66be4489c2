//! Whether a memory copy gets anywhere, and what stopping now would cost. Pure: time comes in.

use std::time::Duration;

/// Weight of the newest rate (KubeVirt VEP 248).
const RATE_WEIGHT: f64 = 0.4;

/// By how much a pass has to be smaller than the best before to count as progress (VEP 248).
const PROGRESS_MARGIN: f64 = 0.04;

/// What QEMU says at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Since the copy began.
    pub(super) at: Duration,
    /// Bytes sent.
    pub(super) transferred: u64,
    /// Bytes still to be sent.
    pub(super) remaining: u64,
    /// Number of the pass.
    pub(super) pass: u64,
}

/// Watches a copy.
#[derive(Debug)]
pub(super) struct Convergence {
    last: Option<Sample>,
    rate: Option<f64>,
    /// The smallest rest at the beginning of a pass.
    best: Option<u64>,
    /// Time since `best` in which the link carried something: a cut link is not a stall.
    without_progress: Duration,
}

impl Convergence {
    pub(super) const fn new() -> Self {
        Self { last: None, rate: None, best: None, without_progress: Duration::ZERO }
    }

    /// Takes a sample in.
    pub(super) fn observe(&mut self, sample: Sample) {
        let Some(last) = self.last.replace(sample) else { return };
        let elapsed = sample.at.saturating_sub(last.at);
        let sent = sample.transferred.saturating_sub(last.transferred);
        if sent > 0 && !elapsed.is_zero() {
            let rate = sent as f64 / elapsed.as_secs_f64();
            self.rate = Some(self.rate.map_or(rate, |old| old + RATE_WEIGHT * (rate - old)));
            self.without_progress += elapsed;
        }
        let first_pass = self.best.is_none();
        let better =
            self.best.is_none_or(|best| (sample.remaining as f64) < best as f64 * (1.0 - PROGRESS_MARGIN));
        if first_pass || (sample.pass != last.pass && better) {
            self.best = Some(sample.remaining);
            self.without_progress = Duration::ZERO;
        }
        if sample.pass <= 1 {
            // The first pass sends everything once; that takes as long as it takes.
            self.without_progress = Duration::ZERO;
        }
    }

    /// Bytes a second, as far as known.
    pub(super) fn rate(&self) -> u64 {
        self.rate.map_or(0, |rate| rate as u64)
    }

    /// How long the rest would take at the current rate; zero while unknown.
    pub(super) fn implied(&self) -> Duration {
        match (self.last, self.rate) {
            (Some(last), Some(rate)) if rate >= 1.0 => Duration::from_secs_f64(last.remaining as f64 / rate),
            _ => Duration::ZERO,
        }
    }

    /// How long there was no progress although the link carried something.
    pub(super) const fn without_progress(&self) -> Duration {
        self.without_progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(watch: &mut Convergence, seconds: u64, rest: impl Fn(u64) -> u64, sent: impl Fn(u64) -> u64) {
        for at in 0..seconds {
            let at = Duration::from_secs(at);
            let second = at.as_secs();
            watch.observe(Sample { at, transferred: sent(second), remaining: rest(second), pass: second });
        }
    }

    /// A copy whose rest stays the same is stalled; one that gets smaller is not, and its pause is rest over rate.
    #[test]
    fn a_rest_that_stays_is_a_stall() {
        let mut stuck = Convergence::new();
        feed(&mut stuck, 60, |_| 50_000_000, |second| second * 10_000_000);
        assert!(stuck.without_progress() > Duration::from_secs(50), "{stuck:?}");
        assert_eq!(stuck.implied(), Duration::from_secs(5));
        let mut shrinking = Convergence::new();
        feed(&mut shrinking, 60, |second| 100_000_000 >> (second / 4), |second| second * 10_000_000);
        assert!(shrinking.without_progress() < Duration::from_secs(10), "{shrinking:?}");
    }

    /// A link that carries nothing is not a stall, however long.
    #[test]
    fn a_cut_link_is_not_a_stall() {
        let mut cut = Convergence::new();
        feed(&mut cut, 600, |_| 50_000_000, |second| second.min(10) * 10_000_000);
        assert!(cut.without_progress() < Duration::from_secs(15), "{cut:?}");
    }
}
