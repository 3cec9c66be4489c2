//! The hand-over: the right to run a VM passes from one site to another, and at no instant two copies run.
//!
//! ```text
//!  source                                              target
//!  ATTEMPT(n) durable                                  ATTEMPT(n) durable, QEMU waits
//!  pre-copy ------------- state, hashed -------------> loads, hashes
//!  PRE-SWITCHOVER: disk frozen, last dirty list -----> marks blocks absent
//!  migrate-continue ----- rest of the state ---------> loads
//!  QEMU completed; RELINQUISH(n, hash) durable
//!  RELINQUISH ---------------------------------------> compares; disk granted to n
//!                                                      RUN(n) durable, cont       | or NACK(n) durable, QEMU killed
//!  RUN durable, QEMU ends <------- RUN(n) -------------'                           |
//!  NACK durable, epoch n+1, disk granted, cont <------------------- NACK(n) -------'
//! ```
//!
//! Before RELINQUISH the source may go back at any time, for the target cannot run without it. After it the source only
//! asks, for ever, and resumes on a NACK alone. The target decides once; the table of facts keeps it to that. A lost reply is never
//! guessed. [`source`] and [`target`] are the rules, pure; [`send()`] and [`receive()`] drive them with a QEMU and a stream;
//! [`recover_source`] and [`recover_target`] take up what a dead agent left, from facts and the QEMU alone. The
//! rules are searched exhaustively in the tests of this module.

pub mod source;
pub mod target;

mod breaks;
mod convergence;
mod error;
mod frame;
mod hooks;
mod limits;
mod outgoing;
mod prepare;
mod pump;
mod question;
mod receive;
mod recover;
mod send;
mod settle;

#[cfg(test)]
mod model;
#[cfg(test)]
mod moves;

pub use breaks::Breaks;
pub use error::{Error, HookError};
pub use frame::{Extent, PROTOCOL_VERSION};
pub use hooks::{Grant, OnProgress, PeerQuestions, Progress, SourceDisk, TargetDisk};
pub use limits::Limits;
pub use prepare::{Preparing, prepare_incoming};
pub use question::{Answer, answer};
pub use receive::{Received, Receiving, TargetSide, receive};
pub use recover::{recover_source, recover_target};
pub use send::{Sending, send};
pub use settle::{Moved, Sent, SourceSide, Stayed};
