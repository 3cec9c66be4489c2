//! What callers say to the edge.

use std::net::Ipv4Addr;

/// How a site's edge is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    /// The site's id, for log lines.
    pub site: String,
    /// The interface on which this site's clients arrive; it must exist.
    pub interface: String,
    /// The gateway every guest uses. The same at every site, so that a moved guest's neighbour entry stays true.
    pub gateway: Ipv4Addr,
    /// The gateway's hardware address, the same at every site.
    pub gateway_mac: [u8; 6],
}

/// A VM's network card, as its tap has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapSpec {
    /// The VM's id.
    pub vm: String,
    /// Its home address.
    pub address: Ipv4Addr,
    /// The hardware address of the guest's card.
    pub guest_mac: [u8; 6],
}

/// A VM that runs here and whose home is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The VM's home address.
    pub home: Ipv4Addr,
    /// The address under which new connections reach it at this site.
    pub service: Ipv4Addr,
    /// The site that owns the home address; flows that came through it are answered through it.
    pub home_site: String,
}
