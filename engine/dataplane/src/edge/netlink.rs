//! Links, addresses, neighbours, routes and rules. Every change may be repeated.
//!
//! Routes to VMs are in a table of their own that is looked up before the main one, so that none of them is ever mixed
//! up with the site's own routes, and so that a VM beats the tunnel when one VM here speaks to another.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, LinkUnspec, RouteMessageBuilder};
use tokio::task::JoinHandle;

use super::error::Error;
use super::nft::MARK;

/// The table of routes to VMs, and the priority of the rule that looks it up.
pub(super) const VM_TABLE: u32 = 10_800;
/// The table whose one route is into the tunnel, for marked packets; and the priority of its rule.
pub(super) const TUNNEL_TABLE: u32 = 10_801;

/// A link as the kernel describes it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: Option<String>,
}

/// A route to one VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct VmRoute {
    pub(super) address: Ipv4Addr,
    pub(super) interface: u32,
}

/// A connection to the kernel, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    pub(super) fn open() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::NetlinkSocket)?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Every link of the namespace.
    pub(super) async fn links(&self) -> Result<Vec<Link>, Error> {
        let found = self.handle.link().get().execute().try_collect::<Vec<_>>().await;
        Ok(found.map_err(failed("list network interfaces"))?.iter().filter_map(read_link).collect())
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links().await?.into_iter().find(|link| link.name == name))
    }

    pub(super) async fn index(&self, name: &str) -> Result<u32, Error> {
        self.find(name).await?.map(|link| link.index).ok_or_else(|| Error::NoInterface(name.to_owned()))
    }

    /// Gives a link its hardware address and alias, and sets it up.
    pub(super) async fn set_tap_up(&self, index: u32, mac: [u8; 6], alias: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(index)
            .address(mac.to_vec())
            .append_extra_attribute(LinkAttribute::IfAlias(alias.to_owned()))
            .up()
            .build();
        self.handle.link().change(message).execute().await.map_err(failed("set up a tap"))
    }

    pub(super) async fn delete_link(&self, index: u32) -> Result<(), Error> {
        absent_is_fine(self.handle.link().del(index).execute().await)
            .map_err(failed("remove a network interface"))
    }

    /// Adds `address/32` to a link.
    pub(super) async fn add_address(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let added = self.handle.address().add(index, IpAddr::V4(address), 32).replace().execute().await;
        added.map_err(failed(format!("add address {address}")))
    }

    /// Removes `address/32` from a link, if it is there.
    pub(super) async fn remove_address(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let failed = || failed(format!("remove address {address}"));
        let found =
            self.handle.address().get().set_link_index_filter(index).set_address_filter(IpAddr::V4(address));
        for message in found.execute().try_collect::<Vec<_>>().await.map_err(failed())? {
            if message.header.prefix_len == 32 {
                absent_is_fine(self.handle.address().del(message).execute().await).map_err(failed())?;
            }
        }
        Ok(())
    }

    /// Makes a guest's hardware address known for good, so that nothing is asked while it is paused.
    pub(super) async fn set_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        mac: [u8; 6],
    ) -> Result<(), Error> {
        let request = self.handle.neighbours().add(index, IpAddr::V4(address)).link_layer_address(&mac);
        let set = request.state(NeighbourState::Permanent).replace().execute().await;
        set.map_err(failed(format!("set the neighbour entry of {address}")))
    }

    /// Sends packets for a VM to a link, in place of wherever they went; no packet sees a gap between the two.
    pub(super) async fn route_vm(&self, route: VmRoute) -> Result<(), Error> {
        let VmRoute { address, interface } = route;
        let message = table_route(VM_TABLE, interface).destination_prefix(address, 32).build();
        let set = self.handle.route().add(message).replace().execute().await;
        set.map_err(failed(format!("route {address}")))
    }

    /// Removes the route of a VM, if there is one.
    pub(super) async fn unroute_vm(&self, address: Ipv4Addr) -> Result<(), Error> {
        for message in self.table(VM_TABLE).await? {
            if destination(&message) == Some(address) {
                let deleted = absent_is_fine(self.handle.route().del(message).execute().await);
                deleted.map_err(failed(format!("remove the route of {address}")))?;
            }
        }
        Ok(())
    }

    /// The routes to VMs.
    pub(super) async fn vm_routes(&self) -> Result<Vec<VmRoute>, Error> {
        let read = |message: &RouteMessage| {
            let interface = message.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })?;
            Some(VmRoute { address: destination(message)?, interface })
        };
        Ok(self.table(VM_TABLE).await?.iter().filter_map(read).collect())
    }

    /// Makes the two tables be looked up, and marked packets go into the tunnel.
    pub(super) async fn install_tables(&self, tunnel: u32) -> Result<(), Error> {
        let into_tunnel = table_route(TUNNEL_TABLE, tunnel).build();
        let set = self.handle.route().add(into_tunnel).replace().execute().await;
        set.map_err(failed("route marked packets into the tunnel"))?;
        let rules = self.handle.rule();
        let vms = rules
            .add()
            .v4()
            .table_id(VM_TABLE)
            .priority(VM_TABLE)
            .action(RuleAction::ToTable)
            .execute()
            .await;
        present_is_fine(vms).map_err(failed("look up the routes of VMs"))?;
        let request = rules.add().v4().table_id(TUNNEL_TABLE).priority(TUNNEL_TABLE).fw_mark(MARK);
        let marked = request.action(RuleAction::ToTable).execute().await;
        present_is_fine(marked).map_err(failed("look up the tunnel for marked packets"))
    }

    /// Removes the two tables and their rules.
    pub(super) async fn remove_tables(&self) -> Result<(), Error> {
        let found = self.handle.rule().get(IpVersion::V4).execute().try_collect::<Vec<_>>().await;
        for rule in found.map_err(failed("list routing rules"))? {
            if [VM_TABLE, TUNNEL_TABLE].map(Some).contains(&rule_table(&rule)) {
                let deleted = absent_is_fine(self.handle.rule().del(rule).execute().await);
                deleted.map_err(failed("remove a routing rule"))?;
            }
        }
        for table in [VM_TABLE, TUNNEL_TABLE] {
            for message in self.table(table).await? {
                let deleted = absent_is_fine(self.handle.route().del(message).execute().await);
                deleted.map_err(failed("remove a route"))?;
            }
        }
        Ok(())
    }

    async fn table(&self, table: u32) -> Result<Vec<RouteMessage>, Error> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let found = self.handle.route().get(all).execute().try_collect::<Vec<_>>().await;
        let mut routes = found.map_err(failed("list routes"))?;
        routes.retain(|message| message.attributes.contains(&RouteAttribute::Table(table)));
        Ok(routes)
    }
}

fn table_route(table: u32, interface: u32) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().table_id(table).scope(RouteScope::Link).output_interface(interface)
}

fn destination(message: &RouteMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

fn rule_table(rule: &RuleMessage) -> Option<u32> {
    rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    })
}

fn read_link(message: &LinkMessage) -> Option<Link> {
    let mut link = Link { index: message.header.index, name: String::new(), alias: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn failed(change: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let change = change.into();
    move |source| Error::Netlink { change, source }
}

/// The kernel's error numbers that mean "it is not there" (`ENODEV`, `ESRCH`, `ENOENT`, `EADDRNOTAVAIL`).
fn absent_is_fine(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    use rustix::io::Errno;
    tolerate(result, &[Errno::NODEV, Errno::SRCH, Errno::NOENT, Errno::ADDRNOTAVAIL])
}

fn present_is_fine(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    tolerate(result, &[rustix::io::Errno::EXIST])
}

fn tolerate(
    result: Result<(), rtnetlink::Error>,
    fine: &[rustix::io::Errno],
) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(answer))
            if fine.iter().any(|errno| answer.raw_code() == -errno.raw_os_error()) =>
        {
            Ok(())
        }
        other => other,
    }
}
