//! A step that asks somebody outside, and what it learned.

use std::fmt;

use longhaul_model::ids::{StepId, StepPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Somebody outside is asked; the step waits for the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The step.
    pub step: StepPath,
    /// Who has to answer what.
    pub asks: Asked,
    /// When the question lapses, in Unix milliseconds of the controller's clock; none if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_unix_ms: Option<u64>,
}

/// Who has to answer what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// People: yes or no.
    Approval {
        /// Each of them has one of these roles.
        roles: Vec<String>,
        /// How many have to say yes.
        quorum: u32,
        /// Who does not count: the person who started the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_by: Option<String>,
        /// What they are told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Whoever may: that something has happened.
    Signal {
        /// The signal's name.
        name: StepId,
    },
}

/// `approval by migration-operator`, `2 approvals by migration-operator or duty-officer`, `signal storm_over`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { roles, quorum: 1, .. } => write!(f, "approval by {}", roles.join(" or ")),
            Self::Approval { roles, quorum, .. } => write!(f, "{quorum} approvals by {}", roles.join(" or ")),
            Self::Signal { name } => write!(f, "signal {name}"),
        }
    }
}

/// A question has its answer, or the run goes on without one: the step is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The step.
    pub step: StepPath,
    /// What it puts out.
    pub outputs: Value,
}
