//! What happens next in a run: events in, commands out; replay is a fold.
//!
//! ```text
//!   event ---> Saga::apply ---> commands: Intent (recorded first, then carried out), Probe, Wait
//!     ^                                      |
//!     +---------------- driver <-------------+        journal: event, its intents, event, its intents, ...
//! ```
//!
//! The saga does no I/O, reads no clock, draws no random number and knows no tokio: the time of an event and the draw
//! for a retry's jitter come in with the event. One journal therefore always folds to one state and to one list of
//! intents; [`Saga::fold`] compares those with the recorded ones and names the first that differs.

mod batch;
pub mod breaks;
mod decide;
pub mod event;
mod fold;
pub mod intent;
mod outcome;
mod record;
pub mod report;
#[cfg(test)]
mod simulation;
mod state;

pub use batch::Batch;
pub use decide::Decide;
pub use event::Event;
pub use fold::{Fold, FoldError, Side};
pub use intent::{Command, Inquire, Intent, Observe, Probe, Wait};
pub use outcome::{Answer, Failure, Illegal, Status, Work};
pub use record::{
    Entry, FIRST_PREVIOUS, Header, RECORD_VERSION, Record, SAGA_VERSION, SAGA_VERSIONS_FOLDED, Unreadable,
    sha256_hex,
};
pub use report::Report;
pub use state::{
    Begins, Foreseen, KEPT_FORM, Kept, NoReplan, NoVote, OpenQuestion, Replan, Saga, StepView, Times, Why,
};
