//! The background fill: everything that is allocated at the source, in order, at the rate of the line.
//!
//! It must never overwrite what is present, never stop for a cut link, and never go on when the local disk is full.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::bitmap::Bitmap;
use super::control::{Fill, FillCondition};
use super::demand::{add, blocking, data_bytes};
use super::fetch::Flight;
use super::geometry::BLOCK;
use super::header::Settled;
use super::origin::{Class, Lane, Origin};
use super::rate::Rate;
use super::store::Store;
use crate::nbd::{AllocationRun, Errno, Piece, Span};

/// Blocks of one request: 128 KiB.
const REQUEST: u64 = (128 << 10) / BLOCK;
/// Requests in flight per connection. With four connections 4 MiB, twice what 100 Mbit/s hold over 150 ms.
const PIPELINE: usize = 8;
/// Blocks of one question for the allocation map: 2 GiB, so that the answer's lengths fit their 32 bits.
const QUESTION: u64 = (2 << 30) / BLOCK;
/// How often fetched blocks are made stable: what a loss of power makes us fetch again, and what a flush of the guest must
/// wait for at most.
const CHECKPOINT: Duration = Duration::from_secs(5);

/// What is counted about a fill, and what steers it.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) demand_reads: AtomicU64,
    pub(crate) demand_bytes: AtomicU64,
    pub(crate) superseded: AtomicU64,
    /// What the fill may ask for in a second; what the guest waits for knows no bound.
    pub(crate) rate: Rate,
    limit_permille: AtomicU16,
    stopped: AtomicBool,
    condition: Mutex<Option<FillCondition>>,
    wake: Notify,
}

impl Counters {
    /// Those of a disk that was settled before go on being told.
    pub(crate) fn new(settled: Option<&Settled>) -> Arc<Self> {
        Arc::new(Self {
            fetched_bytes: AtomicU64::new(0),
            demand_reads: AtomicU64::new(settled.map_or(0, |it| it.demand_reads)),
            demand_bytes: AtomicU64::new(settled.map_or(0, |it| it.demand_bytes)),
            superseded: AtomicU64::new(0),
            rate: Rate::new(),
            limit_permille: AtomicU16::new(1000),
            stopped: AtomicBool::new(false),
            condition: Mutex::new(None),
            wake: Notify::new(),
        })
    }

    /// A fetched block could not be stored: the fill stops and says why.
    pub(crate) fn disk_failed(&self, error: &io::Error) -> Errno {
        let errno = Errno::from(error);
        let condition = match errno {
            Errno::NoSpace => FillCondition::NoSpace,
            _ => FillCondition::Disk { message: error.to_string() },
        };
        tracing::error!(%error, "fetched blocks cannot be stored, the fill stops");
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = Some(condition);
        self.stopped.store(true, Ordering::SeqCst);
        errno
    }

