//! One move in a lab of its own, looked at from outside: what the demo and the benchmarks share.
//!
//! ```text
//!   lab up -> vm start -> client and observer look -> longhaul run (a process of its own) -> evidence -> verdict
//! ```
//!
//! Every judgement is made on what was seen from outside: by the client in its namespace, by the observer of both
//! hypervisors and disk servers, by asking the guest itself, by asking both DNS servers, by counting on the WAN. What
//! the agents say about themselves goes into reports and figures, never into the verdict, with one exception: how much
//! of the disk was absent at the hand-over is known to nobody else.

pub(crate) mod evidence;
pub(crate) mod moving;
mod stage;
pub(crate) mod verdict;

pub(crate) use evidence::{Evidence, Said};
pub(crate) use stage::{Setting, Stage};
