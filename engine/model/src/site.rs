//! What an agent is started with (`kind: Site`) and what a controller knows of the sites (`kind: Sites`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Content, Node};
use crate::ids::SiteId;
use crate::read::{self, Reader, read_struct};
use crate::source::Source;
use crate::units::Size;
use crate::vm::is_mac;
use crate::write;

/// What was seen of a site when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Its agent answered.
    Up,
    /// Its agent did not answer.
    Down,
    /// Nobody could be asked, and why: no such site is known.
    Unknown(String),
}

/// One site's own file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The site's id.
    pub id: SiteId,
    /// Where the agent listens: management address and WAN address.
    pub listen: Vec<SocketAddr>,
    /// The agent's own directory.
    pub state: PathBuf,
    /// Its certificate and the CA it trusts.
    pub pki: Pki,
    /// The other sites, by their WAN address.
    pub peers: Vec<PeerSite>,
    /// Where client packets come and go.
    pub edge: Edge,
    /// The zone this site answers for.
    pub dns: Dns,
    /// Disk space that prefetch leaves free.
    pub disk_reserve: Size,
}

/// Files of the public key infrastructure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pki {
    /// The trusted CA, PEM.
    pub ca: PathBuf,
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Another site as an agent reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSite {
    /// Its id; its certificate must say the same.
    pub id: SiteId,
    /// Its agent's address on the WAN.
    pub address: SocketAddr,
}

/// A site's edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The interface towards clients.
    pub interface: String,
    /// The gateway address every tap carries, the same at all sites.
    pub gateway: Ipv4Addr,
    /// The MAC address every tap carries, the same at all sites.
    pub gateway_mac: String,
}

/// The DNS service of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The zone, such as `lab.test`. A VM's name is `ID.ZONE`.
    pub zone: String,
    /// Where it listens, UDP and TCP.
    pub listen: SocketAddr,
    /// Seconds an answer may be kept while nothing moves.
    pub ttl_seconds: u32,
}

/// What a controller knows of the sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// The sites.
    pub sites: Vec<KnownSite>,
    /// The controller's own certificate.
    pub pki: Pki,
}

/// A site as a controller reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSite {
    /// Its id; its certificate must say the same.
    pub id: SiteId,
    /// Its agent's address on the management network.
    pub address: SocketAddr,
}

read_struct!(Site, "a site", { id, listen, state, pki, peers, edge, dns, disk_reserve }, head: "apiVersion", "kind");
read_struct!(Pki, "the PKI files", { ca, certificate, key });
read_struct!(PeerSite, "a peer site", { id, address });
read_struct!(Edge, "an edge", { interface, gateway, gateway_mac });
read_struct!(Dns, "a DNS service", { zone, listen, ttl_seconds });
read_struct!(Sites, "the sites", { sites, pki }, head: "apiVersion", "kind");
read_struct!(KnownSite, "a site", { id, address });

/// Reads an agent's site file.
///
/// # Errors
/// Every mistake in it.
pub fn parse_site(source: &Source) -> Result<Site, Diagnostics> {
    read::document(source, "Site", check_site)
}

/// Reads a controller's file of sites.
///
/// # Errors
/// Every mistake in it.
pub fn parse_sites(source: &Source) -> Result<Sites, Diagnostics> {
    read::document(source, "Sites", check_sites)
}

impl Site {
    /// The text of its file; [`parse_site`] reads it back.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        write::document("Site", self)
    }
}

impl Sites {
    /// The text of their file; [`parse_sites`] reads it back.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        write::document("Sites", self)
    }
}

fn check_site(root: &Node, reader: &mut Reader<'_>) {
    if let Some(listen) = root.at("/listen").filter(|node| node.content == Content::List(Vec::new())) {
        reader.report(Code::Malformed, listen.span, "an agent listens on at least one address");
    }
    reader.require(root, "/edge/gateway_mac", is_mac, "not a MAC address such as 52:54:00:12:34:56");
    reader.require(root, "/dns/zone", is_zone, "not a DNS zone such as `lab.test`");
    reader.require_unique(root, "/peers");
    let own = root.at("/id").and_then(Node::as_text).unwrap_or_default();
    let peers = root.at("/peers").map(|node| node.content.clone());
    let Some(Content::List(peers)) = peers else { return };
    for peer in peers.iter().filter_map(|peer| peer.get("id")).filter(|id| id.as_text() == Some(own)) {
        reader.report(Code::Malformed, peer.span, format!("site `{own}` is its own peer"));
    }
}

fn check_sites(root: &Node, reader: &mut Reader<'_>) {
    reader.require_unique(root, "/sites");
}

/// Whether a text is a DNS name without a final dot.
fn is_zone(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

#[cfg(test)]
mod tests;