    /// Begins or goes on, also after a stop.
    pub(crate) fn start(&self) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stopped.store(false, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Goes on up to there, also after a stop.
    pub(crate) fn limit(&self, permille: u16) {
        self.limit_permille.store(permille.min(1000), Ordering::SeqCst);
        self.start();
    }

    /// Something became absent.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The figures for a status.
    pub(crate) fn figures(&self, store: &Store, origin: Option<&Arc<Origin>>) -> Fill {
        let state = store.state();
        let local = self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Fill {
            allocated_bytes: state.allocated.as_ref().map(|allocated| allocated.count() * BLOCK),
            present_bytes: state.allocated.as_ref().map_or(0, |map| map.count_both(&state.present) * BLOCK),
            absent_bytes: state.absent() * BLOCK,
            fetched_bytes: load(&self.fetched_bytes),
            demand_reads: load(&self.demand_reads),
            demand_bytes: load(&self.demand_bytes),
            superseded: load(&self.superseded),
            bits_per_second_max: self.rate.bits_per_second(),
            condition: local.or_else(|| origin.and_then(|origin| origin.condition())),
        }
    }

    /// Reads that the guest waited for, and their bytes.
    pub(crate) fn demand(&self) -> (u64, u64) {
        (self.demand_reads.load(Ordering::Relaxed), self.demand_bytes.load(Ordering::Relaxed))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// The fill of one disk.
#[derive(Debug)]
pub(crate) struct Filler {
    store: Arc<Store>,
    lanes: Vec<Arc<Lane>>,
    counters: Arc<Counters>,
}

impl Filler {
    pub(crate) fn new(store: Arc<Store>, origin: &Arc<Origin>, lanes: u32, counters: Arc<Counters>) -> Self {
        let lane = |_| Arc::new(Lane::to_disk(origin, Class::Background));
        Self { store, lanes: (0..lanes).map(lane).collect(), counters }
    }

    /// Runs as long as the process.
    pub(crate) async fn run(self) {
        let fill = async {
            loop {
                while !self.is_wanted() {
                    self.counters.wake.notified().await;
                }
                self.pass().await;
            }
        };
        tokio::select! {
            () = fill => {}
            () = self.checkpoints() => {}
        }
    }

    /// Whether there is an origin, something to fetch or to know of it, and nothing against that.
    fn is_wanted(&self) -> bool {
        self.store.header().fetched_from.is_some()
            && !self.counters.is_stopped()
            && self.is_lacking()
            && self.room() > 0
    }

    /// Whether blocks are absent, or nobody has asked yet what the source has: a server that is started with all blocks there is
    /// still asked how much that is.
    fn is_lacking(&self) -> bool {
        let state = self.store.state();
        state.allocated.is_none() || state.absent() > 0
    }

    /// Blocks that may be fetched before the limit is reached.
    fn room(&self) -> u64 {
        let state = self.store.state();
        let permille = u64::from(self.counters.limit_permille.load(Ordering::SeqCst));
        match &state.allocated {
            Some(_) if permille == 1000 => u64::MAX,
            Some(allocated) => {
                let limit = (allocated.count() * permille).div_ceil(1000);
                limit.saturating_sub(allocated.count_both(&state.present))
            }
            // The allocation map itself is always worth reading.
            None => u64::MAX,
        }
    }

    /// Goes through the disk once: the source's allocation map, then what of it is absent.
    async fn pass(&self) {
        // The others' round trips to connect pass while the first one asks.
        for lane in &self.lanes[1..] {
            let lane = Arc::clone(lane);
            tokio::spawn(async move { lane.connect().await });
        }
        let known = self.store.state().allocated.is_some();
        for question in self.questions(!known) {
            self.ask(question).await;
        }
        self.fetch_allocated().await;
    }

    /// Parts of the disk whose allocation is not known: all of it at first, later those with something absent.
    fn questions(&self, all: bool) -> Vec<Range<u64>> {
        let blocks = self.store.geometry.blocks();
        let state = self.store.state();
        let part = |start: u64| start..(start + QUESTION).min(blocks);
        let parts = (0..blocks).step_by(QUESTION as usize).map(part);
        parts.filter(|part| all || state.present.any(part, false)).collect()
    }

    /// Reads the allocation map of a part; what is a hole at the source is present without data.
    async fn ask(&self, part: Range<u64>) {
        let mut rest = part;
        while !rest.is_empty() && !self.counters.is_stopped() {
            let flight = Flight::begin(&self.store, rest.clone());
            let runs = self.lanes[0].allocation(self.store.geometry.span(&rest)).await;
            let store = Arc::clone(&self.store);
            match blocking(move || note(&store, &flight, &runs)).await {
                Ok(reached) => rest.start = reached,
                Err(error) => {
                    self.counters.disk_failed(&error);
                }
            }
        }
    }

    async fn fetch_allocated(&self) {
        let mut tasks = JoinSet::new();
        let mut room = self.room();
        let requests = Requests { store: &self.store, at: 0 };
        for (request, lane) in requests.zip(self.lanes.iter().cycle()) {
            if self.counters.is_stopped() || room == 0 {
                break;
            }
            let request = request.start..request.end.min(request.start.saturating_add(room));
            room = room.saturating_sub(request.end - request.start);
            self.counters.rate.pass(self.store.geometry.span(&request).length).await;
            if tasks.len() >= PIPELINE * self.lanes.len() {
                tasks.join_next().await;
            }
            tasks.spawn(fetch(
                Arc::clone(&self.store),
                Arc::clone(lane),
                Arc::clone(&self.counters),
                request,
            ));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn checkpoints(&self) {
        let mut before = 0;
        loop {
            tokio::time::sleep(CHECKPOINT).await;
            let fetched = self.counters.fetched_bytes.load(Ordering::Relaxed);
            if fetched == before {
                continue;
            }
            before = fetched;
            let store = Arc::clone(&self.store);
            if let Err(error) = blocking(move || store.sync()).await {
                tracing::error!(%error, "fetched blocks cannot be made stable");
                return;
            }
        }
    }
}

/// Runs of allocated and absent blocks, looked up when their turn comes.
struct Requests<'a> {
    store: &'a Store,
    at: u64,
}

impl Iterator for Requests<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let blocks = self.store.geometry.blocks();
        let state = self.store.state();
        let allocated = state.allocated.as_ref()?;
        while let Some(absent) = state.present.run(&(self.at..blocks), false) {
            let Some(run) = allocated.run(&absent, true) else {
                self.at = absent.end;
                continue;
            };
            let end = run.end.min((run.start / REQUEST + 1) * REQUEST);
            self.at = end;
            return Some(run.start..end);
        }
        None
    }
}

async fn fetch(store: Arc<Store>, lane: Arc<Lane>, counters: Arc<Counters>, blocks: Range<u64>) {
    let flight = Flight::begin(&store, blocks.clone());
    let pieces = lane.read(store.geometry.span(&blocks)).await;
    add(&counters.fetched_bytes, data_bytes(&pieces));
    match blocking(move || flight.store(&blocks, &pieces)).await {
        Ok(stored) => add(&counters.superseded, stored.superseded),
        Err(error) => {
            counters.disk_failed(&error);
        }
    }
}

/// Takes an answer about the allocation; says up to which block it reaches.
fn note(store: &Store, flight: &Flight, runs: &[AllocationRun]) -> io::Result<u64> {
    let geometry = store.geometry;
    let start = flight.blocks.start;
    let length = runs.iter().map(|run| u64::from(run.length)).sum();
    let mut answered = geometry.whole(Span::new(start * BLOCK, length));
    // An answer shorter than a block would never end; its block counts as data.
    answered.end = answered.end.max(start + 1);
    let mut data = Bitmap::new(geometry.blocks());
    data.put(&answered, true);
    let mut at = start * BLOCK;
    for run in runs {
        let span = Span::new(at, u64::from(run.length));
        at += span.length;
        if run.hole {
            let hole = geometry.whole(span);
            data.put(&hole, false);
            if !hole.is_empty() {
                flight.store(&hole, &[Piece::Zeroes(geometry.span(&hole).length)])?;
            }
        }
    }
    let mut state = store.state();
    let allocated = state.allocated.get_or_insert_with(|| Bitmap::new(geometry.blocks()));
    allocated.put(&answered, false);
    allocated.merge(&data);
    Ok(answered.end)
}
