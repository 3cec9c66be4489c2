//! The demo: a lab, a guest, a client that watches it, a move by the real workflow, and a verdict.
//!
//! ```text
//!   lab up -> vm start -> client and observer look -> longhaul run (a process of its own) -> evidence -> verdict
//! ```
//!
//! Every judgement is made on what was seen from outside: by the client in its namespace, by the observer of both
//! hypervisors and disk servers, by asking the guest itself, by asking both DNS servers, by counting on the WAN. What
//! the agents say about themselves goes into the report and into figures, never into the verdict, with one exception:
//! how much of the disk was absent at the hand-over is known to nobody else.

mod breaks;
mod evidence;
mod figures;
mod moving;
mod play;
mod stage;
mod verdict;

pub(crate) use breaks::Break;
pub(crate) use play::run;
