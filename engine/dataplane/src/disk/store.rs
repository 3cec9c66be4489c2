//! Image and map together: what is read, written and synced locally.
//!
//! All methods block on the local disk only and are called from blocking threads. It must never acknowledge a write
//! whose presence is not in the kernel, never say "stable" before data and then map are, and never go on as if nothing had been
//! after the map or a sync failed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::FallocateFlags;

use super::allocation;
use super::bitmap::Bitmap;
use super::config::{Config, Initial};
use super::error::Error;
use super::faults::FaultState;
use super::geometry::Geometry;
use super::header::{Header, boot_id};
use super::locks::Locks;
use super::map::{MapFile, Table};
use super::rounds::Rounds;
use super::state::State;
use crate::nbd::{AllocationRun, Errno, MAX_EXTENTS, Piece, Span};

/// Most holes in one read reply; what lies behind them travels as data.
const READ_RUNS: usize = 64;

/// One disk of one site.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) geometry: Geometry,
    pub(crate) image: File,
    pub(crate) map: Arc<MapFile>,
    pub(crate) vm: String,
    /// Writers hold it for reading; whoever changes the right to write waits for them.
    pub(crate) header: RwLock<Header>,
    state: Mutex<State>,
    pub(crate) locks: Locks,
    /// One sync at a time, so that no older snapshot of the map is stored after a newer one.
    pub(crate) syncing: Mutex<()>,
    poisoned: AtomicBool,
    pub(crate) written_bytes: AtomicU64,
    faults: FaultState,
}

