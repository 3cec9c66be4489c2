//! What a saga asks for. One file per kind.
//!
//! An intent is a decision: it is made durable first and carried out then, and a fold must derive it again. A probe
//! and a wait change nothing outside; they are carried out without a record.

mod ask;
mod cancel;
mod compensate;
mod end;
mod enter;
mod expand;
mod give_up;
mod inquire;
mod pause;
mod queue;
mod refuse;
mod share;
mod skip;
mod start;

pub use ask::{Answered, Ask, Asked};
pub use cancel::Cancel;
pub(crate) use cancel::TIMED_OUT;
pub use compensate::Compensate;
pub use end::{End, Instruction};
pub use enter::Enter;
pub use expand::{Expand, ItemKey};
pub use give_up::GiveUp;
pub use inquire::Inquire;
use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
pub use pause::Pause;
pub use queue::{Queue, Wish};
pub use refuse::Refuse;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use share::Share;
pub use skip::{Because, Skip};
pub use start::Start;

use crate::{Decide, Work};

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Intent {
    /// A step waits for what it claims.
    Queue(Queue),
    /// Start an effect.
    Start(Start),
    /// Call an action's own `compensate`.
    Compensate(Compensate),
    /// A started effect has another part of what steps share.
    Share(Share),
    /// Ask a started effect to stop.
    Cancel(Cancel),
    /// A foreach step's items, as evaluated.
    Expand(Expand),
    /// A step runs another workflow, with these inputs.
    Enter(Enter),
    /// A step ends without being started: its expressions could not be evaluated.
    Refuse(Refuse),
    /// A step is passed over.
    Skip(Skip),
    /// A step lets time pass.
    Pause(Pause),
    /// A step asks somebody outside.
    Ask(Ask),
    /// A question has its answer.
    Answered(Answered),
    /// The run gives itself up.
    GiveUp(GiveUp),
    /// The run stops here.
    End(End),
}

/// Asks whether an effect is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The step.
    pub step: StepPath,
    /// Which of its effects.
    pub work: Work,
    /// The action.
    pub uses: ActionName,
    /// Its evaluated parameters.
    pub params: Value,
    /// Third part of the effect's key.
    pub incarnation: u32,
    /// The attempt in question.
    pub attempt: u32,
}

/// Asks whether a site is up, for [`Observed`](crate::event::Observed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// The step that wants to know.
    pub step: StepPath,
    /// For its `if`, or for what its undo requires.
    pub work: Work,
    /// The site.
    pub site: String,
}

/// Asks for a [`TimerFired`](crate::event::TimerFired) later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The step that waits.
    pub step: StepPath,
    /// Never used twice in a run.
    pub timer: u64,
    /// How long.
    pub millis: u64,
}

/// Something the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Record this, then carry it out.
    Intent(Intent),
    /// Ask.
    Probe(Probe),
    /// Look at what the effect changes.
    Inquire(Box<Inquire>),
    /// Look at a site.
    Observe(Observe),
    /// Wait.
    Wait(Wait),
    /// Ask policies, and apply what they say at once.
    Decide(Decide),
}
