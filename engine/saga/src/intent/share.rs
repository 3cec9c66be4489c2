//! A step's part of what steps share has changed.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

/// A step that is under way has another part of what steps share than it was told before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The step.
    pub step: StepPath,
    /// All that it has now, by the names of the resources, each in its own unit: bits a second, bytes, a count.
    pub claims: BTreeMap<String, u64>,
}
