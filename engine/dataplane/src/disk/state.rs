//! The bits of a disk in memory, and their way into the map file.
//!
//! Every change goes into the kernel before the method returns. It must never mark a block present before its data is
//! written: callers hold the blocks' lock around both.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::bitmap::Bitmap;
use super::fetch::Flights;
use super::geometry::{Geometry, merged};
use super::map::{MapFile, Table, Unsynced};
use super::rounds::Rounds;
use crate::nbd::Span;

/// Bytes of the map that are written along when two changes lie no further apart: a write of its own costs more.
const RETRACT_GAP: u64 = 4096;

/// Guarded by the store's mutex; methods take microseconds.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) geometry: Geometry,
    pub(crate) map: Arc<MapFile>,
    pub(crate) present: Bitmap,
    pub(crate) written: Bitmap,
    /// Sectors that the guest wrote in absent blocks.
    pub(crate) sectors: BTreeMap<u64, u8>,
    pub(crate) unsynced: Unsynced,
    pub(crate) rounds: Option<Rounds>,
    pub(crate) flights: Flights,
    /// What the source's allocation map says, once it was read.
    pub(crate) allocated: Option<Bitmap>,
}

impl State {
    /// Loads the tables. A complete disk needs no bitmaps: everything is present.
    pub(crate) fn load(geometry: Geometry, map: Arc<MapFile>, complete: bool) -> io::Result<Self> {
        let blocks = geometry.blocks();
        let present = if complete { full(blocks) } else { read(&map, Table::Present, blocks)? };
        let written = read(&map, Table::Written, blocks)?;
        let mut sectors: BTreeMap<_, _> = map.read_sectors()?.into_iter().collect();
        // The mask of a block that has become present stays in the file.
        sectors.retain(|block, _| *block < blocks && !present.get(*block));
        // What was acknowledged before a kill is the next sync's to make stable.
        let unsynced = if complete { Unsynced::default() } else { map.differing()? };
        let flights = Flights::default();
        Ok(Self {
            geometry,
            map,
            present,
            written,
            sectors,
            unsynced,
            rounds: None,
            flights,
            allocated: None,
        })
    }

    /// Whether any byte of the span is absent.
    pub(crate) fn lacks(&self, span: Span) -> bool {
        self.present.any(&self.geometry.touched(span), false)
    }

    pub(crate) fn absent(&self) -> u64 {
        self.geometry.blocks() - self.present.count()
    }

    /// Marks blocks dirty, if a dirty map runs.
    pub(crate) fn dirty(&mut self, span: Span) -> io::Result<()> {
        let Some(rounds) = &mut self.rounds else { return Ok(()) };
        match rounds.mark(&self.geometry.touched(span)) {
            Some((at, bytes)) => self.map.write(Table::Touched, at, &bytes, &mut self.unsynced),
            None => Ok(()),
        }
    }

    /// The guest wrote a span of a disk that is not complete.
    pub(crate) fn guest_wrote(&mut self, span: Span) -> io::Result<()> {
        let whole = self.geometry.whole(span);
        self.put(Table::Written, &self.geometry.touched(span))?;
        self.arrived(&whole)?;
        for block in self.geometry.ragged(span) {
            if !self.present.get(block) {
                self.wrote_a_part(block, span)?;
            }
        }
        Ok(())
    }

    fn wrote_a_part(&mut self, block: u64, span: Span) -> io::Result<()> {
        let mask = self.sectors.get(&block).unwrap_or(&0) | self.geometry.sectors(block, span);
        if mask == self.geometry.all_sectors(block) {
            return self.arrived(&(block..block + 1));
        }
        self.map.write(Table::Sectors, block, &[mask], &mut self.unsynced)?;
        self.sectors.insert(block, mask);
        Ok(())
    }

    /// Blocks have all their bytes now.
    pub(crate) fn arrived(&mut self, blocks: &Range<u64>) -> io::Result<()> {
        self.put(Table::Present, blocks)?;
        let masked: Vec<u64> = self.sectors.range(blocks.clone()).map(|(block, _)| *block).collect();
        for block in masked {
            self.sectors.remove(&block);
        }
        Ok(())
    }

    /// Runs of blocks are out of date. The map must be synced before anybody is told.
    pub(crate) fn retract(&mut self, runs: &[Range<u64>]) -> io::Result<()> {
        for blocks in runs {
            self.flights.invalidate(blocks);
            self.present.put(blocks, false);
        }
        let bytes = runs.iter().map(|blocks| blocks.start / 8..blocks.end.div_ceil(8)).collect();
        let mut parts = merged(bytes, RETRACT_GAP).into_iter();
        parts.try_for_each(|bytes| self.map.retract(bytes.start, &self.present.bytes(&bytes)))
    }

    fn put(&mut self, table: Table, blocks: &Range<u64>) -> io::Result<()> {
        let bitmap = if table == Table::Present { &mut self.present } else { &mut self.written };
        match bitmap.put(blocks, true) {
            Some(changed) => {
                let bytes = bitmap.bytes(&changed);
                self.map.write(table, changed.start, &bytes, &mut self.unsynced)
            }
            None => Ok(()),
        }
    }
}

fn full(blocks: u64) -> Bitmap {
    let mut bitmap = Bitmap::new(blocks);
    bitmap.put(&(0..blocks), true);
    bitmap
}

fn read(map: &MapFile, table: Table, blocks: u64) -> io::Result<Bitmap> {
    Ok(Bitmap::from_bytes(blocks, &map.read_bitmap(table)?))
}
