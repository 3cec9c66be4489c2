//! Test-only faults: each breaks one thing once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::config::Faults;

/// Counters of what may be broken.
#[derive(Debug)]
pub(crate) struct FaultState {
    faults: Faults,
    fetched: AtomicU64,
    written: AtomicU64,
}

impl FaultState {
    pub(crate) fn new(faults: &Faults) -> Self {
        if *faults != Faults::default() {
            tracing::warn!(?faults, "this disk server is told to break things");
        }
        Self { faults: faults.clone(), fetched: AtomicU64::new(0), written: AtomicU64::new(0) }
    }

    /// The data with one bit flipped, if it is this one's turn.
    pub(crate) fn corrupt(&self, data: &[u8]) -> Option<Vec<u8>> {
        if !turn(&self.fetched, self.faults.corrupt_fetch) {
            return None;
        }
        let mut corrupt = data.to_vec();
        let last = corrupt.last_mut()?;
        *last ^= 1;
        Some(corrupt)
    }

    pub(crate) fn lose_this_write(&self) -> bool {
        turn(&self.written, self.faults.lose_write)
    }
}

fn turn(counter: &AtomicU64, wanted: Option<u64>) -> bool {
    wanted.is_some_and(|wanted| counter.fetch_add(1, Ordering::Relaxed) + 1 == wanted)
}
