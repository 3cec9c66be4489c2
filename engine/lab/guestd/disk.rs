//! The disk writer: a ring of records on the raw device, each acknowledged after it was flushed.
//!
//! ```text
//! device: ... | slot 0 | slot 1 | ... | slot n-1 |      record of sequence s lies in slot s % n
//! record: magic, sequence, content made from the sequence, checksum of all that
//! ```
//!
//! Everything goes around the page cache (`O_DIRECT`), so a check reads what the device has. The sequence that was
//! acknowledged for each slot is kept in memory: a write that the device lost leaves an older record in its slot. Each
//! slot is checked before it is overwritten, so that no loss is covered up by the next round.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::pattern::{Checksum, Stream};

/// `O_DIRECT` on x86-64 Linux.
pub(crate) const O_DIRECT: i32 = 0o40000;
/// Two blocks of 4 KiB: a record torn between blocks is a fault that must be seen.
const RECORD: usize = 8192;
const MAGIC: u64 = u64::from_le_bytes(*b"lhrecord");
const ALIGNMENT: usize = 4096;
/// Stands for whatever a slot holds whose record was never acknowledged.
const UNKNOWN: u64 = u64::MAX;

/// A buffer whose usable part is aligned as direct access needs it.
pub(crate) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// A zeroed buffer.
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, start, length }
    }

    /// The aligned part.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Where on the device the ring lies.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// First byte.
    pub(crate) offset: u64,
    /// Length.
    pub(crate) bytes: u64,
}

/// The ring and what was acknowledged about it.
pub(crate) struct Log {
    device: File,
    region: Region,
    buffer: Aligned,
    /// By slot; 0 means never written.
    acknowledged: Vec<u64>,
    next: u64,
    /// Records written and flushed.
    pub(crate) writes_acked: u64,
    /// Records read from the device and compared.
    pub(crate) checked: u64,
    /// Records found different, and reads or writes refused by the device.
    pub(crate) bad: u64,
    /// Slowest flush, milliseconds.
    pub(crate) max_fsync_ms: u64,
}

impl Log {
    /// Opens the ring and works out from the newest record what every slot must hold: records are written one after
    /// the other, so all before the newest one were acknowledged.
    pub(crate) fn open(device: &str, region: Region) -> io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).custom_flags(O_DIRECT).open(device)?;
        let slots = usize::try_from(region.bytes / RECORD as u64).expect("fits a 64-bit guest");
        let mut log = Self {
            device,
            region,
            buffer: Aligned::new(RECORD),
            acknowledged: vec![0; slots],
            next: 1,
            writes_acked: 0,
            checked: 0,
            bad: 0,
            max_fsync_ms: 0,
        };
        log.recover()?;
        Ok(log)
    }

    fn recover(&mut self) -> io::Result<()> {
        let found: Vec<Option<u64>> =
            (0..self.slots()).map(|slot| self.read(slot)).collect::<io::Result<_>>()?;
        let newest = found.iter().flatten().copied().max().unwrap_or(0);
        self.next = newest + 1;
        for slot in 0..self.slots() {
            let expected = newest_in_slot(newest, slot, self.slots());
            self.acknowledged[slot as usize] = expected;
            // The slot of the next record may be torn: it was being written when the guest died, unacknowledged.
            let torn = self.next % self.slots() == slot && found[slot as usize].is_none();
            let good = torn || found[slot as usize] == Some(expected);
            self.bad += u64::from(!good);
            if torn {
                self.acknowledged[slot as usize] = UNKNOWN;
            }
        }
        Ok(())
    }

    fn slots(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    fn offset(&self, slot: u64) -> u64 {
        self.region.offset + slot * RECORD as u64
    }

    /// The sequence of the record in a slot: 0 for a slot of zeroes, `None` for anything that is no whole record.
    fn read(&mut self, slot: u64) -> io::Result<Option<u64>> {
        let offset = self.offset(slot);
        self.device.read_exact_at(self.buffer.bytes(), offset)?;
        let record = self.buffer.bytes();
        if record.iter().all(|&byte| byte == 0) {
            return Ok(Some(0));
        }
        let sequence = word_at(record, 8);
        let mut expected = vec![0; RECORD];
        compose(&mut expected, sequence);
        Ok((record == expected).then_some(sequence))
    }

    fn check(&mut self, slot: u64) -> bool {
        let expected = self.acknowledged[slot as usize];
        let good = self.read(slot).is_ok_and(|found| expected == UNKNOWN || found == Some(expected));
        self.checked += 1;
        self.bad += u64::from(!good);
        good
    }

    /// Checks the oldest slot, writes the next record into it, flushes, acknowledges, and reads it back.
    fn advance(&mut self) {
        let sequence = self.next;
        let slot = sequence % self.slots();
        self.check(slot);
        compose(self.buffer.bytes(), sequence);
        let offset = self.offset(slot);
        let begun = Instant::now();
        let written =
            self.device.write_all_at(self.buffer.bytes(), offset).and_then(|()| self.device.sync_data());
        self.max_fsync_ms = self.max_fsync_ms.max(begun.elapsed().as_millis() as u64);
        if written.is_err() {
            self.bad += 1;
            return;
        }
        self.acknowledged[slot as usize] = sequence;
        self.next += 1;
        self.writes_acked += 1;
        self.check(slot);
    }

    /// Checks every slot; how many were checked and how many are bad.
    pub(crate) fn verify(&mut self) -> (u64, u64) {
        let bad = (0..self.slots()).filter(|&slot| !self.check(slot)).count();
        (self.slots(), bad as u64)
    }
}

