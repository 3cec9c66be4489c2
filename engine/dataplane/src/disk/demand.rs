//! Reads of absent blocks: the guest waits, so these go first and fetch a little more than was asked.
//!
//! One fetch per place: readers of the same blocks wait for it together. It must never give a reader an error for a link
//! that is cut.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::fetch::Flight;
use super::fill::Counters;
use super::geometry::BLOCK;
use super::origin::Lane;
use super::store::Store;
use crate::nbd::{Errno, Piece, Span};

/// Smallest fetch in blocks: 64 KiB, which costs a 100 Mbit/s link 5 ms on top of its round trip.
const UNIT: u64 = (64 << 10) / BLOCK;
/// Biggest fetch in blocks: 256 KiB, so that the first bytes of a long read do not wait for its last.
const FETCH: u64 = (256 << 10) / BLOCK;
/// Longest read-ahead in blocks: 1 MiB.
const AHEAD: u64 = (1 << 20) / BLOCK;
/// Sequential readers that are followed at once.
const STREAMS: usize = 8;

/// How a fetch ended.
type Outcome = Option<Result<(), Errno>>;

/// The guest's way to absent blocks.
#[derive(Debug)]
pub(crate) struct Demand {
    store: Arc<Store>,
    lane: Lane,
    counters: Arc<Counters>,
    under_way: Mutex<Vec<(Range<u64>, watch::Receiver<Outcome>)>>,
    streams: Mutex<Vec<Stream>>,
}

/// A reader that goes through the disk in order.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Block behind what was fetched for it.
    next: u64,
    /// Read-ahead of its last miss.
    ahead: u64,
}

impl Demand {
    pub(crate) fn new(store: Arc<Store>, lane: Lane, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            store,
            lane,
            counters,
            under_way: Mutex::new(Vec::new()),
            streams: Mutex::new(Vec::new()),
        })
    }

    /// Makes every block of a span present.
    pub(crate) async fn ensure(self: &Arc<Self>, span: Span) -> Result<(), Errno> {
        let mut first = true;
        loop {
            if self.store.absent_in(span).is_empty() {
                return Ok(());
            }
            let absent = self.store.absent_in(self.around(span));
            let Some(miss) = absent.first() else { return Ok(()) };
            let mut fetches: Vec<_> = absent.iter().flat_map(units).map(|unit| self.fetch(unit)).collect();
            if first {
                add(&self.counters.demand_reads, 1);
                self.read_ahead(miss.start..absent[absent.len() - 1].end);
                first = false;
            }
            for fetch in &mut fetches {
                outcome(fetch).await?;
            }
        }
    }

    /// The span widened to whole units.
    fn around(&self, span: Span) -> Span {
        let geometry = self.store.geometry;
        let blocks = geometry.touched(span);
        let end = blocks.end.next_multiple_of(UNIT).min(geometry.blocks());
        geometry.span(&(blocks.start / UNIT * UNIT..end))
    }

    /// Joins the fetch that has the first block of the run, or starts one.
    fn fetch(self: &Arc<Self>, blocks: Range<u64>) -> watch::Receiver<Outcome> {
        let mut under_way = lock(&self.under_way);
        if let Some((_, fetch)) = under_way.iter().find(|(range, _)| range.contains(&blocks.start)) {
            return fetch.clone();
        }
        let (done, fetch) = watch::channel(None);
        under_way.push((blocks.clone(), fetch.clone()));
        drop(under_way);
        let demand = Arc::clone(self);
        // A task of its own: a reader that goes away must not stop the fetch that others wait for.
        tokio::spawn(async move {
            let result = demand.carry_out(blocks.clone()).await;
            lock(&demand.under_way).retain(|(range, _)| *range != blocks);
            done.send_replace(Some(result));
        });
        fetch
    }

    async fn carry_out(&self, blocks: Range<u64>) -> Result<(), Errno> {
        let flight = Flight::begin(&self.store, blocks.clone());
        let pieces = self.lane.read(self.store.geometry.span(&blocks)).await;
        let bytes = data_bytes(&pieces);
        add(&self.counters.demand_bytes, bytes);
        add(&self.counters.fetched_bytes, bytes);
        let stored = blocking(move || flight.store(&blocks, &pieces)).await;
        let stored = stored.map_err(|error| self.counters.disk_failed(&error))?;
        add(&self.counters.superseded, stored.superseded);
        Ok(())
    }

    /// Fetches what a sequential reader will want next, without anybody waiting.
    fn read_ahead(self: &Arc<Self>, missed: Range<u64>) {
        let end = missed.end.next_multiple_of(UNIT);
        let ahead = follow(&mut lock(&self.streams), missed.start, end);
        let geometry = self.store.geometry;
        let window = end.min(geometry.blocks())..(end + ahead).min(geometry.blocks());
        if !window.is_empty() {
            let absent = self.store.absent_in(geometry.span(&window));
            absent.iter().flat_map(units).for_each(|unit| drop(self.fetch(unit)));
        }
    }
}

/// Notes a miss; says how far to read ahead. Only a reader that goes on where it was gets more than its unit.
fn follow(streams: &mut Vec<Stream>, start: u64, end: u64) -> u64 {
    let known = streams.iter().position(|stream| start <= stream.next && stream.next <= start + 2 * UNIT);
    let ahead = match known.map(|at| streams.remove(at)) {
        Some(stream) => (stream.ahead * 2).clamp(UNIT, AHEAD),
        None => 0,
    };
    if streams.len() == STREAMS {
        streams.remove(0);
    }
    streams.push(Stream { next: end + ahead, ahead });
    ahead
}

/// Cuts an absent run into fetches, the first and last one not smaller than the unit if the run allows.
fn units(run: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = run.end;
    let mut at = run.start;
    std::iter::from_fn(move || {
        let start = at;
        at = ((start / FETCH + 1) * FETCH).min(end);
        (start < end).then_some(start..at)
    })
}

async fn outcome(fetch: &mut watch::Receiver<Outcome>) -> Result<(), Errno> {
    match fetch.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Ok(())),
        // The task died without a word; the reader asks again.
        Err(_) => Ok(()),
    }
}

pub(crate) fn data_bytes(pieces: &[Piece]) -> u64 {
    let data = pieces.iter().filter(|piece| matches!(piece, Piece::Data(_)));
    data.map(Piece::length).sum()
}

/// Runs local I/O where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down; so does whoever asked.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Lists are whole at any time, so a poisoned lock is as good as a clean one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
