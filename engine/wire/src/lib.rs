//! What crosses the network between controller and agents: versioned messages, and the TLS they travel in.
//!
//! It must never decide anything: no state of a run, of a VM or of a site lives here.
//!
//! * [`identity`]: who a certificate says its holder is.
//! * [`pki`]: the built-in certificate authority and the PEM files it writes.
//! * [`tls`]: TLS 1.3 with mutual authentication, one port for RPC and tunnel lanes.
//! * [`version`]: the range of protocol versions this build speaks.
//! * [`client`], [`server`]: gRPC over those connections.
//! * [`failure`]: failure classes as they cross the wire.

pub mod client;
pub mod failure;
pub mod identity;
pub mod pki;
pub mod server;
pub mod tls;
pub mod version;
mod watched;

#[cfg(test)]
mod tests;

pub use identity::Identity;

/// Version 1 of the agents' protocol.
///
/// Generated from `proto/longhaul/agent/v1/agent.proto`, where every message and field is described.
#[expect(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    unused_qualifications,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("longhaul.agent.v1");
}
