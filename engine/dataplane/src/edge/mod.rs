//! What a site does with the packets of its VMs' clients, at home and after a move.
//!
//! A VM keeps one home address for ever. The edge of the site where it runs delivers packets for it to its tap; the
//! edge of its home site, when the VM is elsewhere, sends them through the tunnel untranslated; and a site that is not
//! its home answers for it under a service address of its own, translated by the kernel's conntrack.
//!
//! ```text
//!                   home site a                                     site b, where the VM runs
//!   old flows --> home address --> lh-edge ==pump== stream ==pump== lh-edge --> lht-VM --> VM
//!   new flows ------------------------------------------> service address --DNAT--> lht-VM --> VM
//! ```
//!
//! The answer of a flow goes back the way its packets came: what conntrack translated leaves through the site's own
//! network, everything else of a VM that is not at home goes into `lh-edge` and home through the tunnel.
//!
//! All of it is kernel state in the network namespace of the calling process (two routing tables of our own, one
//! nftables table, persistent TUN and TAP devices), so that VMs stay reachable while the agent restarts;
//! [`Edge::open`] finds it again. The edge must never change a route, rule or table that is not its own, never decide
//! by itself where a VM is, and never hold more packets than its bounds allow. IPv4 only.

mod config;
mod counters;
mod edge_handle;
mod error;
mod installed;
mod netlink;
mod nft;
mod packet;
mod parked;
mod pump;
mod switch;
mod sysctl;
mod tap;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod tests;

pub use config::{EdgeConfig, Service, TapSpec};
pub use counters::Counters;
pub use edge_handle::Edge;
pub use error::Error;
pub use installed::{AwayRoute, HereRoute, Installed, Tap};
pub use tap::tap_name;
