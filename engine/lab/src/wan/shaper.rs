//! One direction of the link as a pure object: a packet's length and the time go in, its fate comes out.

use super::link::{Counters, Link};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at that time, nanoseconds on the caller's clock.
    Arrives(u64),
    /// Nobody sees it again.
    Dropped,
}

/// One direction of the link.
#[derive(Debug)]
pub struct Shaper {
    link: Link,
    cut: bool,
    random: fastrand::Rng,
    /// When the wire has sent everything it accepted.
    busy_until: u64,
    /// No later packet arrives before this one, also when the delay was lowered.
    last_arrival: u64,
    counters: Counters,
}

impl Shaper {
    /// An idle direction; `salt` tells the two directions' random numbers apart.
    #[must_use]
    pub fn new(link: Link, salt: u64) -> Self {
        let random = fastrand::Rng::with_seed(link.seed.wrapping_mul(2).wrapping_add(salt));
        Self { link, cut: false, random, busy_until: 0, last_arrival: 0, counters: Counters::default() }
    }

    /// Offers a packet of `bytes` at `now`.
    pub fn offer(&mut self, now: u64, bytes: usize) -> Verdict {
        if self.cut {
            self.counters.cut_drops += 1;
            return Verdict::Dropped;
        }
        if self.queued(now) + bytes as u64 > self.link.queue.as_bytes() {
            self.counters.queue_drops += 1;
            return Verdict::Dropped;
        }
        self.busy_until = self.busy_until.max(now) + self.serialisation(bytes as u64);
        self.counters.packets += 1;
        self.counters.bytes += bytes as u64;
        if self.random.f64() < self.link.loss {
            self.counters.loss_drops += 1;
            return Verdict::Dropped;
        }
        let arrival = self.busy_until + self.link.delay.as_millis() * 1_000_000;
        self.last_arrival = self.last_arrival.max(arrival);
        Verdict::Arrives(self.last_arrival)
    }

    /// Whether a packet that is due may be delivered; one in flight when the link was cut is lost.
    pub fn deliver(&mut self) -> bool {
        self.counters.cut_drops += u64::from(self.cut);
        !self.cut
    }

    /// Changes the settings; what waits in the queue goes on at the new rate.
    pub fn change(&mut self, now: u64, link: Link) {
        let queued = self.queued(now);
        self.link = link;
        self.busy_until = now + self.serialisation(queued);
    }

    /// Cuts the link or heals it.
    pub fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes waiting at `now`.
    fn queued(&self, now: u64) -> u64 {
        let wait = u128::from(self.busy_until.saturating_sub(now));
        let bytes = wait * u128::from(self.link.rate.as_bits_per_second()) / (8 * NANOS_PER_SECOND);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Nanoseconds on the wire. A rate of 0 would never end: it counts as 1 bit/s.
    fn serialisation(&self, bytes: u64) -> u64 {
        let rate = u128::from(self.link.rate.as_bits_per_second().max(1));
        u64::try_from(u128::from(bytes) * 8 * NANOS_PER_SECOND / rate).unwrap_or(u64::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use longhaul_model::units::{Bandwidth, Size, Time};

    use super::*;

    const PACKET: usize = 1500;

    fn link(mbit: u64, delay_ms: u64, loss: f64, queue: u64) -> Link {
        Link {
            rate: Bandwidth::from_bits_per_second(mbit * 1_000_000),
            delay: Time::from_millis(delay_ms),
            loss,
            queue: Size::from_bytes(queue),
            seed: 5,
        }
    }

    fn arrival(verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Arrives(at) => at,
            Verdict::Dropped => panic!("the packet was dropped"),
        }
    }

    /// A packet arrives after its time on the wire and the delay, and the next one right behind it.
    #[test]
    fn rate_and_delay_make_the_arrival() {
        let mut shaper = Shaper::new(link(100, 25, 0.0, 1 << 20), 0);
        assert_eq!(arrival(shaper.offer(1_000, PACKET)), 1_000 + 120_000 + 25_000_000);
        assert_eq!(arrival(shaper.offer(1_000, PACKET)), 1_000 + 240_000 + 25_000_000);
        assert_eq!(arrival(shaper.offer(90_000_000, PACKET)), 90_000_000 + 120_000 + 25_000_000);
    }

    /// A burst fills the queue to its bound and no further; a drained queue takes packets again.
    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let mut shaper = Shaper::new(link(100, 0, 0.0, 15_000), 0);
        let accepted = (0..20).filter(|_| shaper.offer(0, PACKET) != Verdict::Dropped).count();
        assert_eq!((accepted, shaper.counters().queue_drops), (10, 10));
        assert_ne!(shaper.offer(120_000, PACKET), Verdict::Dropped);
        assert_eq!(shaper.offer(120_000, PACKET), Verdict::Dropped);
    }

    /// The lost fraction is the one asked for, and the same seed loses the same packets.
    #[test]
    fn loss_follows_fraction_and_seed() {
        let run = || {
            let mut shaper = Shaper::new(link(100, 0, 0.01, 1 << 20), 0);
            (0..100_000u64)
                .map(|i| shaper.offer(i * 1_000_000, PACKET) == Verdict::Dropped)
                .collect::<Vec<_>>()
        };
        let lost = run().iter().filter(|lost| **lost).count();
        assert!((900..=1_100).contains(&lost), "{lost} of 100000");
        assert_eq!(run(), run());
        let mut other = Shaper::new(link(100, 0, 0.01, 1 << 20), 1);
        let other: Vec<bool> =
            (0..100_000u64).map(|i| other.offer(i * 1_000_000, PACKET) == Verdict::Dropped).collect();
        assert_ne!(run(), other, "the directions lose different packets");
    }

    /// Lowering the delay does not let a packet overtake the one before it.
    #[test]
    fn order_is_kept_when_the_delay_shrinks() {
        let mut shaper = Shaper::new(link(100, 100, 0.0, 1 << 20), 0);
        let first = arrival(shaper.offer(0, PACKET));
        shaper.change(1, link(100, 1, 0.0, 1 << 20));
        assert!(arrival(shaper.offer(1, PACKET)) >= first);
    }

    /// What is queued when the rate changes goes on at the new rate.
    #[test]
    fn a_new_rate_applies_to_the_queue() {
        let mut shaper = Shaper::new(link(100, 0, 0.0, 1 << 20), 0);
        (0..10).for_each(|_| assert_ne!(shaper.offer(0, PACKET), Verdict::Dropped));
        shaper.change(0, link(10, 0, 0.0, 1 << 20));
        assert_eq!(arrival(shaper.offer(0, PACKET)), 11 * 1_200_000);
    }

    /// A cut link drops what is offered and what is in flight, and carries again when healed.
    #[test]
    fn a_cut_drops_everything_until_healed() {
        let mut shaper = Shaper::new(link(100, 25, 0.0, 1 << 20), 0);
        arrival(shaper.offer(0, PACKET));
        shaper.set_cut(true);
        assert!(!shaper.deliver());
        assert_eq!(shaper.offer(1, PACKET), Verdict::Dropped);
        shaper.set_cut(false);
        assert!(shaper.deliver());
        arrival(shaper.offer(2, PACKET));
        assert_eq!(shaper.counters().cut_drops, 2);
    }
}
