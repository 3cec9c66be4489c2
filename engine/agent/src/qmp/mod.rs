//! A client for QEMU's machine protocol on a unix socket.
//!
//! ```text
//!  connect --> greeting --> qmp_capabilities --> execute* / events*
//!     ^                                             |
//!     '--------- the next command, after a loss ----'
//! ```
//!
//! QEMU serves one client at a time on a socket, so one [`Client`] per socket is shared by cloning. It connects when the
//! first command needs it, and again after a loss. It never sends a command twice: a command whose answer was lost may
//! have been carried out, and only the caller knows how to find out. Events that this program does not know pass through
//! like every other one; a newer QEMU must not break an older agent.

mod client;
mod error;
mod event;
mod wire;

pub use client::Client;
pub use error::Error;
pub use event::{Event, Events};
