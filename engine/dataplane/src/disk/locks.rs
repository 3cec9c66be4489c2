//! Exclusive use of runs of blocks while their data and bits change together.
//!
//! Holders only do local I/O, so waiting is bounded by the local disk; nobody waits for the WAN here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Runs in use: few as a rule, and as many as a dirty round has while it is marked.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    /// The end of each run by its start. None is empty, and they lie apart from each other.
    held: Mutex<BTreeMap<u64, u64>>,
    freed: Condvar,
}

/// Exclusive use of one run; ends when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    locks: &'a Locks,
    blocks: Range<u64>,
}

impl Locks {
    /// Waits until nobody uses any of the blocks.
    pub(crate) fn lock(&self, blocks: Range<u64>) -> Held<'_> {
        if blocks.is_empty() {
            return Held { locks: self, blocks };
        }
        // Of all that begin before its end, the last one reaches furthest.
        let taken = |held: &mut BTreeMap<u64, u64>| {
            held.range(..blocks.end).next_back().is_some_and(|(_, end)| blocks.start < *end)
        };
        let mut held = self.freed.wait_while(self.runs(), taken).unwrap_or_else(PoisonError::into_inner);
        held.insert(blocks.start, blocks.end);
        drop(held);
        Held { locks: self, blocks }
    }

    /// The runs are whole at any time, so a poisoned lock is as good as a clean one.
    fn runs(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            self.locks.runs().remove(&self.blocks.start);
            self.locks.freed.notify_all();
        }
    }
}
