//! The run's report, as a fold over its records.
//!
//! Pure: the same records give the same bytes, so a stored report can be compared with one made again. It knows the
//! outputs of the native actions by the kind of the action and the names of their fields; an action it does not know
//! shows up in the time line alone.

mod client;
mod facts;
mod fold;
mod forecast;
mod html;
mod policies;
mod safe;
mod svg;
mod text;
mod units;
mod verdict;

use std::collections::BTreeMap;

pub use client::Client;
pub use facts::{DiskProof, Lane, MovedVm, RecordKind, Tunnel};
use longhaul_model::ids::RunId;
use longhaul_model::plugin::PluginPin;
pub use policies::PolicyLine;
use serde::Serialize;
pub use verdict::{Check, Verdict};

use crate::Status;
use crate::intent::Instruction;

/// That a run was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// How long after its start, in milliseconds.
    pub at_ms: u64,
    /// Why: what a person said, or that its deadline has passed.
    pub reason: String,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The workflow's name and version.
    pub workflow: String,
    /// SHA-256 of the resolved workflow, hex.
    pub sha256: String,
    /// The plugins that it used, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginPin>,
    /// How the run stands.
    pub status: Status,
    /// When it began, in Unix milliseconds.
    pub began_at_unix_ms: u64,
    /// From its first to its last record that is not an observation, in milliseconds.
    pub total_ms: u64,
    /// From its start to the moment the last moved VM ran at its target, in milliseconds.
    pub runs_at_ms: Option<u64>,
    /// From its start to the moment the last moved VM's source was released, in milliseconds.
    pub independent_ms: Option<u64>,
    /// What was expected before the first byte moved: the critical path of the steps' estimates.
    pub predicted: Predicted,
    /// What was found by checks from outside; none if nobody checked.
    pub verdict: Option<Verdict>,
    /// What clients saw; none were watching if empty.
    pub clients: Vec<Client>,
    /// Every step instance in the order it was started.
    pub steps: Vec<StepLine>,
    /// What policies said beyond a yes, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyLine>,
    /// VMs that changed their site.
    pub moved: Vec<MovedVm>,
    /// Proofs of copied disks.
    pub disks: Vec<DiskProof>,
    /// Tunnels with their lanes as last read.
    pub tunnels: Vec<Tunnel>,
    /// Bytes by kind and class, as last read per step.
    pub wire: Vec<RecordKind>,
    /// Bytes that the WAN itself counted during the run, both directions, headers included; none if it was not asked.
    pub wan_bytes: Option<u64>,
    /// Which site owns each VM, as far as the run knows.
    pub owners: BTreeMap<String, String>,
    /// When and why the run was given up, by a person or by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
    /// Of a run that has ended: the steps that never began, and the items of which no step did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_begun: Vec<String>,
    /// Of a run that has ended in part: steps that would have answered the failure of another one, which left a part of itself
    /// and so is not answered; and that other one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unanswered: BTreeMap<String, String>,
    /// Why outputs of the workflow are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs_error: Option<String>,
    /// What an operator has to do.
    pub instructions: Vec<Instruction>,
    /// What is safe to do now, in sentences.
    pub safe_now: Vec<String>,
}

/// What was expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Predicted {
    /// From the run's start to its end, in milliseconds.
    pub total_ms: Option<u64>,
    /// From the run's start to the moment the last moved VM runs at its target, in milliseconds.
    pub runs_at_ms: Option<u64>,
    /// From the run's start to the moment the last moved VM's source is released, in milliseconds.
    pub independent_ms: Option<u64>,
    /// The longest pause of a guest, in milliseconds.
    pub pause_ms: Option<u64>,
    /// Bytes between the sites, before TLS.
    pub wire_bytes: Option<u64>,
}

/// A step instance in the time line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepLine {
    /// Its path.
    pub step: String,
    /// Its action, or what it asks.
    pub uses: String,
    /// Whether this is its undo.
    pub undo: bool,
    /// When it was first started, counted from the run's start.
    pub from_ms: u64,
    /// When its outcome was known; none if it is open.
    pub to_ms: Option<u64>,
    /// How many attempts it took.
    pub attempts: u32,
    /// `running`, `succeeded`, `failed`, `skipped`, `unknown`, `undone` or `called_off`.
    pub state: &'static str,
    /// Why it failed, or was called off.
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests;
