//! Every address and interface name of a lab, in one place.
//!
//! ```text
//!   caller's namespace        NAME-a                      NAME-b
//!   lhNa 172.30.x.1 ----- mgmt0 172.30.x.2
//!   lhNb 172.30.y.1 ------------------------------- mgmt0 172.30.y.2
//!                         wan0 172.31.0.1 -- WAN -- wan0 172.31.0.2
//!                         edge0 10.30.1.1           edge0 10.30.2.1
//!                             |      NAME-client        |
//!                         site-a 10.30.1.2          site-b 10.30.2.2      client: 10.30.0.2
//! ```
//!
//! Only the management network lies in the caller's namespace; it alone differs between labs, by the lab's number.

use std::net::Ipv4Addr;

use crate::place::Side;

/// The home network of VMs created at A; service addresses of other VMs at A.
pub const HOME_A: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 10, 0, 0), 24);
/// The same at B.
pub const HOME_B: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 20, 0, 0), 24);
/// Home address of the lab's guest; its home is A.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 50);
/// The guest's service address at B.
pub const GUEST_AT_B: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);
/// The guest's network card.
pub const GUEST_MAC: &str = "52:54:00:10:00:50";
/// The gateway every tap carries.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
/// The MAC address of that gateway: the same at both sites, so that the guest's neighbour entry stays true.
pub const GATEWAY_MAC: &str = "02:00:00:00:00:01";
/// The client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 2);
/// Interface towards the client at each site.
pub const EDGE_INTERFACE: &str = "edge0";
/// Interface of the WAN at each site.
pub const WAN_INTERFACE: &str = "wan0";
/// Interface of the management network at each site.
pub const MANAGEMENT_INTERFACE: &str = "mgmt0";
/// Where agents listen for controllers and for each other.
pub const AGENT_PORT: u16 = 7443;
/// Where agents answer DNS.
pub const DNS_PORT: u16 = 53;
/// The zone both agents serve.
pub const ZONE: &str = "lab.test";
/// How long an answer of the zone may be kept while nothing moves: so short that a client asks again while somebody looks, and
/// longer than the five seconds to which `workflows/evacuate.yaml` lowers it.
pub const TTL_SECONDS: u32 = 10;
/// Labs that fit into the management network.
pub const LABS_MAX: u8 = 127;

/// A site's address on the WAN, in a /30.
#[must_use]
pub const fn wan(side: Side) -> Ipv4Addr {
    match side {
        Side::A => Ipv4Addr::new(172, 31, 0, 1),
        Side::B => Ipv4Addr::new(172, 31, 0, 2),
    }
}

/// A site's address towards the client, in a /30; its DNS service listens there.
#[must_use]
pub const fn edge(side: Side) -> Ipv4Addr {
    match side {
        Side::A => Ipv4Addr::new(10, 30, 1, 1),
        Side::B => Ipv4Addr::new(10, 30, 2, 1),
    }
}

/// The client's address towards a site.
#[must_use]
pub const fn client_link(side: Side) -> Ipv4Addr {
    match side {
        Side::A => Ipv4Addr::new(10, 30, 1, 2),
        Side::B => Ipv4Addr::new(10, 30, 2, 2),
    }
}

/// The home network of a site.
#[must_use]
pub const fn home(side: Side) -> (Ipv4Addr, u8) {
    match side {
        Side::A => HOME_A,
        Side::B => HOME_B,
    }
}

/// The management addresses of lab number `lab`, caller's end first, in a /30.
#[must_use]
pub const fn management(lab: u8, side: Side) -> (Ipv4Addr, Ipv4Addr) {
    let third = match side {
        Side::A => 2 * lab + 1,
        Side::B => 2 * lab + 2,
    };
    (Ipv4Addr::new(172, 30, third, 1), Ipv4Addr::new(172, 30, third, 2))
}

/// The caller's end of the management link of lab number `lab`.
#[must_use]
pub fn management_interface(lab: u8, side: Side) -> String {
    format!("lh{lab}{}", side.as_str())
}
