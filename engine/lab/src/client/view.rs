//! What a client saw, as figures.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Failures kept with their words; more are only counted.
const FAILURES_MAX: usize = 200;

/// What a client saw from the beginning to the end of an observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Longest silence on an established ticker connection.
    pub longest_gap_ms: u64,
    /// When that silence began.
    pub gap_at_unix_ms: u64,
    /// Ticker lines received.
    pub lines: u64,
    /// Ticker lines whose number was skipped.
    pub missing: u64,
    /// Ticker lines whose number had been seen before.
    pub duplicates: u64,
    /// Ticker connections that ended before the observation did.
    pub resets: u64,
    /// Ticker connections made; 1 if the first one lived through everything.
    pub connections: u64,
    /// HTTP requests made.
    pub requests: u64,
    /// HTTP requests that did not succeed.
    pub failed_requests: u64,
    /// The first failures, of requests and of the ticker.
    pub failures: Vec<Failure>,
    /// Address to which the name led at the last request.
    pub last_answer: Option<Ipv4Addr>,
}

/// Something that did not work, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it began.
    pub at_unix_ms: u64,
    /// How long it took to fail.
    pub took_ms: u64,
    /// What was said.
    pub what: String,
}

impl ClientView {
    /// Whether the established connection counted on without a missing number and without a reset, and nothing was
    /// received twice. A view that received nothing is not good.
    #[must_use]
    pub fn connection_intact(&self) -> bool {
        self.lines > 0
            && self.missing == 0
            && self.duplicates == 0
            && self.resets == 0
            && self.connections == 1
    }

    pub(super) fn note(&mut self, failure: Failure) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }
}

/// Milliseconds since the epoch, now.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
