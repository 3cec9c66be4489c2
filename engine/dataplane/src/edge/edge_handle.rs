//! The edge itself: every change a move makes to packets' ways is one of these calls.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tracing::{debug, info};
use tun_rs::AsyncDevice;

use super::config::{EdgeConfig, Service, TapSpec};
use super::counters::{Counters, count};
use super::error::Error;
use super::installed::{AwayRoute, HereRoute, Installed, Tap};
use super::netlink::{Link, Netlink, VmRoute};
use super::nft::{Contents, check_site};
use super::pump::Pump;
use super::switch::Switch;
use super::{sysctl, tap};

/// A site's edge. Cheap to clone; the device is let go with the last clone, the kernel's state stays.
///
/// Every call may be repeated and then changes nothing. The order of a move, source first:
///
/// 1. target: `tap_create`, `route_away` to the source, `serve` (not at home), `park`;
/// 2. source, at STOP: `route_away` (withdraw before announce: from here on nothing reaches the old tap);
/// 3. target, before it runs: `route_here`; when it runs: `release`;
/// 4. source: `tap_remove`.
///
/// If the VM stays after all: the source's `route_here`; at the target `route_away` and `release` where the VM has been
/// before, or `unserve`, `route_none` and `discard`, in this order, where it never was; then `tap_remove`.
///
/// After a restart of the agent everything but parking is as it was; after one of the host nothing is.
#[derive(Debug, Clone)]
pub struct Edge {
    inner: Arc<Inner>,
}

struct Inner {
    config: EdgeConfig,
    netlink: Netlink,
    tunnel: u32,
    device: Arc<AsyncDevice>,
    switch: Arc<Switch>,
    // Held for the whole of a change, so that changes happen one after the other.
    contents: Mutex<Contents>,
    reader: JoinHandle<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Edge {
    /// Opens the edge of the network namespace this process is in, taking over what an earlier process left there.
    ///
    /// # Errors
    /// Without the right to administer the network, without `nft`, without the client interface, or while another
    /// process holds `lh-edge`.
    pub async fn open(config: EdgeConfig) -> Result<Self, Error> {
        check_site(&config.site)?;
        let netlink = Netlink::open()?;
        netlink.index(&config.interface).await?;
        let device = Arc::new(tap::open_tunnel()?);
        let tunnel = netlink.index(tap::TUNNEL).await?;
        let contents = Contents::load().await?;
        // First the rules: they load conntrack, whose settings come next.
        contents.apply().await?;
        sysctl::prepare_host()?;
        sysctl::prepare_tunnel(tap::TUNNEL)?;
        netlink.install_tables(tunnel).await?;
        let switch = Arc::new(Switch::default());
        for (address, peer) in &contents.peers {
            switch.associate(*address, peer);
            switch.queue(peer);
        }
        info!(site = config.site, vms = contents.peers.len(), "the edge is open");
        let reader = tokio::spawn(read_tunnel(Arc::clone(&device), Arc::clone(&switch)));
        let contents = Mutex::new(contents);
        Ok(Self { inner: Arc::new(Inner { config, netlink, tunnel, device, switch, contents, reader }) })
    }

    /// Makes a VM's tap and returns its name, which QEMU opens (`-netdev tap,ifname=...,script=no,downscript=no,
    /// vnet_hdr=off`). It carries the gateway's addresses and outlives this process. No packet is routed to it yet.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn tap_create(&self, spec: &TapSpec) -> Result<String, Error> {
        let Inner { config, netlink, contents, .. } = &*self.inner;
        let _changing = contents.lock().await;
        let name = tap::tap_name(&spec.vm);
        // QEMU may hold it already: then it cannot be opened, and need not be.
        if netlink.find(&name).await?.is_none() {
            tap::create_tap(&name)?;
        }
        let index = netlink.index(&name).await?;
        sysctl::prepare_tap(&name)?;
        netlink.set_tap_up(index, config.gateway_mac, &spec.vm).await?;
        netlink.add_address(index, config.gateway).await?;
        netlink.set_neighbour(index, spec.address, spec.guest_mac).await?;
        Ok(name)
    }

