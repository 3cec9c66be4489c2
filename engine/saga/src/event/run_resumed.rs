//! A controller took the run up again after the one before it had died or was stopped.

use serde::{Deserialize, Serialize};

use super::Controller;
use crate::{Illegal, Saga};

/// The run goes on. Every effect whose outcome is open is probed, every timer starts anew with its full length, and
/// what waited for an operator is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResumed {
    /// Who resumed it.
    pub controller: Controller,
}

impl RunResumed {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "run_resumed", state: saga.status().as_str() });
        }
        saga.resume()
    }
}
