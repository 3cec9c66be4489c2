//! Fetches on their way from the source, and how their blocks are stored.
//!
//! A fetch stores a block only if it is absent and was not marked absent again since the fetch began: a late answer never
//! overwrites what the guest wrote, nor brings back what was already out of date.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::geometry::{BLOCK, Geometry, SECTOR};
use super::store::{Store, punch};
use crate::nbd::{Piece, Span};

/// Fetches that have begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    next: u64,
    /// Blocks of each, and those of them that were marked absent since it began.
    flying: HashMap<u64, (Range<u64>, Vec<Range<u64>>)>,
}

impl Flights {
    fn begin(&mut self, blocks: Range<u64>) -> u64 {
        self.next += 1;
        self.flying.insert(self.next, (blocks, Vec::new()));
        self.next
    }

    pub(crate) fn invalidate(&mut self, blocks: &Range<u64>) {
        for (flying, stale) in self.flying.values_mut() {
            if flying.start < blocks.end && blocks.start < flying.end {
                stale.push(blocks.clone());
            }
        }
    }

    fn stale(&self, id: u64) -> &[Range<u64>] {
        self.flying.get(&id).map_or(&[], |(_, stale)| stale)
    }
}

/// One fetch. It must begin before the source is asked; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    store: Arc<Store>,
    id: u64,
    pub(crate) blocks: Range<u64>,
}

/// What became of fetched blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Blocks stored.
    pub(crate) blocks: u64,
    /// Blocks thrown away.
    pub(crate) superseded: u64,
}

impl Flight {
    pub(crate) fn begin(store: &Arc<Store>, blocks: Range<u64>) -> Self {
        let id = store.state().flights.begin(blocks.clone());
        Self { store: Arc::clone(store), id, blocks }
    }

    /// Stores what came for a run of whole blocks inside the fetch; `pieces` cover it exactly.
    pub(crate) fn store(&self, blocks: &Range<u64>, pieces: &[Piece]) -> io::Result<Stored> {
        let store = &self.store;
        let _held = store.locks.lock(blocks.clone());
        let (runs, parts) = self.wanted(blocks);
        for part in parts {
            place(store, part, blocks.start * BLOCK, pieces)?;
        }
        let mut state = store.state();
        runs.iter().try_for_each(|run| state.arrived(run)).map_err(|error| store.poison(error))?;
        let stored = runs.iter().map(|run| run.end - run.start).sum();
        Ok(Stored { blocks: stored, superseded: blocks.end - blocks.start - stored })
    }

    /// The runs that may be stored, and their bytes less the sectors that the guest wrote.
    fn wanted(&self, blocks: &Range<u64>) -> (Vec<Range<u64>>, Vec<Span>) {
        let state = self.store.state();
        let mut runs: Vec<Range<u64>> = state.present.runs(blocks.clone(), false).collect();
        for stale in state.flights.stale(self.id) {
            runs = runs.into_iter().flat_map(|run| without(&run, stale)).collect();
        }
        let masked = |run: &Range<u64>| state.sectors.range(run.clone()).map(|(b, m)| (*b, *m)).collect();
        let parts = runs.iter().flat_map(|run| less_sectors(state.geometry, run, masked(run))).collect();
        (runs, parts)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.store.state().flights.flying.remove(&self.id);
    }
}

/// What is left of a run before and behind the other one.
fn without(run: &Range<u64>, other: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let before = run.start..run.end.min(other.start);
    let behind = run.start.max(other.end)..run.end;
    [before, behind].into_iter().filter(|part| !part.is_empty())
}

/// The bytes of a run of blocks without the masked sectors.
fn less_sectors(geometry: Geometry, run: &Range<u64>, masked: Vec<(u64, u8)>) -> Vec<Span> {
    let Span { offset, length } = geometry.span(run);
    let mut parts = Vec::new();
    let mut from = offset;
    for (block, mask) in masked {
        for sector in (0..8).filter(|sector| mask >> sector & 1 == 1) {
            let at = block * BLOCK + sector * SECTOR;
            parts.push(Span::new(from, at - from));
            from = at + SECTOR;
        }
    }
    parts.push(Span::new(from, offset + length - from));
    parts.retain(|part| part.length > 0);
    parts
}

/// Writes the part of the pieces that lies in the span.
fn place(store: &Store, span: Span, base: u64, pieces: &[Piece]) -> io::Result<()> {
    let mut at = base;
    for piece in pieces {
        let (start, end) = (at.max(span.offset), (at + piece.length()).min(span.offset + span.length));
        if start < end {
            match piece {
                Piece::Data(data) => store.write_image(start, &data[index(start - at)..index(end - at)])?,
                Piece::Zeroes(_) => punch(&store.image, Span::new(start, end - start))?,
            }
        }
        at += piece.length();
    }
    Ok(())
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("inside a buffer")
}
