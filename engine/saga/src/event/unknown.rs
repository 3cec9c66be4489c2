//! Nobody knows whether an effect is there.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::state::Stage;
use crate::{Failure, Illegal, Saga, Work};

/// The outcome is open: the saga asks, it never guesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// Why it is unknown.
    pub failure: Failure,
}

impl Unknown {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.in_stage("unknown", &self.step, self.work, &[Stage::Running, Stage::Cancelling])?;
        saga.effect_unknown(node, Some(self.failure.clone()));
        Ok(())
    }
}
