//! A bound on what the fill asks the source for in a second.
//!
//! What was asked for is owed, and what is owed drains at the rate of the moment: another rate holds from the moment at which it is
//! set, also for who waits already. Bytes are those of the disk, before the tunnel compresses them, so no more than the bound
//! crosses the link.

use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What may be owed by who asks for more: sleeps are this coarse, and a fast line must not stand still for them.
const BURST: Duration = Duration::from_millis(10);
/// For what is owed at no rate: nobody waits so long, a change of the rate wakes everybody.
const LONG: Duration = Duration::from_secs(3600);

/// The bound, and who waits for it.
#[derive(Debug)]
pub(crate) struct Rate {
    limiter: Mutex<Limiter>,
    changed: Notify,
}

impl Rate {
    /// No bound.
    pub(crate) fn new() -> Self {
        Self { limiter: Mutex::new(Limiter::new(Instant::now())), changed: Notify::new() }
    }

    /// Sets the bound; 0 for none.
    pub(crate) fn limit(&self, bits_per_second: u64) {
        self.limiter().limit(NonZeroU64::new(bits_per_second), Instant::now());
        self.changed.notify_waiters();
    }

    /// The bound; 0 for none.
    pub(crate) fn bits_per_second(&self) -> u64 {
        self.limiter().bits_per_second.map_or(0, NonZeroU64::get)
    }

    /// Waits until so many bytes may be asked for, and notes them.
    pub(crate) async fn pass(&self, bytes: u64) {
        loop {
            // Before the look, so that no change is missed.
            let changed = self.changed.notified();
            let Some(wait) = self.limiter().take(bytes, Instant::now()) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    /// Whole at any time, so a poisoned lock is as good as a clean one.
    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The arithmetic; knows no clock.
#[derive(Debug)]
struct Limiter {
    bits_per_second: Option<NonZeroU64>,
    owed_bits: u64,
    /// When so much was owed.
    at: Instant,
}

impl Limiter {
    fn new(now: Instant) -> Self {
        Self { bits_per_second: None, owed_bits: 0, at: now }
    }

    fn limit(&mut self, bits_per_second: Option<NonZeroU64>, now: Instant) {
        self.drain(now);
        self.bits_per_second = bits_per_second;
    }

    /// Notes bytes that may be asked for now; else how long to wait.
    fn take(&mut self, bytes: u64, now: Instant) -> Option<Duration> {
        self.drain(now);
        let rate = self.bits_per_second?.get();
        let owed = nanos(self.owed_bits, rate);
        if owed > BURST {
            return Some(owed - BURST);
        }
        self.owed_bits = self.owed_bits.saturating_add(bytes.saturating_mul(8));
        None
    }

    fn drain(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        // Without a bound nothing is owed.
        let rate = self.bits_per_second.map_or(u64::MAX, NonZeroU64::get);
        let drained = passed.saturating_mul(u128::from(rate)) / 1_000_000_000;
        self.owed_bits = self.owed_bits.saturating_sub(u64::try_from(drained).unwrap_or(u64::MAX));
        self.at = now;
    }
}

/// How long bits take at a rate.
fn nanos(bits: u64, rate: u64) -> Duration {
    let nanos = u128::from(bits) * 1_000_000_000 / u128::from(rate);
    u64::try_from(nanos).map_or(LONG, Duration::from_nanos).min(LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: u64 = 128 << 10;

    /// A clock that goes only when somebody waits.
    struct Clock {
        now: Instant,
        limiter: Limiter,
        passed: u64,
    }

    impl Clock {
        fn at(bits_per_second: u64) -> Self {
            let now = Instant::now();
            let mut limiter = Limiter::new(now);
            limiter.limit(NonZeroU64::new(bits_per_second), now);
            Self { now, limiter, passed: 0 }
        }

        /// Asks for all that may be asked for until then.
        fn run(&mut self, until: Instant) {
            while self.now < until {
                match self.limiter.take(REQUEST, self.now) {
                    None => self.passed += REQUEST,
                    Some(wait) => self.now = (self.now + wait).min(until),
                }
            }
        }

        fn limit(&mut self, bits_per_second: u64) {
            self.limiter.limit(NonZeroU64::new(bits_per_second), self.now);
        }
    }

    /// Proves that over a second as much passes as the bound says, and one request and one burst more at most, at any rate.
    #[test]
    fn the_bound_holds() {
        for megabits in [2, 80, 800, 8_000] {
            let rate = megabits * 1_000_000;
            let mut clock = Clock::at(rate);
            let end = clock.now + Duration::from_secs(1);
            clock.run(end);
            let (least, most) = (rate / 8, rate / 8 + rate / 800 + REQUEST);
            assert!((least..=most).contains(&clock.passed), "{} bytes at {rate} bit/s", clock.passed);
        }
    }

    /// Proves that a change holds at once: what was asked for at the slow rate does not hold the fast one up, nor the other way
    /// round, and after a silence nothing is made up for.
    #[test]
    fn a_change_holds_at_once() {
        let mut clock = Clock::at(8_000);
        clock.run(clock.now + Duration::from_millis(1));
        assert_eq!(clock.passed, REQUEST, "it takes two minutes at this rate");
        clock.limit(80_000_000);
        clock.run(clock.now + Duration::from_secs(1));
        assert!((10_000_000..=10_000_000 + 3 * REQUEST).contains(&clock.passed), "{}", clock.passed);
        let before = clock.passed;
        clock.limit(8_000);
        clock.run(clock.now + Duration::from_secs(1));
        assert!(clock.passed - before <= 2 * REQUEST, "{}", clock.passed - before);
        clock.now += Duration::from_secs(3_600);
        let before = clock.passed;
        clock.run(clock.now + Duration::from_secs(1));
        assert_eq!(clock.passed - before, REQUEST);
    }

    /// Proves that without a bound nobody waits, and that one that is lifted is forgotten.
    #[test]
    fn no_bound_is_no_bound() {
        let mut clock = Clock::at(8_000);
        clock.run(clock.now + Duration::from_millis(1));
        assert!(clock.limiter.take(REQUEST, clock.now).is_some());
        clock.limit(0);
        for _ in 0..1_000 {
            assert_eq!(clock.limiter.take(REQUEST, clock.now), None);
        }
    }

    /// Proves that who waits for a slow rate goes on when a fast one is set.
    #[tokio::test]
    async fn who_waits_is_woken() {
        let rate = std::sync::Arc::new(Rate::new());
        rate.limit(1);
        rate.pass(REQUEST).await;
        let here = std::sync::Arc::clone(&rate);
        let mut waiting = tokio::spawn(async move { here.pass(REQUEST).await });
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it did not wait"),
            () = tokio::task::yield_now() => {}
        }
        rate.limit(0);
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it waits on").unwrap();
    }
}
