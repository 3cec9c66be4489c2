//! Policies: what they are asked, what they see, and what they may answer.
//!
//! ```text
//!   plan, step or failure --> View --> Host: script, `with` --> Decision, one or several --> Verdict, recorded
//! ```
//!
//! A policy sees a [`View`] and its own `with` and nothing else, and the same of both is always answered alike. What it
//! answered is written down; nobody asks it again for what is in a record. Whoever carries scripts out is a [`Host`]. One
//! that cannot decide denies: see [`Verdict::failed`].

mod decision;
mod view;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use decision::{Approval, Decision, Verdict};
pub use view::{
    Failed, FailureView, PlanView, PlannedStep, RunView, StepView, VIEW_VERSION, View, WorkflowView,
};

use crate::diagnostic::Diagnostics;
use crate::source::Source;

/// The name of the function that every policy has.
pub const DECIDE: &str = "decide";

/// How the name of a policy's script ends.
pub const SCRIPT_ENDING: &str = ".rhai";

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// About the whole plan, before anything begins.
    Plan,
    /// When a step's turn has come, before it begins.
    BeforeStep,
    /// When a step is done, before anything that needs it begins.
    AfterStep,
    /// When something failed, before the first step is undone.
    OnFailure,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plan, Self::BeforeStep, Self::AfterStep, Self::OnFailure];

    /// The word in a file, and what a policy reads as `view.hook`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::BeforeStep => "before-step",
            Self::AfterStep => "after-step",
            Self::OnFailure => "on-failure",
        }
    }

    /// The hook of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == word)
    }

    /// Whether it is about one step.
    #[must_use]
    pub const fn is_of_a_step(self) -> bool {
        matches!(self, Self::BeforeStep | Self::AfterStep)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Carries the scripts of policies out. It does no I/O, reads no clock and keeps nothing between two questions.
pub trait Host: Send + Sync {
    /// Everything that can be seen to be wrong with a script before it is asked anything.
    fn check(&self, script: &Source) -> Diagnostics;

    /// What the script answers; at least one decision.
    ///
    /// # Errors
    /// Why it has no answer, with file, line and column: a lower-case fragment. Whoever asked takes that for a no.
    fn decide(&self, script: &Source, view: &View, with: &Value) -> Result<Vec<Decision>, String>;
}

/// Knows no language: every policy fails, and so denies.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn check(&self, _: &Source) -> Diagnostics {
        Diagnostics::new()
    }

    fn decide(&self, script: &Source, _: &View, _: &Value) -> Result<Vec<Decision>, String> {
        Err(format!("{}: nobody here can carry out scripts", script.name()))
    }
}
