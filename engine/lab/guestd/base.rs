//! Data that was on the disk before the guest started: files whose checksums came with the initial RAM disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::disk::{Aligned, O_DIRECT};
use crate::pattern::Checksum;

const PIECE: usize = 1 << 20;
/// What is read of a file's end alone.
const TAIL: usize = 4 << 10;

struct Entry {
    path: PathBuf,
    length: u64,
    checksum: u64,
    /// Of its last [`TAIL`] bytes.
    tail_checksum: u64,
}

/// The files and what they must hold.
pub(crate) struct Base {
    entries: Vec<Entry>,
}

impl Base {
    /// Reads the manifest: a line `NAME LENGTH CHECKSUM TAIL-CHECKSUM` for every file below `folder`. No manifest, no files.
    pub(crate) fn read(manifest: &str, folder: &str) -> Self {
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some(Entry {
                path: PathBuf::from(folder).join(words.next()?),
                length: words.next()?.parse().ok()?,
                checksum: words.next()?.parse().ok()?,
                tail_checksum: words.next()?.parse().ok()?,
            })
        };
        Self { entries: text.lines().map(|line| entry(line).expect("the manifest is well-formed")).collect() }
    }

    /// Reads every file from the device; how many bytes were checked and how many files are bad.
    pub(crate) fn verify(&self) -> (u64, u64) {
        // Direct reads go around cached data; dropping the caches makes the file system read its own blocks again.
        let dropped = std::fs::write("/proc/sys/vm/drop_caches", "3");
        let bad = self.entries.iter().filter(|entry| !holds(entry).unwrap_or(false)).count() as u64;
        (self.entries.iter().map(|entry| entry.length).sum(), bad + u64::from(dropped.is_err()))
    }

    /// Reads the end of every file from the device, all at once: how many bytes, and how many files are bad there.
    pub(crate) fn verify_tails(&self) -> (u64, u64) {
        let bad = std::thread::scope(|scope| {
            let read = |entry| scope.spawn(move || tail_holds(entry).unwrap_or(false));
            let reading: Vec<_> = self.entries.iter().map(read).collect();
            reading.into_iter().filter_map(|thread| thread.join().ok()).filter(|good| !good).count() as u64
        });
        (self.entries.len() as u64 * TAIL as u64, bad)
    }
}

fn open(entry: &Entry) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(O_DIRECT).open(&entry.path)
}

fn tail_holds(entry: &Entry) -> io::Result<bool> {
    let mut buffer = Aligned::new(TAIL);
    open(entry)?.read_exact_at(buffer.bytes(), entry.length.saturating_sub(TAIL as u64))?;
    let mut checksum = Checksum::new();
    checksum.update(buffer.bytes());
    Ok(checksum.value() == entry.tail_checksum)
}

fn holds(entry: &Entry) -> io::Result<bool> {
    let mut file = open(entry)?;
    let mut buffer = Aligned::new(PIECE);
    let mut checksum = Checksum::new();
    let mut length = 0;
    loop {
        let read = file.read(buffer.bytes())?;
        if read == 0 {
            return Ok(length == entry.length && checksum.value() == entry.checksum);
        }
        checksum.update(&buffer.bytes()[..read]);
        length += read as u64;
    }
}
