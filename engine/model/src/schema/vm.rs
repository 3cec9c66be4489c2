//! The schema of a virtual machine.

use serde_json::{Value, json};

use super::parts::{dashed_id, head, list, map, means, pattern, size, text, titled, whole};
use super::site::address;
use crate::vm::{Boot, Disk, Nic, ServiceAddress, Vm};

const UUID: &str = r"^(urn:uuid:)?\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?$";
const MACHINE: &str = r"-[0-9]+(\.[0-9]+)+$";
const SHA256: &str = "^[0-9a-f]{64}$";
/// Of one host: the lowest bit of the first octet is not set.
const MAC: &str = "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$";

pub(super) fn schema() -> Value {
    map(Vm::KEYS, Vm::KEYS, |key| head(key, "Vm").or_else(|| vm_key(key)))
}

fn vm_key(key: &str) -> Option<Value> {
    Some(match key {
        "id" => means("Its id", dashed_id()),
        "uuid" => means("SMBIOS UUID, shown to the guest", titled("UUID", pattern(UUID))),
        "home" => means("The site where its home address is routed to", dashed_id()),
        "machine" => means(
            "QEMU's versioned machine type, such as `pc-q35-10.0`",
            titled("machine type", pattern(MACHINE)),
        ),
        "cpu" => means("QEMU's CPU model", json!({ "type": "string", "minLength": 1 })),
        "vcpus" => means("Number of virtual CPUs", whole(1, u32::MAX)),
        "memory" => means("Guest memory", size()),
        "disk" => means(
            "The disk; its file is `disks/ID.raw` at the site where the VM was created",
            map(Disk::KEYS, Disk::KEYS, |key| {
                (key == "size").then(|| means("Virtual size, a multiple of 4KiB", size()))
            }),
        ),
        "nic" => means("The network card", map(Nic::KEYS, Nic::KEYS, nic_key)),
        "boot" => means("What is booted", map(Boot::KEYS, Boot::KEYS, boot_key)),
        _ => return None,
    })
}

fn nic_key(key: &str) -> Option<Value> {
    Some(match key {
        "mac" => means("MAC address", mac()),
        "address" => means("Home address; a /32", address()),
        "service" => means(
            "Addresses under which sites other than home make it reachable",
            list(&map(ServiceAddress::KEYS, ServiceAddress::KEYS, service_key)),
        ),
        _ => return None,
    })
}

fn service_key(key: &str) -> Option<Value> {
    Some(match key {
        "site" => means("The site", dashed_id()),
        "address" => means("The address there", address()),
        _ => return None,
    })
}

fn boot_key(key: &str) -> Option<Value> {
    Some(match key {
        "kernel" => means(
            "SHA-256 of the kernel, hex; it lies in the site's `boot/` folder",
            titled("digest", pattern(SHA256)),
        ),
        "initrd" => means("SHA-256 of the initial RAM disk, hex", titled("digest", pattern(SHA256))),
        "cmdline" => means("Kernel command line", text()),
        _ => return None,
    })
}

/// The address of a network card.
pub(super) fn mac() -> Value {
    let mut mac = titled("MAC address", pattern(MAC));
    mac["examples"] = json!(["52:54:00:12:34:56"]);
    mac
}
