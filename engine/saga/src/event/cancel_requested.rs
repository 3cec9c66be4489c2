//! An operator gave the run up.

use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// The run is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Who asked and why, as they said it.
    pub reason: String,
    /// What becomes of what was done.
    #[serde(default, skip_serializing_if = "How::is_compensate")]
    pub how: How,
    /// The number of the message in which it came, so that it is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
}

/// What becomes of what a run that is given up has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Everything that can still be undone is undone; what is past its pivot goes forward.
    #[default]
    Compensate,
    /// Everything stays as it is: nothing more begins, and nothing is undone.
    Leave,
}

impl How {
    // serde passes a reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_compensate(&self) -> bool {
        *self == Self::Compensate
    }
}

impl CancelRequested {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "cancel_requested", state: saga.status().as_str() });
        }
        match self.how {
            How::Compensate => {
                saga.agree_to_undo();
                saga.cancel();
            }
            How::Leave => saga.leave(),
        }
        Ok(())
    }
}
