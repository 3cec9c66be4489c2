//! Holds a lane at what its path delivers while BBR does not.
//!
//! BBR begins at 2.9 times the rate it has seen delivered and slows down when that stops growing. It does not look while
//! the sender leaves gaps, and a sender whose records are compressed as they go always leaves some at 2.9 times the link.
//! So BBR stays in its start-up, every burst overruns the queue, and a fifth of what is sent is sent twice (measured 2026-11
//! at 100 Mbit/s and 150 ms). The governor makes the observation in BBR's place: a queue that grows and overflows is a
//! path that is full. It lets go as soon as BBR has found out by itself.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

use super::inet_diag::TcpInfo;

/// How often the kernel is asked while the lane sends.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Rounds are not shorter than this: a look must fit in.
const ROUND_MIN: Duration = Duration::from_millis(40);
/// BBR's gains are in 256ths. Above two the start-up paces; two is the congestion window's after it.
const TWICE: u64 = 512;
/// Percent of a round's segments that a queue which is full drops.
const LOSSY_PERCENT: u64 = 2;
/// Percent that no queue need be seen for: it may be too short to see.
const LOST_PERCENT: u64 = 15;
/// Fewer lost segments say nothing.
const LOST_MIN: u64 = 8;
/// A round trip this much over the shortest is a queue ...
const QUEUE_MIN: Duration = Duration::from_millis(5);
/// ... or this share of the shortest, whichever is more.
const QUEUE_SHARE: u32 = 8;

/// Finds out how fast one lane may send.
#[derive(Debug, Default)]
pub(super) struct Governor {
    bytes_per_second: Option<u64>,
    /// The rate at which the path was full last.
    full: u64,
    /// The cap was lowered by the round before this one.
    is_settling: bool,
    asked: Option<Instant>,
    round: Option<Round>,
}

/// About one round trip.
#[derive(Debug)]
struct Round {
    began: Instant,
    first: TcpInfo,
    rtt_us_max: u64,
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
struct Seen {
    bytes_sent_per_second: u64,
    bytes_acked_per_second: u64,
    lost_percent: u64,
    is_queueing: bool,
}

impl Governor {
    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now - asked >= LOOK_EVERY)
    }

    /// Notes what the kernel says; the cap from now on, bits per second.
    pub(super) fn observe(&mut self, info: &TcpInfo, now: Instant) -> Option<NonZeroU64> {
        self.asked = Some(now);
        let bbr = info.bbr?;
        let begun = || Round { began: now, first: *info, rtt_us_max: info.rtt_us };
        let round = self.round.get_or_insert_with(begun);
        round.rtt_us_max = round.rtt_us_max.max(info.rtt_us);
        let elapsed = now - round.began;
        if elapsed >= Duration::from_micros(info.rtt_us).max(ROUND_MIN) {
            let seen = round.seen(info, elapsed, Duration::from_micros(bbr.min_rtt_us));
            *round = begun();
            if bbr.pacing_gain > TWICE {
                self.start_up(&seen, bbr.bytes_per_second);
            } else if bbr.cwnd_gain == TWICE {
                self.bytes_per_second = None;
            }
        }
        self.bytes_per_second.and_then(|rate| NonZeroU64::new(rate.saturating_mul(8)))
    }

    fn start_up(&mut self, seen: &Seen, best: u64) {
        let is_settling = std::mem::take(&mut self.is_settling);
        self.bytes_per_second = match self.bytes_per_second {
            None if seen.is_overrun() => {
                (self.is_settling, self.full) = (true, best);
                Some(percent(best, 95))
            }
            // What this round saw was sent before.
            Some(held) if is_settling => Some(held),
            Some(held) if seen.is_overrun() || seen.is_queueing => {
                (self.is_settling, self.full) = (true, seen.bytes_acked_per_second.min(held));
                let least = percent(held, if seen.lost_percent >= LOST_PERCENT { 50 } else { 85 });
                Some(seen.bytes_acked_per_second.clamp(least, percent(held, 95)))
            }
            Some(held) if seen.bytes_sent_per_second > percent(held, 80) => {
                let is_near = (percent(self.full, 90)..percent(self.full, 120)).contains(&held);
                Some(percent(held, if is_near { 102 } else { 110 }))
            }
            held => held,
        };
    }
}

impl Round {
    fn seen(&self, last: &TcpInfo, elapsed: Duration, shortest: Duration) -> Seen {
        let per_second =
            |bytes: u64| bytes.saturating_mul(1_000_000) / u128_to_u64(elapsed.as_micros()).max(1);
        let lost = last.retransmits.saturating_sub(self.first.retransmits);
        let segments = last.segments_sent.saturating_sub(self.first.segments_sent);
        let queue = Duration::from_micros(self.rtt_us_max).saturating_sub(shortest);
        Seen {
            bytes_sent_per_second: per_second(last.bytes_sent.saturating_sub(self.first.bytes_sent)),
            bytes_acked_per_second: per_second(last.bytes_acked.saturating_sub(self.first.bytes_acked)),
            lost_percent: if lost < LOST_MIN { 0 } else { 100 * lost / segments.max(1) },
            is_queueing: queue > QUEUE_MIN.max(shortest / QUEUE_SHARE),
        }
    }
}

