//! The links of a lab: veth pairs, addresses, routes and kernel settings inside its namespaces.
//!
//! Nothing here is undone by hand: every interface dies with a namespace, because each pair has an end in one.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::addresses::{self, EDGE_INTERFACE, MANAGEMENT_INTERFACE};
use crate::name::LabName;
use crate::netns::{self, Netns};
use crate::place::{Place, Side};

/// What went wrong while links were made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace could not be made or entered.
    #[error("prepare a namespace")]
    Netns(#[from] netns::Error),
    /// The kernel refused a link, an address or a route.
    #[error("{0}")]
    Netlink(String, #[source] rtnetlink::Error),
    /// A file or socket could not be used.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// Every lab number is taken on this machine.
    #[error("find a free management network: all {} are in use", addresses::LABS_MAX)]
    NoNumber,
}

/// Kernel settings of a site and of the client. A window of 32 MiB carries 1 Gbit/s at 150 ms; the kernel's own 4 MiB
/// stop one flow at 132 Mbit/s (measured 2026-11 at 150 ms).
const SETTINGS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/tcp_rmem", "4096 131072 33554432"),
    ("ipv4/tcp_wmem", "4096 16384 33554432"),
];

/// [`addresses::GATEWAY_MAC`] as bytes.
const GATEWAY_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// IPv6 would put its own chatter on the WAN; a kernel without it has nothing to switch off.
const WITHOUT_IPV6: &[&str] = &["ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"];

/// What most machines begin with: whoever wants BBR has to choose it, here as everywhere. A kernel without it keeps its own.
const CONGESTION_CONTROL: (&str, &str) = ("ipv4/tcp_congestion_control", "cubic");

/// Makes the namespaces of a lab and all its links but the WAN. Returns the lab's number: the first one whose
/// management interfaces were free.
///
/// # Errors
/// When the kernel refuses; what was made so far goes when the namespaces are deleted.
pub fn create(name: &LabName) -> Result<u8, Error> {
    for place in Place::ALL {
        let netns = name.netns(place);
        netns.create()?;
        netns.run(prepare)??;
    }
    // The client's address comes first: its routes name it as their source.
    name.netns(Place::Client)
        .run(|| netlink(async |link: Link| link.address("lo", addresses::CLIENT, 32).await))??;
    for side in Side::BOTH {
        connect_client(name, side)?;
    }
    (0..addresses::LABS_MAX)
        .find_map(|lab| connect_management(name, lab).transpose())
        .unwrap_or(Err(Error::NoNumber))
}

fn prepare() -> Result<(), Error> {
    for (key, value) in SETTINGS {
        let path = format!("/proc/sys/net/{key}");
        fs::write(&path, value).map_err(|source| Error::Io(format!("set {path}"), source))?;
    }
    for key in WITHOUT_IPV6 {
        let _absent = fs::write(format!("/proc/sys/net/{key}"), "1");
    }
    let (key, value) = CONGESTION_CONTROL;
    let _absent = fs::write(format!("/proc/sys/net/{key}"), value);
    netlink(async |link: Link| link.up("lo").await)
}

fn connect_client(name: &LabName, side: Side) -> Result<(), Error> {
    let client = name.netns(Place::Client);
    let site = name.netns(Place::Site(side));
    let far = format!("site-{}", side.as_str());
    let peer = open(&client)?;
    site.run(|| {
        netlink(async |link: Link| {
            link.add_pair(EDGE_INTERFACE, &far, &peer).await?;
            link.address(EDGE_INTERFACE, addresses::edge(side), 30).await?;
            link.up(EDGE_INTERFACE).await
        })
    })??;
    client.run(|| {
        netlink(async |link: Link| {
            link.address(&far, addresses::client_link(side), 30).await?;
            link.up(&far).await?;
            let (network, prefix) = addresses::home(side);
            link.route((network, prefix), addresses::edge(side), Some(addresses::CLIENT)).await
        })
    })??;
    site.run(|| {
        netlink(async |link: Link| {
            link.route((addresses::CLIENT, 32), addresses::client_link(side), None).await
        })
    })?
}

/// `None` when the number is taken by another lab.
fn connect_management(name: &LabName, lab: u8) -> Result<Option<u8>, Error> {
    let here = OwnedFd::from(
        fs::File::open("/proc/thread-self/ns/net")
            .map_err(|source| Error::Io("open own namespace".into(), source))?,
    );
    for side in Side::BOTH {
        let site = name.netns(Place::Site(side));
        let far = addresses::management_interface(lab, side);
        let made =
            site.run(|| netlink(async |link: Link| link.add_pair(MANAGEMENT_INTERFACE, &far, &here).await))?;
        if made.as_ref().is_err_and(is_taken) {
            // A's half of the number may have been free.
            name.netns(Place::Site(Side::A)).run(|| remove(&[MANAGEMENT_INTERFACE]))??;
            return Ok(None);
        }
        made?;
        let (near, at_site) = addresses::management(lab, side);
        site.run(|| netlink(async |link: Link| link.bring_up(MANAGEMENT_INTERFACE, at_site).await))??;
        // On a thread of its own as well: the caller may be inside a runtime, which admits no second one.
        std::thread::scope(|scope| {
            let work = || netlink(async |link: Link| link.bring_up(&far, near).await);
            scope.spawn(work).join().expect("netlink requests do not panic")
        })?;
    }
    Ok(Some(lab))
}

fn is_taken(error: &Error) -> bool {
    let Error::Netlink(_, rtnetlink::Error::NetlinkError(message)) = error else { return false };
    message.raw_code() == -rustix::io::Errno::EXIST.raw_os_error()
}

