//! TLS 1.3 with mutual authentication; RPC and tunnel lanes share one port and one configuration.
//!
//! No connection exists here whose peer is not known by its certificate. Host names are never looked at: a client says
//! which [`Identity`](crate::Identity) it expects, a server learns which one came.

mod acceptor;
mod config;
mod connector;
mod error;
mod protocol;
mod verify;

pub use acceptor::{Accepted, Acceptor};
pub use connector::{Connected, Connector};
pub use error::Error;
pub use protocol::Protocol;

use std::time::Duration;

/// Bound of a TLS handshake: 10 s cover a 2 s round trip with losses.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
