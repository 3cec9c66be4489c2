//! The agent of one site: it owns the site's VMs, tunnel ends, edge and DNS, and carries out operations on them.
//!
//! ```text
//!  controller --gRPC--> server --> operations --> disks, moves, names, tunnels, vms
//!  other site --gRPC--> server --> the same owners, never through operations
//!  other site --lanes-> tunnels --> disk servers, moves, edge
//! ```
//!
//! An operation goes on when the controller is gone. What must survive the agent's death is in [`facts`]; QEMU and the
//! disk servers are processes of their own that a restarted agent finds again. The agent knows nothing of workflows.

pub mod facts;
pub mod faults;
pub mod handover;
pub mod qmp;
pub mod vm;

mod agent;
mod boot;
mod copies;
mod disk_errors;
mod disks;
mod door;
mod edges;
mod error;
mod folder;
mod kept_runs;
mod moves;
mod names;
mod observe;
mod operations;
mod origin;
mod peers;
mod prefetch;
mod server;
mod settle;
mod specs;
mod tunnels;
mod vms;

pub use agent::{Options, run};
pub use error::Error;
