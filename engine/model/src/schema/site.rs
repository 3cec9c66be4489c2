//! The schemas of a site's own file and of a controller's file of sites.

use serde_json::{Value, json};

use super::parts::{dashed_id, head, list, map, means, pattern, size, text, titled, whole};
use super::vm::mac;
use crate::site::{Dns, Edge, KnownSite, PeerSite, Pki, Site, Sites};

/// An address and a port; an IPv6 address stands in brackets.
const SOCKET: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.%]+\]):[0-9]{1,5}$";
const ZONE: &str = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$";

/// `kind: Site`.
pub(super) fn own() -> Value {
    map(Site::KEYS, Site::KEYS, |key| head(key, "Site").or_else(|| site_key(key)))
}

/// `kind: Sites`.
pub(super) fn known() -> Value {
    map(Sites::KEYS, Sites::KEYS, |key| head(key, "Sites").or_else(|| sites_key(key)))
}

fn site_key(key: &str) -> Option<Value> {
    let mut addresses = list(&socket());
    addresses["minItems"] = json!(1);
    Some(match key {
        "id" => means("The site's id", dashed_id()),
        "listen" => means("Where the agent listens: management address and WAN address", addresses),
        "state" => means("The agent's own directory", text()),
        "pki" => means("Its certificate and the CA it trusts", map(Pki::KEYS, Pki::KEYS, pki_key)),
        "peers" => means(
            "The other sites, by their WAN address",
            list(&map(PeerSite::KEYS, PeerSite::KEYS, |key| {
                reached_key(key, "Its agent's address on the WAN")
            })),
        ),
        "edge" => means("Where client packets come and go", map(Edge::KEYS, Edge::KEYS, edge_key)),
        "dns" => means("The zone this site answers for", map(Dns::KEYS, Dns::KEYS, dns_key)),
        "disk_reserve" => means("Disk space that prefetch leaves free", size()),
        _ => return None,
    })
}

fn sites_key(key: &str) -> Option<Value> {
    Some(match key {
        "sites" => means(
            "The sites",
            list(&map(KnownSite::KEYS, KnownSite::KEYS, |key| {
                reached_key(key, "Its agent's address on the management network")
            })),
        ),
        "pki" => means("The controller's own certificate", map(Pki::KEYS, Pki::KEYS, pki_key)),
        _ => return None,
    })
}

fn pki_key(key: &str) -> Option<Value> {
    Some(match key {
        "ca" => means("The trusted CA, PEM", text()),
        "certificate" => means("The certificate chain, PEM", text()),
        "key" => means("Its private key, PEM", text()),
        _ => return None,
    })
}

fn reached_key(key: &str, address: &str) -> Option<Value> {
    Some(match key {
        "id" => means("Its id; its certificate must say the same", dashed_id()),
        "address" => means(address, socket()),
        _ => return None,
    })
}

fn edge_key(key: &str) -> Option<Value> {
    Some(match key {
        "interface" => means("The interface towards clients", text()),
        "gateway" => means("The gateway address every tap carries, the same at all sites", address()),
        "gateway_mac" => means("The MAC address every tap carries, the same at all sites", mac()),
        _ => return None,
    })
}

fn dns_key(key: &str) -> Option<Value> {
    Some(match key {
        "zone" => means(
            "The zone, such as `lab.test`; a VM's name is `ID.ZONE`",
            titled("name of a zone", pattern(ZONE)),
        ),
        "listen" => means("Where it listens, UDP and TCP", socket()),
        "ttl_seconds" => means("Seconds an answer may be kept while nothing moves", whole(0, u32::MAX)),
        _ => return None,
    })
}

fn socket() -> Value {
    let mut socket = titled("address and port", pattern(SOCKET));
    socket["examples"] = json!(["10.0.0.1:7700"]);
    socket
}

/// An IPv4 address.
pub(super) fn address() -> Value {
    json!({ "type": "string", "format": "ipv4" })
}
