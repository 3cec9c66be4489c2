//! Threads that go ahead of guests and copies.

use std::num::NonZeroU64;

/// A link that waits for a CPU is no link, and an observer that waits for one sees nothing.
const NICENESS: i32 = -15;

/// Takes precedence for the calling thread. Without root's rights over priorities it still works, less exactly under load.
pub(crate) fn take(whose: &'static str) {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, whose, "cannot raise the priority of a thread");
    }
    let _coarser_timers = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
}
