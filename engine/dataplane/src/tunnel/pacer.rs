//! A cap on what is sent: by a whole tunnel, or by one lane.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// What may be sent at once after a silence; a few records, so that the cap holds over any tenth of a second.
const BURST: Duration = Duration::from_millis(5);

/// Says when the next record may go.
#[derive(Debug)]
pub(super) struct Pacer {
    bits_per_second: Option<NonZeroU64>,
    free_at: Instant,
}

impl Pacer {
    pub(super) fn new(bits_per_second: Option<NonZeroU64>) -> Self {
        Self { bits_per_second, free_at: Instant::now() }
    }

    /// Changes the cap; what was sent before stays charged.
    pub(super) fn hold(&mut self, bits_per_second: Option<NonZeroU64>) {
        self.bits_per_second = bits_per_second;
    }

    /// The instant from which a record may be sent.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.bits_per_second.and_then(|_| self.free_at.checked_sub(BURST))
    }

    /// Notes what was sent.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) {
        if let Some(rate) = self.bits_per_second {
            let nanos = bytes as u128 * 8 * 1_000_000_000 / u128::from(rate.get());
            let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.free_at = self.free_at.max(now) + cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over a second no more passes than the cap and one burst.
    #[test]
    fn the_cap_holds() {
        let start = Instant::now();
        let mut pacer = Pacer { bits_per_second: NonZeroU64::new(8_000_000), free_at: start };
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(1) {
            pacer.charge(1000, now);
            sent += 1000;
            now = now.max(pacer.ready_at().unwrap());
        }
        assert!((1_000_000..=1_006_000).contains(&sent), "{sent}");
    }
}
