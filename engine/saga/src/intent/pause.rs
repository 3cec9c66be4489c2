//! A step that lets time pass.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

/// Nothing is done for this step before a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The step.
    pub step: StepPath,
    /// When it is over, in Unix milliseconds of the controller's clock.
    pub until_unix_ms: u64,
}
