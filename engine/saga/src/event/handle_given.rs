//! An action gave the handle of a started effect.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::state::Stage;
use crate::{Illegal, Saga, Work};

/// The handle is durable before the first poll, so that a later controller knows what was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleGiven {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// The attempt that was started.
    pub attempt: u32,
    /// What the action is asked with.
    pub handle: String,
}

impl HandleGiven {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node =
            saga.in_stage("handle_given", &self.step, self.work, &[Stage::Running, Stage::Cancelling])?;
        saga.node_mut(node).handle = Some(self.handle.clone());
        Ok(())
    }
}
