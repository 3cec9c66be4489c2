//! Data that was on the disk before the guest started: files whose checksums came with the initial RAM disk.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::disk::{Aligned, O_DIRECT};
use crate::pattern::Checksum;

const PIECE: usize = 1 << 20;

struct Entry {
    path: PathBuf,
    length: u64,
    checksum: u64,
}

/// The files and what they must hold.
pub(crate) struct Base {
    entries: Vec<Entry>,
}

impl Base {
    /// Reads the manifest: a line `NAME LENGTH CHECKSUM` for every file below `folder`. No manifest, no files.
    pub(crate) fn read(manifest: &str, folder: &str) -> Self {
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some(Entry {
                path: PathBuf::from(folder).join(words.next()?),
                length: words.next()?.parse().ok()?,
                checksum: words.next()?.parse().ok()?,
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

    /// Reads the last file from the device: its length and whether it is good; `None` if there are no files.
    pub(crate) fn verify_last(&self) -> Option<(u64, bool)> {
        self.entries.last().map(|entry| (entry.length, holds(entry).unwrap_or(false)))
    }
}

fn holds(entry: &Entry) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).custom_flags(O_DIRECT).open(&entry.path)?;
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
