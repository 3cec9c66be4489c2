//! One thing that goes wrong in a simulated run, and only there.

use std::fmt;

use longhaul_model::ids::StepPath;
use longhaul_saga::{Failure, Work};
use serde_json::Value;

use crate::{Asked, Behaviour, Ending, Really};

/// On which side of a journal write the controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What the record says has happened, and has no record.
    Before,
    /// The record is durable, and nothing that follows from it was carried out.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The controller dies at a journal write.
    Crash {
        /// The record, counted from 1.
        write: u64,
        /// On which side of it.
        side: Side,
    },
    /// A step's own effect fails with certainly nothing left behind.
    Error {
        /// The step.
        step: StepPath,
        /// The error class.
        class: String,
        /// How often, from the first time on.
        times: u32,
    },
    /// The outcome of a step's own effect is unknown, the first time.
    Unknown {
        /// The step.
        step: StepPath,
        /// Whether the effect is there.
        done: bool,
    },
    /// The controller dies when an effect has come about, and its action is asked for it once more under the same key.
    Twice {
        /// The step.
        step: StepPath,
        /// Which of its effects.
        work: Work,
    },
}

impl Fault {
    /// The behaviour of an effect that this may strike.
    pub(crate) fn strike(&self, asked: &Asked<'_>, behaviour: Behaviour) -> Behaviour {
        let (ending, found) = match self {
            Self::Error { step, class, times } if self.hits(step, asked) && asked.time <= *times => {
                (Ending::Failed(Failure::new(class, "struck by the test")), None)
            }
            Self::Unknown { step, done } if self.hits(step, asked) && asked.time == 1 => {
                (unknown(behaviour.ending, *done), None)
            }
            Self::None
            | Self::Crash { .. }
            | Self::Error { .. }
            | Self::Unknown { .. }
            | Self::Twice { .. } => (behaviour.ending, behaviour.found),
        };
        Behaviour { takes_ms: behaviour.takes_ms, moves: behaviour.moves, ending, found }
    }

    fn hits(&self, step: &StepPath, asked: &Asked<'_>) -> bool {
        step == asked.step && asked.work == Work::Forward
    }

    /// Whether it strikes a step of these.
    #[must_use]
    pub fn strikes(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::None | Self::Crash { .. } => false,
            Self::Error { step, .. } | Self::Unknown { step, .. } | Self::Twice { step, .. } => {
                is_meant(step.as_str())
            }
        }
    }

    /// Whether the controller dies at this side of this write.
    pub(crate) fn kills_at(&self, at: u64, on: Side) -> bool {
        matches!(self, Self::Crash { write, side } if (*write, *side) == (at, on))
    }

    /// Whether the controller dies when this effect has come about.
    pub(crate) fn repeats(&self, of: &StepPath, which: Work) -> bool {
        matches!(self, Self::Twice { step, work } if (step, *work) == (of, which))
    }
}

fn unknown(ending: Ending, done: bool) -> Ending {
    let outputs = match ending {
        Ending::Done(outputs) | Ending::Unknown { really: Really::Done(outputs), .. } => outputs,
        Ending::Failed(_) | Ending::Unknown { .. } => Value::Null,
    };
    let really = if done { Really::Done(outputs) } else { Really::Absent };
    Ending::Unknown { failure: Failure::new("unreachable", "its outcome was lost by the test"), really }
}

/// A fragment that fits after "with".
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "no fault"),
            Self::Crash { write, side: Side::Before } => write!(f, "a crash before record {write}"),
            Self::Crash { write, side: Side::After } => write!(f, "a crash after record {write}"),
            Self::Error { step, class, times: 1 } => write!(f, "error {class} at {step}"),
            Self::Error { step, class, times } => write!(f, "error {class} at {step}, {times} times"),
            Self::Unknown { step, done: true } => write!(f, "an unknown outcome of {step}, which is there"),
            Self::Unknown { step, done: false } => {
                write!(f, "an unknown outcome of {step}, which is not there")
            }
            Self::Twice { step, work: Work::Forward } => write!(f, "{step} asked for twice"),
            Self::Twice { step, work: Work::Undo } => write!(f, "the undo of {step} asked for twice"),
        }
    }
}
