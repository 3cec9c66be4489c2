//! A step that is passed over.

use std::fmt;

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

/// Why a step does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Its `if`, as written, is not true. What needs it goes on.
    Condition(String),
    /// Something it needs failed, or was passed over for that reason. What needs it is passed over as well.
    Need(StepPath),
    /// Nobody answered its question in time. What needs it is passed over as well.
    Lapsed,
    /// It came with another plan, when the item or the workflow to which it belongs was over.
    Late,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition(condition) => write!(f, "`if: {condition}` is not true"),
            Self::Need(step) => write!(f, "it needs `{step}`"),
            Self::Lapsed => f.write_str("nobody answered in time"),
            Self::Late => f.write_str("its graph was over when it was added"),
        }
    }
}

/// The step is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The step.
    pub step: StepPath,
    /// Why.
    pub because: Because,
}