    /// Removes a VM's tap and with it every route to it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn tap_remove(&self, vm: &str) -> Result<(), Error> {
        let _changing = self.inner.contents.lock().await;
        match self.inner.netlink.find(&tap::tap_name(vm)).await? {
            Some(link) => self.inner.netlink.delete_link(link.index).await,
            None => Ok(()),
        }
    }

    /// Sends packets for a VM to an interface here, in place of wherever they went.
    ///
    /// # Errors
    /// When there is no such interface or the kernel refuses.
    pub async fn route_here(&self, address: Ipv4Addr, tap: &str) -> Result<(), Error> {
        let _changing = self.inner.contents.lock().await;
        let interface = self.inner.netlink.index(tap).await?;
        self.inner.netlink.route_vm(VmRoute { address, interface }).await?;
        debug!(%address, tap, "packets go to a tap");
        Ok(())
    }

    /// Sends packets for a VM through the tunnel to the site where it is now, in place of wherever they went. The
    /// route changes first; that the site belongs to the VM is then made to outlive this process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn route_away(&self, address: Ipv4Addr, site: &str) -> Result<(), Error> {
        check_site(site)?;
        let Inner { netlink, tunnel, switch, contents, .. } = &*self.inner;
        let mut contents = contents.lock().await;
        switch.associate(address, site);
        switch.queue(site);
        netlink.route_vm(VmRoute { address, interface: *tunnel }).await?;
        debug!(%address, site, "packets go to another site");
        change(&mut contents, |next| drop(next.peers.insert(address, site.to_owned()))).await
    }

    /// Forgets a VM: its route, and which site its packets belong to.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn route_none(&self, address: Ipv4Addr) -> Result<(), Error> {
        let Inner { netlink, switch, contents, .. } = &*self.inner;
        let mut contents = contents.lock().await;
        // Without a route the kernel would send what a peer still brings anywhere.
        switch.forget(address);
        netlink.unroute_vm(address).await?;
        change(&mut contents, |next| drop(next.peers.remove(&address))).await
    }

    /// Answers for a VM that is not at home: new connections to the service address are translated to its home
    /// address, and all its other packets go home through the tunnel. Call it before the VM runs here.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn serve(&self, service: &Service) -> Result<(), Error> {
        check_site(&service.home_site)?;
        let Inner { config, netlink, switch, contents, .. } = &*self.inner;
        let mut contents = contents.lock().await;
        let index = netlink.index(&config.interface).await?;
        switch.associate(service.home, &service.home_site);
        switch.queue(&service.home_site);
        let stale: Vec<_> =
            services_of(&contents, service.home).filter(|old| *old != service.service).collect();
        change(&mut contents, |next| {
            next.services.retain(|_, home| *home != service.home);
            next.services.insert(service.service, service.home);
            next.peers.insert(service.home, service.home_site.clone());
        })
        .await?;
        for old in stale {
            netlink.remove_address(index, old).await?;
        }
        // After the translation: a connection that comes earlier finds no one, instead of a port that is closed.
        netlink.add_address(index, service.service).await
    }

    /// Ends [`Edge::serve`] for a VM. Connections that are translated already stay so as long as they live.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn unserve(&self, home: Ipv4Addr) -> Result<(), Error> {
        let Inner { config, netlink, contents, .. } = &*self.inner;
        let mut contents = contents.lock().await;
        let index = netlink.index(&config.interface).await?;
        for service in services_of(&contents, home).collect::<Vec<_>>() {
            netlink.remove_address(index, service).await?;
        }
        change(&mut contents, |next| next.services.retain(|_, to| *to != home)).await
    }

    /// Holds packets for a VM that come through the tunnel, because it does not run here yet. Those that this site sends
    /// after it, to where it still runs, go on. At most 4 MiB of all VMs are held; past that the oldest is dropped. Does
    /// not outlive this process.
    pub fn park(&self, address: Ipv4Addr) {
        self.inner.switch.park(address);
    }

    /// Sends on what [`Edge::park`] held, oldest first, and holds nothing more.
    pub async fn release(&self, address: Ipv4Addr) {
        for packet in self.inner.switch.unpark(address) {
            match self.inner.device.send(&packet).await {
                Ok(_) => count(&self.inner.switch.counters.from_peers),
                Err(_) => count(&self.inner.switch.counters.dropped_malformed),
            }
        }
    }

    /// Drops what [`Edge::park`] held, and holds nothing more: without a route to the VM the kernel would send it anywhere.
    pub fn discard(&self, address: Ipv4Addr) {
        for _ in self.inner.switch.unpark(address) {
            count(&self.inner.switch.counters.dropped_parked);
        }
    }

    /// Moves packets between this edge and a peer's over `stream` until the peer ends it. Several pumps to one peer
    /// share its packets. The caller opens a new stream when one ends; meanwhile up to 512 packets wait.
    ///
    /// # Errors
    /// When the stream breaks, takes nothing for half a minute, or carries something that is no packet.
    pub async fn pump<S>(&self, peer: &str, stream: S) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        check_site(peer)?;
        let Inner { switch, device, .. } = &*self.inner;
        let queue = switch.queue(peer);
        Pump { peer, switch, device, queue: &queue }.run(stream).await
    }

    /// What happened to packets since this process opened the edge.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.switch.counters.read()
    }

    /// What of ours is in the kernel now, found there and not remembered.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn installed(&self) -> Result<Installed, Error> {
        let Inner { netlink, tunnel, contents, .. } = &*self.inner;
        let _changing = contents.lock().await;
        let table = Contents::load().await?;
        let links = netlink.links().await?;
        let routes = netlink.vm_routes().await?;
        let name = |index| {
            links.iter().find(|link| link.index == index).map_or_else(String::new, |link| link.name.clone())
        };
        let peer = |address| table.peers.get(&address).cloned();
        let (away, here): (Vec<_>, Vec<_>) = routes.into_iter().partition(|route| route.interface == *tunnel);
        let here =
            here.into_iter().map(|route| HereRoute { address: route.address, tap: name(route.interface) });
        let away =
            away.into_iter().map(|route| AwayRoute { address: route.address, peer: peer(route.address) });
        let services = table.services.iter().map(|(service, home)| Service {
            home: *home,
            service: *service,
            home_site: peer(*home).unwrap_or_default(),
        });
        Ok(Installed {
            taps: taps(&links),
            here: here.collect(),
            away: away.collect(),
            services: services.collect(),
            peers: table.peers.clone().into_iter().collect(),
        })
    }

    /// Removes everything the edge ever put into the kernel: taps, service addresses, routes, rules and `lh-edge`.
    /// The settings of the namespace stay.
    ///
    /// # Errors
    /// When the kernel refuses; what was removed until then stays removed.
    pub async fn dismantle(self) -> Result<(), Error> {
        let Inner { config, netlink, tunnel, contents, .. } = &*self.inner;
        let contents = contents.lock().await;
        let index = netlink.index(&config.interface).await?;
        for service in contents.services.keys() {
            netlink.remove_address(index, *service).await?;
        }
        for link in netlink.links().await?.iter().filter(|link| link.name.starts_with(tap::TAP_PREFIX)) {
            netlink.delete_link(link.index).await?;
        }
        Contents::remove().await?;
        netlink.remove_tables().await?;
        netlink.delete_link(*tunnel).await
    }
}

/// Applies a change of the table unless it changes nothing; memory follows the kernel, never the other way round.
async fn change(contents: &mut Contents, edit: impl FnOnce(&mut Contents)) -> Result<(), Error> {
    let mut next = contents.clone();
    edit(&mut next);
    if next != *contents {
        next.apply().await?;
        *contents = next;
    }
    Ok(())
}

fn services_of(contents: &Contents, home: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    contents.services.iter().filter(move |(_, to)| **to == home).map(|(service, _)| *service)
}

fn taps(links: &[Link]) -> Vec<Tap> {
    let ours = links.iter().filter(|link| link.name.starts_with(tap::TAP_PREFIX));
    ours.map(|link| Tap { name: link.name.clone(), vm: link.alias.clone() }).collect()
}

/// Takes packets from the kernel as fast as it gives them; [`Switch`] bounds what is kept.
async fn read_tunnel(device: Arc<AsyncDevice>, switch: Arc<Switch>) {
    let mut buffer = [0; tap::MTU as usize];
    loop {
        match device.recv(&mut buffer).await {
            Ok(length) => switch.take_from_kernel(Bytes::copy_from_slice(&buffer[..length])),
            Err(error) => {
                debug!(%error, "the tunnel device gave no packet");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}
