//! How actions behave, as far as a run can see it.

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Decision, Verdict};
use longhaul_model::site::Sight;
use longhaul_saga::{Decide, Failure, Work, intent};
use serde_json::Value;

/// An effect that begins anew.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The step.
    pub step: &'a StepPath,
    /// What the step does, or what undoes it.
    pub work: Work,
    /// The action.
    pub uses: &'a ActionName,
    /// Whether it is the action's own `compensate`, not its `start`.
    pub own_undo: bool,
    /// Its evaluated parameters.
    pub params: &'a Value,
    /// How often an effect of this step for this work has begun in the run, this time included.
    pub time: u32,
    /// When, in Unix milliseconds of the virtual clock.
    pub at_unix_ms: u64,
}

/// How an effect goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// From its start to its end, in milliseconds.
    pub takes_ms: u64,
    /// What it moves besides: that takes as long as its step's share of the link makes it.
    pub moves: Option<Moves>,
    /// How it ends if nobody asks it to stop.
    pub ending: Ending,
    /// What the step's own probe finds once it has ended and nobody knows how; then the action itself cannot tell.
    pub found: Option<Value>,
}

/// Bytes that an effect moves over a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// How many.
    pub bytes: u64,
    /// The resource of which the step claims its share. Of one that it does not claim it has nothing, and never ends.
    pub over: String,
}

impl Behaviour {
    /// An effect that takes so long, whatever its step's claims.
    #[must_use]
    pub fn timed(takes_ms: u64, ending: Ending) -> Self {
        Self { takes_ms, moves: None, ending, found: None }
    }
}

/// How an effect ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It is there; these are the outputs.
    Done(Value),
    /// It certainly left nothing behind.
    Failed(Failure),
    /// The run is told that nobody knows, and asks.
    Unknown {
        /// What the run is told.
        failure: Failure,
        /// What is the case.
        really: Really,
    },
}

/// What is the case when nobody knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Really {
    /// It is there; these are the outputs.
    Done(Value),
    /// Nothing of it is there.
    Absent,
    /// A part of it is there, and the same request takes it up.
    Partial,
    /// It is there, and whoever knows cannot be asked.
    CannotTell,
}

/// What comes of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// As many people as are asked for say yes, or the signal comes.
    Yes {
        /// From the question to the answer, in milliseconds.
        after_ms: u64,
        /// `approved_by`: who they are; `payload`: what comes with the signal.
        outputs: Value,
    },
    /// Somebody says no. Nobody can say no to a signal.
    No {
        /// From the question to the answer, in milliseconds.
        after_ms: u64,
        /// Who; somebody if it is not said.
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// Nobody answers.
    Never,
}

/// Says how effects go. The same question gets the same answer.
pub trait Model {
    /// How an effect that begins now will go.
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour;

    /// What policies say. If nothing is said: each allows it.
    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        let allow = |policy: &String| Verdict { policy: policy.clone(), decision: Decision::Allow };
        decide.asking.iter().map(|asking| allow(&asking.policy)).collect()
    }

    /// What is seen of a site at a time, in Unix milliseconds of the virtual clock. If nothing is said: it is up.
    fn sight(&self, _site: &str, _at_unix_ms: u64) -> Sight {
        Sight::Up
    }

    /// The steps that an operator has done again when the run has come to a stop this time. If nothing is said: none.
    fn again(&self, _steps: &[StepPath], _time: u32) -> Option<Vec<StepPath>> {
        None
    }

    /// What comes of a step's question, which it asks for this time. If nothing is said: a yes, after a second.
    fn reply(&self, _step: &StepPath, _asks: &intent::Asked, _time: u32) -> Reply {
        Reply::Yes { after_ms: 1_000, outputs: Value::Null }
    }
}

impl<F: Fn(&Asked<'_>) -> Behaviour> Model for F {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        self(asked)
    }
}
