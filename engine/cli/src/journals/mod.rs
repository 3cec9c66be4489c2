//! Journals of real moves, for the replays that are tested by snapshot.
//!
//! Each [`Scenario`] is played in a lab of its own by the real commands and watched from outside. Only a run that went as
//! its scenario says, by everything that was seen, is written: redacted by the program, never by hand. What a run records
//! differs from one writing to the next; what the tests compare is what is replayed of the journal that is in the tree.

mod cases;
mod play;
mod scenario;

pub(crate) use cases::generate as of_cases;
pub(crate) use play::generate;
use scenario::Scenario;

/// The command that files say they were written by.
const COMMAND: &str = "longhaul gen journals";
