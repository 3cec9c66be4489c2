//! The names of VMs at this site: our DNS zone, and what of it must survive the agent's death.
//!
//! A change is durable before it is answered, so that a restarted agent never answers with something older.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use longhaul_dataplane::dns;
use longhaul_model::ids::SiteId;
use longhaul_model::site::Site;
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use longhaul_wire::v1::outputs::Outputs as Kind;

use crate::agent::Agent;
use crate::error::{Class, Error};
use crate::facts::{Facts, FormerName, NameRow};
use crate::faults::FaultPoint;
use crate::operations::key_text;
use crate::specs::Specs;

/// Label of this zone's name server; VM ids may hold it too, but a VM of that name is refused by the zone.
const NAMESERVER: &str = "ns";

/// The zone as this site answers it.
pub(crate) struct Names {
    site: SiteId,
    listen: SocketAddr,
    ttl_seconds: u32,
    zone: dns::Handle,
    specs: Specs,
    facts: Facts,
}

impl Names {
    /// Binds the server and fills the zone: what was made durable, else every known VM's home address.
    pub(crate) async fn open(site: &Site, specs: Specs, facts: Facts) -> Result<(Self, dns::Server), Error> {
        let rows = facts.names().map_err(|error| Error::internal("reading names", &error))?;
        let IpAddr::V4(address) = site.dns.listen.ip() else {
            return Err(Error::new(
                Class::Precondition,
                "dns.listen must be an IPv4 address in this version",
            ));
        };
        let zone = dns::Zone {
            name: site.dns.zone.clone(),
            nameservers: vec![dns::Nameserver { label: NAMESERVER.to_owned(), address }],
            serial: rows.iter().map(|row| row.serial).max().unwrap_or(1),
        };
        let server = dns::Server::bind(site.dns.listen, &zone)
            .await
            .map_err(|error| Error::internal("starting the name server", &error))?;
        let names = Self {
            site: site.id.clone(),
            listen: site.dns.listen,
            ttl_seconds: site.dns.ttl_seconds,
            zone: server.handle(),
            specs,
            facts,
        };
        for row in rows {
            names.answer(&row.vm, row.address, row.ttl_seconds)?;
        }
        for vm in names.specs.all()? {
            names.ensure(&vm)?;
        }
        Ok((names, server))
    }

    /// Answers a VM's name with its home address, unless it is answered already.
    pub(crate) fn ensure(&self, vm: &Vm) -> Result<(), Error> {
        if self.zone.get(vm.id.as_str()).is_some() {
            return Ok(());
        }
        self.answer(vm.id.as_str(), vm.nic.address, self.ttl_seconds).map(drop)
    }

    /// Lowers the time that others may keep the answer.
    pub(crate) async fn prepare(
        &self,
        wanted: &v1::PrepareName,
        key: &v1::Key,
    ) -> Result<v1::NamePrepared, Error> {
        let now = self.now(&wanted.vm)?;
        let answer = dns::Answer { ttl_seconds: wanted.ttl_seconds, ..now };
        let former = self.change(&wanted.vm, key, now, answer)?;
        let read = self.read_back(&wanted.vm, now.address, wanted.ttl_seconds).await?;
        Ok(v1::NamePrepared {
            name: self.full(&wanted.vm),
            previous_ttl_seconds: former.ttl_seconds,
            ttl_seconds: read.ttl_seconds,
            serial: read.serial,
        })
    }

    /// Answers with the VM's address at a site. Once that is what is read back, the answer may be kept for as long as this zone's
    /// answers are: who still has the former one has it for the lowered time.
    async fn redirect(&self, wanted: &v1::RedirectName, key: &v1::Key) -> Result<v1::NameRedirected, Error> {
        let now = self.now(&wanted.vm)?;
        let address = address_at(&self.specs.get(&wanted.vm)?, &wanted.site)?;
        let turned = dns::Answer { address, ..now };
        let former = self.change(&wanted.vm, key, now, turned)?;
        self.read_back(&wanted.vm, address, now.ttl_seconds).await?;
        let kept = dns::Answer { address, ttl_seconds: self.ttl_seconds };
        self.change(&wanted.vm, key, turned, kept).map_err(Error::after_effects)?;
        let read = self.read_back(&wanted.vm, address, self.ttl_seconds).await?;
        Ok(v1::NameRedirected {
            name: self.full(&wanted.vm),
            previous_address: former.address.to_string(),
            address: read.address.to_string(),
            serial: read.serial,
        })
    }

