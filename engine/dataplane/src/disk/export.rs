//! Which names the sockets know, and who is let in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::control::Writer;
use super::demand::Demand;
use super::device::{Gate, OriginDevice, WriterDevice};
use super::fence::unix_ms;
use super::header::Process;
use super::store::Store;
use crate::nbd::{Device, Exports, Info, OpenRefused};

/// Open connections that may write.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Session>>,
}

#[derive(Debug)]
struct Session {
    epoch: u64,
    pid: u32,
    connected_unix_ms: u64,
    bytes_written: Arc<AtomicU64>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open ones, oldest first.
    pub(crate) fn writers(&self) -> Vec<Writer> {
        let writer = |session: &Session| Writer {
            epoch: session.epoch,
            pid: session.pid,
            connected_unix_ms: session.connected_unix_ms,
            bytes_written: session.bytes_written.load(Ordering::Relaxed),
        };
        self.lock().values().map(writer).collect()
    }
}

/// What one connection to `disk.sock` finds. When it is dropped its session is over.
#[derive(Debug)]
pub(crate) struct WriterExports {
    store: Arc<Store>,
    demand: Option<Arc<Demand>>,
    sessions: Arc<Sessions>,
    /// The process at the other end.
    peer: Process,
    id: u64,
    gate: Arc<Gate>,
}

impl WriterExports {
    pub(crate) fn new(
        store: Arc<Store>,
        demand: Option<Arc<Demand>>,
        sessions: Arc<Sessions>,
        peer: Process,
    ) -> Self {
        let id = sessions.next.fetch_add(1, Ordering::Relaxed);
        Self { store, demand, sessions, peer, id, gate: Arc::default() }
    }

    /// Epoch of the name `VM@EPOCH`.
    fn epoch(&self, name: &str) -> Result<u64, OpenRefused> {
        let epoch = name.strip_prefix(&self.store.vm).and_then(|rest| rest.strip_prefix('@'));
        epoch.and_then(|epoch| epoch.parse().ok()).ok_or(OpenRefused::Unknown)
    }
}

impl Exports for WriterExports {
    type Device = WriterDevice;

    fn list(&self) -> Vec<String> {
        vec![format!("{}@{}", self.store.vm, self.store.header().epoch)]
    }

    fn inspect(&self, name: &str) -> Result<Info, OpenRefused> {
        self.store.admits(self.epoch(name)?).map_err(OpenRefused::Policy)?;
        Ok(Info { size: self.store.geometry.disk_bytes, read_only: false })
    }

    fn open(&self, name: &str) -> Result<WriterDevice, OpenRefused> {
        let epoch = self.epoch(name)?;
        self.store.take_epoch(epoch, self.peer).map_err(OpenRefused::Policy)?;
        let bytes_written = Arc::new(AtomicU64::new(0));
        let session = Session {
            epoch,
            pid: self.peer.pid,
            connected_unix_ms: unix_ms(),
            bytes_written: Arc::clone(&bytes_written),
        };
        self.sessions.lock().insert(self.id, session);
        let (store, demand, gate) = (Arc::clone(&self.store), self.demand.clone(), Arc::clone(&self.gate));
        Ok(WriterDevice { store, demand, epoch, bytes_written, gate })
    }
}

impl Drop for WriterExports {
    fn drop(&mut self) {
        self.gate.close();
        self.sessions.lock().remove(&self.id);
    }
}

/// What a connection to `origin.sock` finds.
#[derive(Debug)]
pub(crate) struct OriginExports {
    pub(crate) store: Arc<Store>,
}

impl Exports for OriginExports {
    type Device = OriginDevice;

    fn list(&self) -> Vec<String> {
        vec![self.store.vm.clone(), format!("{}#leaves", self.store.vm)]
    }

    fn inspect(&self, name: &str) -> Result<Info, OpenRefused> {
        self.open(name).map(|device| device.info())
    }

    fn open(&self, name: &str) -> Result<OriginDevice, OpenRefused> {
        let header = self.store.header();
        let refused = |text: &str| Err(OpenRefused::Policy(text.into()));
        match name.strip_prefix(&self.store.vm) {
            Some("") if header.frozen || header.origin.is_some() => {
                Ok(OriginDevice::Disk(Arc::clone(&self.store)))
            }
            Some("") => refused("the origin is not open"),
            Some("#leaves") if header.frozen => Ok(OriginDevice::Leaves(Arc::clone(&self.store))),
            Some("#leaves") => refused("the disk is not frozen"),
            Some(_) | None => Err(OpenRefused::Unknown),
        }
    }
}
