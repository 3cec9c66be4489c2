//! The map's header: the durable facts of a disk.
//!
//! It is kept twice, each copy with a checksum, written and synced one after the other. So a torn write never loses the
//! other copy, a fact that was acknowledged is in both, and one damaged copy never brings an older epoch back.

use serde::{Deserialize, Serialize};

use super::Error;
use super::control::Proof;

/// Bytes of one copy.
pub(crate) const SLOT: u64 = 4096;
/// Where the bitmaps begin.
pub(crate) const END: u64 = 2 * SLOT;
const MAGIC: &[u8; 8] = b"LHDMAP\0\0";
const PREFIX: usize = 8 + 32 + 4;
/// Newest format that this program reads and the one that it writes.
const VERSION: u32 = 1;

/// What must survive everything but the loss of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) version: u32,
    /// Raised with every write; tells which copy is newer.
    pub(crate) sequence: u64,
    pub(crate) vm: String,
    pub(crate) disk_bytes: u64,
    /// Boot of the machine during which the kernel's copy of the bitmaps is good.
    pub(crate) boot: String,
    /// Highest granted epoch.
    pub(crate) epoch: u64,
    /// Who writes under that epoch.
    pub(crate) holder: Option<Process>,
    /// Highest epoch seen in a freeze or thaw.
    pub(crate) frozen_epoch: u64,
    pub(crate) frozen: bool,
    /// Needs no source.
    pub(crate) complete: bool,
    /// Target: the origin whose blocks are here.
    pub(crate) fetched_from: Option<u64>,
    /// Source: the dirty map that runs.
    pub(crate) origin: Option<u64>,
    /// How a disk that came from elsewhere became complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settled: Option<Settled>,
}

/// What is known of a disk that was filled and proven; asked for as long as it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settled {
    pub(crate) proof: Proof,
    pub(crate) demand_reads: u64,
    pub(crate) demand_bytes: u64,
}

/// A process that cannot be confused with a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub(crate) start: u64,
}

impl Header {
    pub(crate) fn new(vm: &str, disk_bytes: u64, boot: &str, complete: bool) -> Self {
        Self {
            version: VERSION,
            sequence: 0,
            vm: vm.into(),
            disk_bytes,
            boot: boot.into(),
            epoch: 0,
            holder: None,
            frozen_epoch: 0,
            frozen: false,
            complete,
            fetched_from: None,
            origin: None,
            settled: None,
        }
    }

    /// One copy as it stands in the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("plain fields always serialise");
        let mut slot = Vec::with_capacity(SLOT as usize);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(blake3::hash(&body).as_bytes());
        slot.extend_from_slice(&u32::try_from(body.len()).expect("the header is short").to_le_bytes());
        slot.extend_from_slice(&body);
        assert!(slot.len() <= SLOT as usize, "names are bounded, so the header fits its slot");
        slot.resize(SLOT as usize, 0);
        slot
    }

    /// Reads one copy; `None` if it is damaged.
    pub(crate) fn decode(slot: &[u8]) -> Option<Result<Self, Error>> {
        let rest = slot.strip_prefix(MAGIC)?;
        let (hash, rest) = rest.split_at_checked(32)?;
        let (length, rest) = rest.split_at_checked(PREFIX - 40)?;
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let body = rest.get(..usize::try_from(length).ok()?)?;
        if blake3::hash(body).as_bytes() != hash {
            return None;
        }
        Some(parse(body))
    }

    /// Chooses between the two copies of a file.
    pub(crate) fn choose(slots: [&[u8]; 2]) -> Result<Self, Error> {
        let whole: Vec<_> = slots.into_iter().filter_map(Self::decode).collect::<Result<_, _>>()?;
        if whole.len() == 1 {
            tracing::warn!("one copy of the map header is damaged; the other one is used");
        }
        whole.into_iter().max_by_key(|header| header.sequence).ok_or(Error::Header)
    }
}

/// The checksum was right, so what does not parse was written by another version.
fn parse(body: &[u8]) -> Result<Header, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    match serde_json::from_slice::<Versioned>(body) {
        Ok(Versioned { version }) if version > VERSION => Err(Error::Version(version)),
        Ok(_) | Err(_) => serde_json::from_slice(body).map_err(|_| Error::Header),
    }
}

/// Identity of this boot of the machine: after another one only what was synced is in the files.
pub(crate) fn boot_id() -> Result<String, Error> {
    let path = std::path::Path::new("/proc/sys/kernel/random/boot_id");
    let text = std::fs::read_to_string(path).map_err(Error::io("read boot id", path))?;
    Ok(text.trim().to_owned())
}
