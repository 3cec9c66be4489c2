//! An operator holds a run, and lets it go on.

use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// No further step begins, and none is undone, until the run is let go on. What is under way goes on to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaused {
    /// Who asked and why, as they said it.
    pub reason: String,
    /// The number of the message in which it came, so that it is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
}

/// The run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunUnpaused {
    /// Who asked and why, as they said it.
    pub reason: String,
    /// The number of the message in which it came, so that it is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
}

impl RunPaused {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "run_paused", state: saga.status().as_str() });
        }
        saga.paused = Some(self.reason.clone());
        Ok(())
    }
}

impl RunUnpaused {
    /// Letting a run go on that is not held changes nothing.
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "run_unpaused", state: saga.status().as_str() });
        }
        saga.paused = None;
        Ok(())
    }
}
