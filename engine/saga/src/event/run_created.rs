//! The run's first record: everything it is pinned to.

use longhaul_plan::Plan;
use serde::{Deserialize, Serialize};

use super::Signed;
use crate::{Illegal, Saga};

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// The host's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Raised by every controller that opens the journal; agents refuse a lower one.
    pub generation: u64,
}

/// A run was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    /// Who created it.
    pub controller: Controller,
    /// The person who started it, if they said so, with their statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
    /// What it does.
    pub plan: Plan,
}

/// The person who started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starter {
    /// Their name, as their certificate has it.
    pub name: String,
    /// The proof; none where people are made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl RunCreated {
    /// A run is created once, by [`Saga::create`]; a second time is illegal.
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        Err(Illegal::Run { event: "run_created", state: saga.status().as_str() })
    }
}
