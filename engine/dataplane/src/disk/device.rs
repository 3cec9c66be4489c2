//! The disk as NBD connections see it: writable for the local QEMU, read-only for the other site, and its leaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::demand::{Demand, blocking};
use super::leaf::{HASH, count, hashes};
use super::store::Store;
use crate::nbd::{AllocationRun, Device, Errno, Info, Piece, Span, Zeroes};

/// Longest read of the leaves export in bytes: 2048 leaves, 128 MiB to hash.
const LEAVES_READ: u64 = 64 << 10;

/// The export `VM@EPOCH`.
#[derive(Debug)]
pub(crate) struct WriterDevice {
    pub(crate) store: Arc<Store>,
    pub(crate) demand: Option<Arc<Demand>>,
    pub(crate) epoch: u64,
    pub(crate) bytes_written: Arc<AtomicU64>,
    pub(crate) gate: Arc<Gate>,
}

/// Stands between a session and the disk. A client that connects again repeats its unanswered writes; one of the old
/// connection must not land after the repeated one and what followed it.
#[derive(Debug, Default)]
pub(crate) struct Gate(RwLock<bool>);

impl Gate {
    /// Waits for changes in work and lets no more through.
    pub(crate) fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl WriterDevice {
    /// Changes the disk, then syncs it if asked.
    async fn change<W>(&self, fua: bool, work: W) -> Result<(), Errno>
    where
        W: FnOnce(&Store, u64) -> Result<(), Errno> + Send + 'static,
    {
        let (store, gate, epoch) = (Arc::clone(&self.store), Arc::clone(&self.gate), self.epoch);
        blocking(move || {
            let closed = gate.0.read().unwrap_or_else(PoisonError::into_inner);
            if *closed {
                return Err(Errno::Shutdown);
            }
            work(&store, epoch)?;
            if fua { store.sync().map_err(|_| Errno::Io) } else { Ok(()) }
        })
        .await
    }
}

impl Device for WriterDevice {
    fn info(&self) -> Info {
        Info { size: self.store.geometry.disk_bytes, read_only: false }
    }

    async fn read(&self, span: Span) -> Result<Vec<Piece>, Errno> {
        if self.store.state().lacks(span) {
            self.demand.as_ref().ok_or(Errno::Io)?.ensure(span).await?;
        }
        let store = Arc::clone(&self.store);
        let data = blocking(move || store.read_image(span)).await;
        data.map(|data| vec![Piece::Data(data.into())]).map_err(|error| Errno::from(&error))
    }

    async fn write(&self, offset: u64, data: Bytes, fua: bool) -> Result<(), Errno> {
        let length = data.len() as u64;
        self.change(fua, move |store, epoch| store.write(epoch, offset, &data)).await?;
        self.bytes_written.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    async fn zero(&self, zeroes: Zeroes) -> Result<(), Errno> {
        let Zeroes { span, may_punch, fua } = zeroes;
        self.change(fua, move |store, epoch| store.zero(epoch, span, may_punch)).await?;
        self.bytes_written.fetch_add(span.length, Ordering::Relaxed);
        Ok(())
    }

    async fn trim(&self, span: Span, fua: bool) -> Result<(), Errno> {
        self.change(fua, move |store, epoch| store.trim(epoch, span)).await
    }

    async fn flush(&self) -> Result<(), Errno> {
        let store = Arc::clone(&self.store);
        blocking(move || store.sync()).await.map_err(|_| Errno::Io)
    }

    async fn allocation(&self, span: Span) -> Result<Vec<AllocationRun>, Errno> {
        allocation(&self.store, span).await
    }
}

/// What the other site may see.
#[derive(Debug)]
pub(crate) enum OriginDevice {
    /// The export `VM`.
    Disk(Arc<Store>),
    /// The export `VM#leaves`.
    Leaves(Arc<Store>),
}

impl OriginDevice {
    fn store(&self) -> &Arc<Store> {
        match self {
            Self::Disk(store) | Self::Leaves(store) => store,
        }
    }

    /// Whether it may still be read: a closed origin must not look like a good one.
    fn check(&self) -> Result<(), Errno> {
        let header = self.store().header();
        let open = match self {
            Self::Disk(_) => header.frozen || header.origin.is_some(),
            Self::Leaves(_) => header.frozen,
        };
        if open { Ok(()) } else { Err(Errno::Shutdown) }
    }
}

impl Device for OriginDevice {
    fn info(&self) -> Info {
        let disk_bytes = self.store().geometry.disk_bytes;
        let size = match self {
            Self::Disk(_) => disk_bytes,
            Self::Leaves(_) => (count(disk_bytes) * HASH).next_multiple_of(512),
        };
        Info { size, read_only: true }
    }

    async fn read(&self, span: Span) -> Result<Vec<Piece>, Errno> {
        self.check()?;
        let store = Arc::clone(self.store());
        let result = match self {
            Self::Disk(_) => blocking(move || store.read_pieces(span)).await,
            Self::Leaves(_) if span.length > LEAVES_READ => return Err(Errno::Overflow),
            Self::Leaves(_) => blocking(move || read_leaves(&store, span)).await,
        };
        result.map_err(|error| Errno::from(&error))
    }

    async fn write(&self, _offset: u64, _data: Bytes, _fua: bool) -> Result<(), Errno> {
        Err(Errno::NotPermitted)
    }

    async fn zero(&self, _zeroes: Zeroes) -> Result<(), Errno> {
        Err(Errno::NotPermitted)
    }

    async fn trim(&self, _span: Span, _fua: bool) -> Result<(), Errno> {
        Err(Errno::NotPermitted)
    }

    async fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }

    async fn allocation(&self, span: Span) -> Result<Vec<AllocationRun>, Errno> {
        self.check()?;
        match self {
            Self::Disk(store) => allocation(store, span).await,
            Self::Leaves(_) => {
                let length = u32::try_from(span.length).map_err(|_| Errno::Overflow)?;
                Ok(vec![AllocationRun { length, hole: false }])
            }
        }
    }
}

async fn allocation(store: &Arc<Store>, span: Span) -> Result<Vec<AllocationRun>, Errno> {
    let store = Arc::clone(store);
    blocking(move || store.allocation(span)).await.map_err(|error| Errno::from(&error))
}

/// The span lies on sectors, and a sector holds a whole number of hashes.
fn read_leaves(store: &Store, span: Span) -> std::io::Result<Vec<Piece>> {
    let leaves = count(store.geometry.disk_bytes);
    let (first, last) = (span.offset / HASH, (span.offset + span.length) / HASH);
    let mut bytes = hashes(store, first.min(leaves)..last.min(leaves))?.concat();
    bytes.resize(usize::try_from(span.length).expect("bounded by LEAVES_READ"), 0);
    Ok(vec![Piece::Data(bytes.into())])
}
