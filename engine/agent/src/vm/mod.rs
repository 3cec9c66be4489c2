//! The QEMU processes of a site: start, find again, look at, stop.
//!
//! ```text
//!  start, start_incoming --> Machine --> stop
//!            adopt ----------^   (pid file, start time, command line; after a restart of the agent)
//! ```
//!
//! A QEMU runs in a session of its own and outlives the agent; it has to, for the guest lives in it. This module never
//! starts a second QEMU for a VM while one lives, never signals a process that it has not just identified, and does not
//! know who may run what: it does as it is told, and the rules of the hand-over are told elsewhere.

mod command;
mod error;
mod machine;
mod paths;
mod process;
mod runtime;
mod state;

pub use command::{Attachments, Launch};
pub use error::Error;
pub use machine::Machine;
pub use paths::Paths;
pub use runtime::Runtime;
pub use state::RunState;

#[cfg(test)]
pub(crate) use command::tests::small;
