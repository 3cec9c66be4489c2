//! The map file: header, and the bitmaps twice.
//!
//! The first area is what is so now: changed by `pwrite` before a write is acknowledged, so it survives the death of this
//! process. After a loss of power the kernel may have written it without the data it speaks of; so a second area holds
//! what was synced, data before map, and is the only one believed after another boot.
//!
//! ```text
//! header | header | now: present, written, sectors | synced: the same | touched
//! ```
//!
//! A sync that is cut short leaves some pages of the synced area new and the others old, whichever. So what a page says must be
//! true beside any older state of the others:
//!
//! 1. Data is stable before any bit that speaks of it.
//! 2. `Written` is stable before `Present` and `Sectors`: a block with bytes of the guest is never taken for the source's.
//! 3. In the synced area no bit of `Written` or `Sectors` is ever cleared: the sectors of a block that became present stay
//!    noted, and say nothing as long as it is; where its presence is lost they keep the guest's sectors from the fill.
//! 4. Bits of `Present` are cleared in both areas and synced before anybody is told, and only where nothing is `Written`.
//!    They are written also where memory has them clear already: a kill may have come between the two areas.
//! 5. The header changes last: an origin is attached after the old blocks are cleared, a disk is complete after its last
//!    sync.
//! 6. The kernel may write a guest's bytes to the image before any map tells of them. So where a guest could write, a block
//!    that is present and not `Written` after another boot may hold parts of a lost write: it is absent and fetched again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};

use super::Error;
use super::allocation;
use super::geometry::Geometry;
use super::header::{END, Header, SLOT};
use crate::nbd::Span;

/// Unit in which the now area is copied to the synced one.
const PAGE: u64 = 4096;

/// Where a page lies in the file, and what it holds.
pub(crate) type Page = (u64, Vec<u8>);

/// A table in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// The block is here.
    Present,
    /// The guest wrote it here.
    Written,
    /// One byte per block: sectors that the guest wrote while the block was absent. Of no meaning once it is present.
    Sectors,
    /// The block was dirtied since the dirty map began. Not kept over a boot, for then the guest is dead.
    Touched,
}

/// The open file; holds the lock of the disk.
#[derive(Debug)]
pub(crate) struct MapFile {
    file: File,
    bitmap: u64,
    sectors: u64,
}

/// Pages of the now area that changed since they were last synced.
#[derive(Debug, Default)]
pub(crate) struct Unsynced(BTreeSet<u64>);

