//! The zone's contents as immutable snapshots, and the handle that replaces them.
//!
//! Never edits a snapshot that a query may be reading: every change is a new one.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use domain::base::{Name, Serial, ToName, Ttl};
use domain::rdata::Soa;

/// An owned DNS name; compares and hashes without regard to letter case.
pub(super) type OwnedName = Name<Vec<u8>>;

/// Most names a zone holds. A site has far fewer VMs; the bound keeps a caller's mistake from eating the memory.
const NAMES_MAX: usize = 10_000;
/// Longest TTL accepted, in seconds: a day, past which no move could wait for it.
const TTL_SECONDS_MAX: u32 = 86_400;
/// TTL of the zone's own SOA and NS records and of "no such name", in seconds. Short: a VM may appear at any time.
const ZONE_TTL_SECONDS: u32 = 5;

/// A name, zone or nameserver that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The zone's name, or a name within it, is not a DNS name.
    #[error("use `{name}` as a name of the zone: {reason}")]
    Name {
        /// What was given.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The TTL is longer than a day.
    #[error("serve a record for {ttl_seconds} s: more than {TTL_SECONDS_MAX} s")]
    Ttl {
        /// What was given.
        ttl_seconds: u32,
    },
    /// The zone is full.
    #[error("add a name: the zone holds {NAMES_MAX} already")]
    Full,
}

/// A name server of the zone: `LABEL.ZONE` with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameserver {
    /// Its label within the zone, such as `ns-east`.
    pub label: String,
    /// Where it listens.
    pub address: Ipv4Addr,
}

/// What a zone is, before it holds any VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// The zone's name, such as `vm.example.net`, with or without the last dot.
    pub name: String,
    /// The servers of the zone, at least one; the first is named in the SOA record.
    pub nameservers: Vec<Nameserver>,
    /// The serial to begin with. A restarted agent passes the last one it made durable, so that it never falls.
    pub serial: u32,
}

/// What a VM's name is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The address clients are to use.
    pub address: Ipv4Addr,
    /// How long resolvers may keep it, in seconds; a day at most.
    pub ttl_seconds: u32,
}

/// One state of the zone.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) apex: OwnedName,
    pub(super) nameservers: Vec<OwnedName>,
    contact: OwnedName,
    pub(super) serial: u32,
    records: HashMap<OwnedName, Answer>,
}

impl Snapshot {
    pub(super) fn new(zone: &Zone) -> Result<Self, ZoneError> {
        let apex = Name::vec_from_str(&zone.name).map_err(|_| malformed(&zone.name, "not a DNS name"))?;
        let mut snapshot = Self {
            contact: below(&apex, "hostmaster")?,
            nameservers: Vec::with_capacity(zone.nameservers.len()),
            serial: zone.serial,
            records: HashMap::new(),
            apex,
        };
        if zone.nameservers.is_empty() {
            return Err(malformed(&zone.name, "it has no name server"));
        }
        for server in &zone.nameservers {
            let name = below(&snapshot.apex, &server.label)?;
            let answer = Answer { address: server.address, ttl_seconds: ZONE_TTL_SECONDS };
            snapshot.records.insert(name.clone(), answer);
            snapshot.nameservers.push(name);
        }
        Ok(snapshot)
    }

    /// The answer for a full name; `None` when the name has none.
    pub(super) fn get(&self, name: &OwnedName) -> Option<Answer> {
        self.records.get(name).copied()
    }

    /// The zone's SOA record at this serial.
    pub(super) fn soa(&self) -> Soa<&OwnedName> {
        Soa::new(
            &self.nameservers[0],
            &self.contact,
            Serial(self.serial),
            Ttl::from_secs(60),
            Ttl::from_secs(15),
            Ttl::from_secs(3600),
            self.zone_ttl(),
        )
    }

    /// How long the zone's own records and its denials may be kept.
    pub(super) fn zone_ttl(&self) -> Ttl {
        Ttl::from_secs(ZONE_TTL_SECONDS)
    }

    fn vm_name(&self, label: &str) -> Result<OwnedName, ZoneError> {
        let name = below(&self.apex, label)?;
        if self.nameservers.contains(&name) {
            return Err(malformed(label, "it names a name server"));
        }
        Ok(name)
    }

    fn with(&self, name: OwnedName, answer: Answer) -> Result<Self, ZoneError> {
        let mut next = self.clone();
        next.records.insert(name, answer);
        if next.records.len() > NAMES_MAX {
            return Err(ZoneError::Full);
        }
        next.serial = self.serial.wrapping_add(1);
        Ok(next)
    }