impl Seen {
    /// More was sent than the path holds. Loss alone is no sign of it: some links just lose.
    fn is_overrun(&self) -> bool {
        self.lost_percent >= LOST_PERCENT || (self.lost_percent >= LOSSY_PERCENT && self.is_queueing)
    }
}

fn percent(of: u64, percent: u64) -> u64 {
    of.saturating_mul(percent) / 100
}

fn u128_to_u64(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::inet_diag::Bbr;
    use super::*;

    const RTT: Duration = Duration::from_millis(100);
    const START_UP: (u64, u64) = (739, 739);
    const AFTER_IT: (u64, u64) = (256, 512);

    /// A path of 10 MB/s with a queue of 40 ms, and a lane that always has something to send.
    struct Path {
        governor: Governor,
        now: Instant,
        info: TcpInfo,
        capacity: u64,
        random_loss_percent: u64,
        queued: u64,
    }

    impl Path {
        fn new() -> Self {
            let bbr = Bbr { bytes_per_second: 9_800_000, min_rtt_us: 100_000, pacing_gain: 0, cwnd_gain: 0 };
            let info = TcpInfo { rtt_us: 100_000, bbr: Some(bbr), ..TcpInfo::default() };
            let governor = Governor::default();
            Self {
                governor,
                now: Instant::now(),
                info,
                capacity: 10_000_000,
                random_loss_percent: 0,
                queued: 0,
            }
        }

        /// A round trip of sending at `wanted` bytes per second or the cap; the cap after it, bytes per second.
        fn round(&mut self, gains: (u64, u64), wanted: u64) -> Option<u64> {
            let mut cap = None;
            for _ in 0..5 {
                self.slice(wanted.min(self.governor.bytes_per_second.unwrap_or(u64::MAX)) / 50);
                if let Some(bbr) = &mut self.info.bbr {
                    (bbr.pacing_gain, bbr.cwnd_gain) = gains;
                }
                cap = self.governor.observe(&self.info, self.now);
            }
            cap.map(|bits| bits.get() / 8)
        }

        fn rounds(&mut self, count: usize) {
            for _ in 0..count {
                self.round(START_UP, 28_000_000);
            }
        }

        /// A fiftieth of a second.
        fn slice(&mut self, sent: u64) {
            let through = self.capacity / 50;
            let lost_at_random = sent * self.random_loss_percent / 100;
            self.queued = (self.queued + sent - lost_at_random).saturating_sub(through);
            let dropped = self.queued.saturating_sub(self.capacity / 25);
            self.queued -= dropped;
            self.now += RTT / 5;
            self.info.bytes_sent += sent;
            self.info.bytes_acked += sent.min(through);
            self.info.segments_sent += sent / 1_448;
            self.info.retransmits += (dropped + lost_at_random) / 1_448;
            self.info.rtt_us = 100_000 + self.queued * 1_000_000 / self.capacity;
        }
    }

    /// A start-up that overruns the path is held just below it, without losses from then on; BBR gets its freedom back
    /// when it has left its start-up.
    #[test]
    fn a_start_up_that_overruns_is_held() {
        let mut path = Path::new();
        while path.round(START_UP, 28_000_000).is_none() {
            assert!(path.info.bytes_sent < 20_000_000, "never held");
        }
        path.rounds(10);
        let (sent, lost) = (path.info.bytes_sent, path.info.retransmits);
        for _ in 0..100 {
            let cap = path.round(START_UP, 28_000_000).unwrap();
            assert!((8_000_000..11_000_000).contains(&cap), "{cap}");
        }
        let sent = path.info.bytes_sent - sent;
        assert!(sent > 92_000_000, "{sent} of 100 MB went");
        assert_eq!(path.info.retransmits, lost);
        assert_eq!(path.round(AFTER_IT, 28_000_000), None);
    }

    /// A path that gets narrower or wider is followed.
    #[test]
    fn a_path_that_changes_is_followed() {
        let mut path = Path::new();
        path.rounds(20);
        path.capacity = 2_000_000;
        path.rounds(30);
        let narrow = path.governor.bytes_per_second.unwrap();
        assert!((1_500_000..2_300_000).contains(&narrow), "{narrow}");
        path.capacity = 10_000_000;
        path.rounds(30);
        let wide = path.governor.bytes_per_second.unwrap();
        assert!((8_500_000..12_000_000).contains(&wide), "{wide}");
    }

    /// Neither a link that loses at random nor a lane with little to say nor another congestion control is held.
    #[test]
    fn what_does_not_overrun_is_left_alone() {
        let mut lossy = Path::new();
        lossy.random_loss_percent = 5;
        (0..50).for_each(|_| assert_eq!(lossy.round(START_UP, 9_000_000), None));
        let mut quiet = Path::new();
        (0..50).for_each(|_| assert_eq!(quiet.round(START_UP, 100_000), None));
        let mut other = Path::new();
        other.info.bbr = None;
        (0..50).for_each(|_| assert_eq!(other.round(START_UP, 28_000_000), None));
    }
}
