//! When each step is expected to begin and to end, in a run in which all goes well.
//!
//! ```text
//!   plan + facts (what steps that only look have put out) + the actions' estimates --schedule--> Forecast
//! ```
//!
//! Nothing here is a promise. A step without an estimate counts as no time at all and is named; so is everything else
//! that cannot be known before the run.

mod booking;
mod schedule;
mod unknown;

use std::collections::BTreeMap;

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepId;
use serde::Serialize;
use serde_json::Value;

use crate::plan::Plan;
use schedule::Schedule;

/// What a step is expected to need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// From its start to its end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Bytes between the sites.
    pub wire_bytes: Option<u64>,
    /// How long the guest stands still, in milliseconds.
    pub pause_ms: Option<u64>,
}

/// What a step that only looks has found before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its outputs.
    pub outputs: Value,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What is known besides the plan.
pub struct Circumstances<'a> {
    /// What steps of the outermost graph have found.
    pub facts: &'a BTreeMap<StepId, Fact>,
    /// What an action says it will need with these parameters.
    pub estimate: &'a dyn Fn(&ActionName, &Value) -> Expected,
    /// When the run is taken to begin, in Unix milliseconds.
    pub begins_unix_ms: u64,
}

/// What is expected of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// From its start to its end, in milliseconds; at least so long if something has no estimate.
    pub total_ms: u64,
    /// Whether every step has a time.
    pub is_complete: bool,
    /// Bytes between the sites, as far as actions say.
    pub wire_bytes: u64,
    /// The longest pause of a guest, in milliseconds, if an action says one.
    pub longest_pause_ms: Option<u64>,
    /// What the deadline comes to; none if there is none or its time cannot be told.
    pub deadline: Option<DeadlineOutlook>,
    /// The steps in the order in which the plan has them, items one after the other.
    pub steps: Vec<Expectation>,
    /// The steps that decide when the run ends, first to last.
    pub critical_path: Vec<String>,
    /// What cannot be known before the run, a sentence for each.
    pub unknown: Vec<String>,
}

/// What the deadline comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeadlineOutlook {
    /// When it is, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// How long after the start of the run; 0 if it is before that.
    pub after_ms: u64,
    /// Whether the run will be over by then.
    pub verdict: DeadlineVerdict,
}

/// Whether a run will be over before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineVerdict {
    /// It is over before the run begins.
    Passed,
    /// Everything has a time, and all of it together fits.
    Fits,
    /// What has a time takes longer already.
    DoesNotFit,
    /// What has a time fits; something has none.
    NotKnown,
}

/// When a step is expected to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// Where it stands: `move/vm-a/prefetch`; an item that is not known yet stands as `<vm>`.
    pub path: String,
    /// After the start of the run, in milliseconds.
    pub start_ms: u64,
    /// The same for its end.
    pub end_ms: u64,
    /// Where the time is from.
    pub rests_on: RestsOn,
    /// Whether the run ends later if this takes longer.
    pub is_critical: bool,
    /// Bytes between the sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_bytes: Option<u64>,
    /// How long the guest stands still, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
}

/// Where an expected time is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestsOn {
    /// The step only looks; it was run for this plan and took so long.
    Looked,
    /// The action's own estimate.
    Estimate,
    /// What the workflow says: a wait.
    Written,
    /// The steps inside.
    Items,
    /// Nothing: the action has no estimate, or what it needs for one is not known yet.
    Nothing,
    /// It is passed over: its `if` is false.
    PassedOver,
}

impl Forecast {
    /// What is expected of a run of this plan.
    #[must_use]
    pub fn of(plan: &Plan, circumstances: &Circumstances<'_>) -> Self {
        Schedule::new(plan, circumstances).forecast(plan)
    }
}

#[cfg(test)]
mod tests;
