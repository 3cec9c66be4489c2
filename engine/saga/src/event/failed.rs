//! An effect certainly left nothing behind.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::state::Stage;
use crate::{Failure, Illegal, Saga, Work};

/// The action said that the effect is certainly not there; of an action's own `compensate`: that it has not ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// Why.
    pub failure: Failure,
    /// The driver's random draw for the jitter of the next wait, 0 to 1000.
    pub draw_permille: u32,
}

impl Failed {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.in_stage("failed", &self.step, self.work, &[Stage::Running, Stage::Cancelling])?;
        saga.effect_failed(node, self.failure.clone(), self.draw_permille);
        Ok(())
    }
}