fn open(netns: &Netns) -> Result<OwnedFd, Error> {
    let opened = fs::File::open(netns.path());
    opened.map(OwnedFd::from).map_err(|source| Error::Io(format!("open namespace {}", netns.name()), source))
}

/// Takes the links out of the calling thread's namespace, so that their names are free at once: a closed connection with
/// bytes that nobody will take keeps a namespace, and all its interfaces, alive for minutes after its last process.
///
/// # Errors
/// When the kernel refuses; a link that is not there is no error.
pub(crate) fn dismantle() -> Result<(), Error> {
    let retries = "/proc/sys/net/ipv4/tcp_orphan_retries";
    fs::write(retries, "1").map_err(|source| Error::Io(format!("set {retries}"), source))?;
    remove(&[MANAGEMENT_INTERFACE, EDGE_INTERFACE])
}

fn remove(interfaces: &[&str]) -> Result<(), Error> {
    let present: Vec<u32> = interfaces.iter().filter_map(|interface| index(interface).ok()).collect();
    netlink(async |link: Link| {
        for index in present {
            let removed = link.handle.link().del(index).execute().await;
            removed.map_err(|source| Error::Netlink("remove a link".to_owned(), source))?;
        }
        Ok(())
    })
}

/// Gives an interface in the calling thread's namespace an address and brings it up.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn bring_up(interface: &str, address: Ipv4Addr) -> Result<(), Error> {
    netlink(async |link: Link| link.bring_up(interface, address).await)
}

/// Configures a tap of the calling thread's namespace as every site's gateway, with a host route to `guest`.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn configure_tap(tap: &str, guest: Ipv4Addr) -> Result<(), Error> {
    let proxy_arp = format!("/proc/sys/net/ipv4/conf/{tap}/proxy_arp");
    fs::write(&proxy_arp, "1").map_err(|source| Error::Io(format!("set {proxy_arp}"), source))?;
    netlink(async |link: Link| {
        link.hardware_address(tap, GATEWAY_HARDWARE).await?;
        link.address(tap, addresses::GATEWAY, 32).await?;
        link.up(tap).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index(tap)?);
        link.replace_route(route.destination_prefix(guest, 32)).await
    })
}

/// Sends packets for `guest` that arrive in the calling thread's namespace on to another router.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn redirect(guest: Ipv4Addr, via: Ipv4Addr) -> Result<(), Error> {
    netlink(async |link: Link| {
        link.replace_route(RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(guest, 32).gateway(via))
            .await
    })
}

/// Runs netlink requests in the calling thread's namespace, on a runtime that lives as long as they do.
fn netlink<T>(work: impl AsyncFnOnce(Link) -> Result<T, Error>) -> Result<T, Error> {
    let unusable = |source| Error::Io("open a netlink socket".into(), source);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unusable)?;
    runtime.block_on(async {
        let (connection, handle, _messages) = rtnetlink::new_connection().map_err(unusable)?;
        tokio::spawn(connection);
        work(Link { handle }).await
    })
}

/// Requests about links, by interface name.
struct Link {
    handle: Handle,
}

impl Link {
    async fn add_pair(&self, near: &str, far: &str, far_netns: &OwnedFd) -> Result<(), Error> {
        let mut peer: LinkMessage = LinkMessageBuilder::<LinkUnspec>::new().name(far).build();
        peer.attributes.push(LinkAttribute::NetNsFd(far_netns.as_raw_fd()));
        let pair = LinkVeth::new(near, far).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(|source| Error::Netlink(format!("add the link {near} to {far}"), source))
    }

    async fn up(&self, interface: &str) -> Result<(), Error> {
        let up = LinkUnspec::new_with_index(index(interface)?).up().build();
        let set = self.handle.link().set(up).execute().await;
        set.map_err(|source| Error::Netlink(format!("bring up {interface}"), source))
    }

    async fn address(&self, interface: &str, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
        let added = self.handle.address().add(index(interface)?, IpAddr::V4(address), prefix).execute().await;
        added.map_err(|source| Error::Netlink(format!("give {interface} the address {address}"), source))
    }

    async fn hardware_address(&self, interface: &str, address: [u8; 6]) -> Result<(), Error> {
        let change = LinkUnspec::new_with_index(index(interface)?).address(address.into()).build();
        let set = self.handle.link().set(change).execute().await;
        set.map_err(|source| Error::Netlink(format!("change the hardware address of {interface}"), source))
    }

    async fn replace_route(&self, route: RouteMessageBuilder<Ipv4Addr>) -> Result<(), Error> {
        let replaced = self.handle.route().add(route.build()).replace().execute().await;
        replaced.map_err(|source| Error::Netlink("replace a route".to_owned(), source))
    }

    /// Address in a /30, and up.
    async fn bring_up(&self, interface: &str, address: Ipv4Addr) -> Result<(), Error> {
        self.address(interface, address, 30).await?;
        self.up(interface).await
    }

    async fn route(&self, to: (Ipv4Addr, u8), via: Ipv4Addr, from: Option<Ipv4Addr>) -> Result<(), Error> {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to.0, to.1).gateway(via);
        if let Some(from) = from {
            route = route.pref_source(from);
        }
        let added = self.handle.route().add(route.build()).execute().await;
        added.map_err(|source| Error::Netlink(format!("route {}/{} via {via}", to.0, to.1), source))
    }
}

fn index(interface: &str) -> Result<u32, Error> {
    let failed = |source: rustix::io::Errno| Error::Io(format!("find interface {interface}"), source.into());
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None);
    rustix::net::netdevice::name_to_index(socket.map_err(failed)?, interface).map_err(failed)
}
