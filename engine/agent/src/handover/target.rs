//! The target's rules: events in, actions out, nothing else.
//!
//! ```text
//!             RELINQUISH and loaded              Decided(RUN)
//!  Receiving ------------------------> Deciding --------------> Running
//!      |                                  |
//!      | Broken                           | Broken, Decided(NACK)
//!      '----------------------------------'-------------------> Refused
//! ```
//!
//! The decision itself is made by the facts, where the first one stands: a question with "give up" may have put a NACK
//! there meanwhile. What must never happen: [`Action::Cont`] before a durable RUN.

use crate::facts::{Decision, Refusal};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// RELINQUISH arrived as the last record of a state that is whole and equal to what it names.
    Relinquished,
    /// QEMU has loaded the whole state.
    Loaded,
    /// The state can never be run: the stream broke, the hash differs, QEMU ended, the disk refuses.
    Broken(Refusal),
    /// What the facts hold after a wish was put to them.
    Decided(Decision),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make the guest that was received the disk's writer.
    Grant,
    /// Put RUN to the facts; what then stands comes back as [`Event::Decided`].
    DecideRun,
    /// Put NACK to the facts; likewise.
    DecideNack(Refusal),
    /// Let the guest run.
    Cont,
    /// End the QEMU that received.
    Kill,
    /// Tell the source.
    Answer(Decision),
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// State arrives.
    Receiving {
        /// RELINQUISH was here.
        relinquished: bool,
        /// QEMU has everything.
        loaded: bool,
    },
    /// A wish is with the facts.
    Deciding,
    /// RUN.
    Running,
    /// NACK.
    Refused,
}

/// The target of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    state: State,
}

impl Target {
    /// A target whose ATTEMPT is durable and whose QEMU waits.
    #[must_use]
    pub const fn begin() -> Self {
        Self { state: State::Receiving { relinquished: false, loaded: false } }
    }

    /// A target whose agent died, with what it has to do first. Without a decision the state is lost, for the stream
    /// ended in the agent. The actions may have been carried out before, in part or whole.
    #[must_use]
    pub fn recover(decision: Option<&Decision>) -> (Self, Vec<Action>) {
        let mut target = Self::begin();
        let actions = match decision {
            None => target.on(Event::Broken(Refusal::transient("the target's agent was restarted"))),
            Some(decision) => {
                target.state = State::Deciding;
                let mut actions = target.on(Event::Decided(decision.clone()));
                actions.insert(0, Action::Grant);
                actions
            }
        };
        if target.state == State::Refused {
            return (target, vec![Action::Kill]);
        }
        (target, actions)
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What follows from an event. An event that comes too late to mean anything is met with nothing.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (State::Receiving { loaded, .. }, Event::Relinquished) => self.arrived(true, loaded),
            (State::Receiving { relinquished, .. }, Event::Loaded) => self.arrived(relinquished, true),
            (State::Receiving { .. } | State::Deciding, Event::Broken(refusal)) => {
                self.state = State::Deciding;
                vec![Action::DecideNack(refusal)]
            }
            (State::Deciding, Event::Decided(decision)) => self.decided(decision),
            (
                State::Receiving { .. } | State::Deciding | State::Running | State::Refused,
                Event::Relinquished | Event::Loaded | Event::Broken { .. } | Event::Decided(_),
            ) => Vec::new(),
        }
    }

    fn arrived(&mut self, relinquished: bool, loaded: bool) -> Vec<Action> {
        if relinquished && loaded {
            self.state = State::Deciding;
            return vec![Action::Grant, Action::DecideRun];
        }
        self.state = State::Receiving { relinquished, loaded };
        Vec::new()
    }

    fn decided(&mut self, decision: Decision) -> Vec<Action> {
        match decision {
            Decision::Run { .. } => {
                self.state = State::Running;
                vec![Action::Cont, Action::Answer(decision)]
            }
            Decision::Nack { .. } => {
                self.state = State::Refused;
                vec![Action::Kill, Action::Answer(decision)]
            }
        }
    }
}
