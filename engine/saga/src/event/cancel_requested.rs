//! An operator gave the run up.

use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// Everything that can still be undone is undone; what is past its pivot goes forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Who asked and why, as they said it.
    pub reason: String,
}

impl CancelRequested {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "cancel_requested", state: saga.status().as_str() });
        }
        saga.cancel();
        Ok(())
    }
}
