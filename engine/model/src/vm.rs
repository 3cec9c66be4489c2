//! A virtual machine's specification: the file `vms/ID.yaml` (`kind: Vm`).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostics};
use crate::document::Node;
use crate::ids::{SiteId, VmId};
use crate::read::{self, Reader, read_struct};
use crate::source::Source;
use crate::units::Size;
use crate::write;

/// What has to be the same at both sites for a VM to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// Its id.
    pub id: VmId,
    /// SMBIOS UUID, shown to the guest.
    pub uuid: String,
    /// Where its home address is routed to.
    pub home: SiteId,
    /// QEMU's versioned machine type, such as `pc-q35-10.0`.
    pub machine: String,
    /// QEMU's CPU model.
    pub cpu: String,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Guest memory.
    pub memory: Size,
    /// The disk; its file is `disks/ID.raw` at the site where the VM was created.
    pub disk: Disk,
    /// The network card.
    pub nic: Nic,
    /// What is booted.
    pub boot: Boot,
}

/// The disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Virtual size, a multiple of 4 KiB.
    pub size: Size,
}

/// The network card of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// MAC address, `52:54:00:...`.
    pub mac: String,
    /// Home address; a /32.
    pub address: Ipv4Addr,
    /// Address under which a site other than home makes the VM reachable, by site.
    pub service: Vec<ServiceAddress>,
}

/// The address of a VM at a site that is not its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// The site.
    pub site: SiteId,
    /// The address there.
    pub address: Ipv4Addr,
}

/// Direct kernel boot. The files lie in the site's `boot/` folder under their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// SHA-256 of the kernel, hex.
    pub kernel: String,
    /// SHA-256 of the initial RAM disk, hex.
    pub initrd: String,
    /// Kernel command line.
    pub cmdline: String,
}

read_struct!(Vm, "a VM", { id, uuid, home, machine, cpu, vcpus, memory, disk, nic, boot }, head: "apiVersion", "kind");
read_struct!(Disk, "a disk", { size });
read_struct!(Nic, "a network card", { mac, address, service });
read_struct!(ServiceAddress, "a service address", { site, address });
read_struct!(Boot, "a boot description", { kernel, initrd, cmdline });

/// Reads a VM's file.
///
/// # Errors
/// Every mistake in it.
pub fn parse_vm(source: &Source) -> Result<Vm, Diagnostics> {
    read::document(source, "Vm", check)
}

impl Vm {
    /// The text of its file; [`parse_vm`] reads it back.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        write::document("Vm", self)
    }
}

/// Granularity of a disk: presence is kept for blocks of this size.
const BLOCK_BYTES: u64 = 4096;

fn check(root: &Node, reader: &mut Reader<'_>) {
    let uuid = "not a UUID such as 6f0c3b0e-6d0c-4b5e-9c77-0c7f3c1f2a10";
    reader.require(root, "/uuid", |text| uuid::Uuid::parse_str(text).is_ok(), uuid);
    reader.require(root, "/machine", is_versioned, "not a versioned machine type such as `pc-q35-10.0`");
    reader.require(root, "/cpu", |text| !text.is_empty(), "the CPU model is empty");
    reader.require(root, "/memory", |text| is_size(text, |bytes| bytes > 0), "a VM has memory");
    reader.require(
        root,
        "/disk/size",
        |text| is_size(text, |bytes| bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES)),
        "not a multiple of 4KiB",
    );
    reader.require(root, "/nic/mac", is_mac, "not a MAC address such as 52:54:00:12:34:56");
    for digest in ["/boot/kernel", "/boot/initrd"] {
        reader.require(root, digest, is_sha256, "not a SHA-256 in 64 lower-case hex digits");
    }
    if let Some(vcpus) = root.at("/vcpus").filter(|node| node.to_json() == 0) {
        reader.report(Code::Malformed, vcpus.span, "a VM has at least one CPU");
    }
}

/// Whether a size holds; text that is no size was noted before.
fn is_size(text: &str, holds: fn(u64) -> bool) -> bool {
    text.parse::<Size>().map_or(true, |size| holds(size.as_bytes()))
}

/// Whether a machine type ends in a version: an alias such as `q35` can mean different machines at two sites.
fn is_versioned(machine: &str) -> bool {
    let version = machine.rsplit('-').next().unwrap_or_default();
    machine.contains('-')
        && version.contains('.')
        && version.split('.').all(|part| part.parse::<u32>().is_ok())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// Whether a text is a MAC address of one host, in lower or upper case.
pub(crate) fn is_mac(text: &str) -> bool {
    let octets: Vec<_> = text.split(':').map(|octet| (octet.len(), u8::from_str_radix(octet, 16))).collect();
    let unicast = matches!(octets.first(), Some((2, Ok(first))) if first & 1 == 0);
    octets.len() == 6 && unicast && octets.iter().all(|(length, value)| *length == 2 && value.is_ok())
}

#[cfg(test)]
mod tests;
