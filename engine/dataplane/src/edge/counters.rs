//! What happened to packets, counted; nothing is dropped uncounted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Packets since the edge was opened. None of these is a loss in itself: TCP repeats what is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Written into streams to peers.
    pub to_peers: u64,
    /// Taken from peers and given to the kernel.
    pub from_peers: u64,
    /// Held by [`park`](crate::edge::Edge::park).
    pub parked: u64,
    /// Parked packets that newer ones pushed out.
    pub dropped_parked: u64,
    /// Dropped because the queue to their peer was full.
    pub dropped_congested: u64,
    /// Dropped because neither of their addresses belongs to a VM whose peer is known.
    pub dropped_unknown: u64,
    /// Dropped because they came from a peer that neither of their addresses belongs to.
    pub dropped_foreign: u64,
    /// Dropped because they are not IPv4, or the kernel did not take them.
    pub dropped_malformed: u64,
}

/// The counters while they run.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) to_peers: AtomicU64,
    pub(super) from_peers: AtomicU64,
    pub(super) parked: AtomicU64,
    pub(super) dropped_parked: AtomicU64,
    pub(super) dropped_congested: AtomicU64,
    pub(super) dropped_unknown: AtomicU64,
    pub(super) dropped_foreign: AtomicU64,
    pub(super) dropped_malformed: AtomicU64,
}

impl Live {
    pub(super) fn read(&self) -> Counters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            to_peers: of(&self.to_peers),
            from_peers: of(&self.from_peers),
            parked: of(&self.parked),
            dropped_parked: of(&self.dropped_parked),
            dropped_congested: of(&self.dropped_congested),
            dropped_unknown: of(&self.dropped_unknown),
            dropped_foreign: of(&self.dropped_foreign),
            dropped_malformed: of(&self.dropped_malformed),
        }
    }
}

/// Counts one packet.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
