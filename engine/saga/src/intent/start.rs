//! Start an effect.

use std::collections::BTreeMap;

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use longhaul_model::units::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Work;

/// Start an effect, or take up the one started before under the same key and attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The step.
    pub step: StepPath,
    /// Whether this does what the step does, or undoes it with the action the workflow names.
    pub work: Work,
    /// The action.
    pub uses: ActionName,
    /// Third part of the effect's key.
    pub incarnation: u32,
    /// Counts from 1.
    pub attempt: u32,
    /// The evaluated parameters.
    pub params: Value,
    /// Its part of what steps share, by the names of the resources, each in its own unit: bits a second, bytes, a count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, u64>,
    /// How long it may give no sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Time>,
}
