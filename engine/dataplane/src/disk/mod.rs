//! The disk server: the process that serves one VM's disk at one site and outlives the agent.
//!
//! One process per VM and site, at the source and at the target alike; what it is at the moment is a fact in its map,
//! not in its configuration. It must never lose a write that it acknowledged (also not by kill -9), never let a lower
//! epoch write after a higher one was granted, never answer a read of an absent block with anything but the source's bytes, and never let
//! the guest wait for the WAN when it writes.
//!
//! ```text
//!  QEMU --disk.sock--> export VM@EPOCH --+            +-- image: raw, sparse
//!                                        |-- Store ---+
//!  other site --origin.sock--> VM -------+            +-- map: header, presence, written, touched
//!                 VM#leaves (frozen) ----+
//!  agent --control.sock--> Control       +-- Demand, Fill --tunnel.sock--> origin.sock of the source
//! ```
//!
//! States of a disk: *complete* (everything is here), *filling* (attached to an origin; absent blocks are fetched),
//! *frozen* (complete and read-only for ever: the origin after a hand-over).

mod allocation;
mod bitmap;
mod client;
mod config;
mod control;
mod demand;
mod device;
mod error;
mod export;
mod faults;
mod fence;
mod fetch;
mod fill;
mod geometry;
mod header;
mod leaf;
mod locks;
mod map;
mod origin;
mod proof;
mod rate;
mod rounds;
mod server;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use client::{Control, ControlError};
pub use config::{Config, Faults, Initial, OriginConfig};
pub use control::{
    Fill, FillCondition, Frozen, OriginOpened, Proof, ProofState, ROUND_EXTENTS_MAX, Refusal, RefusalKind,
    Reply, Request, Round, Status, Writer,
};
pub use error::Error;
pub use leaf::{LEAF_BYTES, Root};
pub use server::serve;
