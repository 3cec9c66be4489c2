//! A step ends without being started, or its question was answered with a no.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::{Failure, Work};

/// The step's expressions could not be evaluated, what its undo requires does not hold, or somebody said no. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// Why.
    pub failure: Failure,
}
