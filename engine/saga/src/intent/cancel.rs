//! Ask a started effect to stop.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::Work;

/// Ask a started effect to stop; how it ended comes from the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// Why: `timeout` or `unwind`.
    pub reason: String,
}
