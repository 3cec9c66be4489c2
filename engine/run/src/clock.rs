//! Where the driver gets time from.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Time as the driver sees it.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// Unix milliseconds.
    fn now_unix_ms(&self) -> u64;

    /// Returns once it is this time, in Unix milliseconds.
    async fn sleep_until_unix_ms(&self, until: u64);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until_unix_ms(&self, until: u64) {
        let millis = until.saturating_sub(self.now_unix_ms());
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

/// A clock that stands still until it is moved. Short waits pass at once and move it; longer ones wait for
/// [`advance_ms`](VirtualClock::advance_ms). So a test passes through every retry without waiting, and a timeout fires
/// only when the test wants it to.
#[derive(Debug)]
pub struct VirtualClock {
    skip_ms_max: u64,
    now: Mutex<u64>,
    moved: watch::Sender<u64>,
}

impl VirtualClock {
    /// A clock at this time, on which waits of at most `skip_ms_max` pass at once.
    #[must_use]
    pub fn new(unix_ms: u64, skip_ms_max: u64) -> Self {
        Self { skip_ms_max, now: Mutex::new(unix_ms), moved: watch::Sender::new(unix_ms) }
    }

    /// Moves it.
    pub fn advance_ms(&self, millis: u64) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now += millis;
        self.moved.send_replace(*now);
    }
}

#[async_trait::async_trait]
impl Clock for VirtualClock {
    fn now_unix_ms(&self) -> u64 {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn sleep_until_unix_ms(&self, until: u64) {
        let millis = until.saturating_sub(self.now_unix_ms());
        if millis <= self.skip_ms_max {
            self.advance_ms(millis);
            return tokio::task::yield_now().await;
        }
        let mut moved = self.moved.subscribe();
        // The clock owns the sender: it cannot go away while it is borrowed here.
        let _ = moved.wait_for(|now| *now >= until).await;
    }
}
