//! The words that events, intents and the saga share.

use std::fmt;

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{NoReplan, NoVote};

/// Why an effect did not come about, as the action said it. The form is that of an action's own error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error class, by the name a workflow's `retry.errors` uses.
    pub class: String,
    /// What happened and what to do: a lower-case fragment.
    pub message: String,
    /// The device's or the peer's own code, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Failure {
    /// A failure of this class.
    #[must_use]
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.to_owned(), message: message.into(), code: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.class)?;
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " [{code}]"))
    }
}

/// The answer to "has this step's effect happened?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It has, whole; these are the outputs.
    Done(Value),
    /// Nothing of it is there.
    Absent,
    /// Part of it is there, or it is still under way.
    Partial,
    /// The one who knows cannot be asked now.
    CannotTell(Failure),
}

/// Which of a step's two effects is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// What the step does.
    Forward,
    /// What undoes it.
    Undo,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps are under way or can be taken up.
    Running,
    /// Every step has succeeded.
    Succeeded,
    /// It failed and everything it had done was undone.
    Failed,
    /// Something went forward for good while something else was undone.
    Partial,
    /// It stopped where only a person can decide or repair; the run can be resumed.
    NeedsOperator,
}

impl Status {
    /// The word for it, as shown and as written into records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::NeedsOperator => "needs_operator",
        }
    }

    /// Whether nothing can happen in the run any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Partial => true,
            Self::Running | Self::NeedsOperator => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that does not fit the state it meets: a driver's bug or a journal of something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The step is in a state that this event cannot follow.
    #[error("event {event} does not fit step `{step}`, which is {state}; it fits one that is {wanted}")]
    Step {
        /// The event's kind.
        event: &'static str,
        /// The step.
        step: StepPath,
        /// The step's state.
        state: &'static str,
        /// The states it would have fitted.
        wanted: &'static str,
    },
    /// There is no such step instance in the run, or none yet.
    #[error("event {event} names step `{step}`, which this run does not have")]
    NoSuchStep {
        /// The event's kind.
        event: &'static str,
        /// The step.
        step: StepPath,
    },
    /// The run as a whole is in a state that this event cannot follow.
    #[error("event {event} does not fit a run that is {state}")]
    Run {
        /// The event's kind.
        event: &'static str,
        /// The run's state.
        state: &'static str,
    },
    /// A vote that does not count.
    #[error("the vote on step `{step}` does not count: {why}")]
    Vote {
        /// The step.
        step: StepPath,
        /// Why.
        why: NoVote,
    },
    /// The run cannot go on with another plan.
    #[error("the run cannot go on so: {0}")]
    Replan(Box<NoReplan>),
    /// Two steps of the plan would have one path.
    #[error("the plan has two steps with the path `{0}`")]
    Twice(StepPath),
}
