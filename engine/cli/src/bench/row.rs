//! One figure, in the form that is written down and compared over time.

use serde::Serialize;

/// One figure, in the form that is written down and compared over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::bench) struct Row {
    pub(in crate::bench) work: String,
    /// None where nobody else does this.
    pub(in crate::bench) peer: Option<&'static str>,
    pub(in crate::bench) metric: &'static str,
    pub(in crate::bench) unit: &'static str,
    /// Our median.
    pub(in crate::bench) ours: f64,
    /// The peer's median.
    pub(in crate::bench) theirs: Option<f64>,
    /// Above 1 we are better.
    pub(in crate::bench) ratio: Option<f64>,
    /// Runs of each.
    pub(in crate::bench) runs: usize,
    pub(in crate::bench) spread: Spread,
    /// What our figure is made of.
    pub(in crate::bench) limit: String,
    /// The least ratio, or where there is no peer the most that our figure may be; none in a build that is not optimised.
    pub(in crate::bench) aim: Option<f64>,
    pub(in crate::bench) met: Option<bool>,
}

/// Least and most of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(in crate::bench) struct Spread {
    pub(in crate::bench) ours: [f64; 2],
    pub(in crate::bench) theirs: Option<[f64; 2]>,
}
