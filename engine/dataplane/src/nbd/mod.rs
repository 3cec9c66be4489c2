//! NBD, the network block device protocol: both ends of it.
//!
//! The parsing and encoding half does no I/O ([`request`], [`reply`], [`option`], [`negotiation`]); the two drivers
//! ([`server`], [`client`]) run it over any byte stream. Spoken: fixed newstyle, GO, INFO, LIST, ABORT, EXPORT_NAME,
//! structured replies, `base:allocation`, FUA, FLUSH, TRIM, WRITE_ZEROES, MULTI_CONN, many requests in flight.
//! Not spoken: TLS (the tunnel does that), extended headers, resize, CACHE.
//!
//! It must never trust a length, an offset or a name that came from the other end, and never know what a disk means.
//! Source of every number: the NBD project's `doc/proto.md`.
//!
//! ```text
//! client                                server
//!   <- NBDMAGIC IHAVEOPT flags
//!   flags ->
//!   option ->            <- option replies        (Negotiation)
//!   GO ->                <- info, ack
//!   request ->           <- reply | chunks        (many at once, any order)
//!   DISC ->
//! ```

pub mod client;
mod device;
mod errno;
pub mod negotiation;
pub mod option;
pub mod reply;
pub mod request;
pub mod server;
mod span;
mod wire;

pub use client::Client;
pub use device::{Device, Exports, Info, OpenRefused, Zeroes};
pub use errno::Errno;
pub use span::{AllocationRun, Piece, Span};
pub use wire::{MAX_EXTENTS, MAX_NAME, MAX_OPTION, MAX_PAYLOAD, MIN_BLOCK};