impl MapFile {
    /// Opens or makes the file and locks it. A new file is all zeroes, header included.
    pub(crate) fn open(path: &Path, geometry: Geometry) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io("open map", path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::Locked)?;
        let bitmap = geometry.blocks().div_ceil(8).next_multiple_of(PAGE);
        Ok(Self { file, bitmap, sectors: geometry.blocks().next_multiple_of(PAGE) })
    }

    /// Whether it was never finished: the headers are written last, and one at a time ever after.
    pub(crate) fn is_new(&self) -> io::Result<bool> {
        let mut slots = vec![0; END as usize];
        let length = usize::try_from(self.file.metadata()?.len().min(END)).expect("bounded by two slots");
        self.file.read_exact_at(&mut slots[..length], 0)?;
        Ok(slots.iter().all(|byte| *byte == 0))
    }

    /// Makes all tables empty and takes the room that the bitmaps need, so that no acknowledged write can fail for want
    /// of it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.set_len(self.start(Table::Touched) + self.bitmap)?;
        self.reserve()
    }

    fn reserve(&self) -> io::Result<()> {
        let reserve =
            |from, length| match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), from, length) {
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                other => other,
            };
        reserve(0, self.start(Table::Sectors))?;
        reserve(END + self.area(), 2 * self.bitmap)?;
        Ok(reserve(self.start(Table::Touched), self.bitmap)?)
    }

    /// Bytes of the now area.
    fn area(&self) -> u64 {
        2 * self.bitmap + self.sectors
    }

    fn start(&self, table: Table) -> u64 {
        match table {
            Table::Present => END,
            Table::Written => END + self.bitmap,
            Table::Sectors => END + 2 * self.bitmap,
            Table::Touched => END + 2 * self.area(),
        }
    }

    pub(crate) fn read_header(&self) -> Result<Header, Error> {
        let mut slots = [vec![0; SLOT as usize], vec![0; SLOT as usize]];
        for (slot, offset) in slots.iter_mut().zip([0, SLOT]) {
            // A file that ends here was torn when it was made; what is missing stays zero and damaged.
            let _ = self.file.read_exact_at(slot, offset);
        }
        Header::choose([&slots[0], &slots[1]])
    }

    /// Writes both copies, each stable before the next.
    pub(crate) fn write_header(&self, header: &Header) -> io::Result<()> {
        let slot = header.encode();
        for offset in [0, SLOT] {
            self.file.write_all_at(&slot, offset)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Writes a part of a table into the kernel and remembers that it is not synced.
    pub(crate) fn write(
        &self,
        table: Table,
        at: u64,
        bytes: &[u8],
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        let offset = self.start(table) + at;
        self.file.write_all_at(bytes, offset)?;
        if table != Table::Touched {
            unsynced.0.extend(offset / PAGE..=(offset + bytes.len() as u64 - 1) / PAGE);
        }
        Ok(())
    }

    /// Reads a whole bitmap.
    pub(crate) fn read_bitmap(&self, table: Table) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.bitmap).expect("a bitmap fits into memory")];
        self.file.read_exact_at(&mut bytes, self.start(table))?;
        Ok(bytes)
    }

    /// Reads the blocks whose sector byte is not 0. Holes of the map are skipped: they can only be zeroes.
    pub(crate) fn read_sectors(&self) -> io::Result<Vec<(u64, u8)>> {
        let start = self.start(Table::Sectors);
        let mut found = Vec::new();
        for span in allocation::data(&self.file, Span::new(start, self.sectors))? {
            let mut bytes = vec![0; usize::try_from(span.length).expect("a table fits into memory")];
            self.file.read_exact_at(&mut bytes, span.offset)?;
            let first = span.offset - start;
            let blocks = bytes.iter().enumerate().filter(|(_, mask)| **mask != 0);
            found.extend(blocks.map(|(at, mask)| (first + at as u64, *mask)));
        }
        Ok(found)
    }

    /// Pages of the two areas that differ: what an earlier process had not synced when it died.
    pub(crate) fn differing(&self) -> io::Result<Unsynced> {
        let mut pages = BTreeSet::new();
        for shift in [0, self.area()] {
            for span in allocation::data(&self.file, Span::new(END + shift, self.area()))? {
                let start = span.offset - shift;
                pages.extend(start / PAGE..(start + span.length).div_ceil(PAGE));
            }
        }
        let mut differing = Unsynced::default();
        let (mut now, mut synced) = (vec![0; PAGE as usize], vec![0; PAGE as usize]);
        for page in pages {
            self.file.read_exact_at(&mut now, page * PAGE)?;
            self.file.read_exact_at(&mut synced, page * PAGE + self.area())?;
            if now != synced {
                differing.0.insert(page);
            }
        }
        Ok(differing)
    }

    /// The content of the changed pages, to be made stable after the data.
    pub(crate) fn snapshot(&self, unsynced: &mut Unsynced) -> io::Result<Vec<Page>> {
        let pages = std::mem::take(&mut unsynced.0);
        let read = |page: u64| {
            let mut bytes = vec![0; PAGE as usize];
            self.file.read_exact_at(&mut bytes, page * PAGE)?;
            Ok((page * PAGE, bytes))
        };
        pages.into_iter().map(read).collect()
    }

    /// Makes a snapshot stable in the synced area. The data it speaks of must be stable already.
    pub(crate) fn write_synced(&self, snapshot: Vec<Page>) -> io::Result<()> {
        for stage in self.stages(snapshot).iter().filter(|stage| !stage.is_empty()) {
            for (offset, bytes) in stage {
                self.file.write_all_at(bytes, *offset)?;
            }
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The pages as they belong into the synced area, each stage to be stable before the next is begun: `Written`, then
    /// the rest. A table begins with a page of its own.
    pub(crate) fn stages(&self, snapshot: Vec<Page>) -> [Vec<Page>; 2] {
        let start = self.area() + self.start(Table::Written);
        let synced = snapshot.into_iter().map(|(offset, bytes)| (offset + self.area(), bytes));
        let (written, rest) = synced.partition(|(offset, _)| (start..start + self.bitmap).contains(offset));
        [written, rest]
    }

    /// After another boot: believes the synced area only.
    pub(crate) fn revert_to_synced(&self) -> io::Result<()> {
        let mut buffer = vec![0; PAGE as usize];
        let synced = Span::new(END + self.area(), self.area());
        rustix::fs::fallocate(
            &self.file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            END,
            self.area(),
        )?;
        for span in allocation::data(&self.file, synced)? {
            for offset in (span.offset..span.offset + span.length).step_by(PAGE as usize) {
                self.file.read_exact_at(&mut buffer, offset)?;
                self.file.write_all_at(&buffer, offset - self.area())?;
            }
        }
        self.reserve()?;
        self.file.sync_data()
    }

    /// Takes as absent what is not known to be the guest's: rule 6.
    pub(crate) fn doubt_unwritten(&self) -> io::Result<()> {
        let (mut present, written) = (self.read_bitmap(Table::Present)?, self.read_bitmap(Table::Written)?);
        present.iter_mut().zip(written).for_each(|(present, written)| *present &= written);
        self.retract(0, &present)?;
        self.sync()
    }

    /// Clears bits of `Present` in both areas; `bytes` is what the now area must hold from byte `at` on. Only bits that
    /// are clear there change in the synced area, so it never speaks of unsynced data. Stable after [`MapFile::sync`].
    pub(crate) fn retract(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = self.start(Table::Present) + at;
        self.file.write_all_at(bytes, offset)?;
        let mut synced = vec![0; bytes.len()];
        self.file.read_exact_at(&mut synced, offset + self.area())?;
        synced.iter_mut().zip(bytes).for_each(|(synced, now)| *synced &= now);
        self.file.write_all_at(&synced, offset + self.area())
    }

    /// Makes everything written so far stable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Forgets the previous dirty map.
    pub(crate) fn clear_touched(&self) -> io::Result<()> {
        let zeroes = vec![0; usize::try_from(self.bitmap).expect("a bitmap fits into memory")];
        self.file.write_all_at(&zeroes, self.start(Table::Touched))
    }
}
