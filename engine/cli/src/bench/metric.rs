//! What is compared. Of all of them, less is better.

use super::sample::Sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// From the start until the guest ran at B.
    Total,
    /// From the start until B needed A no more.
    Independent,
    /// Both directions of the WAN, headers included.
    WireBytes,
    /// The client's longest silence.
    LongestGap,
}

impl Metric {
    pub(super) const ALL: [Self; 4] = [Self::Total, Self::Independent, Self::WireBytes, Self::LongestGap];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Total => "total_ms",
            Self::Independent => "independent_ms",
            Self::WireBytes => "wire_bytes",
            Self::LongestGap => "longest_gap_ms",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Total | Self::Independent | Self::LongestGap => "ms",
            Self::WireBytes => "bytes",
        }
    }

    pub(super) fn of(self, sample: &Sample) -> u64 {
        match self {
            Self::Total => sample.total_ms,
            Self::Independent => sample.independent_ms,
            Self::WireBytes => sample.wire_bytes,
            Self::LongestGap => sample.longest_gap_ms,
        }
    }

    /// Whether the aim is met: sooner and with fewer bytes, and a client's gap that is not longer.
    pub(super) fn met(self, ratio: f64) -> bool {
        match self {
            Self::Total | Self::Independent | Self::WireBytes => ratio > 1.0,
            Self::LongestGap => ratio >= 1.0,
        }
    }
}