    /// Whether the server still answers what an operation put out. Operations about other things are always so.
    pub(crate) async fn stands(&self, outputs: Option<&Kind>) -> Result<bool, Error> {
        let ask = |name: String| async move {
            let asked = dns::query(self.listen, &name).await;
            asked.map_err(|error| Error::internal("asking this site's name server", &error))
        };
        match outputs {
            Some(Kind::NamePrepared(it)) => Ok(ask(it.name.clone()).await?.ttl_seconds == it.ttl_seconds),
            Some(Kind::NameRedirected(it)) => {
                Ok(ask(it.name.clone()).await?.address.to_string() == it.address)
            }
            Some(_) | None => Ok(true),
        }
    }

    /// Asks this site's server as any resolver would: what was written is only half of what was promised.
    async fn read_back(&self, vm: &str, address: Ipv4Addr, ttl_seconds: u32) -> Result<dns::Reply, Error> {
        let name = self.full(vm);
        let reply = dns::query(self.listen, &name).await.map_err(|error| {
            let why = crate::error::chain(&error);
            Error::unknown(Class::Transient, format!("{name} was changed and cannot be read back: {why}"))
        })?;
        if (reply.address, reply.ttl_seconds) == (address, ttl_seconds) {
            return Ok(reply);
        }
        let message = format!(
            "{name} was set to {address} for {ttl_seconds} s and reads back as {} for {} s: somebody else writes too",
            reply.address, reply.ttl_seconds
        );
        Err(Error::unknown(Class::Conflict, message))
    }

    /// Puts the TTL back that `prepare` found; one that changed nothing found nothing.
    pub(crate) fn undo_prepare(&self, wanted: &v1::PrepareName, key: &v1::Key) -> Result<(), Error> {
        self.restore(&wanted.vm, key, |now, former| dns::Answer { ttl_seconds: former.ttl_seconds, ..now })
    }

    /// Puts the answer back that `redirect` found, and the time for which it could be kept.
    pub(crate) fn undo_redirect(&self, wanted: &v1::RedirectName, key: &v1::Key) -> Result<(), Error> {
        self.restore(&wanted.vm, key, |_, former| dns::Answer {
            address: former.address,
            ttl_seconds: former.ttl_seconds,
        })
    }

    fn now(&self, vm: &str) -> Result<dns::Answer, Error> {
        self.zone.get(vm).ok_or_else(|| {
            Error::new(Class::Precondition, format!("site {} has no name for vm `{vm}`", self.site))
        })
    }

    fn full(&self, vm: &str) -> String {
        format!("{vm}.{}", self.zone.zone().trim_end_matches('.'))
    }

    /// Changes the answer, and keeps what it was before. An effect that is brought about once more, as an agent does that
    /// died over it, finds its own change: what it was before is what was found first.
    fn change(
        &self,
        vm: &str,
        key: &v1::Key,
        now: dns::Answer,
        answer: dns::Answer,
    ) -> Result<FormerName, Error> {
        let found = FormerName { address: now.address, ttl_seconds: now.ttl_seconds };
        let former = self.facts.name_change(&key_text(key), found, &self.row(vm, answer));
        let former = former.map_err(|error| Error::internal("writing a name", &error))?;
        self.answer(vm, answer.address, answer.ttl_seconds)?;
        Ok(former)
    }

    fn restore(
        &self,
        vm: &str,
        key: &v1::Key,
        restored: impl FnOnce(dns::Answer, FormerName) -> dns::Answer,
    ) -> Result<(), Error> {
        let key = key_text(key);
        let former = self.facts.name_former(&key);
        let former = former.map_err(|error| Error::internal("reading a name's former answer", &error))?;
        let (Some(now), Some(former)) = (self.zone.get(vm), former) else { return Ok(()) };
        let answer = restored(now, former);
        let written = self.facts.name_restore(&key, &self.row(vm, answer));
        written.map_err(|error| Error::internal("writing a name", &error))?;
        self.answer(vm, answer.address, answer.ttl_seconds).map(drop)
    }

    fn row(&self, vm: &str, answer: dns::Answer) -> NameRow {
        let dns::Answer { address, ttl_seconds } = answer;
        NameRow { vm: vm.to_owned(), address, ttl_seconds, serial: self.zone.serial().wrapping_add(1) }
    }

    fn answer(&self, vm: &str, address: Ipv4Addr, ttl_seconds: u32) -> Result<u32, Error> {
        let set = self.zone.set(vm, dns::Answer { address, ttl_seconds });
        set.map_err(|error| Error::new(Class::Permanent, crate::error::chain(&error)))
    }
}

