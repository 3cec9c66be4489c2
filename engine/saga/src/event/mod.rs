//! What can come into a saga. One file per event: its record's form and what it does to the state.
//!
//! An event is a fact that the driver learned. It never holds a decision; those are [intents](crate::intent).

mod cancel_requested;
mod decided;
mod done;
mod failed;
mod handle_given;
mod interrupted;
mod observation;
mod observed;
mod probed;
mod replanned;
mod run_created;
mod run_paused;
mod run_resumed;
mod signalled;
mod timer_fired;
mod undone;
mod unknown;
mod voted;

pub use cancel_requested::{CancelRequested, How};
pub use decided::Decided;
pub use done::Done;
pub use failed::Failed;
pub use handle_given::HandleGiven;
pub use interrupted::Interrupted;
use longhaul_model::ids::StepPath;
pub use observation::Observation;
pub use observed::Observed;
pub use probed::Probed;
pub use replanned::Replanned;
pub use run_created::{Controller, MirrorMode, Mirroring, RunCreated, Starter};
pub use run_paused::{RunPaused, RunUnpaused};
pub use run_resumed::RunResumed;
use serde::{Deserialize, Serialize};
pub use signalled::Signalled;
pub use timer_fired::TimerFired;
pub use undone::Undone;
pub use unknown::Unknown;
pub use voted::{Person, Signed, Vote, Voted};

use crate::{Illegal, Saga};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Event {
    /// The run's first record.
    RunCreated(Box<RunCreated>),
    /// A controller took the run up again.
    RunResumed(RunResumed),
    /// A controller took the run up again with another plan, or to run steps once more.
    Replanned(Box<Replanned>),
    /// The controller was asked to stop; the run can be resumed.
    Interrupted(Interrupted),
    /// An operator gave the run up.
    CancelRequested(CancelRequested),
    /// An operator holds the run.
    RunPaused(RunPaused),
    /// An operator lets the run go on.
    RunUnpaused(RunUnpaused),
    /// An action gave the handle of a started effect.
    HandleGiven(HandleGiven),
    /// An effect is there.
    Done(Done),
    /// An effect certainly left nothing behind.
    Failed(Failed),
    /// Nobody knows whether an effect is there.
    Unknown(Unknown),
    /// An action's own `compensate` has ended well.
    Undone(Undone),
    /// A probe was answered.
    Probed(Probed),
    /// A timer ran out.
    TimerFired(TimerFired),
    /// A person approved or rejected what a step asks.
    Voted(Voted),
    /// Policies have answered.
    Decided(Decided),
    /// Something has happened outside that steps wait for.
    Signalled(Signalled),
    /// A site was looked at.
    Observed(Observed),
    /// Somebody outside saw something; no decision depends on it.
    Observation(Observation),
}

impl Event {
    /// The number of the message in which it came; none if it came otherwise.
    #[must_use]
    pub fn message(&self) -> Option<u64> {
        match self {
            Self::Voted(event) => event.message,
            Self::Signalled(event) => event.message,
            Self::CancelRequested(event) => event.message,
            Self::RunPaused(event) => event.message,
            Self::RunUnpaused(event) => event.message,
            Self::RunCreated(_)
            | Self::RunResumed(_)
            | Self::Replanned(_)
            | Self::Interrupted(_)
            | Self::HandleGiven(_)
            | Self::Done(_)
            | Self::Failed(_)
            | Self::Unknown(_)
            | Self::Undone(_)
            | Self::Probed(_)
            | Self::TimerFired(_)
            | Self::Decided(_)
            | Self::Observed(_)
            | Self::Observation(_) => None,
        }
    }

    /// The step whose call this ends: its outcome, or the answer to a probe or a look.
    #[must_use]
    pub fn settles(&self) -> Option<&StepPath> {
        match self {
            Self::Done(event) => Some(&event.step),
            Self::Failed(event) => Some(&event.step),
            Self::Unknown(event) => Some(&event.step),
            Self::Undone(event) => Some(&event.step),
            Self::Probed(event) => Some(&event.step),
            Self::Observed(event) => Some(&event.step),
            Self::RunCreated(_)
            | Self::RunResumed(_)
            | Self::Replanned(_)
            | Self::Interrupted(_)
            | Self::CancelRequested(_)
            | Self::RunPaused(_)
            | Self::RunUnpaused(_)
            | Self::HandleGiven(_)
            | Self::TimerFired(_)
            | Self::Voted(_)
            | Self::Signalled(_)
            | Self::Decided(_)
            | Self::Observation(_) => None,
        }
    }

    /// Carries the event into the state. Dispatches only.
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        match self {
            Self::RunCreated(event) => event.apply(saga),
            Self::RunResumed(event) => event.apply(saga),
            Self::Replanned(event) => event.apply(saga),
            Self::Interrupted(_) | Self::Observation(_) => Ok(()),
            Self::CancelRequested(event) => event.apply(saga),
            Self::RunPaused(event) => event.apply(saga),
            Self::RunUnpaused(event) => event.apply(saga),
            Self::HandleGiven(event) => event.apply(saga),
            Self::Done(event) => event.apply(saga),
            Self::Failed(event) => event.apply(saga),
            Self::Unknown(event) => event.apply(saga),
            Self::Undone(event) => event.apply(saga),
            Self::Probed(event) => event.apply(saga),
            Self::TimerFired(event) => event.apply(saga),
            Self::Voted(event) => event.apply(saga),
            Self::Signalled(event) => event.apply(saga),
            Self::Decided(event) => event.apply(saga),
            Self::Observed(event) => event.apply(saga),
        }
    }
}
