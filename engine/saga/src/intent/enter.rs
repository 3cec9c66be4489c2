//! Another workflow that begins as a step.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The step runs another workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enter {
    /// The step.
    pub step: StepPath,
    /// Every input of the workflow, as evaluated, defaults filled in.
    pub inputs: Map<String, Value>,
}
