//! Exclusive use of runs of blocks while their data and bits change together.
//!
//! Holders only do local I/O, so waiting is bounded by the local disk; nobody waits for the WAN here.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Runs in use. Few at a time, so a list is enough.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<Vec<Range<u64>>>,
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
        let taken = |held: &mut Vec<Range<u64>>| {
            held.iter().any(|other| other.start < blocks.end && blocks.start < other.end)
        };
        let mut held = self.freed.wait_while(self.list(), taken).unwrap_or_else(PoisonError::into_inner);
        held.push(blocks.clone());
        drop(held);
        Held { locks: self, blocks }
    }

    /// A list of ranges is whole at any time, so a poisoned lock is as good as a clean one.
    fn list(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.locks.list();
        if let Some(at) = held.iter().position(|blocks| *blocks == self.blocks) {
            held.swap_remove(at);
        }
        drop(held);
        self.locks.freed.notify_all();
    }
}
