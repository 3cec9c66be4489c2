//! How long a hand-over may take in its parts.

use std::time::Duration;

/// How long a hand-over may take in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The pause QEMU aims for: it stops the guest when the rest fits into it at the measured rate.
    pub max_pause: Duration,
    /// One way over the link; for the predicted pause only.
    pub one_way: Duration,
    /// How long the memory copy may go without getting smaller, time in which the link carried nothing left out.
    pub stall: Duration,
    /// How long the guest may be stopped before RELINQUISH; past it the source goes on.
    pub switch: Duration,
    /// How long to wait for the answer to RELINQUISH, and between questions.
    pub answer: Duration,
    /// When an undecided target is asked to give up, counted from RELINQUISH.
    pub patience: Duration,
}

impl Limits {
    /// The usual limits around a pause. The stall time is KubeVirt's (VEP 248). The switch gets ten times what was
    /// aimed for, for dirty memory can double while QEMU stops, and never less than five seconds: giving up costs a whole
    /// new copy.
    #[must_use]
    pub fn for_pause(max_pause: Duration) -> Self {
        Self {
            max_pause,
            one_way: Duration::ZERO,
            stall: Duration::from_secs(60),
            switch: (max_pause * 10).max(Duration::from_secs(5)),
            answer: Duration::from_secs(2),
            patience: Duration::from_secs(20),
        }
    }
}
