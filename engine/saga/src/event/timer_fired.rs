//! A timer ran out.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// A timer that the saga had asked for ran out. One whose reason has gone away in the meantime is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// The step that waited.
    pub step: StepPath,
    /// The timer, as in [`Wait`](crate::Wait).
    pub timer: u64,
}

impl TimerFired {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.find("timer_fired", &self.step)?;
        saga.timer_fired(node, self.timer);
        Ok(())
    }
}
