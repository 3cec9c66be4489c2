//! Data that was on the disk before the guest started: files whose checksums came with the initial RAM disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::disk::{Aligned, O_DIRECT};
use crate::pattern::{Checksum, SAMPLE_BYTES};

const PIECE: usize = 1 << 20;

struct Entry {
    path: PathBuf,
    length: u64,
    checksum: u64,
    /// Of its samples.
    sample_checksums: Vec<u64>,
}

/// The files and what they must hold.
pub(crate) struct Base {
    entries: Vec<Entry>,
}

impl Base {
    /// Reads the manifest: a line `NAME LENGTH CHECKSUM SAMPLE-CHECKSUM...` for every file below `folder`. No manifest, no
    /// files.
    pub(crate) fn read(manifest: &str, folder: &str) -> Self {
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some(Entry {
                path: PathBuf::from(folder).join(words.next()?),
                length: words.next()?.parse().ok()?,
                checksum: words.next()?.parse().ok()?,
                sample_checksums: words.map(|word| word.parse().ok()).collect::<Option<_>>()?,
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

    /// Reads samples of every file from the device, all files at once: how many bytes, and how many samples are bad.
    pub(crate) fn verify_samples(&self) -> (u64, u64) {
        let bad = std::thread::scope(|scope| {
            let read = |entry| scope.spawn(move || bad_samples(entry));
            let reading: Vec<_> = self.entries.iter().map(read).collect();
            reading.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        let samples: usize = self.entries.iter().map(|entry| entry.sample_checksums.len()).sum();
        (samples as u64 * SAMPLE_BYTES as u64, bad)
    }
}

fn open(entry: &Entry) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(O_DIRECT).open(&entry.path)
}

fn bad_samples(entry: &Entry) -> u64 {
    let Ok(file) = open(entry) else { return entry.sample_checksums.len() as u64 };
    let part = entry.length / entry.sample_checksums.len().max(1) as u64;
    let mut buffer = Aligned::new(SAMPLE_BYTES);
    let mut bad = 0;
    for (end, wanted) in (1..).map(|number| number * part).zip(&entry.sample_checksums) {
        let read = file.read_exact_at(buffer.bytes(), end - SAMPLE_BYTES as u64);
        let mut checksum = Checksum::new();
        checksum.update(buffer.bytes());
        bad += u64::from(read.is_err() || checksum.value() != *wanted);
    }
    bad
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
