//! An effect is there.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::Stage;
use crate::{Illegal, Saga, Work};

/// The action said that the effect is there, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// What the action puts out.
    pub outputs: Value,
}

impl Done {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.in_stage("done", &self.step, self.work, &[Stage::Running, Stage::Cancelling])?;
        saga.effect_done(node, self.outputs.clone());
        Ok(())
    }
}