impl Store {
    /// Opens the disk that the configuration names, or makes it.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let geometry = Geometry { disk_bytes: config.disk_bytes };
        let map = Arc::new(MapFile::open(&config.map, geometry)?);
        let made = map.is_new()?;
        let image = open_image(config, made)?;
        let boot = boot_id()?;
        if made {
            create(&map, config, &boot)?;
        }
        let mut header = map.read_header()?;
        belongs(&header, config)?;
        if header.boot != boot {
            after_boot(&map, &mut header, &boot)?;
        }
        let mut state = State::load(geometry, Arc::clone(&map), header.complete)?;
        if header.origin.is_some() {
            let touched = Bitmap::from_bytes(geometry.blocks(), &map.read_bitmap(Table::Touched)?);
            state.rounds = Some(Rounds::new(geometry.blocks(), touched));
        }
        Ok(Self {
            geometry,
            image,
            map,
            vm: config.vm.clone(),
            header: RwLock::new(header),
            state: Mutex::new(state),
            locks: Locks::default(),
            syncing: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            written_bytes: AtomicU64::new(0),
            faults: FaultState::new(&config.faults),
        })
    }

    /// A panic inside a critical section would leave bits and file apart, so nothing may be done after one.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.poisoned.store(true, Ordering::SeqCst);
            poisoned.into_inner()
        })
    }

    pub(crate) fn header(&self) -> Header {
        self.header.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After this nothing is promised any more: memory, kernel and disk may differ.
    pub(crate) fn poison(&self, error: io::Error) -> io::Error {
        tracing::error!(vm = self.vm, %error, "disk or map failed, the disk accepts nothing more");
        self.poisoned.store(true, Ordering::SeqCst);
        error
    }

    pub(crate) fn check_poison(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::SeqCst) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Reads what is in the image, present or not.
    pub(crate) fn read_image(&self, span: Span) -> io::Result<Vec<u8>> {
        let mut data = vec![0; usize::try_from(span.length).expect("bounded by MAX_PAYLOAD")];
        self.image.read_exact_at(&mut data, span.offset)?;
        Ok(data)
    }

    /// Reads a complete disk as data and holes.
    pub(crate) fn read_pieces(&self, span: Span) -> io::Result<Vec<Piece>> {
        let (runs, reach) = allocation::data_up_to(&self.image, span, READ_RUNS)?;
        let end = span.offset + span.length;
        let mut pieces = Vec::with_capacity(2 * runs.len() + 1);
        let mut at = span.offset;
        for run in runs.into_iter().chain((reach < end).then(|| Span::new(reach, end - reach))) {
            if run.offset > at {
                pieces.push(Piece::Zeroes(run.offset - at));
            }
            pieces.push(Piece::Data(self.read_image(run)?.into()));
            at = run.offset + run.length;
        }
        if at < end {
            pieces.push(Piece::Zeroes(end - at));
        }
        Ok(pieces)
    }

    /// The runs of a span that have an absent block.
    pub(crate) fn absent_in(&self, span: Span) -> Vec<Range<u64>> {
        let state = self.state();
        state.present.runs(self.geometry.touched(span), false).collect()
    }

    /// The allocation map of a span. What is absent counts as data: nobody here knows better.
    pub(crate) fn allocation(&self, span: Span) -> io::Result<Vec<AllocationRun>> {
        let absent = self.absent_in(span);
        let (data, reach) = allocation::data_up_to(&self.image, span, MAX_EXTENTS / 2)?;
        let mut solid: Vec<Range<u64>> = data.iter().map(|run| run.offset..run.offset + run.length).collect();
        let bytes = |run: &Range<u64>| {
            let whole = self.geometry.span(run);
            whole.offset.max(span.offset)..(whole.offset + whole.length).min(reach)
        };
        solid.extend(absent.iter().map(bytes).filter(|run| run.start < run.end));
        solid.sort_by_key(|run| run.start);
        Ok(runs(span.offset..reach, &solid))
    }

    /// Writes for the guest under an epoch.
    pub(crate) fn write(&self, epoch: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if self.faults.lose_this_write() {
            return Ok(());
        }
        let span = Span::new(offset, data.len() as u64);
        self.change(epoch, span, || self.image.write_all_at(data, offset))
    }

    /// Makes a span read as zeroes, without asking the source for what was there.
    pub(crate) fn zero(&self, epoch: u64, span: Span, may_punch: bool) -> Result<(), Errno> {
        self.change(
            epoch,
            span,
            || if may_punch { punch(&self.image, span) } else { zeroes(&self.image, span) },
        )
    }

    /// Gives whole blocks of a span up; they read as zeroes afterwards. Parts of blocks stay as they are.
    pub(crate) fn trim(&self, epoch: u64, span: Span) -> Result<(), Errno> {
        let whole = self.geometry.whole(span);
        if whole.is_empty() { Ok(()) } else { self.zero(epoch, self.geometry.span(&whole), true) }
    }

    /// Changes the image under the right to write, the blocks' lock and the dirty map.
    fn change(&self, epoch: u64, span: Span, act: impl FnOnce() -> io::Result<()>) -> Result<(), Errno> {
        let header = self.header.read().unwrap_or_else(PoisonError::into_inner);
        if header.frozen || header.epoch != epoch {
            return Err(Errno::NotPermitted);
        }
        self.check_poison().map_err(|_| Errno::Io)?;
        let _held = self.locks.lock(self.geometry.touched(span));
        let bits = |error: io::Error| Errno::from(&self.poison(error));
        self.state().dirty(span).map_err(bits)?;
        act().map_err(|error| Errno::from(&error))?;
        let mut state = self.state();
        if !header.complete {
            state.guest_wrote(span).map_err(bits)?;
        }
        state.dirty(span).map_err(bits)?;
        self.written_bytes.fetch_add(span.length, Ordering::Relaxed);
        Ok(())
    }

    /// Writes fetched bytes.
    pub(crate) fn write_image(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.faults.corrupt(data) {
            Some(corrupt) => self.image.write_all_at(&corrupt, offset),
            None => self.image.write_all_at(data, offset),
        }
    }

    /// Makes every acknowledged write stable: the data, then the map that speaks of it.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.check_poison()?;
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_alone().map_err(|error| Error::Disk(self.poison(error)))
    }

    fn sync_alone(&self) -> io::Result<()> {
        let snapshot = {
            let mut state = self.state();
            self.map.snapshot(&mut state.unsynced)?
        };
        self.image.sync_data()?;
        self.map.write_synced(snapshot)
    }

    /// Changes the header; durable afterwards. Waits for writes in work, and writes wait for it.
    pub(crate) fn change_header<T>(
        &self,
        change: impl FnOnce(&mut Header) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_poison()?;
        let mut header = self.header.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = header.clone();
        let result = change(&mut changed)?;
        if changed != *header {
            changed.sequence += 1;
            self.map.write_header(&changed).map_err(|error| Error::Disk(self.poison(error)))?;
            *header = changed;
        }
        Ok(result)
    }
}

