//! The run's first record: everything it is pinned to.

use longhaul_model::ids::SiteId;
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
    /// Raised by every controller that opens the journal; agents refuse a lower one. The upper 32 bits count how often runs were
    /// taken over from a controller elsewhere, so that one that was followed never comes to have the higher one.
    pub generation: u64,
}

impl Controller {
    /// How agents call it: host and process.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.pid)
    }

    /// The first generation of a controller elsewhere that takes a run over from one of this generation.
    #[must_use]
    pub fn generation_behind(generation: u64) -> u64 {
        (((generation >> 32) + 1) << 32) + 1
    }
}

/// A run was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    /// Who created it.
    pub controller: Controller,
    /// The person who started it, if they said so, with their statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
    /// Where its records are kept besides the controller's own disk; nowhere if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirroring>,
    /// What it does.
    pub plan: Plan,
}

/// Where the records of a run are kept besides its controller's own disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirroring {
    /// Whether anything waits for that.
    pub mode: MirrorMode,
    /// The sites whose agents keep them.
    pub sites: Vec<SiteId>,
}

/// What waits until records are kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MirrorMode {
    /// Nothing: they follow as fast as the link lets them.
    Async,
    /// A pivot: it starts when every site has the record that says so.
    BeforePivot,
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