impl Agent {
    /// Answers with the VM's address at a site.
    pub(crate) async fn redirect_name(
        &self,
        wanted: &v1::RedirectName,
        key: &v1::Key,
    ) -> Result<v1::NameRedirected, Error> {
        let redirected = self.names.redirect(wanted, key).await?;
        if wanted.site == self.site.id.as_str() {
            self.options.faults.reach(FaultPoint::NameRedirected).await;
        }
        Ok(redirected)
    }
}

/// Under which address clients reach a VM at a site: its own at home, else the service address it has there.
pub(crate) fn address_at(vm: &Vm, site: &str) -> Result<Ipv4Addr, Error> {
    if vm.home.as_str() == site {
        return Ok(vm.nic.address);
    }
    let service = vm.nic.service.iter().find(|service| service.site.as_str() == site);
    service.map(|service| service.address).ok_or_else(|| {
        let message = format!(
            "vm {} has no service address at site {site}: add one under nic.service in vms/{}.yaml",
            vm.id, vm.id
        );
        Error::new(Class::Precondition, message)
    })
}

#[cfg(test)]
mod tests {
    use longhaul_model::site::{Dns, Edge, Pki};
    use longhaul_model::units::Size;
    use longhaul_model::vm::ServiceAddress;

    use super::*;
    use crate::vm::small;

    const NORMAL: u32 = 300;
    const LOWERED: u32 = 5;
    const HOME: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 50);
    const AWAY: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);

    /// A site whose name server listens where nobody else does.
    fn site(folder: &std::path::Path) -> Site {
        let listen = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = |name: &str| folder.join(name);
        Site {
            id: "a".parse().unwrap(),
            listen: Vec::new(),
            state: folder.to_owned(),
            pki: Pki { ca: file("ca.pem"), certificate: file("a.pem"), key: file("a.key") },
            peers: Vec::new(),
            edge: Edge { interface: "lo".into(), gateway: HOME, gateway_mac: "52:54:00:00:00:fe".into() },
            dns: Dns { zone: "lab.test".into(), listen, ttl_seconds: NORMAL },
            disk_reserve: Size::from_bytes(0),
        }
    }

    /// While a VM moves, its former answer is kept for a short time only; the new one may be kept for as long as ever, also after
    /// the agent died. Undoing the change brings the short time back, undoing the preparation the long one.
    #[tokio::test]
    async fn a_new_answer_may_be_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path());
        let specs = Specs::new(folder.path());
        let mut vm = small("vm-a");
        (vm.boot.kernel, vm.boot.initrd) = ("1".repeat(64), "2".repeat(64));
        vm.nic.service = vec![ServiceAddress { site: "b".parse().unwrap(), address: AWAY }];
        specs.store("vm-a", &vm.to_yaml()).unwrap();
        let open = async || {
            let facts = Facts::open(&folder.path().join("agent.db")).unwrap();
            let (names, server) = Names::open(&site, specs.clone(), facts).await.unwrap();
            (names, tokio::spawn(server.run()))
        };
        let (names, server) = open().await;
        let answer = async || {
            let reply = dns::query(site.dns.listen, "vm-a.lab.test").await.unwrap();
            (reply.address, reply.ttl_seconds)
        };
        assert_eq!(answer().await, (HOME, NORMAL));
        let lower = v1::PrepareName { vm: "vm-a".into(), ttl_seconds: LOWERED };
        let key = |step: &str| v1::Key { run: "run-a".into(), step: step.into(), ..v1::Key::default() };
        let (lowering, turning) = (key("prepare"), key("redirect"));
        names.prepare(&lower, &lowering).await.unwrap();
        assert_eq!(answer().await, (HOME, LOWERED));
        let turn = v1::RedirectName { vm: "vm-a".into(), site: "b".into() };
        let redirected = Kind::NameRedirected(names.redirect(&turn, &turning).await.unwrap());
        assert_eq!(answer().await, (AWAY, NORMAL));
        assert!(names.stands(Some(&redirected)).await.unwrap());
        server.abort();
        assert!(server.await.is_err());
        drop(names);
        let (names, _server) = open().await;
        assert_eq!(answer().await, (AWAY, NORMAL));
        names.undo_redirect(&turn, &turning).unwrap();
        assert_eq!(answer().await, (HOME, LOWERED));
        names.undo_prepare(&lower, &lowering).unwrap();
        assert_eq!(answer().await, (HOME, NORMAL));
    }
}
