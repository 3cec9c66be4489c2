//! The source's rules: events in, actions out, nothing else.
//!
//! ```text
//!            Failed                     Completed
//!  Kept <------------- Copying ----------------------> Asking --- RUN ---> Left
//!                                   (RELINQUISH)         |  ^
//!                                                   NACK |  '-- silence, "open": ask again
//!                                                        v
//!                                                     Resumed
//! ```
//!
//! Actions are carried out in order; when one cannot be, the rest is dropped and the source is recovered from its facts.
//! What must never happen: [`Action::Cont`] after RELINQUISH without a NACK.

use super::question::Answer;
use crate::facts::{Attempt, Decision};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something went wrong, or somebody asked to stop, before RELINQUISH.
    Failed,
    /// The local QEMU has sent everything (`completed`, `postmigrate`): it will not run the guest on its own any more.
    Completed,
    /// The target answered.
    Answered(Answer),
    /// No answer came in time.
    Silent,
    /// The target has been undecided for so long that it is asked to give up.
    OutOfPatience,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make durable that this attempt ends without a promise. From then on no RELINQUISH for it can be made.
    Abandon,
    /// Take QEMU out of its migration.
    CancelMigration,
    /// Let the disk take writes again.
    Thaw,
    /// Let the guest run, unless it does or has ended.
    Cont,
    /// Make RELINQUISH durable.
    Relinquish,
    /// Send it as the last record of the state.
    SendRelinquish,
    /// Ask the target what it decided.
    Ask {
        /// Whether an undecided target is to decide for NACK.
        give_up: bool,
    },
    /// Make the target's decision durable here, with what follows from it.
    Learn(Decision),
    /// Make this site's guest the disk's writer under the epoch that follows from a NACK.
    Grant,
    /// End the source QEMU.
    Quit,
}

/// Where a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The guest may run here; nothing was promised.
    Copying,
    /// Promised; only the target's answer moves it from here.
    Asking,
    /// The target refused; the guest runs here under a new epoch.
    Resumed,
    /// The target runs the guest.
    Left,
    /// Given up before the promise.
    Kept,
}

/// How far the facts of an attempt got.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Neither given up nor promised.
    Open,
    /// Given up.
    Abandoned,
    /// Promised.
    Relinquished,
    /// Promised, and the decision is known.
    Decided(Decision),
}

impl From<&Attempt> for Standing {
    fn from(attempt: &Attempt) -> Self {
        match (&attempt.decision, &attempt.relinquished, attempt.abandoned) {
            (Some(decision), _, _) => Self::Decided(decision.clone()),
            (None, Some(_), _) => Self::Relinquished,
            (None, None, true) => Self::Abandoned,
            (None, None, false) => Self::Open,
        }
    }
}

/// The source of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    state: State,
    give_up: bool,
}

impl Source {
    /// A source whose ATTEMPT is durable and whose guest runs.
    #[must_use]
    pub const fn begin() -> Self {
        Self { state: State::Copying, give_up: false }
    }

    /// A source whose agent died, with what it has to do first. An attempt without RELINQUISH is given up even if QEMU is
    /// done with it: the hash died with the agent. The actions may have been carried out before, in part or whole.
    #[must_use]
    pub fn recover(standing: &Standing) -> (Self, Vec<Action>) {
        let mut source = Self::begin();
        let actions = match standing {
            Standing::Open | Standing::Abandoned => source.on(Event::Failed),
            Standing::Relinquished => {
                source.state = State::Asking;
                source.on(Event::Silent)
            }
            Standing::Decided(decision) => {
                source.state = State::Asking;
                source.on(Event::Answered(Answer::Decided(decision.clone())))
            }
        };
        (source, actions)
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What follows from an event. An event that comes too early or too late to mean anything is met with nothing.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (State::Copying, Event::Failed) => {
                self.state = State::Kept;
                vec![Action::Abandon, Action::CancelMigration, Action::Thaw, Action::Cont]
            }
            (State::Copying, Event::Completed) => {
                self.state = State::Asking;
                vec![Action::Relinquish, Action::SendRelinquish]
            }
            (State::Asking, Event::Silent | Event::Answered(Answer::Open)) => {
                vec![Action::Ask { give_up: self.give_up }]
            }
            (State::Asking, Event::OutOfPatience) => {
                self.give_up = true;
                Vec::new()
            }
            (State::Asking, Event::Answered(Answer::Decided(decision))) => self.decided(decision),
            (
                State::Copying | State::Resumed | State::Left | State::Kept | State::Asking,
                Event::Failed | Event::Completed | Event::Answered(_) | Event::Silent | Event::OutOfPatience,
            ) => Vec::new(),
        }
    }

    fn decided(&mut self, decision: Decision) -> Vec<Action> {
        match decision {
            Decision::Run { .. } => {
                self.state = State::Left;
                vec![Action::Learn(decision), Action::Quit]
            }
            Decision::Nack { .. } => {
                self.state = State::Resumed;
                vec![Action::Learn(decision), Action::Grant, Action::Thaw, Action::Cont]
            }
        }
    }
}
