//! The saga under a virtual clock, with modelled actions: the third driver, beside the live one and the replay.
//!
//! ```text
//!   Model (how each effect ends, and when) ----.          Fault (one thing that goes wrong)
//!                                              v             |
//!            event                          World <----------+       what is there, how often it was done, undone
//!   queue ----------> Saga::apply --commands--^              |
//!     ^  (time, seq)      |                                  |
//!     +--- news ----------+--> records ----------------------+--> Ran --> Invariant, expectations of a test file
//! ```
//!
//! * It writes the records that the live driver writes, so folds, reports and reporters work on them.
//! * A crash drops everything that has no record; the next controller folds what has one and goes on. The world goes on
//!   meanwhile, as agents do.
//! * There is no I/O, no wall clock and no tokio here, and nothing random but what comes from a seed: the same
//!   [`Setup`] gives the same [`Ran`], on every machine and for ever.

mod driver;
mod fault;
mod forked;
pub mod invariant;
mod layout;
mod model;
mod policies;
mod queue;
mod recorded;
pub mod suite;
mod world;

#[cfg(test)]
mod tests;

pub use driver::{Halt, Ran, Setup, simulate};
pub use fault::{Fault, Side};
pub use forked::Forked;
pub use layout::Layout;
pub use model::{Asked, Behaviour, Ending, Model, Moves, Really, Reply};
pub use policies::{AskedCase, PolicySuite};
pub use recorded::Recorded;
pub use world::{Change, Changed, Effect, World};
