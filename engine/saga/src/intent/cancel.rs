//! Ask a started effect to stop.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::{Failure, Work};

/// Ask a started effect to stop; how it ended comes from the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// Why: `unwind` or `left` if what becomes of the run wants it so; else what the effect fails with if it ends because of this.
    pub reason: String,
}

impl Cancel {
    /// What an effect fails with that ends because it was asked to, if that says more than that it was asked.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let of_the_run = ["unwind", "left"].contains(&self.reason.as_str());
        (!of_the_run).then(|| Failure::new(TIMED_OUT, &self.reason))
    }
}

/// The class of what is not done within its timeout: it is tried again where that is.
pub(crate) const TIMED_OUT: &str = "transient";
