//! What one move gave.

use longhaul_saga::Report;
use serde::{Deserialize, Serialize};

use super::meter::Trace;

/// A move that passed its checks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    pub(super) total_ms: u64,
    pub(super) independent_ms: u64,
    pub(super) wire_bytes: u64,
    pub(super) longest_gap_ms: u64,
    /// How long the guest stood still, by the clocks of who moved it; for the limit of the gap, not a metric.
    pub(super) pause_ms: u64,
    /// Bytes from A to B until the guest ran at B.
    pub(super) sent_until_runs: u64,
    /// Bytes from A to B until B needed A no more.
    pub(super) sent_until_independent: u64,
    /// Packets from A to B that the link's queue or the link lost.
    pub(super) lost_packets: u64,
    /// Share of the machine's CPU time that nobody used meanwhile.
    pub(super) idle_percent: f64,
    /// What only a run of ours can tell.
    pub(super) run: Option<RunFacts>,
    /// The peer's command lines.
    pub(super) commands: Vec<String>,
}

/// What a run of ours tells about itself, for the limits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFacts {
    pub(super) id: String,
    pub(super) steps: Vec<StepTime>,
    /// Bytes that went into the tunnel, as their users see them.
    pub(super) raw_bytes: u64,
    /// What the tunnel made of them, before TLS.
    pub(super) tunnel_bytes: u64,
}

/// A step's time, counted from the run's start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepTime {
    /// The last part of its path.
    pub(super) step: String,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Bytes from A to B meanwhile.
    pub(super) sent: u64,
}

impl StepTime {
    pub(super) fn took_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

impl RunFacts {
    pub(super) fn of(report: &Report, trace: &Trace) -> Self {
        let begun = report.began_at_unix_ms;
        let step = |line: &longhaul_saga::report::StepLine| {
            let to_ms = line.to_ms?;
            Some(StepTime {
                step: line.step.rsplit('/').next().unwrap_or_default().to_owned(),
                from_ms: line.from_ms,
                to_ms,
                sent: trace.sent_at(begun + to_ms).saturating_sub(trace.sent_at(begun + line.from_ms)),
            })
        };
        Self {
            id: report.run.to_string(),
            steps: report.steps.iter().filter_map(step).collect(),
            raw_bytes: report.wire.iter().map(|kind| kind.raw_bytes).sum(),
            tunnel_bytes: report.wire.iter().map(|kind| kind.wire_bytes).sum(),
        }
    }
}
