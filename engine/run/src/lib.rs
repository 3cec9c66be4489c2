//! Drives sagas for real: timers, retries, the journal on disk, reporters.
//!
//! ```text
//!            event                    batch: event, its intents      durable
//!   calls ----------> Driver ---------------------------> Journal -----------> reporters, then the calls it asked for
//!     ^                  | Saga::apply                       | one committer thread, one commit for many batches
//!     +------------------+ commands                          v
//!                                                        journal.db
//! ```
//!
//! * An effect is started only after the record that announces it is durable; a result counts only when its record is.
//! * A failure of the journal stops the run and the process; a failure of a recording or a reporter never does.
//! * Actions are met through `longhaul_step` alone.

#![deny(missing_docs)]

mod clock;
mod control;
mod convert;
pub mod driver;
pub mod inbox;
pub mod journal;
mod mirror;
pub mod reporter;
pub mod statement;

pub use clock::{Clock, SystemClock, VirtualClock};
pub use control::Control;
pub use driver::{Driver, Ended};
pub use inbox::Inbox;
pub use journal::{Journal, Reader};
pub use mirror::{Keep, KeptRecord, Mirror, NoMirror};
pub use reporter::{JsonLines, Reporter, Reporters, Terminal, replay};