    fn without(&self, name: &OwnedName) -> Self {
        let mut next = self.clone();
        if next.records.remove(name).is_some() {
            next.serial = self.serial.wrapping_add(1);
        }
        next
    }
}

fn malformed(name: &str, reason: &'static str) -> ZoneError {
    ZoneError::Name { name: name.to_owned(), reason }
}

/// `LABEL.APEX`; only a single label, because an empty name in between would have to be answered too.
fn below(apex: &OwnedName, label: &str) -> Result<OwnedName, ZoneError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if label.is_empty() || label.len() > 63 || !label.chars().all(plain) {
        return Err(malformed(label, "a label has 1 to 63 letters, digits, `-` or `_`"));
    }
    Name::vec_from_str(&format!("{label}.{}", apex.fmt_with_dot()))
        .map_err(|_| malformed(label, "the name is too long"))
}

/// Changes and reads a served zone. Cheap to clone; all clones act on the same zone.
#[derive(Debug, Clone)]
pub struct Handle {
    current: Arc<ArcSwap<Snapshot>>,
    writer: Arc<Mutex<()>>,
}

impl Handle {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), writer: Arc::new(Mutex::new(())) }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Answers `NAME.ZONE` with `answer` from now on and returns the zone's new serial, which is one higher than the
    /// last (RFC 1982) also when the answer is what it was.
    ///
    /// # Errors
    /// When `name` is not one label, is a name server's, or the TTL is longer than a day. The zone is then unchanged.
    pub fn set(&self, name: &str, answer: Answer) -> Result<u32, ZoneError> {
        if answer.ttl_seconds > TTL_SECONDS_MAX {
            return Err(ZoneError::Ttl { ttl_seconds: answer.ttl_seconds });
        }
        self.replace(|now| now.with(now.vm_name(name)?, answer))
    }

    /// Forgets `NAME.ZONE` and returns the zone's serial, raised only if there was such a name.
    ///
    /// # Errors
    /// As for [`Handle::set`].
    pub fn remove(&self, name: &str) -> Result<u32, ZoneError> {
        self.replace(|now| Ok(now.without(&now.vm_name(name)?)))
    }

    /// What `NAME.ZONE` is answered with.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Answer> {
        let now = self.current.load();
        now.get(&below(&now.apex, name).ok()?)
    }

    /// The zone's serial.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.current.load().serial
    }

    /// The zone's name with its last dot.
    #[must_use]
    pub fn zone(&self) -> String {
        self.current.load().apex.fmt_with_dot().to_string()
    }

    fn replace(
        &self,
        change: impl FnOnce(&Snapshot) -> Result<Snapshot, ZoneError>,
    ) -> Result<u32, ZoneError> {
        // The lock guards no data, only the order of read and replace, so a poisoned one is as good.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let next = change(&self.current.load())?;
        let serial = next.serial;
        self.current.store(Arc::new(next));
        Ok(serial)
    }
}

/// Whether a name lies in the zone.
pub(super) fn contains(snapshot: &Snapshot, name: &impl ToName) -> bool {
    name.ends_with(&snapshot.apex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        let nameservers = vec![Nameserver { label: "ns".into(), address: Ipv4Addr::LOCALHOST }];
        Handle::new(Snapshot::new(&Zone { name: "vm.test".into(), nameservers, serial: 7 }).unwrap())
    }

    const ANSWER: Answer = Answer { address: Ipv4Addr::new(10, 10, 0, 50), ttl_seconds: 30 };

    /// Every change raises the serial, also one that changes nothing, and a refused one does not.
    #[test]
    fn serial_rises() {
        let zone = handle();
        assert_eq!(zone.set("web", ANSWER).unwrap(), 8);
        assert_eq!(zone.set("web", ANSWER).unwrap(), 9);
        assert!(zone.set("ns", ANSWER).is_err());
        assert!(zone.set("a.b", ANSWER).is_err());
        assert!(zone.set("web", Answer { ttl_seconds: 86_401, ..ANSWER }).is_err());
        assert_eq!((zone.serial(), zone.get("web")), (9, Some(ANSWER)));
    }

    /// A removed name is gone, and removing it again changes nothing.
    #[test]
    fn removes() {
        let zone = handle();
        zone.set("web", ANSWER).unwrap();
        assert_eq!(zone.remove("web").unwrap(), 9);
        assert_eq!(zone.remove("web").unwrap(), 9);
        assert_eq!(zone.get("web"), None);
    }
}
