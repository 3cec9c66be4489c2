//! A site was looked at.

use longhaul_model::ids::StepPath;
use longhaul_model::site::Sight;
use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga, Work};

/// What was seen of a site that a step's expression asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The step.
    pub step: StepPath,
    /// Whether its `if` asked, or what its undo requires.
    pub work: Work,
    /// The site.
    pub site: String,
    /// What was seen.
    pub seen: Sight,
}

impl Observed {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        saga.observed(self)
    }
}
