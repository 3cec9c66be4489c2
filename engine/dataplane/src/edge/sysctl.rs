//! Kernel settings that forwarding between a TUN device, taps and a site's network needs.
//!
//! Touches only our own interfaces, except where the kernel has one switch for all of them.

use std::fs;

use super::error::Error;

const CONF: &str = "/proc/sys/net/ipv4/conf";

/// Turns on forwarding and makes conntrack accept flows it first sees in the middle, as every flow of a moved VM is.
pub(super) fn prepare_host() -> Result<(), Error> {
    write("/proc/sys/net/ipv4/ip_forward", "1")?;
    relax_reverse_path_for_all()?;
    for (name, value) in [("nf_conntrack_tcp_loose", "1"), ("nf_conntrack_tcp_be_liberal", "1")] {
        write(&format!("/proc/sys/net/netfilter/{name}"), value)?;
    }
    Ok(())
}

/// A packet of a moved VM arrives where no route to its sender points.
pub(super) fn prepare_tunnel(interface: &str) -> Result<(), Error> {
    set(interface, "rp_filter", "0")
}

/// As [`prepare_tunnel`], and answers the guest for every address: a guest may think its neighbours are on its link.
pub(super) fn prepare_tap(interface: &str) -> Result<(), Error> {
    set(interface, "rp_filter", "0")?;
    set(interface, "proxy_arp", "1")?;
    set(interface, "send_redirects", "0")
}

/// The kernel uses the stricter of `all` and the interface's own value, so `all` has to go; what it gave to the
/// others is written into each of them first.
fn relax_reverse_path_for_all() -> Result<(), Error> {
    let path = format!("{CONF}/all/rp_filter");
    let everywhere = read(&path)?;
    if everywhere == "0" {
        return Ok(());
    }
    let entries = fs::read_dir(CONF).map_err(|source| Error::Sysctl { path: CONF.to_owned(), source })?;
    for entry in entries.flatten() {
        let own = entry.path().join("rp_filter").display().to_string();
        if entry.file_name() != "all" && read(&own)? == "0" {
            write(&own, &everywhere)?;
        }
    }
    write(&path, "0")
}

fn set(interface: &str, name: &str, value: &str) -> Result<(), Error> {
    write(&format!("{CONF}/{interface}/{name}"), value)
}

fn read(path: &str) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Sysctl { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(|source| Error::Sysctl { path: path.to_owned(), source })
}
