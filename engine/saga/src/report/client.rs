//! What a client saw: the headline of every report.

use serde::Serialize;
use serde_json::Value;

/// The source of a client's observations.
pub(super) const SOURCE: &str = "client";

/// What one client saw while the run was under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The longest time without a line on a connection that existed before, in milliseconds.
    pub longest_gap_ms: u64,
    /// Lines that never came.
    pub missing: u64,
    /// Connections that were reset.
    pub resets: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Requests made.
    pub requests: u64,
    /// Connections watched.
    pub connections: u64,
}

impl Client {
    /// From an observation's payload; what it does not say is 0.
    pub(super) fn of(payload: &Value) -> Self {
        let number = |name: &str| payload[name].as_f64().map_or(0, |number| number.round() as u64);
        Self {
            longest_gap_ms: number("longest_gap_ms"),
            missing: number("missing"),
            resets: number("resets"),
            failed_requests: number("failed_requests"),
            requests: number("requests"),
            connections: number("connections"),
        }
    }

    /// Whether a client lost something: a gap alone is not a loss.
    #[must_use]
    pub fn lost_something(&self) -> bool {
        self.missing > 0 || self.resets > 0 || self.failed_requests > 0
    }
}
