//! The files that two sites, their controller and the guest's site need before an agent starts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use longhaul_model::ids::{SiteId, VmId};
use longhaul_model::site::{Dns, Edge, KnownSite, PeerSite, Pki, Site, Sites};
use longhaul_model::units::Size;
use longhaul_model::vm::{Boot, Disk, Nic, ServiceAddress, Vm};
use longhaul_wire::Identity;
use longhaul_wire::pki::{Ca, Credentials, Validity};

use super::files::Files;
use super::running::{Error, VM};
use crate::addresses;
use crate::guest::{DISK_BYTES, Image, Options, write_disk};
use crate::place::Side;

/// The controller's name in its certificate.
pub(super) const CONTROLLER: &str = "lab";
const MEMORY: u64 = 128 << 20;
const DISK_RESERVE: u64 = 64 << 20;
const UUID: &str = "6c6f6e67-6861-4756-8d61-000000000050";

/// Writes everything below the lab's folder.
pub(super) fn write(files: &Files, lab: u8, image: &Image, guest: &Options) -> Result<(), Error> {
    let ca = Ca::create(&files.pki())?;
    for side in Side::BOTH {
        issue(&ca, &identity(side))?;
        put(&files.site(side), &site(files, &ca, lab, side).to_yaml())?;
        write_boot(&files.agent(side), image)?;
    }
    let controller = controller();
    issue(&ca, &controller)?;
    put(&files.sites(), &sites(&ca.credentials(&controller), lab).to_yaml())?;
    let home = files.agent(Side::A);
    put(&home.join("vms").join(format!("{VM}.yaml")), &vm(image, guest).to_yaml())?;
    let disk = home.join("disks").join(format!("{VM}.raw"));
    folder_of(&disk)?;
    Ok(write_disk(&disk)?)
}

pub(super) fn identity(side: Side) -> Identity {
    Identity::site(side.as_str()).expect("a letter is a name")
}

pub(super) fn controller() -> Identity {
    Identity::controller(CONTROLLER).expect("the constant is a name")
}

fn issue(ca: &Ca, identity: &Identity) -> Result<(), Error> {
    ca.issue(identity, Validity::default())?;
    Ok(())
}

fn site_id(side: Side) -> SiteId {
    side.as_str().parse().expect("a letter is an id")
}

fn pki(credentials: &Credentials) -> Pki {
    Pki {
        ca: credentials.ca.clone(),
        certificate: credentials.certificate.clone(),
        key: credentials.key.clone(),
    }
}

pub(super) fn management(lab: u8, side: Side) -> SocketAddr {
    SocketAddr::from((addresses::management(lab, side).1, addresses::AGENT_PORT))
}

fn wan(side: Side) -> SocketAddr {
    SocketAddr::from((addresses::wan(side), addresses::AGENT_PORT))
}

fn site(files: &Files, ca: &Ca, lab: u8, side: Side) -> Site {
    Site {
        id: site_id(side),
        listen: vec![management(lab, side), wan(side)],
        state: files.agent(side),
        pki: pki(&ca.credentials(&identity(side))),
        peers: vec![PeerSite { id: site_id(side.other()), address: wan(side.other()) }],
        edge: Edge {
            interface: addresses::EDGE_INTERFACE.to_owned(),
            gateway: addresses::GATEWAY,
            gateway_mac: addresses::GATEWAY_MAC.to_owned(),
        },
        dns: Dns {
            zone: addresses::ZONE.to_owned(),
            listen: SocketAddr::from((addresses::edge(side), addresses::DNS_PORT)),
            ttl_seconds: addresses::TTL_SECONDS,
        },
        disk_reserve: Size::from_bytes(DISK_RESERVE),
    }
}

fn sites(controller: &Credentials, lab: u8) -> Sites {
    let known = |side| KnownSite { id: site_id(side), address: management(lab, side) };
    Sites { sites: Side::BOTH.map(known).into(), pki: pki(controller) }
}

fn vm(image: &Image, guest: &Options) -> Vm {
    Vm {
        id: VM.parse::<VmId>().expect("the constant is an id"),
        uuid: UUID.to_owned(),
        home: site_id(Side::A),
        machine: crate::peer::MACHINE.to_owned(),
        cpu: crate::peer::CPU.to_owned(),
        vcpus: 1,
        memory: Size::from_bytes(MEMORY),
        disk: Disk { size: Size::from_bytes(DISK_BYTES) },
        nic: Nic {
            mac: addresses::GUEST_MAC.to_owned(),
            address: guest.address,
            service: vec![ServiceAddress { site: site_id(Side::B), address: addresses::GUEST_AT_B }],
        },
        boot: Boot {
            kernel: image.kernel_digest.clone(),
            initrd: image.initrd_digest.clone(),
            cmdline: guest.cmdline(),
        },
    }
}

fn write_boot(agent: &Path, image: &Image) -> Result<(), Error> {
    for (file, digest) in [(&image.kernel, &image.kernel_digest), (&image.initrd, &image.initrd_digest)] {
        let to = agent.join("boot").join(digest);
        folder_of(&to)?;
        fs::copy(file, &to).map_err(failed(&to))?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), Error> {
    folder_of(path)?;
    fs::write(path, text).map_err(failed(path))
}

fn folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().expect("every file of a lab lies in its folder");
    fs::create_dir_all(folder).map_err(failed(folder))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io(path, source)
}
