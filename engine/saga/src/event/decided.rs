//! What policies said.

use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Hook, Verdict};
use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// Policies have answered. Nobody asks them again for what is in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// What they were asked about. A workflow that begins as a step is asked about as a plan, too: that is a part of
    /// `before-step`.
    pub hook: Hook,
    /// The step; at `on-failure` the one that runs the workflow to which the policies belong, none for the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// What each said; a policy may have said several things.
    pub verdicts: Vec<Verdict>,
}

impl Decided {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let step = self.step.as_ref().map(|step| saga.find("decided", step)).transpose()?;
        match (self.hook, step) {
            (Hook::BeforeStep | Hook::AfterStep, Some(step)) => {
                saga.step_decided(step, self.hook, &self.verdicts)
            }
            (Hook::OnFailure, home) => saga.undo_decided(home, &self.verdicts),
            (Hook::Plan | Hook::BeforeStep | Hook::AfterStep, _) => {
                Err(Illegal::Run { event: "decided", state: saga.status().as_str() })
            }
        }
    }
}
