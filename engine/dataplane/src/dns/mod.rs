//! Our own authoritative name server: one zone, one A record per VM, over UDP and TCP.
//!
//! It exists so that a move can change where a VM's name points and read the change back. It must never recurse, never
//! answer for a name outside its zone, never let a malformed message cost more than the bytes it has, and never panic.
//!
//! ```text
//!   Handle::set --> new Snapshot --arc-swap--> answer::respond(snapshot, bytes) <-- Server: UDP loop, TCP connections
//! ```
//!
//! A snapshot is immutable: a query sees one serial and the records that belong to it, never a mixture.

mod answer;
mod query;
mod server;
#[cfg(test)]
mod tests;
mod zone;

pub use query::{QueryError, Reply, query};
pub use server::{Server, ServerError};
pub use zone::{Answer, Handle, Nameserver, Zone, ZoneError};
