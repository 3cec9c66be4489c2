//! The tunnel between two sites: several TLS lanes that carry logical streams in classes.
//!
//! ```text
//!  Stream --write--> chunks by class --+--> lane 0 (hand-over, packets, demand) --+--> reorder --read--> Stream
//!  Stream --write--> ...               +--> lane 1..n (every class)             --+
//! ```
//!
//! Every record that matters has a sequence number of its session. The receiver acknowledges per lane; what a dead lane
//! did not acknowledge is sent again on another, and the receiver drops what it has seen. So a lane's death, or a cut of
//! minutes, costs a stream nothing but time. A peer process that restarts has a new session: then every stream fails
//! with [`Error::PeerRestarted`].
//!
//! It must never lose, repeat or reorder a stream's byte, never hold more than its bounds, and never trust a length
//! that came from the wire. It knows nothing of certificates: lanes arrive connected and authenticated.

mod class;
mod codec;
mod config;
mod core;
mod error;
mod governor;
mod hello;
mod inet_diag;
mod lane;
mod measure;
mod pacer;
pub mod packets;
mod record;
mod seen;
mod shared;
mod socket;
mod stats;
mod stream;
mod supervise;
#[cfg(test)]
mod tests;

pub use class::Class;
pub use config::{Config, LANES_MAX};
pub use error::{Error, LaneError};
pub use lane::Lane;
pub use measure::{ECHO_SERVICE, Measured, serve_echo};
pub use record::{Kind, MalformedRecord, RECORD_BYTES_MAX};
pub use shared::{Incoming, Tunnel};
pub use stats::{LaneStats, RecordStats, Stats};
pub use stream::Stream;
pub use supervise::Dial;
