//! The contract every action obeys, native or plugin, and the kit that tests it.
//!
//! ```text
//!            start(params, key, attempt)
//!   driver ----------------------------> action      three outcomes, not two:
//!          <---------------------------- handle        done      the effect is there
//!            poll(handle)                              failed    certainly no lasting effect
//!          <---- progress | done | failed | unknown    unknown   nobody knows: probe, never guess
//!            probe(params, key)
//!          <---- done | absent | partial | cannot tell
//! ```
//!
//! The driver makes the handle durable before it polls. An action may be started any number of times with one
//! `(key, attempt)`: it returns the same handle and the effect happens once. A higher attempt comes only after an
//! attempt that certainly left nothing behind.

#![deny(missing_docs)]

mod action;
mod claims;
pub mod conformance;
mod error;
mod lookout;
pub mod policy;
mod registry;
mod simple;

pub use action::{
    Action, Context, Estimate, Handle, Key, Outcome, Poll, Probe, Progress, RunRecords, Started,
};
pub use claims::{Claimed, Claims, bits_per_second};
pub use error::{Error, ErrorClass};
pub use longhaul_model::action::Finding;
pub use longhaul_model::site::Sight;
pub use lookout::{Lookout, NoLookout};
pub use registry::{Registry, Taken};
pub use simple::Simple;
