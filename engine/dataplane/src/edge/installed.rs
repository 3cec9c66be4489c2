//! What an edge has in the kernel, for clean-up and for orphans.

use std::net::Ipv4Addr;

use super::config::Service;

/// A tap of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tap {
    /// The interface's name.
    pub name: String,
    /// The VM it was made for, if it says so.
    pub vm: Option<String>,
}

/// A VM whose packets go to a tap here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HereRoute {
    /// The VM's home address.
    pub address: Ipv4Addr,
    /// The tap's interface.
    pub tap: String,
}

/// A VM whose packets go to another site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AwayRoute {
    /// The VM's home address.
    pub address: Ipv4Addr,
    /// The site, if it is known.
    pub peer: Option<String>,
}

/// Everything of ours that was found, in order; empty after the last VM is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// Taps, also those that no route uses.
    pub taps: Vec<Tap>,
    /// Routes to taps.
    pub here: Vec<HereRoute>,
    /// Routes into the tunnel.
    pub away: Vec<AwayRoute>,
    /// VMs served under an address of this site.
    pub services: Vec<Service>,
    /// VMs whose packets are accepted from, and answered to, another site.
    pub peers: Vec<(Ipv4Addr, String)>,
}
