//! Holds a lane at what its path delivers while BBR does not.
//!
//! BBR begins at 2.9 times the rate it has seen delivered and slows down when that stops growing. It does not look while
//! the sender leaves gaps, and a sender whose records are compressed as they go always leaves some at 2.9 times the link.
//! So BBR stays in its start-up, every burst overruns the queue, and a fifth of what is sent is sent twice (measured 2026-11
//! at 100 Mbit/s and 150 ms). The governor makes the observation in BBR's place: losses with a queue are a path that is
//! full. It lets go when BBR has found out by itself, or the lane has had little to do for a while.
//!
//! It must never hold a lane that is not in BBR's start-up, nor below half of what BBR believes of the path: what looks
//! like an overrun may be a link that loses and shakes by itself.

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

/// A lane that was not held back for so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Finds out how fast one lane may send.
#[derive(Debug, Default)]
pub(super) struct Governor {
    /// Another congestion control is in charge.
    is_idle: bool,
    asked: Option<Instant>,
    round: Option<Round>,
    hold: Option<Hold>,
}

/// What a lane is held at.
#[derive(Debug, Clone, Copy)]
struct Hold {
    bytes_per_second: u64,
    /// The rate at which the path was full last.
    full: u64,
    /// Lowered by the round before this one, which saw what was sent before.
    is_settling: bool,
    /// When it last held anything back.
    used: Instant,
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
    /// Whether the kernel is to be asked now; it then counts as asked, whatever it answers.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = !self.is_idle && self.asked.is_none_or(|asked| now - asked >= LOOK_EVERY);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Notes what the kernel says; the cap from now on, bits per second.
    pub(super) fn observe(&mut self, info: &TcpInfo, now: Instant) -> Option<NonZeroU64> {
        let Some(bbr) = info.bbr else {
            self.is_idle = true;
            return None;
        };
        let begun = || Round { began: now, first: *info, rtt_us_max: info.rtt_us };
        let round = self.round.get_or_insert_with(begun);
        round.rtt_us_max = round.rtt_us_max.max(info.rtt_us);
        let elapsed = now - round.began;
        if elapsed >= Duration::from_micros(info.rtt_us).max(ROUND_MIN) {
            let seen = round.seen(info, elapsed, Duration::from_micros(bbr.min_rtt_us));
            *round = begun();
            if bbr.pacing_gain > TWICE {
                self.hold = self.start_up(&seen, bbr.bytes_per_second, now);
            } else if bbr.cwnd_gain == TWICE {
                self.hold = None;
            }
        }
        self.hold.and_then(|hold| NonZeroU64::new(hold.bytes_per_second.saturating_mul(8)))
    }

    fn start_up(&self, seen: &Seen, best: u64, now: Instant) -> Option<Hold> {
        let Some(hold) = self.hold else {
            let first =
                Hold { bytes_per_second: percent(best, 95), full: best, is_settling: true, used: now };
            return seen.is_overrun().then_some(first);
        };
        let held = hold.bytes_per_second;
        if seen.bytes_sent_per_second <= percent(held, 80) {
            return (now - hold.used < FORGOTTEN_AFTER).then_some(hold);
        }
        let (is_settling, full, bytes_per_second) = if hold.is_settling {
            (false, hold.full, held)
        } else if seen.is_overrun() {
            let delivered = seen.bytes_acked_per_second;
            (true, delivered.min(held), delivered.clamp(percent(held, 85), percent(held, 95)))
        } else if seen.is_queueing {
            // Ours or another's: it does not get longer by us.
            (false, held, percent(held, 98))
        } else {
            let is_near = (percent(hold.full, 90)..percent(hold.full, 120)).contains(&held);
            (false, hold.full, percent(held, if is_near { 102 } else { 110 }))
        };
        Some(Hold { bytes_per_second: bytes_per_second.max(best / 2), full, is_settling, used: now })
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
        /// The round trip is longer by this.
        shake_us: u64,
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
                shake_us: 0,
                queued: 0,
            }
        }

        /// A round trip of sending at `wanted` bytes per second or the cap; the cap after it, bytes per second.
        fn round(&mut self, gains: (u64, u64), wanted: u64) -> Option<u64> {
            let mut cap = None;
            for _ in 0..5 {
                self.slice(wanted.min(self.held().unwrap_or(u64::MAX)) / 50);
                if let Some(bbr) = &mut self.info.bbr {
                    (bbr.pacing_gain, bbr.cwnd_gain) = gains;
                }
                cap = self.governor.observe(&self.info, self.now);
            }
            cap.map(|bits| bits.get() / 8)
        }

        fn held(&self) -> Option<u64> {
            self.governor.hold.map(|hold| hold.bytes_per_second)
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
            self.info.rtt_us = 100_000 + self.shake_us + self.queued * 1_000_000 / self.capacity;
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

    /// A path that gets narrower is followed down to half of what BBR believes, and one that gets wider up again.
    #[test]
    fn a_path_that_changes_is_followed() {
        let mut path = Path::new();
        path.rounds(20);
        path.capacity = 2_000_000;
        path.rounds(30);
        assert_eq!(path.held(), Some(4_900_000));
        path.info.bbr.as_mut().unwrap().bytes_per_second = 2_000_000;
        path.rounds(30);
        let narrow = path.held().unwrap();
        assert!((1_500_000..2_300_000).contains(&narrow), "{narrow}");
        path.capacity = 10_000_000;
        path.rounds(50);
        let wide = path.held().unwrap();
        assert!((8_500_000..12_000_000).contains(&wide), "{wide}");
    }

    /// A lane with nothing to do keeps its rate, however long its round trips are, and begins anew after a while.
    #[test]
    fn a_quiet_lane_is_not_talked_down() {
        let mut path = Path::new();
        path.rounds(20);
        let before = path.held();
        assert!(before.is_some());
        let slow = |path: &mut Path| {
            path.info.rtt_us = 150_000;
            path.now += Duration::from_secs(2);
            path.info.bytes_sent += 100;
            path.governor.observe(&path.info.clone(), path.now);
        };
        (0..4).for_each(|_| slow(&mut path));
        assert_eq!(path.held(), before);
        (0..4).for_each(|_| slow(&mut path));
        assert_eq!(path.held(), None);
    }

    /// A link that loses and shakes by itself costs at most half of what BBR believes.
    #[test]
    fn a_bad_link_is_not_talked_down() {
        let mut path = Path::new();
        (path.random_loss_percent, path.shake_us) = (5, 40_000);
        path.rounds(500);
        assert_eq!(path.held(), Some(4_900_000));
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
