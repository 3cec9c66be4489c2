//! What an agent must know after it died: which VMs its site may run, at which epoch, what it promised in each
//! hand-over, and the operations it was asked for.
//!
//! One SQLite database, `agent.db`, write-ahead log, `synchronous=FULL`: a method that returned has its fact on disk.
//! Every method is one transaction and blocks for one sync of the disk (milliseconds): a caller in async code uses
//! [`Facts::apart`]. The rules of the hand-over that can be kept by the table are kept by the table: one decision for an
//! epoch, no epoch twice. A commit that fails closes the database for good, because what is on disk is then unknown;
//! the agent has to stop and start again ([`Error::is_fatal`]). Nothing here knows QEMU or a socket.

mod copies;
mod epoch;
mod error;
mod handovers;
mod moving;
mod names;
mod operations;
mod refusal;
mod schema;
mod store;
mod vms;

pub use copies::{CopiedTo, Copy, KeptDisk};
pub use epoch::Epoch;
pub use error::Error;
pub use handovers::{Attempt, Decision, Relinquishment, Side, StateDigest};
pub use moving::{Moving, Passing};
pub use names::{FormerName, NameRow};
pub use operations::{Begun, NewOperation, OperationId, OperationRow};
pub use refusal::Refusal;
pub use store::Facts;
pub use vms::{Role, VmFacts};
