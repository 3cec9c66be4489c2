//! Something has happened outside.

use longhaul_model::ids::StepId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Illegal, Saga};

/// Somebody said that something has happened. It stays so: every step that waits for this signal is done, now or when its turn
/// comes; what came with it last counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signalled {
    /// The signal.
    pub name: StepId,
    /// What came with it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Who said it, as they named themselves.
    pub by: String,
    /// The number of the message in which it came, so that it is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
}

impl Signalled {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        if saga.status().is_final() {
            return Err(Illegal::Run { event: "signalled", state: saga.status().as_str() });
        }
        saga.signal(&self.name, &self.payload);
        Ok(())
    }
}
