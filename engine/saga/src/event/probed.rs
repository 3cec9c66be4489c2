//! A probe was answered.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::Stage;
use crate::{Answer, Illegal, Saga, Work};

/// What the probe of an effect said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// The answer.
    pub answer: Answer,
    /// What the step's own probe found, if that made the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// The driver's random draw for the jitter of a wait that may follow, 0 to 1000.
    pub draw_permille: u32,
}

impl Probed {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.in_stage("probed", &self.step, self.work, &[Stage::Probing])?;
        match &self.answer {
            Answer::Done(outputs) => saga.effect_done(node, outputs.clone()),
            Answer::Absent => saga.found_absent(node, self.draw_permille),
            Answer::Partial => saga.found_partial(node),
            Answer::CannotTell(failure) => saga.cannot_tell(node, failure.clone()),
        }
        Ok(())
    }
}
