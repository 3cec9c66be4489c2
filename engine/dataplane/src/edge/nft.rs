//! The edge's one nftables table, written whole and in one transaction, and read back after a restart.
//!
//! The table is also where the edge keeps what it must not forget when the agent dies: which VM is served under which
//! address, and which site a VM's packets belong to (as a comment on the set element).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::error::Error;
use super::tap::{TAP_PREFIX, TUNNEL};

/// The table's name.
pub(super) const TABLE: &str = "longhaul_edge";
/// The mark of packets that have to go into the tunnel whatever their target, and of the flows they belong to: "lh".
pub(super) const MARK: u32 = 0x6c68;
/// How long `nft` may take; it takes milliseconds.
const NFT: Duration = Duration::from_secs(10);

/// What the table says. Writing the same contents twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    /// Service address to home address.
    pub(super) services: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// Home address to the other site its packets belong to.
    pub(super) peers: BTreeMap<Ipv4Addr, String>,
}

impl Contents {
    /// Reads what an earlier process wrote; empty when there is no table.
    pub(super) async fn load() -> Result<Self, Error> {
        let tables = checked(nft(&["-j", "list", "tables", "ip"], "").await?)?;
        if !nftables(&tables)?.iter().any(|item| item["table"]["name"] == TABLE) {
            return Ok(Self::default());
        }
        let listing = checked(nft(&["-j", "list", "table", "ip", TABLE], "").await?)?;
        Self::parse(&listing)
    }

    /// Replaces the table by one with these contents; other tables are not touched, packets see either the old or the
    /// new one.
    pub(super) async fn apply(&self) -> Result<(), Error> {
        checked(nft(&["-f", "-"], &self.ruleset()).await?).map(drop)
    }

    /// Removes the table.
    pub(super) async fn remove() -> Result<(), Error> {
        let text = format!("table ip {TABLE} {{ }}\ndelete table ip {TABLE}\n");
        checked(nft(&["-f", "-"], &text).await?).map(drop)
    }

    fn parse(listing: &[u8]) -> Result<Self, Error> {
        let mut contents = Self::default();
        for item in nftables(listing)? {
            if item["map"]["name"] == "services" {
                contents.services = elements(&item["map"])
                    .filter_map(|pair| Some((address(&pair[0])?, address(&pair[1])?)))
                    .collect();
            }
            if item["set"]["name"] == "peers" {
                contents.peers = elements(&item["set"]).filter_map(peer).collect();
            }
        }
        Ok(contents)
    }

    fn ruleset(&self) -> String {
        let services = list(self.services.iter().map(|(service, home)| format!("{service} : {home}")));
        let served = list(self.services.values().map(ToString::to_string));
        let peers = list(self.peers.iter().map(|(home, site)| format!("{home} comment \"{site}\"")));
        format!(
            r#"table ip {TABLE} {{ }}
delete table ip {TABLE}
table ip {TABLE} {{
  map services {{ type ipv4_addr : ipv4_addr; {services} }}
  set served {{ type ipv4_addr; {served} }}
  set peers {{ type ipv4_addr; {peers} }}
  chain translate {{
    type nat hook prerouting priority dstnat; policy accept;
    dnat to ip daddr map @services
  }}
  chain steer {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "{TUNNEL}" ip daddr @peers ct state new ct mark set {MARK:#x} comment "this flow came through the tunnel"
    iifname "{TUNNEL}" ip saddr @served ct status & dnat != dnat drop comment "a returned VM's packet of no flow known here"
    iifname "{TAP_PREFIX}*" ct mark {MARK:#x} meta mark set {MARK:#x} comment "its answers go back through it"
    iifname "{TAP_PREFIX}*" ip saddr @served ct state invalid drop comment "would leave untranslated"
    iifname "{TAP_PREFIX}*" ip saddr @served ct status & dnat != dnat meta mark set {MARK:#x} comment "all else of a VM away from home goes home"
    iifname "{TAP_PREFIX}*" ip saddr @peers ip saddr != @served ct state new tcp flags & (syn | rst) == 0 ct mark set {MARK:#x} meta mark set {MARK:#x} comment "a flow this site never saw: the other one translates it"
  }}
}}
"#
        )
    }
}

/// An `elements` line, which may not be empty.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for item in items {
        let separator = if text.is_empty() { "elements = { " } else { ", " };
        // Writing into a String cannot fail.
        let _ = write!(text, "{separator}{item}");
    }
    if !text.is_empty() {
        text.push_str(" };");
    }
    text
}

fn nftables(json: &[u8]) -> Result<Vec<Value>, Error> {
    let unreadable = |reason: String| Error::Nft { reason };
    let mut listing: Value = serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))?;
    match listing["nftables"].take() {
        Value::Array(items) => Ok(items),
        other => Err(unreadable(format!("its listing holds {other} where a list belongs"))),
    }
}

fn elements(item: &Value) -> impl Iterator<Item = &Value> {
    item["elem"].as_array().into_iter().flatten()
}

fn address(value: &Value) -> Option<Ipv4Addr> {
    value.as_str()?.parse().ok()
}

fn peer(element: &Value) -> Option<(Ipv4Addr, String)> {
    let element = &element["elem"];
    Some((address(&element["val"])?, element["comment"].as_str()?.to_owned()))
}

/// Whether a site's id can stand inside quotes in a rule.
pub(super) fn check_site(site: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if site.is_empty() || site.len() > 64 || !site.chars().all(plain) {
        return Err(Error::Site(site.to_owned()));
    }
    Ok(())
}

async fn nft(arguments: &[&str], input: &str) -> Result<Output, Error> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::NftStart)?;
    let talk = async {
        // Taking the pipe and letting it go is what ends nft's input. A broken pipe shows in nft's exit code.
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    match timeout(NFT, talk).await {
        Ok(output) => output.map_err(Error::NftStart),
        Err(_) => Err(Error::Nft { reason: format!("no answer within {} s", NFT.as_secs()) }),
    }
}

fn checked(output: Output) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Nft { reason: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nft prints of our table is read back as what was written (form of nft 1.0.6).
    #[test]
    fn reads_listing() {
        let listing = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"map": {"family": "ip", "name": "services", "map": "ipv4_addr", "elem": [["10.9.0.50", "10.10.0.50"]]}},
            {"set": {"family": "ip", "name": "served", "elem": ["10.10.0.50"]}},
            {"set": {"family": "ip", "name": "peers", "elem": [{"elem": {"val": "10.10.0.50", "comment": "a"}}]}}]}"#;
        let contents = Contents::parse(listing).unwrap();
        let home: Ipv4Addr = "10.10.0.50".parse().unwrap();
        assert_eq!(contents.services, BTreeMap::from([("10.9.0.50".parse().unwrap(), home)]));
        assert_eq!(contents.peers, BTreeMap::from([(home, "a".to_owned())]));
    }

    /// A site's id cannot break out of its quotes.
    #[test]
    fn refuses_site() {
        assert!(check_site("east-1").is_ok());
        for bad in ["", "a\"b", "a\nb", &"x".repeat(65)] {
            assert!(check_site(bad).is_err(), "{bad:?}");
        }
    }
}
