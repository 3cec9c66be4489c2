//! An action's own `compensate` has ended well.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::state::Stage;
use crate::{Illegal, Saga, Work};

/// The effect was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The step.
    pub step: StepPath,
}

impl Undone {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.in_stage("undone", &self.step, Work::Undo, &[Stage::Running])?;
        saga.effect_done(node, serde_json::Value::Null);
        Ok(())
    }
}
