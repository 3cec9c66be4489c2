//! A controller took the run up again, and from here on it is to do something else.

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
use serde::{Deserialize, Serialize};

use super::Controller;
use crate::{Illegal, Saga};

/// The run goes on, with other steps or with some of them once more. What is to run again is undone first, under the plan
/// under which it was done; then the new plan takes the place of the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replanned {
    /// Who took it up.
    pub controller: Controller,
    /// What it does from here on; as before if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Plan>>,
    /// The steps that run again, with everything that stands on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<StepPath>,
}

impl Replanned {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        saga.replan(self.plan.as_deref(), &self.again)
    }
}