/// The newest sequence up to `newest` that lies in `slot`; 0 if none was written there yet.
fn newest_in_slot(newest: u64, slot: u64, slots: u64) -> u64 {
    let back = (newest % slots + slots - slot) % slots;
    newest.saturating_sub(back)
}

fn word_at(record: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(record[offset..offset + 8].try_into().expect("eight bytes"))
}

fn compose(record: &mut [u8], sequence: u64) {
    record[..8].copy_from_slice(&MAGIC.to_le_bytes());
    record[8..16].copy_from_slice(&sequence.to_le_bytes());
    Stream::new(sequence).fill(&mut record[16..RECORD - 8]);
    let mut checksum = Checksum::new();
    checksum.update(&record[..RECORD - 8]);
    record[RECORD - 8..].copy_from_slice(&checksum.value().to_le_bytes());
}

/// Writes a record at every interval; what was missed while the guest was paused is not caught up.
pub(crate) fn write_for_ever(log: &Mutex<Log>, interval_ms: u64) {
    loop {
        std::thread::sleep(Duration::from_millis(interval_ms.max(1)));
        log.lock().expect("no thread panics: a panic ends the guest").advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Region = Region { offset: 8192, bytes: 16 * RECORD as u64 };

    struct Device(std::path::PathBuf);

    impl Device {
        /// A file that takes direct access, with 40 records written.
        fn written(name: &str) -> (Self, Log) {
            let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            let file = File::create(&path).unwrap();
            file.set_len(REGION.offset + REGION.bytes).unwrap();
            let mut log = Log::open(path.to_str().unwrap(), REGION).unwrap();
            (0..40).for_each(|_| log.advance());
            assert_eq!((log.verify(), log.bad), ((16, 0), 0));
            (Self(path), log)
        }

        fn edit(&self, slot: u64, change: impl FnOnce(&mut [u8])) {
            let file = OpenOptions::new().read(true).write(true).open(&self.0).unwrap();
            let mut record = vec![0; RECORD];
            let offset = REGION.offset + slot * RECORD as u64;
            file.read_exact_at(&mut record, offset).unwrap();
            change(&mut record);
            file.write_all_at(&record, offset).unwrap();
        }
    }

    impl Drop for Device {
        fn drop(&mut self) {
            let _gone = std::fs::remove_file(&self.0);
        }
    }

    /// A slot that holds an older whole record, as after a lost write, is found.
    #[test]
    fn one_lost_write_is_found() {
        let (device, mut log) = Device::written("guestd-lost");
        device.edit(3, |record| compose(record, 19));
        assert_eq!(log.verify(), (16, 1));
        let again = Log::open(device.0.to_str().unwrap(), REGION).unwrap();
        assert_eq!(again.bad, 1, "a restarted daemon finds it as well");
    }

    /// One flipped bit in what was written is found.
    #[test]
    fn one_flipped_bit_is_found() {
        let (device, mut log) = Device::written("guestd-flip");
        device.edit(9, |record| record[5_000] ^= 4);
        assert_eq!(log.verify(), (16, 1));
    }

    /// A daemon that starts again goes on after the newest record, and a record torn by its death is no fault.
    #[test]
    fn a_restart_goes_on_after_the_newest_record() {
        let (device, log) = Device::written("guestd-restart");
        drop(log);
        device.edit(41 % 16, |record| record[100] ^= 1);
        let mut again = Log::open(device.0.to_str().unwrap(), REGION).unwrap();
        assert_eq!((again.bad, again.next), (0, 41));
        again.advance();
        assert_eq!(again.verify(), (16, 0));
    }
}