fn open_image(config: &Config, made: bool) -> Result<File, Error> {
    let create = made && config.initial == Initial::Absent;
    let image = File::options().read(true).write(true).create(create).truncate(false).open(&config.image);
    let image = image.map_err(Error::io("open image", &config.image))?;
    let length = image.metadata()?.len();
    if create && length == 0 {
        image.set_len(config.disk_bytes)?;
    } else if length != config.disk_bytes {
        return Err(Error::Mismatch(format!("the image has {length} bytes, not {}", config.disk_bytes)));
    }
    Ok(image)
}

fn create(map: &MapFile, config: &Config, boot: &str) -> Result<(), Error> {
    map.clear()?;
    let complete = config.initial == Initial::Complete;
    Ok(map.write_header(&Header::new(&config.vm, config.disk_bytes, boot, complete))?)
}

fn belongs(header: &Header, config: &Config) -> Result<(), Error> {
    if header.vm != config.vm {
        return Err(Error::Mismatch(format!("the map belongs to {}", header.vm)));
    }
    if header.disk_bytes != config.disk_bytes {
        return Err(Error::Mismatch(format!("the map is for {} bytes", header.disk_bytes)));
    }
    Ok(())
}

/// The machine was down: what was not synced is void, the guest is dead, and so is every attempt to copy the disk.
fn after_boot(map: &MapFile, header: &mut Header, boot: &str) -> Result<(), Error> {
    map.revert_to_synced()?;
    if header.holder.is_some() && !header.complete {
        map.doubt_unwritten()?;
    }
    header.boot = boot.into();
    header.holder = None;
    header.origin = None;
    header.sequence += 1;
    Ok(map.write_header(header)?)
}

/// Gives space back; file systems that cannot get zeroes instead.
pub(crate) fn punch(image: &File, span: Span) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(image, flags, span.offset, span.length) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeroes(image, span),
        other => Ok(other?),
    }
}

/// Makes zeroes and keeps the space.
fn zeroes(image: &File, span: Span) -> io::Result<()> {
    match rustix::fs::fallocate(image, FallocateFlags::ZERO_RANGE, span.offset, span.length) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeroes(image, span),
        other => Ok(other?),
    }
}

fn write_zeroes(image: &File, span: Span) -> io::Result<()> {
    static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
    let end = span.offset + span.length;
    let mut at = span.offset;
    while at < end {
        let length = (end - at).min(ZEROES.len() as u64);
        image.write_all_at(&ZEROES[..usize::try_from(length).expect("at most 64 KiB")], at)?;
        at += length;
    }
    Ok(())
}

/// Turns sorted, possibly overlapping runs of data into an allocation map of at most [`MAX_EXTENTS`] runs.
fn runs(bytes: Range<u64>, solid: &[Range<u64>]) -> Vec<AllocationRun> {
    let mut found: Vec<AllocationRun> = Vec::new();
    let mut push = |length: u64, hole: bool| {
        let length = u32::try_from(length).expect("a request is shorter than 4 GiB");
        match found.last_mut() {
            Some(last) if last.hole == hole => last.length += length,
            Some(_) | None if length > 0 => found.push(AllocationRun { length, hole }),
            Some(_) | None => {}
        }
    };
    let mut at = bytes.start;
    for run in solid {
        push(run.start.saturating_sub(at), true);
        at = at.max(run.start);
        push(run.end.saturating_sub(at), false);
        at = at.max(run.end);
    }
    push(bytes.end - at, true);
    found.truncate(MAX_EXTENTS);
    found
}
